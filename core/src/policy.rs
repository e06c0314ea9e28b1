//! What a server allows, and for how long.

use std::collections::HashSet;
use std::time::Duration;

use crate::client::Client;
use crate::issuer::Issuer;
use crate::keys::{Algorithm, KeyPolicy};
use crate::scope::Scope;

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

const fn days(n: u64) -> Duration {
    minutes(n * 24 * 60)
}

/// No access or ID token lives longer than this, whatever a client is registered with: a signing
/// key must be kept published for as long.
pub const MAX_TOKEN_LIFETIME: Duration = days(30);

/// No grant lives longer than this: ten years. Secrets that authenticate refresh tokens are kept for
/// as long, so that a policy that is shortened later ends no token early.
const MAX_GRANT_LIFETIME: Duration = days(3660);

/// Settings of a server. The defaults are safe; set fields to change them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// How long an authorization code lives: 60 seconds by default, 600 at most (RFC 6749 section
    /// 4.1.2 recommends ten minutes as the maximum).
    pub code_lifetime: Duration,
    /// How long an access token lives, unless its client says otherwise: 10 minutes. Only checks
    /// by this server see a revocation earlier.
    pub access_token_lifetime: Duration,
    /// How long an ID token lives, unless its client says otherwise: 10 minutes.
    pub id_token_lifetime: Duration,
    /// How long an unused refresh token lives, unless its client says otherwise: 14 days.
    pub refresh_token_idle: Duration,
    /// How long a grant lives, however often it is refreshed: 90 days. It never moves.
    pub refresh_token_absolute: Duration,
    /// When the refresh token is replaced at its use.
    pub rotation: Rotation,
    /// How long after a rotation the predecessor still gets the same answer, and the successor does
    /// not rotate again: 60 seconds, at most ten minutes. A browser application refreshes from several tabs at once, and a mobile one
    /// loses answers; without a bound, a thief and the owner in lockstep would never be told
    /// apart. Zero is strict.
    pub retry_window: Duration,
    /// When a refresh token is issued.
    pub refresh: RefreshPolicy,
    /// Which grants end with the session in which they were approved ([`crate::AuthorizationServer::end_session`]):
    /// those without `offline_access`.
    pub ends_with_session: EndsWithSession,
    /// The audiences of access tokens beside the issuer itself: the APIs that accept them.
    pub apis: Vec<String>,
    /// The scopes that the server knows, for its discovery document.
    pub scopes: Scope,
    /// The authentication context classes that the host's sessions can reach ([`crate::Session::acr`]), for the
    /// discovery document: none.
    pub acr_values: Vec<String>,
    /// Whether a revocation request that names no client may revoke a *public* client's token: off.
    /// Such a client proves nothing anyway, so who holds its token can revoke it by naming the
    /// client; this is for applications that forget to. A confidential client's token is never
    /// revoked without its secret.
    pub anonymous_revocation: bool,
    /// Whether the authorization endpoint may answer with tokens, for clients that are registered for it: the
    /// response types with `id_token` and `token`, which are the implicit and the hybrid flows. Off. **It weakens
    /// what it is on for**: tokens go through the browser, where histories, extensions and scripts of the page
    /// see them; nothing binds an access token to the application that asked (no PKCE, no client
    /// authentication); OAuth 2.1 has dropped the implicit flow (RFC 9700 section 2.1.2). It is for applications
    /// that know nothing else, and for certification.
    pub implicit: bool,
    /// Whether pages of applications can ask in the browser whether their person is still signed in (OpenID Connect
    /// Session Management 1.0): off. On, authorization responses carry `session_state` and set a cookie that scripts of
    /// this server's origin can read and that browsers send from other sites too;
    /// see [`crate::AuthorizationServer::browser_state_cookie`]. Browsers that keep cookies from frames of other
    /// sites do not answer the question; applications that must know are told of
    /// ([`crate::AuthorizationServer::end_session`]).
    pub session_management: bool,
    /// What tokens can be signed with: RS256, ES256 and EdDSA. RS256 and EdDSA must be among them: they
    /// are what ID tokens and access tokens are signed with for clients that ask for nothing
    /// else.
    pub algorithms: Vec<Algorithm>,
    /// How often keys are replaced: 30 days.
    pub rotate_keys_every: Duration,
    /// How long new keys are published before they sign: 15 minutes. Longer than clients keep the
    /// JWKS, which they are told to do for 5.
    pub publish_keys_ahead: Duration,
}

/// When a refresh token is replaced at its use (RFC 9700 section 4.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rotation {
    /// At every use, for every client: reuse of a stolen one is found out.
    #[default]
    Always,
    /// For public clients alone; a confidential one's token is bound to its secret.
    Public,
    /// Never. For clients that cannot store a new one.
    Never,
}

/// When a refresh token is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RefreshPolicy {
    /// When the client is registered for the `refresh_token` grant.
    #[default]
    ClientGrant,
    /// Only when `offline_access` was granted too (OpenID Connect Core section 11).
    OfflineAccess,
}

/// Which grants end with their session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EndsWithSession {
    /// None: applications keep what they have until it ends by itself.
    Nothing,
    /// Those that were not granted `offline_access`: the others are meant to outlive the person's presence (OpenID
    /// Connect Back-Channel Logout section 2.7).
    #[default]
    Online,
    /// All.
    Everything,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            code_lifetime: minutes(1),
            access_token_lifetime: minutes(10),
            id_token_lifetime: minutes(10),
            refresh_token_idle: days(14),
            refresh_token_absolute: days(90),
            rotation: Rotation::Always,
            retry_window: minutes(1),
            refresh: RefreshPolicy::ClientGrant,
            ends_with_session: EndsWithSession::Online,
            apis: Vec::new(),
            scopes: Scope::collect(crate::scope::OPENID_SCOPES).unwrap_or_default(),
            acr_values: Vec::new(),
            anonymous_revocation: false,
            implicit: false,
            session_management: false,
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
            rotate_keys_every: days(30),
            publish_keys_ahead: minutes(15),
        }
    }
}

impl Policy {
    /// Checks the settings as a whole; the sentence says what to mend.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let second = Duration::from_secs(1);
        if self.code_lifetime < second || self.code_lifetime > minutes(10) {
            return Err("code_lifetime must be between 1 and 600 seconds");
        }
        let tokens = [self.access_token_lifetime, self.id_token_lifetime];
        if tokens.iter().any(|lifetime| *lifetime < second || *lifetime > MAX_TOKEN_LIFETIME) {
            return Err("token lifetimes must be between 1 second and 30 days");
        }
        if self.refresh_token_idle < second || self.refresh_token_absolute < second {
            return Err("refresh token lifetimes must be at least 1 second");
        }
        if self.refresh_token_absolute > MAX_GRANT_LIFETIME {
            return Err("refresh_token_absolute must be at most ten years");
        }
        if self.retry_window > minutes(10) {
            return Err(
                "retry_window must be at most 600 seconds: without a bound, a thief and the owner could not be told apart",
            );
        }
        let distinct: HashSet<_> = self.algorithms.iter().collect();
        if distinct.len() < self.algorithms.len() {
            return Err("an algorithm stands twice in `algorithms`");
        }
        if ![Algorithm::Rs256, Algorithm::EdDsa].iter().all(|needed| distinct.contains(needed)) {
            return Err("`algorithms` must have RS256 and EdDSA: clients that name none get these");
        }
        if self.publish_keys_ahead < minutes(10) {
            return Err(
                "publish_keys_ahead must be at least 600 seconds: clients keep the JWKS for 300",
            );
        }
        if self.rotate_keys_every < self.publish_keys_ahead * 2 {
            return Err("rotate_keys_every must be at least twice publish_keys_ahead");
        }
        Ok(())
    }

    pub(crate) fn access_token_lifetime(&self, client: &Client) -> Duration {
        client.access_token_lifetime.unwrap_or(self.access_token_lifetime).min(MAX_TOKEN_LIFETIME)
    }

    pub(crate) fn id_token_lifetime(&self, client: &Client) -> Duration {
        client.id_token_lifetime.unwrap_or(self.id_token_lifetime).min(MAX_TOKEN_LIFETIME)
    }

    pub(crate) fn refresh_token_idle(&self, client: &Client) -> Duration {
        client.refresh_token_lifetime.unwrap_or(self.refresh_token_idle)
    }

    /// Whether a grant of this scope has refresh tokens, as far as the policy goes.
    pub(crate) fn refreshes(&self, scope: &Scope) -> bool {
        match self.refresh {
            RefreshPolicy::ClientGrant => true,
            RefreshPolicy::OfflineAccess => scope.contains("offline_access"),
        }
    }

    /// Whether a grant that was to be refreshed still is, with what its client may have of its scope now: an operator
    /// who takes `offline_access` from a client ends it.
    pub(crate) fn still_refreshes(&self, granted: &Scope, left: &Scope) -> bool {
        !self.refreshes(granted) || self.refreshes(left)
    }

    pub(crate) fn rotates(&self, client: &Client) -> bool {
        match self.rotation {
            Rotation::Always => true,
            Rotation::Public => client.is_public(),
            Rotation::Never => false,
        }
    }

    /// Who accepts our access tokens: this server, for userinfo, and the configured APIs.
    pub(crate) fn audience<'a>(&'a self, issuer: &'a Issuer) -> impl Iterator<Item = &'a str> {
        let apis = self.apis.iter().map(String::as_str).filter(|api| *api != issuer.as_str());
        std::iter::once(issuer.as_str()).chain(apis)
    }

    pub(crate) fn key_policy(&self) -> KeyPolicy {
        KeyPolicy {
            algorithms: self.algorithms.clone(),
            rotate_every: self.rotate_keys_every,
            publish_ahead: self.publish_keys_ahead,
            token: MAX_TOKEN_LIFETIME,
            credential: MAX_GRANT_LIFETIME,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_consistent_and_dangerous_values_are_refused() {
        assert_eq!(Policy::default().check(), Ok(()));
        let refused = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            policy.check().is_err()
        };
        assert!(refused(|p| p.code_lifetime = minutes(11)));
        assert!(refused(|p| p.algorithms = vec![Algorithm::Rs256]));
        assert!(refused(|p| p.algorithms.push(Algorithm::Rs256)));
        assert!(refused(|p| p.retry_window = minutes(11)));
        assert!(refused(|p| p.access_token_lifetime = Duration::ZERO));
        assert!(refused(|p| p.publish_keys_ahead = Duration::from_secs(599)));
    }
}
