//! The issuer: the one URL that names an authorization server.

use std::fmt;
use std::sync::Arc;

use url::{Host, Url};

/// An issuer identifier (RFC 8414 section 2, OpenID Connect Discovery section 3): an absolute
/// URL without query or fragment, and without a trailing slash.
///
/// It is configured, never taken from a request: a server that believed the `Host` header would
/// let a stranger choose what its tokens say. `http` is accepted for loopback names only
/// (`localhost`, `*.localhost`, `127.0.0.0/8`, `[::1]`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Issuer(Arc<str>);

impl Issuer {
    /// Checks and keeps an issuer, byte for byte as given.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it and how to mend it.
    pub fn new(text: &str) -> Result<Self, IssuerError> {
        let fail = |why| Err(IssuerError { issuer: text.to_owned(), why });
        let Ok(url) = Url::parse(text) else { return fail("it is not an absolute URL") };
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return fail("http is for loopback names only: use https"),
            _ => return fail("its scheme is neither https nor http"),
        }
        if url.query().is_some() || url.fragment().is_some() {
            return fail("it must have no query and no fragment");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return fail("it must not contain a user name or password");
        }
        if text.ends_with('/') {
            return fail("remove the slash at its end: clients compare it byte for byte");
        }
        // Url normalizes (upper case, default ports, dot segments). Clients compare strings, so
        // an issuer that is not in its normal form would be two issuers.
        let normal = url.as_str().strip_suffix('/').unwrap_or(url.as_str());
        if normal != text && url.as_str() != text {
            return fail(
                "write it in its normal form: lower case, no default port, no dot segments",
            );
        }
        Ok(Self(text.into()))
    }

    /// One that was checked before it was written down.
    pub(crate) fn recorded(text: &str) -> Self {
        Self(text.into())
    }

    /// The issuer as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the issuer: empty, or `/tenant` and the like, without a slash at its end.
    #[must_use]
    pub fn path(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("")
    }

    /// Scheme, host and port: the origin, as a browser would send it.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.strip_suffix(self.path()).unwrap_or(&self.0)
    }

    /// Whether the issuer is https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// An issuer that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the issuer {issuer:?} cannot be used: {why}")]
pub struct IssuerError {
    issuer: String,
    why: &'static str,
}

impl IssuerError {
    pub(crate) fn why(&self) -> &'static str {
        self.why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_https_or_loopback_and_in_normal_form() {
        for good in [
            "https://id.example.com",
            "https://id.example.com/tenant",
            "http://localhost:4000",
            "http://auth.localhost:4000",
            "http://127.0.0.1:4000",
            "http://[::1]:4000",
        ] {
            assert_eq!(Issuer::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "id.example.com",
            "http://id.example.com",
            "http://localhost.example.com",
            "https://id.example.com/",
            "https://id.example.com?x=1",
            "https://id.example.com#x",
            "https://ID.example.com",
            "https://id.example.com:443",
            "https://id.example.com/a/../b",
            "https://me@id.example.com",
            "ftp://id.example.com",
        ] {
            assert!(Issuer::new(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn the_path_and_origin_of_an_issuer() {
        let plain = Issuer::new("https://id.example.com").unwrap();
        assert_eq!((plain.path(), plain.origin()), ("", "https://id.example.com"));
        let tenant = Issuer::new("http://localhost:4000/a/b").unwrap();
        assert_eq!((tenant.path(), tenant.origin()), ("/a/b", "http://localhost:4000"));
    }
}
