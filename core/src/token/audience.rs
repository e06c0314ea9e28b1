//! Who an access token is for: all that its client may reach, or what it asks for by `resource` (RFC 8707).

use crate::client::Client;
use crate::error::Misdeed;
use crate::http::Parameters;
use crate::server::AuthorizationServer;

/// All that a token of this client may be for: this server, the host's APIs, the client's own.
fn available<'a>(server: &'a AuthorizationServer, client: &'a Client) -> Vec<&'a str> {
    let mut all: Vec<&str> = server.policy().audience(server.issuer()).collect();
    for more in &client.audiences {
        if !all.contains(&more.as_str()) {
            all.push(more);
        }
    }
    all
}

/// The resources that a request names; none when it names none. A resource is named exactly as it is
/// registered: there is no prefix by which a token for one would open its neighbour.
///
/// # Errors
/// When one is not available to the client.
pub(crate) fn asked(
    server: &AuthorizationServer,
    client: &Client,
    parameters: &Parameters,
) -> Result<Vec<String>, Misdeed> {
    let mut asked: Vec<String> = Vec::new();
    if parameters.get_all("resource").next().is_none() {
        return Ok(asked);
    }
    let available = available(server, client);
    for resource in parameters.get_all("resource") {
        if !available.contains(&resource) {
            return Err(Misdeed::TargetUnavailable);
        }
        if !asked.iter().any(|it| it == resource) {
            asked.push(resource.to_owned());
        }
    }
    Ok(asked)
}

/// The audience of a token: what is asked for, else what was granted, else all that there is. What was taken
/// from the client since is not in new tokens.
pub(crate) fn of_token<'a>(
    server: &'a AuthorizationServer,
    client: &'a Client,
    granted: &[String],
    asked: &[String],
) -> Result<Vec<&'a str>, Misdeed> {
    let mut available = available(server, client);
    for wanted in [granted, asked].into_iter().filter(|wanted| !wanted.is_empty()) {
        available.retain(|it| wanted.iter().any(|wanted| wanted == it));
    }
    match available.is_empty() {
        true => Err(Misdeed::TargetUnavailable),
        false => Ok(available),
    }
}
