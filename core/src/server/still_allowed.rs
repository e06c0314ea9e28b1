//! Whether what was approved may still be used.

use std::sync::Arc;

use super::AuthorizationServer;
use crate::client::Client;
use crate::env::Time;
use crate::error::Misdeed;
use crate::subject::SubjectStatus;

/// Why a grant that exists must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("the client is gone or inactive")]
    Client,
    #[error("the grant is older than the client's barrier")]
    ClientBarrier,
    #[error("the subject is gone or disabled")]
    Subject,
    #[error("the grant is older than the subject's barrier")]
    SubjectBarrier,
}

impl AuthorizationServer {
    /// The one decision whether what was approved then may be used now. Asked by everything that
    /// issues and everything that reads: approve, redeem, refresh, introspect, userinfo, guard.
    ///
    /// The barriers (`valid_from`) stop what is in flight at once, whatever the clean-up of
    /// records has reached: `at` is when the client was let in, and a subject comes with the time
    /// since which they are.
    pub(crate) async fn still_allowed(
        &self,
        client: Option<Arc<Client>>,
        subject: Option<(&str, Time)>,
        at: Time,
    ) -> Result<Result<Arc<Client>, Denied>, Misdeed> {
        let Some(client) = client.filter(|client| client.active) else {
            return Ok(Err(Denied::Client));
        };
        if at < client.valid_from {
            return Ok(Err(Denied::ClientBarrier));
        }
        if let Some((subject, since)) = subject {
            match self.subjects().status(subject).await? {
                SubjectStatus::Disabled => return Ok(Err(Denied::Subject)),
                SubjectStatus::Active { valid_from } if since < valid_from => {
                    return Ok(Err(Denied::SubjectBarrier));
                }
                SubjectStatus::Active { .. } => {}
            }
        }
        Ok(Ok(client))
    }
}
