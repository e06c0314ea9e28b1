//! Requests and responses as plain values.
//!
//! Core speaks no framework: axum is on `http` 1.x and actix-web on `http` 0.2, so it has its own
//! small types, and an adapter moves bytes. All knowledge of parameters, status codes and headers
//! is on this side.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::error::Misdeed;
use crate::secret::Secret;

/// The largest body that an endpoint reads. An adapter stops reading there.
pub const MAX_BODY: usize = 64 * 1024;
/// The longest query string that an endpoint reads.
pub const MAX_QUERY: usize = 32 * 1024;
const MAX_PARAMETERS: usize = 64;
const MAX_NAME: usize = 64;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD, answered as GET; the adapter leaves the body out.
    Head,
    /// POST
    Post,
    /// OPTIONS
    Options,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// Any other.
    Other,
}

impl Method {
    /// The method of this name. Method names are case-sensitive.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            _ => Method::Other,
        }
    }
}

/// A request, as an adapter hands it over: undecoded.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, from the root of the host.
    pub path: String,
    /// The raw query string, without the question mark.
    pub query: Option<String>,
    /// The headers of [`Request::HEADERS`] that came, in order, names in lower case.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The raw body.
    pub body: Vec<u8>,
    /// The address of the peer, as far as the host knows and trusts it.
    pub peer: Option<IpAddr>,
}

impl Request {
    /// The headers that the engine looks at. An adapter copies these and no other; repeated ones
    /// are copied repeatedly.
    pub const HEADERS: [&'static str; 7] = [
        "accept",
        "authorization",
        "content-encoding",
        "content-type",
        "origin",
        "access-control-request-method",
        "if-none-match",
    ];

    /// A GET of a path with an optional query.
    #[must_use]
    pub fn get(target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self {
            method: Method::Get,
            path: path.to_owned(),
            query,
            headers: Vec::new(),
            body: Vec::new(),
            peer: None,
        }
    }

    /// A POST of form parameters.
    #[must_use]
    pub fn form(path: &str, parameters: &[(&str, &str)]) -> Self {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(parameters);
        let mut request = Self::get(path);
        request.method = Method::Post;
        request.body = encoded.finish().into_bytes();
        request.header("content-type", "application/x-www-form-urlencoded")
    }

    /// The request with one more header. Names outside [`Request::HEADERS`] are dropped.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let known = Self::HEADERS.iter().find(|known| known.eq_ignore_ascii_case(name));
        if let Some(known) = known {
            self.headers.push((known, value.as_ref().to_vec()));
        }
        self
    }

    /// The one value of a header; none when it is absent, repeated or not text.
    pub(crate) fn single(&self, name: &'static str) -> Option<&str> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (Some(value), None) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }

    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(have, _)| *have == name).map(|(_, v)| v.as_slice())
    }

    /// Whether the peer is a browser showing a page to a person, rather than a program.
    pub(crate) fn wants_html(&self) -> bool {
        let accepts = self.single("accept").unwrap_or("text/html");
        let html = accepts.find("text/html").or_else(|| accepts.find("*/*"));
        match (html, accepts.find("application/json")) {
            (Some(html), Some(json)) => html < json,
            (html, None) => html.is_some(),
            (None, Some(_)) => false,
        }
    }

    /// The parameters of the query string.
    pub(crate) fn query_parameters(&self) -> Result<Parameters, Misdeed> {
        Parameters::parse(self.query.as_deref().unwrap_or("").as_bytes(), MAX_QUERY)
    }

    /// The parameters of a form body, which must say that it is one: JSON and other types are
    /// refused, so that a page elsewhere cannot smuggle a body past the browser's CORS rules and
    /// a client learns of its mistake.
    pub(crate) fn form_parameters(&self) -> Result<Parameters, Misdeed> {
        if self.headers.iter().any(|(name, _)| *name == "content-encoding") {
            return Err(Misdeed::BodyEncoded);
        }
        let content_type = self.single("content-type").unwrap_or("");
        let (media_type, parameter) = match content_type.split_once(';') {
            Some((media_type, parameter)) => (media_type, parameter.trim()),
            None => (content_type, ""),
        };
        let is_form = media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let is_utf8 = parameter.is_empty()
            || parameter.eq_ignore_ascii_case("charset=utf-8")
            || parameter.eq_ignore_ascii_case("charset=\"utf-8\"");
        if !is_form || !is_utf8 {
            return Err(Misdeed::NotAForm);
        }
        Parameters::parse(&self.body, MAX_BODY)
    }
}

impl std::fmt::Debug for Request {
    /// Neither the query, the headers nor the body are printed: they carry codes and secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The one parameter that may come more than once (RFC 8707 section 2).
const REPEATABLE: &str = "resource";

/// Decoded parameters (RFC 6749 section 3.1: none may be repeated, an empty one counts as absent).
#[derive(Clone, Default)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
    repeated: Vec<String>,
}

impl Parameters {
    /// Decodes strictly: a truncated escape, a byte sequence that is not UTF-8, or more than the
    /// bounds allow is an error. Frameworks' decoders repair such input, and then two parsers
    /// disagree about what was asked.
    pub(crate) fn parse(encoded: &[u8], max: usize) -> Result<Self, Misdeed> {
        if encoded.len() > max {
            return Err(Misdeed::TooLarge);
        }
        let mut parameters = Self::default();
        for pair in encoded.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            if parameters.pairs.len() == MAX_PARAMETERS || name.len() > MAX_NAME {
                return Err(Misdeed::TooLarge);
            }
            if name != REPEATABLE && parameters.pairs.iter().any(|(have, _)| *have == name) {
                parameters.repeated.push(name.clone());
            }
            parameters.pairs.push((name, value));
        }
        Ok(parameters)
    }

    /// Parameters that were decoded elsewhere.
    pub(crate) fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        Self { pairs, repeated: Vec::new() }
    }

    /// The value of a parameter; none when it is absent, empty or repeated.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        if self.is_repeated(name) {
            return None;
        }
        let found = self.pairs.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The values of the parameter that may be repeated.
    pub(crate) fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named =
            self.pairs.iter().filter(move |(have, value)| have == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_repeated(&self, name: &str) -> bool {
        self.repeated.iter().any(|have| have == name)
    }

    /// Refuses repetition and control characters: what an endpoint for machines begins with.
    pub(crate) fn strict(self) -> Result<Self, Misdeed> {
        if !self.repeated.is_empty() {
            return Err(Misdeed::Repeated);
        }
        if self.pairs.iter().any(|(_, value)| has_control(value)) {
            return Err(Misdeed::ControlCharacter);
        }
        Ok(self)
    }

    /// All of them, as they came.
    #[cfg(fuzzing)]
    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.pairs
    }

    /// Whether any parameter is repeated.
    pub(crate) fn any_repeated(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// The parameters of these names, encoded again.
    pub(crate) fn encode_only(&self, names: &[&str]) -> String {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(self.pairs.iter().filter(|(name, _)| names.contains(&name.as_str())));
        encoded.finish()
    }
}

/// Whether a value has a control character, which no protocol value may have.
pub(crate) fn has_control(value: &str) -> bool {
    value.chars().any(char::is_control)
}

/// `application/x-www-form-urlencoded` decoding, strict.
pub(crate) fn decode(encoded: &[u8]) -> Result<String, Misdeed> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                    _ => return Err(Misdeed::BadEscape),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Misdeed::BadEscape)
}

/// A response, as an adapter writes it out: unchanged.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers. Names are in lower case; values are printable ASCII.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Response {
    /// Neither the headers' values nor the body are printed: they carry codes and tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

impl Response {
    /// An empty response.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        let headers = vec![
            ("x-content-type-options", "nosniff".into()),
            ("referrer-policy", "no-referrer".into()),
        ];
        Self { status, headers, body: Vec::new() }
    }

    /// A JSON response that nobody may keep (RFC 6749 section 5.1).
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::public_json(status, body.to_string().into_bytes()).private()
    }

    /// Nobody may keep it (RFC 6749 section 5.1).
    fn private(self) -> Self {
        self.header("cache-control", "no-store").header("pragma", "no-cache")
    }

    /// A signed answer that nobody may keep.
    pub(crate) fn jwt(jwt: &Secret) -> Self {
        let mut response = Self::empty(200).header("content-type", "application/jwt").private();
        response.body = jwt.expose().as_bytes().to_vec();
        response
    }

    /// A JSON response without a word on caching.
    pub(crate) fn public_json(status: u16, body: Vec<u8>) -> Self {
        let mut response = Self::empty(status)
            .header("content-type", "application/json")
            .header("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
        response.body = body;
        response
    }

    /// A page of the host's in the dress of the engine's: the security headers that a login or consent
    /// page needs. Everything in `body` that came from outside must be escaped.
    ///
    /// The policy allows no script and no content from elsewhere. It does not restrict where forms
    /// lead: [`Response::with_forms_to`] does. Forms on it are posted
    /// with `Origin: null`, since the page says `no-referrer`: tell your own forms by a token, or by
    /// `Sec-Fetch-Site`.
    #[must_use]
    pub fn page(body: impl Into<String>) -> Self {
        let policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
                      font-src 'self'; frame-ancestors 'none'; base-uri 'none'";
        Self::html(200, body).header("content-security-policy", policy)
    }

    /// The same page, which may show this https image too, such as a client's logo: with it whoever serves the
    /// image learns that somebody looks at the page, though not from where.
    #[must_use]
    pub fn with_image(self, url: &str) -> Self {
        match web_origin(url) {
            Some(origin) if origin.starts_with("https:") => {
                self.with_policy("img-src 'self'", &format!("img-src 'self' {origin}"))
            }
            _ => self,
        }
    }

    /// The same page, whose forms lead to your own host and to these places alone: those of
    /// [`Interaction::form_targets`](crate::Interaction::form_targets), or none. A form that got into the page by a
    /// mistake cannot carry a password elsewhere.
    ///
    /// Browsers apply this to every redirect that follows a form. An application whose callback redirects on to another
    /// host must have that host among its registered places (its redirect URIs or allowed origins), or its people are
    /// stopped on their way back.
    #[must_use]
    pub fn with_forms_to<'a>(self, targets: impl IntoIterator<Item = &'a str>) -> Self {
        // What could end the directive, or mean more than one place, is no place.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b":/.+-_".contains(&b);
        let mut policy = "; form-action 'self'".to_owned();
        for target in targets.into_iter().filter(|target| target.bytes().all(is_plain)) {
            policy.push(' ');
            policy.push_str(target);
        }
        self.with_policy("; base-uri", &format!("{policy}; base-uri"))
    }

    /// The same page, which may open these pages of applications in frames
    /// ([`SignedOut::frames`](crate::SignedOut)).
    #[must_use]
    pub fn with_frames<'a>(self, urls: impl IntoIterator<Item = &'a str>) -> Self {
        let origins: BTreeSet<String> = urls.into_iter().filter_map(web_origin).collect();
        if origins.is_empty() {
            return self;
        }
        let origins: Vec<&str> = origins.iter().map(String::as_str).collect();
        self.with_policy("; base-uri", &format!("; frame-src {}; base-uri", origins.join(" ")))
    }

    fn with_policy(mut self, part: &str, by: &str) -> Self {
        for (name, value) in &mut self.headers {
            if *name == "content-security-policy" {
                *value = value.replacen(part, by, 1).into();
            }
        }
        self
    }

    /// A page without a policy. The body must have everything escaped that came from outside.
    #[must_use]
    pub fn html(status: u16, body: impl Into<String>) -> Self {
        let mut response = Self::empty(status)
            .header("content-type", "text/html; charset=utf-8")
            .header("cache-control", "no-store")
            .header("x-frame-options", "DENY")
            .header("permissions-policy", PERMISSIONS);
        response.body = body.into().into_bytes();
        response
    }

    /// A redirect with 303, after which a browser never repeats a POST (RFC 9700 section 4.12).
    ///
    /// The engine calls this with a registered redirect URI or with its own host's pages. A
    /// location that cannot stand in a header becomes a 500 instead.
    #[must_use]
    pub fn see_other(location: &str) -> Self {
        if !location.bytes().all(|b| b.is_ascii_graphic()) {
            return Self::empty(500).header("cache-control", "no-store");
        }
        Self::empty(303)
            .header("location", location.to_owned())
            .header("cache-control", "no-store")
            .header("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
    }

    /// The response with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The first value of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| *have == name).map(|(_, value)| &**value)
    }
}

/// What no page where people sign in or decide needs, nor a script that got there. Passkeys are not among it.
const PERMISSIONS: &str =
    "camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), payment=(), usb=()";

/// The origin of a web address, as a policy for browsers names it.
pub(crate) fn web_origin(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let origin = url?.origin().ascii_serialization();
    // The parser lets hosts have what would end a directive.
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b":/.-_[]".contains(&b);
    origin.bytes().all(is_plain).then_some(origin)
}

/// The same for `form-action`. A policy cannot name an IPv6 address (CSP Level 3 section 2.3.1): there it is the whole
/// scheme, or nobody would get back to a program that listens on `[::1]`.
pub(crate) fn form_target(url: &str) -> Option<String> {
    let origin = web_origin(url)?;
    match origin.split_once("://[") {
        Some((scheme, _)) => Some(format!("{scheme}:")),
        None => Some(origin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Parameters, Misdeed> {
        Parameters::parse(text.as_bytes(), MAX_BODY)
    }

    #[test]
    fn both_encodings_of_a_space_decode() {
        let parameters = parse("a=x+y&b=x%20y&c=http://h/p").unwrap();
        assert_eq!(parameters.get("a"), Some("x y"));
        assert_eq!(parameters.get("b"), Some("x y"));
        assert_eq!(parameters.get("c"), Some("http://h/p"));
    }

    #[test]
    fn broken_escapes_and_bytes_that_are_not_utf8_are_refused() {
        for bad in ["a=%", "a=%2", "a=%zz", "a=%ff%fe", "%=x"] {
            assert!(matches!(parse(bad), Err(Misdeed::BadEscape)), "{bad}");
        }
        assert!(Parameters::parse(b"a=\xff", MAX_BODY).is_err());
    }

    #[test]
    fn an_empty_value_is_an_absent_one_and_a_repeated_one_has_no_value() {
        let parameters = parse("a=&b=1&b=2&c").unwrap();
        assert_eq!(
            (parameters.get("a"), parameters.get("b"), parameters.get("c")),
            (None, None, None)
        );
        assert!(parameters.is_repeated("b") && !parameters.is_repeated("a"));
        assert!(matches!(parameters.strict(), Err(Misdeed::Repeated)));
    }

    #[test]
    fn a_semicolon_separates_nothing() {
        assert_eq!(parse("a=1;b=2").unwrap().get("a"), Some("1;b=2"));
    }

    #[test]
    fn the_number_of_parameters_is_bounded() {
        let many: Vec<String> = (0..65).map(|n| format!("p{n}=1")).collect();
        assert!(matches!(parse(&many.join("&")), Err(Misdeed::TooLarge)));
        assert!(matches!(parse(&format!("{}=1", "n".repeat(65))), Err(Misdeed::TooLarge)));
    }

    #[test]
    fn only_a_form_is_a_form() {
        let with = |content_type: &str| {
            let mut request = Request::get("/oauth2/token");
            request.body = b"a=1".to_vec();
            request.header("content-type", content_type).form_parameters()
        };
        for good in [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded;charset=UTF-8",
            "application/x-www-form-urlencoded; charset=utf-8",
        ] {
            assert!(with(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "application/json",
            "text/plain",
            "multipart/form-data",
            "application/x-www-form-urlencoded; charset=utf-7",
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_location_never_carries_a_line_break() {
        assert_eq!(Response::see_other("https://a/\r\nset-cookie: x=1").status, 500);
    }

    #[test]
    fn browsers_get_pages_and_programs_get_json() {
        let accept = |value: &str| Request::get("/").header("accept", value).wants_html();
        assert!(accept("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(!accept("application/json"));
        assert!(!accept("application/json, text/plain, */*"));
        assert!(accept("*/*"));
    }

    #[test]
    fn the_forms_of_a_page_lead_where_it_says() {
        let policy = |page: Response| page.get("content-security-policy").unwrap().to_owned();
        assert!(!policy(Response::page("")).contains("form-action"));
        let own: [&str; 0] = [];
        let page = Response::page("").with_forms_to(own);
        assert!(policy(page).contains("; form-action 'self'; base-uri 'none'"));
        let targets = ["https://rp.example:8443", "com.example.app:", "https://a_b.example"];
        let page = Response::page("").with_frames(["https://a.example/x"]).with_forms_to(targets);
        assert!(policy(page).contains(
            "frame-src https://a.example; form-action 'self' https://rp.example:8443 com.example.app: \
             https://a_b.example; base-uri"
        ));
    }

    #[test]
    fn an_address_that_a_policy_cannot_name_is_its_scheme() {
        let target = |url| form_target(url).unwrap();
        assert_eq!(target("http://[::1]:5000/cb"), "http:");
        assert_eq!(target("http://127.0.0.1:5000/cb"), "http://127.0.0.1:5000");
        assert_eq!(target("https://a_b.example/cb"), "https://a_b.example");
        assert_eq!(form_target("com.example.app:/cb"), None);
    }

    #[test]
    fn a_page_shows_what_it_names_and_a_host_adds_nothing_to_its_policy() {
        let policy = |page: Response| page.get("content-security-policy").unwrap().to_owned();
        let plain = policy(Response::page(""));
        let logo = policy(Response::page("").with_image("https://rp.example:8443/logo.png?x"));
        assert!(logo.contains("img-src 'self' https://rp.example:8443 data:"), "{logo}");
        for bad in [
            "http://rp.example/",
            "javascript:alert(1)",
            "https://x;script-src/l.png",
            "https://*/l.png",
            "https://a,b/",
            "https://a'b/",
        ] {
            assert_eq!(policy(Response::page("").with_image(bad)), plain, "{bad}");
            let framed = policy(Response::page("").with_frames([bad]));
            let forms = policy(Response::page("").with_forms_to([bad]));
            assert!(!forms.contains("script-src") && !forms.contains('*'), "{bad}: {forms}");
            assert!(!framed.contains("script-src") && !framed.contains('*'), "{bad}: {framed}");
        }
    }
}
