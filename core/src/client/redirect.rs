//! Redirect URIs: what may be registered, and where a response may go.
//!
//! [`ValidatedRedirect`] is the only type from which an authorization response can be built, and
//! the only way to one is [`Client::validated_redirect`]. A function that takes a URL string and
//! redirects to it does not exist.

use std::net::IpAddr;

use url::{Host, Url};

use super::Client;
use crate::http::form_target;

/// The longest redirect URI that is compared or registered.
pub(crate) const MAX_REDIRECT_URI: usize = 2048;

/// A redirect URI that the client has registered, as the request named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValidatedRedirect(String);

/// Why a response may go nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedirectMismatch {
    /// The request named none, and the client has not exactly one.
    Missing,
    /// The request named one that is not registered.
    NotRegistered,
}

impl Client {
    /// The redirect URI of a request, if it is one of this client's: byte for byte (RFC 9700
    /// section 2.1), but for the port of a native client's loopback address, which its operating
    /// system chooses (RFC 8252 section 7.3).
    pub(crate) fn validated_redirect(
        &self,
        named: Option<&str>,
    ) -> Result<ValidatedRedirect, RedirectMismatch> {
        let Some(named) = named else {
            return match self.redirect_uris.as_slice() {
                [only] => Ok(ValidatedRedirect(only.clone())),
                _ => Err(RedirectMismatch::Missing),
            };
        };
        let matches = |registered: &String| {
            registered == named || (self.native && same_but_for_loopback_port(registered, named))
        };
        if named.len() <= MAX_REDIRECT_URI && self.redirect_uris.iter().any(matches) {
            Ok(ValidatedRedirect(named.to_owned()))
        } else {
            Err(RedirectMismatch::NotRegistered)
        }
    }
}

impl Client {
    /// Where a person goes after signing out, if it is one of this client's URIs, byte for byte
    /// (OpenID Connect RP-Initiated Logout section 3).
    pub(crate) fn validated_post_logout_redirect(&self, named: &str) -> Option<ValidatedRedirect> {
        let registered = self.post_logout_redirect_uris.iter().any(|uri| uri == named);
        registered.then(|| ValidatedRedirect(named.to_owned()))
    }
}

impl Client {
    /// The page that a browser opens in a frame when a person signs out.
    pub(crate) fn validated_frontchannel_logout(&self) -> Option<ValidatedRedirect> {
        self.frontchannel_logout_uri.clone().map(ValidatedRedirect)
    }
}

impl ValidatedRedirect {
    /// The URI itself, as it is bound into a grant.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI with response parameters appended, each value encoded whole. A query that was
    /// registered stays in front. Without parameters it is the URI as it was registered.
    pub(crate) fn with<'a>(
        &self,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(parameters);
        let encoded = encoded.finish();
        if encoded.is_empty() {
            return self.0.clone();
        }
        let separator = if self.0.contains('?') { '&' } else { '?' };
        format!("{}{separator}{encoded}", self.0)
    }

    /// The URI with response parameters in its fragment. None that is registered has one of its own.
    pub(crate) fn with_fragment<'a>(
        &self,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(parameters);
        format!("{}#{}", self.0, encoded.finish())
    }

    /// Whether only the owner of a web host receives what is sent here. Elsewhere (a loopback address, a
    /// private-use scheme) it is whichever program of the person's machine was there first.
    pub(crate) fn is_web_host(&self) -> bool {
        self.0.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
    }

    /// Where the forms of a page must be able to lead so that people get here, as `form-action` names it: browsers apply
    /// it to every redirect that follows a form, so the client's other places are among it, to which this one may
    /// redirect on.
    pub(crate) fn form_targets(&self, client: &Client) -> Vec<String> {
        let others = client.redirect_uris.iter().chain(&client.allowed_origins);
        let mut targets: Vec<String> = Vec::new();
        for uri in std::iter::once(&self.0).chain(others) {
            let target = form_target(uri).or_else(|| {
                let scheme = uri.split(':').next()?;
                scheme.contains('.').then(|| format!("{scheme}:"))
            });
            if let Some(target) = target.filter(|target| !targets.contains(target)) {
                targets.push(target);
            }
        }
        targets
    }

    /// What people should be shown as the destination: the host of a web address, and of anything
    /// else the scheme, since its host part could say whatever it likes.
    pub(crate) fn destination(&self) -> String {
        let url = Url::parse(&self.0).ok();
        let web = url.as_ref().filter(|url| matches!(url.scheme(), "http" | "https"));
        match web.and_then(Url::host_str) {
            Some(host) => host.to_owned(),
            None => self.0.split(':').next().unwrap_or_default().to_owned(),
        }
    }
}

/// Compares the raw texts, so that no parser's idea of equality enters: the registered and the
/// presented URI are the same but for `:port` behind `http://127.0.0.1` or `http://[::1]`.
fn same_but_for_loopback_port(registered: &str, named: &str) -> bool {
    ["http://127.0.0.1", "http://[::1]"].iter().any(|host| {
        match (registered.strip_prefix(host), named.strip_prefix(host)) {
            (Some(registered), Some(named)) => {
                after_port(registered).is_some_and(|rest| after_port(named) == Some(rest))
            }
            _ => false,
        }
    })
}

/// What follows an optional port; `None` when the text goes on with something else than a path or
/// query (then the host was only a prefix of another, as in `127.0.0.1.evil.example`).
fn after_port(text: &str) -> Option<&str> {
    let rest = match text.strip_prefix(':') {
        Some(port) => {
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            port.get(..digits)?.parse::<u16>().ok()?;
            port.get(digits..)?
        }
        None => text,
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
}

/// Checks a URI for registration.
///
/// https anywhere; http for loopback addresses and `localhost` names (development, and native
/// applications); a private-use scheme in reverse-domain form for native applications alone (RFC
/// 8252 section 7.1). No fragment (RFC 6749 section 3.1.2), no user info, no parameter that a
/// response would carry.
pub(crate) fn check_redirect_uri(uri: &str, native: bool) -> Result<(), &'static str> {
    if uri.len() > MAX_REDIRECT_URI {
        return Err("it is longer than 2,048 bytes");
    }
    if !uri.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>')) {
        return Err("it has a character that a URI cannot have");
    }
    if uri.contains('#') {
        return Err("it must have no fragment");
    }
    if uri.contains('*') {
        return Err("wildcards are not supported: register each URI");
    }
    let Ok(url) = Url::parse(uri) else { return Err("it is not an absolute URI") };
    // Url looks past slashes more than two, as browsers do; the text is looked at for what Url would repair.
    if authority_has_at(uri) || !url.username().is_empty() || url.password().is_some() {
        return Err("it must not contain a user name or password");
    }
    let response_parameters = [
        "code",
        "state",
        "iss",
        "error",
        "error_description",
        "response",
        "access_token",
        "id_token",
        "token_type",
        "expires_in",
        "sid",
        "scope",
        "session_state",
    ];
    if url.query_pairs().any(|(name, _)| response_parameters.contains(&&*name)) {
        return Err("its query carries a parameter of the response");
    }
    match url.scheme() {
        // Url takes `https:host` and `https:\host` for `https://host`; a browser might not.
        "https" if is_at_host(uri, "https://") && url.host().is_some() => Ok(()),
        "http" if is_at_host(uri, "http://") && is_loopback(&url) => Ok(()),
        "http" => Err("http is for loopback addresses only: use https"),
        "https" => Err("it is not an absolute URI"),
        scheme if native && scheme.contains('.') => Ok(()),
        _ if native => Err("a private-use scheme must be a reversed domain name, with a dot"),
        _ => Err("a web application's redirect URI must be https"),
    }
}

/// Whether a host follows the scheme: Url takes `https:///host` for `https://host` too.
fn is_at_host(uri: &str, scheme: &str) -> bool {
    uri.strip_prefix(scheme).is_some_and(|rest| !rest.starts_with('/'))
}

fn authority_has_at(uri: &str) -> bool {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().is_some_and(|authority| authority.contains(['@', '%']))
}

/// Checks an origin for registration: scheme, host and port as a browser sends them.
pub(crate) fn check_origin(origin: &str) -> Result<(), &'static str> {
    if origin.len() > 2048 {
        return Err("it is longer than 2,048 bytes");
    }
    let Ok(url) = Url::parse(origin) else { return Err("it is not an origin") };
    if url.origin().ascii_serialization() != origin {
        return Err("write it as a browser does: scheme, host and port, nothing behind them");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        _ => Err("use https; http is for loopback addresses only"),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(native: bool, uris: &[&str]) -> Client {
        Client {
            native,
            redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            ..Client::public("c", "C")
        }
    }

    #[test]
    fn what_cannot_be_registered_is_refused_with_the_mend() {
        let why = |uri: &str, native| check_redirect_uri(uri, native).unwrap_err();
        let http = "http is for loopback addresses only: use https";
        assert_eq!(
            (why("http://rp.example/cb", false), why("http://rp.example/cb", true)),
            (http, http)
        );
        let relative = "it is not an absolute URI";
        assert_eq!(
            (why("https:rp.example", false), why("https:/rp.example", true)),
            (relative, relative)
        );
        assert_eq!(why("https:///rp.example/cb", false), relative);
        assert_eq!(
            why("com.example.app:/cb", false),
            "a web application's redirect URI must be https"
        );
        let name = "it must not contain a user name or password";
        for uri in [
            "https://ann@rp.example/",
            "https://:pw@rp.example/",
            "https://ann:pw@rp.example/",
            "https:///ann@rp.example/",
            "http:////:pw@127.0.0.1/",
            "https://@rp.example/",
        ] {
            assert_eq!(why(uri, false), name, "{uri}");
        }
        // One without an authority has nobody in it, and is refused for its form.
        assert!(check_redirect_uri("https:/ann@rp.example/", false).is_err());
    }

    #[test]
    fn a_redirect_uri_matches_byte_for_byte() {
        let client = client(false, &["https://rp.example/cb"]);
        assert!(client.validated_redirect(Some("https://rp.example/cb")).is_ok());
        for other in [
            "https://evil.example/cb",
            "https://rp.example/cb/",
            "https://rp.example/CB",
            "HTTPS://RP.example/cb",
            "https://rp.example/cb?x=1",
            "https://rp.example:443/cb",
            "http://rp.example/cb",
            "https://rp.example/%63b",
            "https://rp.example/x/../cb",
            "https://rp.example%40evil.example/cb",
            "https://evil.example\\@rp.example/cb",
            "//rp.example/cb",
            "/cb",
            "https://rp.example/cb\n",
            "https://rp.example/cb\0",
            "https://rp。example/cb",
            // Nothing of a registered one is a pattern.
            "https://rpXexample/cb",
            "https://rp.example/cbb",
        ] {
            let refused = client.validated_redirect(Some(other));
            assert_eq!(refused, Err(RedirectMismatch::NotRegistered), "{other}");
        }
    }

    #[test]
    fn a_native_clients_loopback_port_is_free_and_nothing_else() {
        let native = client(true, &["http://127.0.0.1/cb"]);
        for good in ["http://127.0.0.1/cb", "http://127.0.0.1:5000/cb"] {
            assert!(native.validated_redirect(Some(good)).is_ok(), "{good}");
        }
        for other in [
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1:5000/other",
            "http://127.0.0.1:5000/cb?x=1",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:5000@evil.example/cb",
            "http://127.1/cb",
            "http://0.0.0.0/cb",
            "http://[::1]/cb",
            "http://localhost/cb",
            "https://127.0.0.1:5000/cb",
        ] {
            assert!(native.validated_redirect(Some(other)).is_err(), "{other}");
        }
        // Neither of a name, which the person's machine may look up elsewhere, nor of a host in the network.
        let named = client(true, &["http://localhost/cb", "https://rp.example/cb"]);
        for other in ["http://localhost:5000/cb", "https://rp.example:8443/cb"] {
            assert!(named.validated_redirect(Some(other)).is_err(), "{other}");
        }
        let web = client(false, &["http://127.0.0.1/cb"]);
        assert!(web.validated_redirect(Some("http://127.0.0.1:5000/cb")).is_err());
    }

    #[test]
    fn without_a_named_redirect_uri_there_must_be_exactly_one() {
        assert!(client(false, &["https://a.example/cb"]).validated_redirect(None).is_ok());
        let two = client(false, &["https://a.example/cb", "https://a.example/cb2"]);
        assert_eq!(two.validated_redirect(None), Err(RedirectMismatch::Missing));
    }

    #[test]
    fn a_redirect_uri_is_bounded() {
        let of = |length: usize| {
            format!("https://rp.example/{}", "a-".repeat(length)[..length - 19].to_owned())
        };
        let (longest, longer) = (of(MAX_REDIRECT_URI), of(MAX_REDIRECT_URI + 1));
        assert_eq!(check_redirect_uri(&longest, false), Ok(()));
        assert!(check_redirect_uri(&longer, false).is_err());
        assert!(client(false, &[&longest]).validated_redirect(Some(&longest)).is_ok());
        assert!(client(false, &[&longer]).validated_redirect(Some(&longer)).is_err());
    }

    #[test]
    fn response_parameters_are_encoded_and_a_registered_query_stays_in_front() {
        let client = client(false, &["https://rp.example/cb?a=1"]);
        let redirect = client.validated_redirect(None).unwrap();
        assert_eq!(
            redirect.with([("code", "c"), ("state", "x&code=evil&iss=https://evil")]),
            "https://rp.example/cb?a=1&code=c&state=x%26code%3Devil%26iss%3Dhttps%3A%2F%2Fevil"
        );
    }

    #[test]
    fn only_sound_uris_can_be_registered() {
        for good in [
            "https://rp.example/cb",
            "https://rp.example/cb?tenant=1",
            "http://localhost:3000/callback",
            "http://app.localhost:3000/callback",
            "http://127.0.0.1/cb",
        ] {
            assert_eq!(check_redirect_uri(good, false), Ok(()), "{good}");
        }
        for bad in [
            "http://rp.example/cb",
            "https://rp.example/cb#x",
            "https://rp.example/*",
            "https://a@rp.example/cb",
            "https://a@b@evil.example/cb",
            "https://rp.example%40evil.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "myapp:/cb",
            "com.example.app:/cb",
            "https://rp.example/cb?code=x",
            "/cb",
            "https:rp.example/cb",
            "https:\\\\rp.example/cb",
            "https://rp。example/cb",
            "https://rp.example/c b",
        ] {
            assert!(check_redirect_uri(bad, false).is_err(), "{bad}");
        }
        for name in [
            "code",
            "state",
            "iss",
            "error",
            "error_description",
            "response",
            "access_token",
            "id_token",
            "token_type",
            "expires_in",
            "sid",
            "scope",
            "session_state",
            "%63ode",
        ] {
            for query in [format!("{name}=x"), format!("a=b&{name}")] {
                let bad = format!("https://rp.example/cb?{query}");
                assert!(check_redirect_uri(&bad, false).is_err(), "{bad}");
            }
        }
        for scheme in ["javascript", "data", "vbscript", "file", "blob", "about"] {
            for native in [false, true] {
                let bad = format!("{scheme}:alert(1)");
                assert!(check_redirect_uri(&bad, native).is_err(), "{bad}");
            }
        }
        assert_eq!(check_redirect_uri("com.example.app:/cb", true), Ok(()));
        assert!(check_redirect_uri("myapp:/cb", true).is_err());
        assert!(check_redirect_uri("javascript:alert(1)", true).is_err());
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for good in ["https://myapp.example.com", "http://localhost:3000", "https://a.example:8443"]
        {
            assert_eq!(check_origin(good), Ok(()), "{good}");
        }
        for bad in [
            "*",
            "null",
            "https://a.example/",
            "http://a.example",
            "a.example",
            "https://A.example",
        ] {
            assert!(check_origin(bad).is_err(), "{bad}");
        }
    }
}
