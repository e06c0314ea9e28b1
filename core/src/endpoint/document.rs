//! Public documents: readable by every origin, without credentials, and the same for everyone.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::error::Misdeed;
use crate::http::{Method, Request, Response};

/// Clients may keep it for five minutes, a third of the time for which a new key is published
/// before it signs.
pub(crate) const CACHE_CONTROL: &str = "public, max-age=300";

/// A document that is written once and sent many times.
pub(crate) struct Document {
    body: Vec<u8>,
    /// A strong validator (RFC 9110 section 8.8.3): the hash of the body, quoted.
    etag: String,
}

impl Document {
    pub(crate) fn new(json: &serde_json::Value) -> Self {
        let body = json.to_string().into_bytes();
        let hash = Sha256::digest(&body);
        let etag = BASE64_URL_SAFE_NO_PAD.encode(hash.get(..16).unwrap_or_default());
        Self { body, etag: format!("\"{etag}\"") }
    }

    /// Whether the peer has it already (RFC 9110 section 13.1.2).
    fn is_known_to(&self, request: &Request) -> bool {
        let wanted = request.all("if-none-match").filter_map(|value| str::from_utf8(value).ok());
        let mut tags = wanted.flat_map(|value| value.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag)
    }

    /// Answers a request for it. Refusals of other methods are for every origin too.
    pub(crate) fn answer(
        &self,
        request: &Request,
        refuse: impl FnOnce(Misdeed) -> Response,
    ) -> Response {
        let response = match request.method {
            Method::Get | Method::Head => {
                let response = match self.is_known_to(request) {
                    true => Response::empty(304),
                    false => Response::public_json(200, self.body.clone()),
                };
                response
                    .header("etag", self.etag.clone())
                    .header("cache-control", CACHE_CONTROL)
                    .header("cross-origin-resource-policy", "cross-origin")
            }
            Method::Options => Response::empty(204)
                .header("access-control-allow-methods", "GET")
                .header("access-control-max-age", "86400"),
            _ => refuse(Misdeed::Method("GET, HEAD, OPTIONS")),
        };
        response.header("access-control-allow-origin", "*")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn get(document: &Document, headers: &[&str]) -> Response {
        let request = headers
            .iter()
            .fold(Request::get("/x"), |request, value| request.header("if-none-match", value));
        document.answer(&request, |misdeed| misdeed.response())
    }

    #[test]
    fn whoever_has_it_already_is_not_sent_it_again() {
        let document = Document::new(&json!({"a": 1}));
        let first = get(&document, &[]);
        assert_eq!((first.status, first.body.as_slice()), (200, &br#"{"a":1}"#[..]));
        let etag = first.get("etag").unwrap().to_owned();
        for known in [&etag, &format!("W/{etag}"), &format!("\"other\", {etag}"), "*"] {
            let again = get(&document, &[known]);
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
            assert_eq!(again.get("etag"), Some(etag.as_str()));
            assert_eq!(again.get("access-control-allow-origin"), Some("*"));
        }
        assert_eq!(get(&document, &["\"other\"", &etag]).status, 304);
        for other in ["\"other\"", "", etag.trim_matches('"')] {
            assert_eq!(get(&document, &[other]).status, 200, "{other}");
        }
        let changed = Document::new(&json!({"a": 2}));
        assert_eq!(get(&changed, &[&etag]).status, 200);
    }
}
