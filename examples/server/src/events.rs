//! The engine's events as log lines. They carry identifiers only.

use grantor::{Event, Events};
use tracing::{info, warn};

/// Logs every event.
pub(crate) struct Logged;

impl Events for Logged {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::ReuseDetected { grant, client_id, subject, code } => {
                let what = if *code { "authorization code" } else { "refresh token" };
                warn!(%grant, client_id, subject, what, "a spent credential came back: grant revoked");
            }
            Event::Refused { endpoint, client_id, reason } => {
                info!(endpoint, client_id, reason, "refused");
            }
            Event::MaintenanceFailed { reason } => {
                tracing::error!(reason, "maintenance failed and is tried again");
            }
            Event::Approved { grant, client_id, subject } => {
                info!(%grant, client_id, subject, "approved");
            }
            Event::CodeRedeemed { grant, client_id } => info!(%grant, client_id, "code redeemed"),
            Event::Refreshed { grant, client_id } => info!(%grant, client_id, "refreshed"),
            other => info!(event = ?other, "event"),
        }
    }
}
