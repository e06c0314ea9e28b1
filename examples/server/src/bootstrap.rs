//! The first start: an organisation, its administrator, and for a demonstration a person and two
//! applications to try the flow with.

use grantor::{
    AuthorizationServer, Claims, Client, Environment as _, Scope, Secret, SystemEnvironment,
};
use serde_json::json;
use uuid::Uuid;

use crate::accounts::{Accounts, NewUser, Organisation, random_u128};
use crate::error::Fatal;
use crate::passwords::Passwords;

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

/// Makes what the plan says.
pub(crate) async fn run(
    server: &AuthorizationServer,
    accounts: &Accounts,
    plan: Plan<'_>,
) -> Result<Made, Fatal> {
    let taken = |what: &str| Fatal::Say(format!("{what} exists already: choose another"));
    let organisation = accounts.add_organisation(plan.slug, plan.name).await?;
    let organisation =
        organisation.ok_or_else(|| taken(&format!("the organisation {:?}", plan.slug)))?;
    let made_up = match plan.admin_password {
        Some(_) => None,
        None => Some(made_up_password()?),
    };
    let password = plan.admin_password.or(made_up.as_ref().map(Secret::expose)).unwrap_or("");
    let claims = json!({
        "name": "Ada Admin", "given_name": "Ada", "family_name": "Admin", "email_verified": true,
    });
    let new = person(&organisation, plan.admin_email, password, true, claims).await?;
    if accounts.add_user(new).await?.is_none() {
        return Err(taken(&format!("the user {:?}", plan.admin_email)));
    }
    let demo = match plan.demo {
        true => Some(demo(server, accounts, &organisation).await?),
        false => None,
    };
    Ok(Made { organisation, admin: (plan.admin_email.to_owned(), made_up), demo })
}

async fn demo(
    server: &AuthorizationServer,
    accounts: &Accounts,
    organisation: &Organisation,
) -> Result<Demo, Fatal> {
    let email = "dana@example.com";
    let password = made_up_password()?;
    let claims = json!({
        "name": "Dana Demo", "given_name": "Dana", "family_name": "Demo", "middle_name": "Q",
        "nickname": "dee", "preferred_username": "dana", "profile": "https://example.com/dana",
        "picture": "https://example.com/dana.png", "website": "https://example.com",
        "gender": "female", "birthdate": "1990-10-31", "zoneinfo": "Europe/Berlin",
        "locale": "en-GB", "updated_at": 1_700_000_000, "email_verified": true,
        "phone_number": "+1 555 0100", "phone_number_verified": true,
        "address": {"formatted": "1 Example Street\nExampletown", "country": "GB"},
    });
    let new = person(organisation, email, password.expose(), false, claims).await?;
    accounts.add_user(new).await?;
    let scope = Scope::collect(["openid", "profile", "email"]).unwrap_or_default();
    let id = || format!("client_{}", Uuid::from_u128(random_u128()).simple());

    let mut spa = Client::public(id(), "Demo single-page app");
    spa.redirect_uris = vec!["http://localhost:3000/callback".into()];
    spa.allowed_origins = vec!["http://localhost:3000".into()];
    let mut web = Client::confidential(id(), "Demo web app", &Secret::new(""));
    web.redirect_uris = vec!["http://localhost:3000/callback".into()];
    for client in [&mut spa, &mut web] {
        client.tenant = Some(organisation.id.clone());
        client.scope = scope.clone();
    }
    let spa = server.clients().create(spa).await?;
    let web = server.clients().create(web).await?;
    Ok(Demo {
        user: (email.to_owned(), password),
        spa: spa.client.client_id.clone(),
        web: (web.client.client_id.clone(), web.client_secret),
    })
}

async fn person<'a>(
    organisation: &'a Organisation,
    email: &'a str,
    password: &str,
    is_admin: bool,
    claims: serde_json::Value,
) -> Result<NewUser<'a>, Fatal> {
    if !email.contains('@') {
        return Err(Fatal::Say(format!("{email:?} is not an e-mail address")));
    }
    if password.chars().count() < 8 {
        return Err(Fatal::Say("the password is too short: use at least 8 characters".into()));
    }
    let password = Passwords::new().hash(password).await;
    let password = password
        .map_err(|_| Fatal::Say("the password is too long: use at most 512 bytes".into()))?;
    let claims = claims.as_object().cloned().unwrap_or_else(Claims::new);
    Ok(NewUser { organisation, email, password, is_admin, claims })
}

/// Four groups of five letters and digits: some 100 bits, and a person can type it.
fn made_up_password() -> Result<Secret, Fatal> {
    // No letter that looks like another one.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 20];
    SystemEnvironment.fill(&mut bytes)?;
    let mut text = String::new();
    for (n, byte) in bytes.iter().enumerate() {
        if n > 0 && n % 5 == 0 {
            text.push('-');
        }
        text.push(char::from(LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'x')));
    }
    Ok(Secret::new(text))
}
