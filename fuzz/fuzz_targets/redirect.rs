//! Redirect URIs: what may be registered, what a request may name, and where its answer then goes, also
//! in the eyes of the `url` crate, which sees what browsers see.
//!
//! The input is text: a registered URI, one that a request names, and `native` or nothing, a line each.
#![no_main]

use grantor::Client;
use grantor::fuzzing::{is_origin, is_registrable, redirect};
use libfuzzer_sys::fuzz_target;
use url::{Host, Url};

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let (registered, named) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let native = lines.next() == Some("native");
    if is_origin(registered) {
        let url = Url::parse(registered).expect("an origin is a URL");
        assert_eq!(url.origin().ascii_serialization(), registered);
    }
    if !is_registrable(registered, native) {
        return;
    }
    let registered_url = Url::parse(registered).expect("a registered URI is a URL");
    assert!(registered_url.fragment().is_none() && registered_url.username().is_empty());
    assert!(registered_url.password().is_none());
    match registered_url.scheme() {
        "https" => assert!(registered_url.host().is_some()),
        "http" => assert!(is_loopback(&registered_url), "{registered}"),
        scheme => assert!(native && scheme.contains('.'), "{registered}"),
    }
    let mut client = Client::public("client", "Client");
    client.native = native;
    client.redirect_uris = vec![registered.to_owned()];
    let answer = [("code", "a b&c=d#e"), ("state", "ü%")];
    for named in [Some(named), Some(registered), None] {
        let Some((redirect, location)) = redirect(&client, named, &answer) else {
            assert_ne!(named, Some(registered), "a registered URI is one");
            continue;
        };
        assert_eq!(redirect, named.unwrap_or(registered));
        let url = Url::parse(&location).expect("a location is a URL");
        assert_eq!(url.scheme(), registered_url.scheme());
        assert_eq!(url.host(), registered_url.host());
        assert_eq!(url.path(), registered_url.path());
        assert!(url.fragment().is_none() && url.username().is_empty() && url.password().is_none());
        if url.port() != registered_url.port() {
            // RFC 8252 section 7.3: the port of a native client's loopback address, by its number.
            assert!(native && url.scheme() == "http" && is_loopback(&url));
            assert!(!matches!(url.host(), Some(Host::Domain(_))));
        }
        // What the client reads is what was sent, behind what it had registered.
        let expected =
            registered_url.query_pairs().chain(answer.map(|(n, v)| (n.into(), v.into())));
        assert!(url.query_pairs().eq(expected), "{location}");
        if url.port() == registered_url.port() {
            assert_eq!(redirect, registered, "byte for byte (RFC 9700 section 2.1)");
        }
    }
});
