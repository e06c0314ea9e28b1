//! `grantor-server user`

use clap::{Args, Subcommand};
use grantor::{Claims, Secret};
use serde_json::json;

use super::{Opened, open_existing, password_from_stdin, say};
use crate::accounts::{NewUser, Rights, is_email};
use crate::administration::{claims, users};
use crate::config::Config;
use crate::error::Fatal;
use crate::passwords::{Passwords, made_up};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Add a person; a password is made up and printed, once
    #[command(after_help = "Examples:\n  \
        grantor-server user add --org acme --email bo@acme.example --name \"Bo Example\"\n  \
        printf %s \"$PASSWORD\" | grantor-server user add --org acme --email ada@acme.example --admin --password-stdin")]
    Add(Add),
    /// List an organisation's people
    #[command(after_help = "Example:\n  grantor-server user list --org acme")]
    List {
        /// The organisation's short name
        #[arg(long, value_name = "SLUG")]
        org: String,
    },
    /// Set standard claims of a person, as JSON; null takes one away
    #[command(after_help = "Example:\n  \
        grantor-server user claims bo@acme.example '{\"given_name\": \"Bo\", \"nickname\": null}'")]
    Claims {
        /// The e-mail address
        email: String,
        /// An object of claims by their names (OpenID Connect Core section 5.1)
        #[arg(value_name = "JSON")]
        claims: String,
    },
    /// Lock a person out: sessions and tokens end at once
    #[command(after_help = "Example:\n  grantor-server user disable bo@acme.example")]
    Disable {
        /// The e-mail address
        email: String,
    },
    /// Let a person in again; what ended stays ended
    #[command(after_help = "Example:\n  grantor-server user enable bo@acme.example")]
    Enable {
        /// The e-mail address
        email: String,
    },
    /// Give a person a new password; sessions and tokens end at once. Somebody who has tried too often
    /// waits all the same
    #[command(after_help = "Example:\n  grantor-server user passwd bo@acme.example")]
    Passwd {
        /// The e-mail address
        email: String,
        /// Read the password from standard input instead of making one up
        #[arg(long)]
        password_stdin: bool,
    },
}

#[derive(Args)]
pub(crate) struct Add {
    /// The organisation's short name
    #[arg(long, value_name = "SLUG")]
    org: String,
    /// The e-mail address, which is the user name
    #[arg(long)]
    email: String,
    /// The name that people are shown
    #[arg(long)]
    name: Option<String>,
    /// An administrator of the organisation
    #[arg(long)]
    admin: bool,
    /// Read the password from standard input instead of making one up
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) async fn run(config: Config, verb: Verb) -> Result<(), Fatal> {
    let opened = open_existing(&config).await?;
    match verb {
        Verb::Add(add) => {
            let organisation = opened.organisation(&add.org).await?;
            if !is_email(&add.email) {
                return Err(Fatal::Say(format!("{:?} is not an e-mail address", add.email)));
            }
            let password = password(add.password_stdin)?;
            let name = add.name.map(|name| ("name".to_owned(), json!(name)));
            let new = NewUser {
                email: add.email.clone(),
                password: Passwords::new().hash_of_new(password.text()).await?,
                is_admin: add.admin,
                claims: Claims::from_iter(name),
            };
            if !opened.accounts.add_user(&organisation, new).await? {
                return Err(Fatal::Say(format!("the user {:?} exists already", add.email)));
            }
            say(format_args!("Added {} to {}.", add.email, organisation.slug));
            password.show();
        }
        Verb::List { org } => {
            let organisation = opened.organisation(&org).await?;
            for page in 1.. {
                let (users, _) = opened.accounts.users(&organisation, "", page, 200).await?;
                for user in &users {
                    let role = if user.is_admin { "administrator" } else { "person" };
                    let state = if user.is_disabled { "   (disabled)" } else { "" };
                    let (email, name) = (&user.email, user.name());
                    say(format_args!("{email}   {role:13}   {name}{state}"));
                }
                if users.is_empty() {
                    break;
                }
            }
        }
        Verb::Claims { email, claims } => {
            let change: Claims = serde_json::from_str(&claims)
                .map_err(|why| Fatal::Say(format!("the claims are no JSON object: {why}")))?;
            claims::check(&change).map_err(Fatal::Say)?;
            let user = opened.accounts.user_by_email(&email).await?;
            let user = user.ok_or_else(|| Fatal::Say(format!("there is no user {email:?}")))?;
            let (accounts, now) = (&opened.accounts, opened.server.now());
            accounts.change_user(&user.id, change, Rights::default(), now).await?;
            say(format_args!("The claims of {email} are changed."));
        }
        Verb::Disable { email } => {
            end_everything(&opened, &email, Some(true), None).await?;
            say(format_args!("{email} is locked out; sessions and tokens have ended."));
        }
        Verb::Enable { email } => {
            end_everything(&opened, &email, Some(false), None).await?;
            say(format_args!("{email} can sign in again."));
        }
        Verb::Passwd { email, password_stdin } => {
            let password = password(password_stdin)?;
            let hash = Passwords::new().hash_of_new(password.text()).await?;
            end_everything(&opened, &email, None, Some(hash)).await?;
            say(format_args!("{email} has a new password; sessions and tokens have ended."));
            password.show();
        }
    }
    Ok(())
}

async fn end_everything(
    opened: &Opened,
    email: &str,
    disable: Option<bool>,
    password: Option<String>,
) -> Result<(), Fatal> {
    let Opened { server, accounts, .. } = opened;
    match users::end_everything(server, accounts, email, disable, password).await? {
        true => Ok(()),
        false => Err(Fatal::Say(format!("there is no user {email:?}"))),
    }
}

/// A new password, and whether it is to be shown.
enum Password {
    MadeUp(Secret),
    Given(Secret),
}

impl Password {
    fn text(&self) -> &str {
        match self {
            Password::MadeUp(text) | Password::Given(text) => text.expose(),
        }
    }

    fn show(&self) {
        if let Password::MadeUp(text) = self {
            say(format_args!("The password, shown once: {}", text.expose()));
        }
    }
}

fn password(from_stdin: bool) -> Result<Password, Fatal> {
    if !from_stdin {
        return Ok(Password::MadeUp(made_up()?));
    }
    password_from_stdin().map(Password::Given)
}
