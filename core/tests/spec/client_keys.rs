//! A client that signs, and a network in which it publishes: helpers of other tests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantor::{Document, Fetch, FetchError, Secret};
use serde_json::{Value, json};

fn url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of a client's.
pub(crate) struct ClientKey {
    pub(crate) kid: String,
    pair: EcdsaKeyPair,
}

impl ClientKey {
    pub(crate) fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), pair }
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "x": url(&point[1..33]), "y": url(&point[33..]), "kid": self.kid,
            "alg": "ES256", "use": "sig",
        })
    }

    pub(crate) fn jwks(&self) -> String {
        json!({"keys": [self.jwk()]}).to_string()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": "ES256", "kid": self.kid}), claims)
    }

    /// With a header that may lie.
    pub(crate) fn sign_as(&self, header: &Value, claims: &Value) -> String {
        self.sign_bytes(&header.to_string(), claims.to_string().as_bytes())
    }

    /// What need not be JSON.
    pub(crate) fn sign_bytes(&self, header: &str, claims: &[u8]) -> String {
        let input = format!("{}.{}", url(header.as_bytes()), url(claims));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", url(signature.as_ref()))
    }
}

/// Where a form went, and what was in it.
pub(crate) type PostedForm = (String, Vec<(String, String)>);

/// What stands where in the network. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Network {
    documents: Arc<Mutex<HashMap<String, String>>>,
    /// Who takes forms, and with which status they answer.
    receivers: Arc<Mutex<HashMap<String, u16>>>,
    forms: Arc<Mutex<Vec<PostedForm>>>,
    calls: Arc<AtomicU64>,
}

impl Network {
    pub(crate) fn publish(&self, url: &str, body: impl Into<String>) {
        self.documents.lock().unwrap().insert(url.to_owned(), body.into());
    }

    pub(crate) fn take_forms(&self, url: &str, status: u16) {
        self.receivers.lock().unwrap().insert(url.to_owned(), status);
    }

    /// The forms that came.
    pub(crate) fn forms(&self) -> Vec<PostedForm> {
        self.forms.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Fetch for Network {
    async fn get(&self, url: &str, _: Duration, limit: usize) -> Result<Arc<Document>, FetchError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let body = self.documents.lock().unwrap().get(url).cloned();
        let body = body.ok_or_else(|| FetchError::new(url, "nothing is there but 10.1.2.3"))?;
        if body.len() > limit {
            return Err(FetchError::new(url, "too large"));
        }
        let content_type = "application/json".to_owned();
        Ok(Arc::new(Document { status: 200, content_type, body: body.into_bytes() }))
    }

    async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
        _: Option<&Secret>,
        _: usize,
    ) -> Result<Document, FetchError> {
        let status = self.receivers.lock().unwrap().get(url).copied();
        let status = status.ok_or_else(|| FetchError::new(url, "nobody takes forms"))?;
        let form = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.forms.lock().unwrap().push((url.to_owned(), form.collect()));
        Ok(Document { status, content_type: String::new(), body: Vec::new() })
    }
}
