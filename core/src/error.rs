//! Every misdeed has a name, and exactly one place turns names into wire codes.
//!
//! An error has three readers. The peer gets a code of the RFC, uniform where a difference would
//! tell a stranger something. The operator gets the exact misdeed, in an event. The embedder
//! matches on [`BuildError`](crate::BuildError), [`RegistryError`](crate::RegistryError) and
//! [`InteractionError`](crate::InteractionError).

use std::borrow::Cow;
use std::time::Duration;

use serde_json::json;

use crate::env::RandomnessUnavailable;
use crate::fetch::FetchError;
use crate::grant::Field;
use crate::http::Response;
use crate::keys::KeyError;
use crate::server::Denied;
use crate::store::StoreError;
use crate::subject::SubjectError;

/// What a peer did wrong, or what kept us from answering.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Misdeed {
    #[error("the request is too large")]
    TooLarge,
    #[error("a parameter is not valid percent-encoded UTF-8")]
    BadEscape,
    #[error("a parameter is repeated")]
    Repeated,
    #[error("a parameter has a control character")]
    ControlCharacter,
    #[error("the content type is not application/x-www-form-urlencoded")]
    NotAForm,
    #[error("the body is encoded (content-encoding)")]
    BodyEncoded,
    #[error("the body is too large or broke off")]
    BodyTooLarge,
    #[error("the body took too long")]
    BodyTooSlow,
    #[error("a hook of the host panicked")]
    Crashed,
    #[error("the client calls too often")]
    TooOften(Duration),
    #[error("there is too much to do")]
    Overloaded,
    #[error("credentials or parameters are in the query string")]
    ParametersInQuery,
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    #[error("the method is not allowed here")]
    Method(&'static str),
    #[error("there is nothing at this path")]
    NotFound,

    #[error("several ways of client authentication were used")]
    SeveralAuthentications,
    #[error("the client is not identified")]
    ClientNotIdentified,
    #[error("the client is unknown")]
    ClientUnknown { basic: bool },
    #[error("the client is not active")]
    ClientInactive { basic: bool },
    #[error("the client did not prove its identity")]
    ClientUnproved { basic: bool },
    #[error("the client's assertion is not valid: {0}")]
    ClientAssertion(&'static str),

    #[error("the body is no JSON object")]
    NotJson,
    #[error("the metadata is refused: {0}: {1}")]
    Metadata(&'static str, String),

    #[error("the grant type is unknown")]
    GrantTypeUnknown,
    #[error("the client is not registered for this grant type")]
    GrantTypeNotRegistered,
    #[error("the scope is malformed")]
    ScopeMalformed,
    #[error("the scope is not available to this client")]
    ScopeUnavailable,
    #[error("a resource is not available to this client or was not granted")]
    TargetUnavailable,

    #[error("the code is unknown, expired, spent, or another client's")]
    CodeDead,
    #[error("the code was used before: the grant is revoked")]
    CodeReused,
    #[error("the code's {0:?} does not match")]
    CodeMismatch(Field),
    #[error("the code was requested with a challenge and no verifier came")]
    CodeVerifierMissing,
    #[error("the refresh token is unknown, expired, revoked, or another client's")]
    RefreshDead,
    #[error("the refresh token was used before: the grant is revoked")]
    RefreshReused,
    #[error("the grant is not allowed any more: {0}")]
    NoLongerAllowed(Denied),

    #[error("no access token was presented")]
    TokenMissing,
    #[error("an access token was presented in two places or a wrong one")]
    TokenTransport,
    #[error("the access token is not valid: {0}")]
    TokenInvalid(&'static str),
    #[error("the access token lacks the scope {0}")]
    TokenScope(String),

    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// An error as it goes over the wire.
pub(crate) struct Wire {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) description: Cow<'static, str>,
    /// The authentication scheme to challenge for.
    pub(crate) challenge: Option<&'static str>,
}

impl Misdeed {
    /// The one mapping from misdeeds to wire codes.
    ///
    /// Descriptions are fixed texts: nothing that came in goes out again. Unknown, expired, spent
    /// and foreign credentials share one description, so that probing teaches nothing; a live code
    /// of the authenticated client is answered by name, because that is a developer's mistake.
    pub(crate) fn wire(&self) -> Wire {
        use Misdeed as M;
        let (status, code, description): (u16, _, Cow<'static, str>) = match self {
            M::TooLarge => {
                (400, "invalid_request", "the request has too many or too long parameters".into())
            }
            M::BadEscape => {
                (400, "invalid_request", "a parameter is not valid percent-encoded UTF-8".into())
            }
            M::Repeated => (400, "invalid_request", "a parameter is repeated".into()),
            M::ControlCharacter => {
                (400, "invalid_request", "a parameter has a control character".into())
            }
            M::NotAForm => (
                400,
                "invalid_request",
                "the content type must be application/x-www-form-urlencoded".into(),
            ),
            M::BodyEncoded => {
                (415, "invalid_request", "encoded request bodies are not accepted".into())
            }
            M::ParametersInQuery => {
                (400, "invalid_request", "parameters belong in the request body".into())
            }
            M::Missing(name) => {
                (400, "invalid_request", format!("the parameter {name} is missing").into())
            }
            M::Method(_) => (405, "invalid_request", "this method is not allowed here".into()),
            M::BodyTooLarge => {
                (413, "invalid_request", "the request body is too large or broke off".into())
            }
            M::BodyTooSlow => (408, "invalid_request", "the request body took too long".into()),
            M::Crashed => (500, "server_error", "the server failed".into()),
            M::TooOften(_) => {
                (429, "temporarily_unavailable", "too many requests: wait before the next".into())
            }
            M::Overloaded => {
                (503, "temporarily_unavailable", "there is too much to do: try again".into())
            }
            M::NotFound => (404, "invalid_request", "there is nothing at this path".into()),

            M::SeveralAuthentications => {
                (400, "invalid_request", "use one way of client authentication".into())
            }
            M::ClientNotIdentified => (
                401,
                "invalid_client",
                "the request names no client: send client_id, or HTTP Basic".into(),
            ),
            M::ClientUnknown { .. }
            | M::ClientInactive { .. }
            | M::ClientUnproved { .. }
            | M::ClientAssertion(_) => {
                (401, "invalid_client", "client authentication failed".into())
            }

            M::NotJson => (
                400,
                "invalid_client_metadata",
                "the body must be a JSON object, as application/json".into(),
            ),
            M::Metadata(field, why) => {
                let code = match *field {
                    "redirect_uris" => "invalid_redirect_uri",
                    _ => "invalid_client_metadata",
                };
                (400, code, printable(&format!("{field}: {why}")).into())
            }

            M::GrantTypeUnknown => {
                (400, "unsupported_grant_type", "this grant type is not supported".into())
            }
            M::GrantTypeNotRegistered => (
                400,
                "unauthorized_client",
                "the client is not registered for this grant type".into(),
            ),
            M::ScopeMalformed => (400, "invalid_scope", "the scope is malformed".into()),
            M::ScopeUnavailable => (
                400,
                "invalid_scope",
                "the scope is not available to this client or exceeds what was granted".into(),
            ),

            M::TargetUnavailable => (
                400,
                "invalid_target",
                "the resource is not available to this client or was not granted".into(),
            ),

            M::CodeDead | M::CodeReused => (
                400,
                "invalid_grant",
                "the authorization code is invalid, expired or was already used".into(),
            ),
            M::CodeMismatch(Field::RedirectUri) => (
                400,
                "invalid_grant",
                "redirect_uri_mismatch: redirect_uri is not the one of the authorization request"
                    .into(),
            ),
            M::CodeVerifierMissing => {
                (400, "invalid_grant", "invalid_code_verifier: code_verifier is missing".into())
            }
            M::CodeMismatch(Field::Verifier) => (
                400,
                "invalid_grant",
                "invalid_code_verifier: code_verifier does not match the code_challenge".into(),
            ),
            M::CodeMismatch(Field::Scope) => {
                (400, "invalid_scope", "the scope exceeds what was granted".into())
            }
            M::CodeMismatch(_) => (
                400,
                "invalid_grant",
                "the authorization code is invalid, expired or was already used".into(),
            ),
            M::RefreshDead | M::RefreshReused => (
                400,
                "invalid_grant",
                "the refresh token is invalid, expired or was revoked".into(),
            ),
            M::NoLongerAllowed(_) => {
                (400, "invalid_grant", "the grant is not valid any more".into())
            }

            M::TokenMissing => (401, "", "".into()),
            M::TokenTransport => (
                400,
                "invalid_request",
                "present the access token once, in the Authorization header".into(),
            ),
            M::TokenInvalid(_) => {
                (401, "invalid_token", "the access token is invalid, expired or was revoked".into())
            }
            M::TokenScope(_) => (
                403,
                "insufficient_scope",
                "the access token does not have the scope that this needs".into(),
            ),

            M::Store(_) | M::Subject(_) | M::Fetch(_) => {
                (503, "temporarily_unavailable", "the server cannot answer now: try again".into())
            }
            M::Keys(_) | M::Randomness(_) => {
                (503, "server_error", "the server cannot answer now".into())
            }
        };
        let challenge = match self {
            M::ClientUnknown { basic: true }
            | M::ClientInactive { basic: true }
            | M::ClientUnproved { basic: true } => Some("Basic"),
            M::TokenMissing | M::TokenInvalid(_) | M::TokenScope(_) | M::TokenTransport => {
                Some("Bearer")
            }
            _ => None,
        };
        Wire { status, code, description, challenge }
    }

    /// The JSON answer of an endpoint for machines (RFC 6749 section 5.2, RFC 6750 section 3).
    pub(crate) fn response(&self) -> Response {
        let wire = self.wire();
        // A request without any credentials is told the scheme and nothing else (RFC 6750
        // section 3.1). Its body still helps a developer.
        let code = if wire.code.is_empty() { "invalid_token" } else { wire.code };
        let description = match &*wire.description {
            "" => "an access token is needed",
            text => text,
        };
        let mut body = json!({"error": code, "error_description": description});
        // Whoever meets a limit or the guard may be a client of another API of the host: the members
        // of RFC 7807 stand beside those of RFC 6749.
        let title = match (self, wire.challenge, wire.status) {
            (Misdeed::TooOften(_), ..) => Some("Too many requests"),
            (_, Some("Bearer"), 401) => Some("Unauthorized"),
            (_, Some("Bearer"), 403) => Some("Forbidden"),
            (_, Some("Bearer"), _) => Some("Bad request"),
            _ => None,
        };
        if let (Some(title), Some(members)) = (title, body.as_object_mut()) {
            members.insert("title".into(), title.into());
            members.insert("status".into(), wire.status.into());
            members.insert("detail".into(), description.into());
        }
        let mut response = Response::json(wire.status, &body);
        match self {
            Misdeed::TooOften(wait) => {
                let seconds = wait.as_secs().saturating_add(1).to_string();
                response = response.header("retry-after", seconds);
            }
            _ if wire.status == 503 => response = response.header("retry-after", "1"),
            _ => {}
        }
        match (self, wire.challenge) {
            (Misdeed::Method(allow), _) => response.header("allow", *allow),
            (_, Some("Basic")) => {
                response.header("www-authenticate", "Basic realm=\"oauth2\", charset=\"UTF-8\"")
            }
            (Misdeed::TokenMissing, _) => response.header("www-authenticate", "Bearer"),
            // Some clients read only quoted values, so all are quoted.
            (Misdeed::TokenScope(scope), _) => response.header(
                "www-authenticate",
                format!("Bearer error=\"{code}\", error_description=\"{description}\", scope=\"{scope}\""),
            ),
            (_, Some(_)) => response.header(
                "www-authenticate",
                format!("Bearer error=\"{code}\", error_description=\"{description}\""),
            ),
            (_, None) => response,
        }
    }
}

/// What may stand in an `error_description` (RFC 6749 section 5.2). The sentence quotes what the caller itself has
/// sent, in JSON, to the caller.
fn printable(text: &str) -> String {
    let allowed = |c: char| if matches!(c, ' ' | '!' | '#'..='[' | ']'..='~') { c } else { '\'' };
    text.chars().map(allowed).take(300).collect()
}

/// An error with its sources, for the host's log: this crate's errors say what could not be done, and
/// their sources say why.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Transparent errors repeat their source.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}
