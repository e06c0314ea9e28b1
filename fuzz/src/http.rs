//! Requests as text, and what must hold of every answer.

use grantor::{Method, Request, Response};

use crate::{CALLBACK, ISSUER};

/// Text in the form of HTTP: a line with method and target, headers, an empty line, a body.
pub fn request(bytes: &[u8]) -> Option<Request> {
    let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(end);
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut request = Request::get(target);
    request.method = Method::from_name(method);
    request.body = body.get(2..).unwrap_or_default().to_vec();
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
    }
    Some(request)
}

/// What must hold of every answer.
pub fn check(response: &Response) {
    let status = response.status;
    assert!((200..=503).contains(&status) && status != 500, "{status} is a fault of ours");
    for (name, value) in &response.headers {
        assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{name}: {value:?}");
    }
    if let Some(location) = response.get("location") {
        let ours = ["login?ticket=", "logout?ticket="].map(|page| format!("{ISSUER}/{page}"));
        let registered = [CALLBACK, "https://rp.example/bye"];
        let known = |to: &str| match location.strip_prefix(to) {
            Some(rest) => rest.is_empty() || rest.starts_with(['?', '&']),
            None => false,
        };
        let is_ours = ours.iter().any(|page| location.starts_with(page.as_str()));
        assert!(is_ours || registered.into_iter().any(known), "{location}");
    }
    let body: Option<serde_json::Value> = match response.get("content-type") {
        Some("application/json") => Some(serde_json::from_slice(&response.body).expect("JSON")),
        _ => None,
    };
    // RFC 6749 section 5.2: the characters of an error.
    for name in ["error", "error_description"] {
        let text = body.as_ref().and_then(|body| body.get(name)?.as_str()).unwrap_or("");
        assert!(text.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E)));
    }
    let issues = body.as_ref().is_some_and(|body| body.get("access_token").is_some());
    if issues {
        assert_eq!(response.get("cache-control"), Some("no-store"));
    }
}

/// Puts values where a seed says so: `@NAME@`.
pub fn filled(bytes: &[u8], values: &[(&str, &str)]) -> Vec<u8> {
    let mut text = bytes.to_vec();
    for (name, value) in values {
        let place = format!("@{name}@");
        let mut rest = text.as_slice();
        let mut done = Vec::with_capacity(text.len());
        while let Some(at) = rest.windows(place.len()).position(|window| window == place.as_bytes())
        {
            done.extend_from_slice(&rest[..at]);
            done.extend_from_slice(value.as_bytes());
            rest = &rest[at + place.len()..];
        }
        done.extend_from_slice(rest);
        text = done;
    }
    text
}
