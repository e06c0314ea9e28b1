//! `grantor-server init`

use clap::Args;

use super::{Opened, open, say};
use crate::bootstrap::{self, Plan};
use crate::config::Config;
use crate::error::Fatal;

/// Make the first organisation and its administrator.
#[derive(Args)]
#[command(after_help = "Example:\n  grantor-server init --org acme --admin-email ada@acme.example")]
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
    /// The administrator's password; one is made up and printed when not given
    #[arg(long, env = "GRANTOR_ADMIN_PASSWORD", hide_env_values = true)]
    admin_password: Option<String>,
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
    let Opened { server, accounts, .. } = open(&config).await?;
    let plan = Plan {
        slug: &init.org,
        name: init.org_name.as_deref().unwrap_or(&init.org),
        admin_email: &init.admin_email,
        admin_password: init.admin_password.as_deref(),
        demo: false,
    };
    let made = bootstrap::run(&server, &accounts, plan).await?;
    let (email, password) = &made.admin;
    say(format_args!(
        "Made the organisation {} and its administrator {email}.",
        made.organisation.slug
    ));
    if let Some(password) = password {
        say(format_args!("The password, shown once: {}", password.expose()));
    }
    Ok(())
}
