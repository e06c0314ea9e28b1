//! An application that registers itself and uses the server, and looks closely at every answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value, json};

use crate::browser::{Browser, End};
use crate::suite::suite;
use crate::wire::Answer;

/// How an application asks.
#[derive(Clone, Copy)]
pub(crate) struct Profile {
    pub(crate) response_type: &'static str,
    pub(crate) response_mode: Option<&'static str>,
    pub(crate) method: &'static str,
}

impl Profile {
    pub(crate) const BASIC: Self =
        Self { response_type: "code", response_mode: None, method: "client_secret_basic" };
    pub(crate) const FORM_POST: Self = Self { response_mode: Some("form_post"), ..Self::BASIC };

    pub(crate) const fn of(response_type: &'static str) -> Self {
        Self { response_type, ..Self::BASIC }
    }

    pub(crate) const fn by(method: &'static str) -> Self {
        Self { method, ..Self::BASIC }
    }

    fn has(&self, word: &str) -> bool {
        self.response_type.split(' ').any(|one| one == word)
    }

    /// Whether there is ever an access token.
    pub(crate) fn has_access_token(&self) -> bool {
        self.has("code") || self.has("token")
    }
}

/// A registered application. It removes itself in the end.
pub(crate) struct Application {
    pub(crate) profile: Profile,
    pub(crate) metadata: Value,
    pub(crate) redirect_uri: String,
    key: &'static Key,
}

/// What came back to the application.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) parameters: BTreeMap<String, String>,
    nonce: Option<String>,
}

impl Response {
    pub(crate) fn get(&self, name: &str) -> &str {
        self.parameters.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.parameters))
    }
}

/// What the application knows of the person after all of it.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// The claims of the last ID token.
    pub(crate) id_token: Value,
    pub(crate) raw_id_token: String,
    pub(crate) access_token: Option<String>,
    /// The token response, where there was one.
    pub(crate) tokens: Value,
}

/// Something that was never there before.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::SeqCst);
    let of = format!("{} {next}", std::process::id());
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, of.as_bytes()))
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// An RSA key of an application.
pub(crate) struct Key {
    pair: KeyPair,
    pub(crate) kid: &'static str,
}

impl Key {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { pair: KeyPair::generate(KeySize::Rsa2048).unwrap(), kid }
    }

    pub(crate) fn jwks(&self) -> Value {
        let public = self.pair.public_key();
        let encode = |number: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(number);
        let n = encode(public.modulus().big_endian_without_leading_zero());
        let e = encode(public.exponent().big_endian_without_leading_zero());
        json!({"keys": [{"kty": "RSA", "n": n, "e": e, "kid": self.kid, "alg": "RS256", "use": "sig"}]})
    }

    /// A JWT that this key signs.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let input = input(&json!({"alg": "RS256", "kid": self.kid}), claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).unwrap();
        format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

fn input(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// A JWT that nobody signs.
pub(crate) fn unsigned(claims: &Value) -> String {
    format!("{}.", input(&json!({"alg": "none"}), claims))
}

/// The key that all applications share: making one takes long.
pub(crate) fn shared_key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| Key::new("shared"))
}

/// Sends a registration.
pub(crate) fn register(metadata: &Value) -> Answer {
    let url = suite().metadata()["registration_endpoint"].as_str().unwrap().to_owned();
    suite().send("POST", &url, &[("content-type", "application/json")], &metadata.to_string())
}

impl Application {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self::with(profile, &json!({}))
    }

    /// Registers with more metadata.
    pub(crate) fn with(profile: &Profile, more: &Value) -> Self {
        let redirect_uri = format!("{}/{}/callback", suite().application, unique());
        let mut grant_types = Vec::new();
        if profile.has("code") {
            grant_types.extend(["authorization_code", "refresh_token"]);
        }
        if profile.response_type != "code" {
            grant_types.push("implicit");
        }
        let mut metadata = json!({
            "client_name": "An application", "redirect_uris": [redirect_uri],
            "response_types": [profile.response_type], "grant_types": grant_types,
            "token_endpoint_auth_method": profile.method, "contacts": ["dev@rp.example"],
            "jwks": shared_key().jwks(),
        });
        for (name, value) in more.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        metadata.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let answer = register(&metadata);
        assert_eq!(answer.status, 201, "{answer:?}");
        let registered = answer.json();
        for (name, sent) in metadata.as_object().unwrap() {
            assert_eq!(&registered[name], sent, "{name}");
        }
        if registered.get("client_secret").is_some() {
            assert!(registered["client_secret_expires_at"].is_u64(), "{registered}");
        }
        assert!(registered["registration_client_uri"].as_str().unwrap().starts_with("https://"));
        assert!(registered["registration_access_token"].is_string());
        Self { profile: *profile, metadata: registered, redirect_uri, key: shared_key() }
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.metadata[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned()
    }

    pub(crate) fn id(&self) -> String {
        self.text("client_id")
    }

    /// Signs with another key from now on.
    pub(crate) fn use_key(&mut self, key: &'static Key) {
        self.key = key;
    }

    /// The parameters of a request, with changes: a value replaces, an empty one removes.
    pub(crate) fn parameters(&self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut parameters: Vec<(String, String)> = vec![
            ("response_type".into(), self.profile.response_type.into()),
            ("client_id".into(), self.id()),
            ("redirect_uri".into(), self.redirect_uri.clone()),
            ("scope".into(), "openid".into()),
            ("state".into(), unique().repeat(3)[..128].to_owned()),
            ("nonce".into(), unique()),
        ];
        parameters
            .extend(self.profile.response_mode.map(|mode| ("response_mode".into(), mode.into())));
        for (name, value) in changes {
            parameters.retain(|(have, _)| have != name);
            if !value.is_empty() {
                parameters.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        parameters
    }

    /// The URL of a request.
    pub(crate) fn url(&self, parameters: &[(String, String)]) -> String {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(parameters);
        format!("{}?{}", endpoint("authorization_endpoint"), encoded.finish())
    }

    /// Asks, and takes the answer, whatever it is.
    pub(crate) fn ask(&self, browser: &mut Browser, changes: &[(&str, &str)]) -> Response {
        let parameters = self.parameters(changes);
        let end = browser.open(&self.url(&parameters));
        self.take(&parameters, end)
    }

    /// Asks for what can only lead to a page of the server's.
    pub(crate) fn ask_in_vain(&self, changes: &[(&str, &str)]) -> Answer {
        match Browser::default().open(&self.url(&self.parameters(changes))) {
            End::Shown(page) => {
                assert_eq!(page.status, 400, "{page:?}");
                assert!(page.header("content-type").unwrap().starts_with("text/html"));
                assert!(page.text.contains("Authorization error: "), "{page:?}");
                page
            }
            end => panic!("{end:?}"),
        }
    }

    /// Takes an answer: it came to the right place, in the right way, with the right state, and with nothing that
    /// does not belong there.
    pub(crate) fn take(&self, asked: &[(String, String)], end: End) -> Response {
        let asked = |name: &str| {
            let found = asked.iter().find(|(have, _)| have == name);
            found.map(|(_, value)| value.clone())
        };
        let redirect_uri = asked("redirect_uri").unwrap_or(self.redirect_uri.clone());
        // Without one, nobody knows how the answer would come.
        let is_implicit = asked("response_type").is_some_and(|one| one != "code");
        let decode = |encoded: &str| -> BTreeMap<String, String> {
            let pairs: Vec<_> =
                url::form_urlencoded::parse(encoded.as_bytes()).into_owned().collect();
            let names: BTreeSet<_> = pairs.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), pairs.len(), "{encoded}");
            pairs.into_iter().collect()
        };
        let parameters = match end {
            End::Posted(action, fields) => {
                assert_eq!((action, self.profile.response_mode), (redirect_uri, Some("form_post")));
                fields
            }
            End::Redirected(url) => {
                assert_eq!(self.profile.response_mode, None, "{url}");
                let (place, encoded) = match is_implicit {
                    true => url.as_str().split_once('#').unwrap_or_else(|| panic!("{url}")),
                    false => url.as_str().split_at(redirect_uri.len()),
                };
                assert_eq!(place, redirect_uri);
                decode(encoded.trim_start_matches(['?', '&']))
            }
            End::Shown(page) => panic!("{page:?}"),
        };
        assert_eq!(parameters.get("state"), asked("state").as_ref());
        assert_eq!(parameters.get("iss"), Some(&suite().issuer));
        if parameters.contains_key("error") {
            let known =
                ["error", "error_description", "error_uri", "state", "iss", "session_state"];
            assert!(parameters.keys().all(|name| known.contains(&name.as_str())), "{parameters:?}");
            let sound = |text: &String| text.bytes().all(|b| (0x20..0x7f).contains(&b));
            assert!(parameters.values().all(sound), "{parameters:?}");
        }
        Response { parameters, nonce: asked("nonce") }
    }

    /// The whole flow: asks, takes the answer, redeems the code, and checks everything.
    pub(crate) fn sign_in(&self, browser: &mut Browser, changes: &[(&str, &str)]) -> SignedIn {
        let response = self.ask(browser, changes);
        self.finish(&response)
    }

    /// The rest of the flow after a response that is no error.
    pub(crate) fn finish(&self, response: &Response) -> SignedIn {
        assert!(!response.parameters.contains_key("error"), "{response:?}");
        for (word, name) in [("code", "code"), ("token", "access_token"), ("id_token", "id_token")]
        {
            assert_eq!(response.parameters.contains_key(name), self.profile.has(word), "{name}");
        }
        let mut access_token = response.parameters.get("access_token").cloned();
        let mut raw_id_token = response.parameters.get("id_token").cloned();
        let first = raw_id_token.as_ref().map(|token| {
            let claims = self.id_token(token, response.nonce.as_deref());
            self.check_hashes(&claims, response);
            claims
        });
        if access_token.is_some() {
            assert_eq!(response.get("token_type"), "Bearer");
            assert!(response.get("expires_in").parse::<u32>().is_ok());
        }
        let mut id_token = first.clone().unwrap_or_default();
        let mut tokens = Value::Null;
        if let Some(code) = response.parameters.get("code") {
            assert!(code.len() >= 43, "a code of fewer than 256 bits: {code}");
            let answer = self.redeem(code, &[]);
            tokens = token_response(&answer);
            let raw = tokens["id_token"].as_str().unwrap();
            id_token = self.id_token(raw, response.nonce.as_deref());
            // Both speak of the same person and the same login.
            for (name, value) in first.iter().flat_map(|first| first.as_object().unwrap()) {
                if ["iss", "sub", "aud", "auth_time", "nonce", "acr"].contains(&name.as_str()) {
                    assert_eq!(&id_token[name], value, "{name}");
                }
            }
            raw_id_token = Some(raw.to_owned());
            access_token = tokens["access_token"].as_str().map(str::to_owned);
        }
        let raw_id_token = raw_id_token.expect("an ID token");
        SignedIn { id_token, raw_id_token, access_token, tokens }
    }

    /// The hashes that bind an ID token to what came with it (OpenID Connect Core section 3.3.2.11).
    fn check_hashes(&self, claims: &Value, response: &Response) {
        for (name, of) in [("at_hash", "access_token"), ("c_hash", "code")] {
            let expected = response.parameters.get(of).map(|value| {
                let hash = digest::digest(&digest::SHA256, value.as_bytes());
                BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16])
            });
            assert_eq!(claims.get(name).and_then(Value::as_str), expected.as_deref(), "{name}");
        }
    }

    pub(crate) fn redeem(&self, code: &str, more: &[(&str, &str)]) -> Answer {
        let mut parameters = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
        ];
        parameters.extend(more);
        self.call("token_endpoint", &parameters)
    }

    /// A call of an endpoint, by the way of authentication that the application is registered for.
    pub(crate) fn call(&self, name: &str, parameters: &[(&str, &str)]) -> Answer {
        self.call_for(name, parameters, &suite().issuer)
    }

    /// The same, with this audience where the application signs.
    pub(crate) fn call_for(
        &self,
        name: &str,
        parameters: &[(&str, &str)],
        audience: &str,
    ) -> Answer {
        let id = self.id();
        let mut form: Vec<(&str, String)> =
            parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        let basic;
        let claims = json!({
            "iss": id, "sub": id, "aud": audience, "exp": now() + 60, "iat": now(), "jti": unique(),
        });
        let assertion = match self.profile.method {
            "client_secret_basic" => {
                let pair = format!("{id}:{}", self.text("client_secret"));
                basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
                headers.push(("authorization", &basic));
                None
            }
            "client_secret_post" => {
                form.push(("client_id", id));
                form.push(("client_secret", self.text("client_secret")));
                None
            }
            "client_secret_jwt" => {
                let input = input(&json!({"alg": "HS256"}), &claims);
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.text("client_secret").as_bytes());
                let tag = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, input.as_bytes()));
                Some(format!("{input}.{tag}"))
            }
            "private_key_jwt" => Some(self.key.sign(&claims)),
            _ => {
                form.push(("client_id", id));
                None
            }
        };
        if let Some(assertion) = assertion {
            let of_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            form.push(("client_assertion_type", of_type.into()));
            form.push(("client_assertion", assertion));
        }
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(form);
        suite().send("POST", &endpoint(name), &headers, &encoded.finish())
    }

    /// The claims of an ID token, after everything that a client must check (OpenID Connect Core section 3.1.3.7).
    pub(crate) fn id_token(&self, token: &str, nonce: Option<&str>) -> Value {
        let claims = self.verified(token);
        assert_eq!(claims["iss"], suite().issuer);
        assert_eq!(claims["aud"], self.id());
        assert!((now() - claims["iat"].as_i64().unwrap()).abs() <= 60, "{claims}");
        assert!(claims["exp"].as_i64().unwrap() > now());
        assert!(claims["sub"].as_str().is_some_and(|sub| !sub.is_empty() && sub.len() <= 255));
        assert_eq!(claims.get("nonce").and_then(Value::as_str), nonce);
        assert!(claims["auth_time"].as_i64().is_some_and(|at| (now() - at).abs() < 600));
        assert!(claims["acr"].as_str().is_none_or(|acr| !acr.is_empty()));
        claims
    }

    /// The claims of a JWT that a published key has signed, in the algorithm that the application is registered
    /// for.
    pub(crate) fn verified(&self, token: &str) -> Value {
        let header = jsonwebtoken::decode_header(token).unwrap();
        let wanted = self.metadata["id_token_signed_response_alg"].as_str().unwrap_or("RS256");
        let algorithm: Algorithm = wanted.parse().unwrap();
        assert_eq!(header.alg, algorithm);
        let keys: JwkSet = serde_json::from_value(suite().jwks()).unwrap();
        let key = keys.find(header.kid.as_deref().expect("a kid")).expect("a published key");
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_aud = false;
        validation.validate_exp = false;
        let key = DecodingKey::from_jwk(key).unwrap();
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation);
        Value::Object(claims.unwrap().claims)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let bearer = format!("Bearer {}", self.text("registration_access_token"));
        let uri = self.text("registration_client_uri");
        let answer = suite().send("DELETE", &uri, &[("authorization", &bearer)], "");
        assert_eq!(answer.status, 204, "{answer:?}");
    }
}

/// The URL of an endpoint, from the metadata.
pub(crate) fn endpoint(name: &str) -> String {
    static METADATA: OnceLock<Value> = OnceLock::new();
    let metadata = METADATA.get_or_init(|| suite().metadata());
    metadata[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned()
}

/// A token response as it must be.
pub(crate) fn token_response(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    let tokens = answer.json();
    assert_eq!(tokens["token_type"], "Bearer");
    assert!(tokens["expires_in"].is_u64(), "{tokens}");
    assert!(tokens["access_token"].as_str().is_some_and(|token| token.len() >= 43));
    tokens
}

/// An error of an endpoint for machines.
pub(crate) fn assert_error(answer: &Answer, error: &str) {
    let status = if error == "invalid_client" { 401 } else { 400 };
    assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{answer:?}");
}

/// What UserInfo says to a bearer of this token.
pub(crate) fn userinfo(access_token: &str) -> Value {
    let bearer = format!("Bearer {access_token}");
    let url = endpoint("userinfo_endpoint");
    let answer = suite().send("GET", &url, &[("authorization", &bearer)], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

pub(crate) fn is_alive(access_token: &str) -> bool {
    let bearer = format!("Bearer {access_token}");
    let url = endpoint("userinfo_endpoint");
    suite().send("GET", &url, &[("authorization", &bearer)], "").status == 200
}
