//! An organisation's people.

use grantor::store::Owner;
use grantor::{AuthorizationServer, Claims, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

use super::claims::{self, MAX_NAME};
use crate::accounts::{Accounts, NewUser, Organisation, Rights, User, is_email};
use crate::app::App;
use crate::audit::audit;
use crate::error::StoreFailed;
use crate::passwords::{Typed, made_up};
use crate::problem::Problem;
use crate::session_end::end_one;

/// The body of `POST /v1/admin/users`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewPerson {
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    /// Standard claims by their names.
    #[serde(default)]
    pub(crate) claims: Claims,
    #[serde(default)]
    pub(crate) is_admin: bool,
    /// One is made up when there is none.
    pub(crate) password: Option<Typed>,
}

/// The body of `PATCH /v1/admin/users/{id}`: what is absent stays.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    /// Standard claims by their names; `null` takes one away.
    #[serde(default)]
    pub(crate) claims: Claims,
    pub(crate) is_admin: Option<bool>,
    /// Switching off ends sessions and tokens at once.
    pub(crate) is_active: Option<bool>,
}

/// Adds a person. A password that was made up is shown now or never.
pub(crate) async fn create(
    app: &App,
    organisation: &Organisation,
    new: NewPerson,
) -> Result<(User, Option<Secret>), Problem> {
    if !is_email(&new.email) {
        return Err(Problem::invalid("email", "it is no e-mail address"));
    }
    let made_up = match new.password {
        Some(_) => None,
        None => Some(made_up().map_err(|error| Problem::unavailable(&error))?),
    };
    let password =
        new.password.as_ref().map(Typed::expose).or(made_up.as_ref().map(Secret::expose));
    let hash = app.passwords.hash_of_new(password.unwrap_or_default()).await;
    let password = hash.map_err(|why| Problem::invalid("password", why.to_string()))?;
    let mut claims = Claims::new();
    claims::apply(&mut claims, change_of_claims(new.name.as_deref(), new.claims)?);
    let email = new.email.clone();
    let user = NewUser { email: new.email, password, is_admin: new.is_admin, claims };
    if !app.accounts.add_user(organisation, user).await? {
        return Err(Problem::new(409, "Conflict", "This e-mail address is in use."));
    }
    let user = app.accounts.user_by_email(&email).await?;
    let user = user.ok_or_else(|| Problem::not_found("User not found"))?;
    Ok((user, made_up))
}

/// A person of the organisation. Another organisation's does not exist.
pub(crate) async fn find(
    app: &App,
    organisation: &Organisation,
    id: &str,
) -> Result<User, Problem> {
    let user = app.accounts.user_by_id(id).await?;
    user.filter(|user| user.organisation.id == organisation.id)
        .ok_or_else(|| Problem::not_found("User not found"))
}

/// Changes a person. Nobody takes the administration or the account from themselves: somebody must be
/// left who can give it back.
pub(crate) async fn change(
    app: &App,
    me: &User,
    id: &str,
    change: Change,
) -> Result<User, Problem> {
    let organisation = &me.organisation;
    let user = find(app, organisation, id).await?;
    let loses = change.is_admin == Some(false) || change.is_active == Some(false);
    if user.id == me.id && loses {
        let text = "You cannot take your own account or its administration away.";
        return Err(Problem::new(409, "Conflict", text));
    }
    let claims = change_of_claims(change.name.as_deref(), change.claims)?;
    let rights =
        Rights { is_admin: change.is_admin, is_disabled: change.is_active.map(|active| !active) };
    if !app.accounts.change_user(&user.id, claims, rights, app.server.now()).await? {
        let text = "Somebody else must be able to administer the organisation first.";
        return Err(Problem::new(409, "Conflict", text));
    }
    // Locking out is done again when it is asked for again: the first time may not have come to its end.
    if change.is_active == Some(false) || change.is_active == Some(true) && user.is_disabled {
        let disable = rights.is_disabled;
        end_everything(&app.server, &app.accounts, &user.email, disable, None).await?;
    }
    find(app, organisation, id).await
}

/// Gives a person a made-up password, and ends their sessions and tokens.
pub(crate) async fn reset_password(
    app: &App,
    organisation: &Organisation,
    id: &str,
) -> Result<(User, Secret), Problem> {
    let user = find(app, organisation, id).await?;
    let password = made_up().map_err(|error| Problem::unavailable(&error))?;
    let hash = app.passwords.hash_of_new(password.expose()).await;
    let hash = hash.map_err(|why| Problem::unavailable(&why))?;
    end_everything(&app.server, &app.accounts, &user.email, None, Some(hash)).await?;
    Ok((user, password))
}

/// Ends one of a person's sessions, and tells its applications. False when they have none of this id.
pub(crate) async fn end_session(
    app: &App,
    organisation: &Organisation,
    id: &str,
    session: &str,
) -> Result<bool, Problem> {
    let user = find(app, organisation, id).await?;
    Ok(end_one(app, &user, session).await?)
}

/// Changes an account and ends what it holds: the barrier stops what is in flight at once, and the
/// records of grants follow. False when there is nobody of this address.
pub(crate) async fn end_everything(
    server: &AuthorizationServer,
    accounts: &Accounts,
    email: &str,
    disable: Option<bool>,
    password: Option<String>,
) -> Result<bool, StoreFailed> {
    let has_new_password = password.is_some();
    let ended = accounts.end_everything(email, disable, password, server.now()).await?;
    let Some(id) = ended else { return Ok(false) };
    audit!(
        match (disable, has_new_password) {
            (Some(true), _) => "user.disabled",
            (Some(false), _) => "user.enabled",
            (None, true) => "user.password_set",
            (None, false) => "user.signed_out",
        },
        subject = id,
        "an account was changed, and its sessions and tokens ended"
    );
    // Applications learn of it, and then the records follow.
    let told = server.end_sessions(&id).await;
    told.map_err(|error| StoreFailed::of_engine(&error))?;
    let owner = Owner::Subject(server.issuer().clone(), id);
    let revoked = server.revoke_all(&owner).await;
    revoked.map_err(|error| StoreFailed::of_engine(&error))?;
    Ok(true)
}

/// A person as the API shows them. Never a password: that is added where one was just made up.
pub(crate) fn describe(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "name": user.claim("name"),
        "claims": user.claims,
        "organisationId": user.organisation.id,
        "isAdmin": user.is_admin,
        "isActive": !user.is_disabled,
    })
}

/// The claims, and the name, which has a member of its own because everybody has one.
fn change_of_claims(new_name: Option<&str>, mut change: Claims) -> Result<Claims, Problem> {
    claims::check(&change).map_err(|why| Problem::invalid("claims", why))?;
    if let Some(new) = new_name {
        change.insert("name".to_owned(), json!(name(new)?));
    }
    Ok(change)
}

/// A name without blanks around it; none when nothing is left.
fn name(text: &str) -> Result<Option<String>, Problem> {
    let text = text.trim();
    if text.len() > MAX_NAME || text.chars().any(char::is_control) {
        let why = format!("use at most {MAX_NAME} bytes, without control characters");
        return Err(Problem::invalid("name", why));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
