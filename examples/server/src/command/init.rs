//! `grantor-server init`

use clap::Args;
use grantor::Secret;

use super::{Opened, open, password_from_stdin, say};
use crate::accounts::is_email;
use crate::bootstrap::{self, Plan};
use crate::config::Config;
use crate::error::Fatal;
use crate::passwords::check_new;

/// Make an organisation and its administrator.
#[derive(Args)]
#[command(
    after_help = "Example:\n  GRANTOR_ISSUER=https://id.acme.example grantor-server init --org acme --admin-email ada@acme.example\n\n\
    The data folder belongs to this issuer from then on."
)]
pub(crate) struct Init {
    /// The organisation's short name, for the X-Org-Domain header
    #[arg(long, value_name = "SLUG")]
    org: String,
    /// The organisation's name for people; the short name when not given
    #[arg(long)]
    org_name: Option<String>,
    /// The administrator's e-mail address
    #[arg(long, value_name = "EMAIL")]
    admin_email: String,
    /// The administrator's password, which others on this machine may see in the list of processes;
    /// one is made up and printed when not given
    #[arg(long, env = "GRANTOR_ADMIN_PASSWORD", hide_env_values = true)]
    admin_password: Option<String>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "admin_password")]
    password_stdin: bool,
}

pub(crate) async fn run(config: Config, init: Init) -> Result<(), Fatal> {
    let slug_is_sound = !init.org.is_empty()
        && init.org.len() <= 63
        && init.org.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !slug_is_sound {
        return Err(Fatal::Say(format!(
            "{:?} cannot be an organisation's short name: use a-z, 0-9 and -, up to 63",
            init.org
        )));
    }
    if !is_email(&init.admin_email) {
        return Err(Fatal::Say(format!("{:?} is not an e-mail address", init.admin_email)));
    }
    let given = match (init.password_stdin, &init.admin_password) {
        (true, _) => Some(password_from_stdin()?),
        (false, given) => given.as_deref().map(Secret::new),
    };
    let password = given.as_ref().map(Secret::expose);
    // Before anything is made: a folder belongs to its issuer from its first minute.
    password.map_or(Ok(()), check_new)?;
    let Opened { server, accounts, _lock, .. } = open(&config).await?;
    let plan = Plan {
        slug: &init.org,
        name: init.org_name.as_deref().unwrap_or(&init.org),
        admin_email: &init.admin_email,
        admin_password: password,
        demo: false,
    };
    let made = bootstrap::run(&server, &accounts, plan).await?;
    let (email, password) = &made.admin;
    let (slug, issuer) = (&made.organisation.slug, server.issuer());
    say(format_args!("Made the organisation {slug} and its administrator {email}, for {issuer}."));
    if let Some(password) = password {
        say(format_args!("The password, shown once: {}", password.expose()));
    }
    Ok(())
}
