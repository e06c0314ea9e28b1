//! The engine's events as log lines and counters. They carry identifiers only.

use grantor::{Event, Events};
use tracing::{error, warn};

use crate::audit::{TARGET, audit};
use crate::metrics;

/// Logs every event.
pub(crate) struct Logged;

impl Events for Logged {
    fn on(&self, event: &Event<'_>) {
        count(event);
        match event {
            Event::ReuseDetected { grant, client_id, subject, code } => {
                let (name, what) = match code {
                    true => ("code.replayed", "authorization code"),
                    false => ("refresh.reused", "refresh token"),
                };
                warn!(
                    target: TARGET,
                    event = name, %grant, client_id, subject, what, "a spent credential came back: grant revoked"
                );
            }
            Event::Refused { endpoint, client_id, reason } => {
                audit!("request.refused", endpoint, client_id, reason, "refused");
            }
            Event::MaintenanceFailed { reason } => {
                error!(target: TARGET, event = "storage.error", reason, "maintenance failed and is tried again");
            }
            Event::DeliveryFailed { reason } => {
                error!(target: TARGET, event = "storage.error", reason, "applications wait to be told of a sign-out");
            }
            Event::LogoutUndelivered { client_id, attempts, is_last, reason } => {
                warn!(
                    target: TARGET,
                    event = "logout.undelivered",
                    client_id, attempts, is_last, reason, "an application was not told of a sign-out"
                );
            }
            Event::Approved { grant, client_id, subject } => {
                audit!("consent.granted", %grant, client_id, subject, "approved");
            }
            Event::CodeRedeemed { grant, client_id } => {
                audit!("code.redeemed", %grant, client_id, "code redeemed");
            }
            Event::Refreshed { grant, client_id, repeated } => {
                audit!("token.refreshed", %grant, client_id, repeated, "refreshed");
            }
            Event::ConsentWithdrawn { client_id, subject } => {
                audit!("consent.withdrawn", client_id, subject, "consent withdrawn");
            }
            Event::KeysReplaced => {
                warn!(target: TARGET, event = "key.emergency", "all keys were replaced");
            }
            Event::DeniedByPolicy { client_id, subject } => {
                audit!("consent.refused", client_id, subject, "refused by the policy");
            }
            Event::DeniedByUser { client_id } => {
                audit!("consent.denied", client_id, "refused by the person");
            }
            Event::ClientCredentialsIssued { client_id } => {
                audit!("token.issued", client_id, "token issued to a client on its own behalf");
            }
            Event::TokenRevoked { grant, client_id } => {
                audit!("token.revoked", %grant, client_id, "token revoked");
            }
            Event::ClientCreated { client_id } => {
                audit!("client.created", client_id, "client created");
            }
            Event::ClientUpdated { client_id } => {
                audit!("client.updated", client_id, "client updated");
            }
            Event::ClientSecretRotated { client_id } => {
                audit!("client.secret_rotated", client_id, "client secret rotated");
            }
            Event::ClientRevoked { client_id } => {
                audit!("client.disabled", client_id, "client revoked");
            }
            Event::ClientRemoved { client_id } => {
                audit!("client.deleted", client_id, "client removed");
            }
            Event::KeysRotated { active_from } => {
                audit!("key.created", active_from = ?active_from, "keys published");
            }
            other => audit!("other", what = ?other, "event"),
        }
    }
}

fn count(event: &Event<'_>) {
    metrics::happened(match event {
        Event::Refused { endpoint, .. } => return metrics::refused(endpoint),
        Event::ReuseDetected { .. } => "reuse_detected",
        Event::MaintenanceFailed { .. } => "maintenance_failed",
        Event::DeliveryFailed { .. } => "delivery_failed",
        Event::LogoutUndelivered { .. } => "logout_undelivered",
        Event::LogoutDelivered { .. } => "logout_delivered",
        Event::SessionEnded { .. } => "session_ended",
        Event::Approved { .. } => "approved",
        Event::CodeRedeemed { .. } => "code_redeemed",
        Event::Refreshed { .. } => "refreshed",
        Event::ConsentWithdrawn { .. } => "consent_withdrawn",
        Event::KeysReplaced => "keys_replaced",
        Event::DeniedByPolicy { .. } => "denied_by_policy",
        Event::DeniedByUser { .. } => "denied_by_user",
        Event::ClientCredentialsIssued { .. } => "client_credentials_issued",
        Event::TokenRevoked { .. } => "token_revoked",
        Event::ClientCreated { .. } => "client_created",
        Event::ClientUpdated { .. } => "client_updated",
        Event::ClientSecretRotated { .. } => "client_secret_rotated",
        Event::ClientRevoked { .. } => "client_revoked",
        Event::ClientRemoved { .. } => "client_removed",
        Event::KeysRotated { .. } => "keys_rotated",
        _ => "other",
    });
}
