//! `grantor-server keys`

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use grantor::{AuthorizationServer, KeyRotation, Time};

use super::{Opened, open_existing, say};
use crate::config::Config;
use crate::error::Fatal;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Publish new signing keys, also beside a running server. They sign some minutes later, when
    /// every client can know them
    #[command(after_help = "Example:\n  grantor-server keys rotate")]
    Rotate,
    /// Replace all keys at once, because they have leaked: every token dies, and people's applications
    /// sign them in again
    #[command(after_help = "Example:\n  grantor-server keys replace --yes")]
    Replace {
        /// Everything that was issued dies: say that you mean it
        #[arg(long)]
        yes: bool,
    },
    /// Show the published keys
    #[command(after_help = "Example:\n  grantor-server keys list")]
    List,
}

pub(crate) async fn run(config: Config, verb: Verb) -> Result<(), Fatal> {
    let Opened { server, _lock, .. } = open_existing(&config).await?;
    match verb {
        Verb::Rotate => {
            match server.rotate_keys().await? {
                KeyRotation::Published(at) => say(format_args!(
                    "New keys are made. A running server publishes them within a minute, or at once when \
                     it gets SIGHUP, and they begin to sign at {}.",
                    in_words(at)
                )),
                KeyRotation::Pending(at) => say(format_args!(
                    "Keys that were made before begin to sign at {}; until then none are added.",
                    in_words(at)
                )),
                _ => {}
            }
            list(&server);
        }
        Verb::Replace { yes: false } => {
            return Err(Fatal::Say(
                "everything that was issued would die, and people sign in again everywhere: add --yes \
                 if you mean it. To replace keys by and by, use `keys rotate`"
                    .into(),
            ));
        }
        Verb::Replace { yes: true } => {
            server.replace_keys().await?;
            say(format_args!(
                "All keys are new. A running server takes them within a minute; restart it to have \
                 them at once."
            ));
            list(&server);
        }
        Verb::List => list(&server),
    }
    Ok(())
}

fn list(server: &AuthorizationServer) {
    for key in server.key_infos() {
        let from = in_words(key.active_from);
        let now = if key.signs_now { "   signs now" } else { "" };
        say(format_args!("  {}   {:5}   from {from}{now}", key.kid, key.algorithm.as_str()));
    }
}

fn in_words(at: Time) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Secs, true)
}
