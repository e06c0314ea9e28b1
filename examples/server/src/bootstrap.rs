//! The first start: an organisation, its administrator, and for a demonstration a person and two
//! applications to try the flow with.

use grantor::{AuthorizationServer, Claims, Client, Scope, Secret};
use serde_json::json;

use crate::accounts::{Accounts, NewUser, Organisation, is_email, new_client_id};
use crate::demo;
use crate::error::Fatal;
use crate::passwords::{Passwords, made_up};

/// Who and what the first start makes.
pub(crate) struct Plan<'a> {
    pub(crate) slug: &'a str,
    pub(crate) name: &'a str,
    pub(crate) admin_email: &'a str,
    /// Makes one up when not given.
    pub(crate) admin_password: Option<&'a str>,
    pub(crate) demo: bool,
}

/// What was made, to be shown once.
pub(crate) struct Made {
    pub(crate) organisation: Organisation,
    pub(crate) admin: (String, Option<Secret>),
    pub(crate) demo: Option<Demo>,
}

pub(crate) struct Demo {
    pub(crate) user: (String, Secret),
    pub(crate) spa: String,
    pub(crate) web: (String, Option<Secret>),
}

const DEMO_EMAIL: &str = "dana@example.com";

/// Makes what the plan says. The accounts are one act, after everything was checked. Who never saw
/// the password of an administrator gives them another: `grantor-server user passwd`.
pub(crate) async fn run(
    server: &AuthorizationServer,
    accounts: &Accounts,
    plan: Plan<'_>,
) -> Result<Made, Fatal> {
    let shown_once = match plan.admin_password {
        Some(_) => None,
        None => Some(made_up()?),
    };
    let password = plan.admin_password.or(shown_once.as_ref().map(Secret::expose)).unwrap_or("");
    let admin_claims = match plan.demo {
        true => json!({
            "name": "Ada Admin", "given_name": "Ada", "family_name": "Admin",
            "email_verified": true,
        }),
        false => json!({}),
    };
    let mut people = vec![person(plan.admin_email, password, true, &admin_claims).await?];
    let demo_password = made_up()?;
    if plan.demo {
        people.push(person(DEMO_EMAIL, demo_password.expose(), false, &demo_claims()).await?);
    }
    let added = accounts.add_organisation(plan.slug, plan.name, people).await?;
    let organisation = added.map_err(|what| {
        let mend = "choose another. A lost password is replaced by `grantor-server user passwd`";
        Fatal::Say(format!("{what} exists already: {mend}"))
    })?;
    let demo = match plan.demo {
        true => Some(make_demo(server, accounts, &organisation, demo_password).await?),
        false => None,
    };
    Ok(Made { organisation, admin: (plan.admin_email.to_owned(), shown_once), demo })
}

async fn make_demo(
    server: &AuthorizationServer,
    accounts: &Accounts,
    organisation: &Organisation,
    password: Secret,
) -> Result<Demo, Fatal> {
    let mut spa = Client::public(new_client_id(), "Demo single-page app");
    spa.allowed_origins = vec!["http://localhost:3000".into()];
    let mut web = Client::confidential(new_client_id(), "Demo web app", &Secret::new(""));
    for client in [&mut spa, &mut web] {
        client.redirect_uris = vec!["http://localhost:3000/callback".into()];
        client.tenant = Some(organisation.id.clone());
        client.scope = Scope::collect(["openid", "profile", "email"]).unwrap_or_default();
    }
    let mut page = Client::public(new_client_id(), "Demonstration page");
    page.redirect_uris = vec![format!("{}{}", server.issuer().origin(), demo::PATH)];
    page.post_logout_redirect_uris = page.redirect_uris.clone();
    page.allowed_origins = vec![server.issuer().origin().to_owned()];
    page.tenant = Some(organisation.id.clone());
    page.scope = spa.scope.clone();
    let page = server.clients().create(page).await?;
    accounts.set("demo", &page.client.client_id).await?;
    let spa = server.clients().create(spa).await?;
    let web = server.clients().create(web).await?;
    Ok(Demo {
        user: (DEMO_EMAIL.to_owned(), password),
        spa: spa.client.client_id.clone(),
        web: (web.client.client_id.clone(), web.client_secret),
    })
}

/// Every standard claim (OpenID Connect Core section 5.1).
fn demo_claims() -> serde_json::Value {
    json!({
        "name": "Dana Demo", "given_name": "Dana", "family_name": "Demo", "middle_name": "Q",
        "nickname": "dee", "preferred_username": "dana", "profile": "https://example.com/dana",
        "picture": "https://example.com/dana.png", "website": "https://example.com",
        "gender": "female", "birthdate": "1990-10-31", "zoneinfo": "Europe/Berlin",
        "locale": "en-GB", "updated_at": 1_700_000_000, "email_verified": true,
        "phone_number": "+1 555 0100", "phone_number_verified": true,
        "address": {"formatted": "1 Example Street\nExampletown", "country": "GB"},
    })
}

async fn person(
    email: &str,
    password: &str,
    is_admin: bool,
    claims: &serde_json::Value,
) -> Result<NewUser, Fatal> {
    if !is_email(email) {
        return Err(Fatal::Say(format!("{email:?} is not an e-mail address")));
    }
    let password = Passwords::new().hash_of_new(password).await?;
    let claims = claims.as_object().cloned().unwrap_or_else(Claims::new);
    Ok(NewUser { email: email.to_owned(), password, is_admin, claims })
}
