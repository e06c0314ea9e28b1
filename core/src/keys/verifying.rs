//! Public keys that check signatures: this server's own, and those that others publish as a JWK Set.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};

use super::Algorithm;
use crate::json;

/// The largest JWK Set that is read, in bytes.
pub const MAX_JWK_SET: usize = 64 * 1024;
/// For how long the keys of others are taken from memory.
pub(crate) const FRESH: Duration = Duration::from_secs(300);
/// How old they may be when a signature names one that is not known: clients that replace their keys use the new one
/// at once, and a stranger's inventions cost a call every ten seconds.
pub(crate) const FRESH_FOR_UNKNOWN: Duration = Duration::from_secs(10);
/// How many keys of a set are looked at. A larger set is refused rather than cut: nobody could say which
/// of its keys count.
const MAX_KEYS: usize = 100;

/// A public key, for signatures of one kind.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    /// As it is published.
    jwk: Value,
    kid: Option<String>,
    /// What its owner says that it is for. Without a word, whatever a key of its type can do.
    algorithm: Option<Algorithm>,
    kind: Kind,
    key: DecodingKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    Ed25519,
}

impl Kind {
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => Kind::Rsa,
            Algorithm::Es256 => Kind::P256,
            Algorithm::EdDsa => Kind::Ed25519,
        }
    }
}

/// A JWK Set that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwkSetError {
    /// It is too large.
    #[error("a JWK Set has at most 65,536 bytes and 100 keys")]
    TooLarge,
    /// It is not one.
    #[error("it is not a JWK Set: a JSON object with an array `keys` (RFC 7517 section 5)")]
    Malformed,
    /// Somebody published what nobody else may know.
    #[error("it has a private or a shared key: publish public keys alone, and replace this one")]
    Private,
    /// No key in it can check a signature that this server knows.
    #[error("it has no key for signatures with RS256, PS256, ES256 or EdDSA")]
    Empty,
}

/// The public keys of somebody (RFC 7517 section 5). Clones share them.
///
/// Keys of types or uses that are not known are left out, as section 5 says, and RSA keys of fewer than
/// 2,048 or more than 8,192 bits with them: the first are too weak, the second too slow.
#[derive(Clone)]
pub struct JwkSet(Arc<[VerifyingKey]>);

impl JwkSet {
    /// Reads a set.
    ///
    /// # Errors
    /// When it is too large, not a JWK Set, has a private key, or no key that could be used.
    pub fn from_json(text: &[u8]) -> Result<Self, JwkSetError> {
        if text.len() > MAX_JWK_SET {
            return Err(JwkSetError::TooLarge);
        }
        let set = json::object(text).ok_or(JwkSetError::Malformed)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(JwkSetError::Malformed)?;
        if keys.len() > MAX_KEYS {
            return Err(JwkSetError::TooLarge);
        }
        if keys.iter().any(is_private) {
            return Err(JwkSetError::Private);
        }
        let usable: Arc<[VerifyingKey]> = keys.iter().filter_map(VerifyingKey::from_jwk).collect();
        match usable.is_empty() {
            true => Err(JwkSetError::Empty),
            false => Ok(Self(usable)),
        }
    }

    /// The set as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"keys": self.0.iter().map(VerifyingKey::jwk).collect::<Vec<_>>()})
    }

    /// The key ids, in order.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|key| key.kid.as_deref())
    }
}

impl std::fmt::Debug for JwkSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.kids()).finish()
    }
}

/// Where the keys are that a signature may be of.
pub(crate) trait VerifyingKeys {
    /// The keys that may have made a signature with this algorithm and, when it was named, of this key id.
    /// Some owners name their keys only when they have several.
    fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&VerifyingKey>;

    /// Whether there is a key of this id at all. One that is not known may be new.
    fn knows(&self, kid: &str) -> bool;
}

impl VerifyingKeys for JwkSet {
    fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&VerifyingKey> {
        let fits = |key: &&VerifyingKey| {
            key.is_for(algorithm)
                && (kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid)
        };
        // Every candidate costs a verification: a set of a hundred keys must not cost a hundred. Whoever has so
        // many names them.
        self.0.iter().filter(fits).take(8).collect()
    }

    /// A key without a name may be the one.
    fn knows(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid.as_deref().is_none_or(|known| known == kid))
    }
}

/// Private members (RFC 7518 sections 6.2.2, 6.3.2 and 6.4), also of key types that are not known.
fn is_private(jwk: &Value) -> bool {
    let members = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    members.iter().any(|member| jwk.get(member).is_some())
}

impl VerifyingKey {
    /// The key of a JWK; `None` when it is of another type, for another use, or cannot be one.
    pub(super) fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|of| of != "sig") {
            return None;
        }
        let operations = jwk.get("key_ops").and_then(Value::as_array);
        if operations.is_some_and(|operations| !operations.iter().any(|one| one == "verify")) {
            return None;
        }
        let algorithm = match text("alg") {
            None => None,
            Some(name) => Some(name.parse().ok()?),
        };
        let bytes = |name| BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let (kind, key) = match text("kty")? {
            "RSA" => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                let n = n.get(n.iter().take_while(|byte| **byte == 0).count()..)?;
                if !(256..=1024).contains(&n.len()) || e.len() > 4 {
                    return None;
                }
                (Kind::Rsa, DecodingKey::from_rsa_raw_components(n, &e))
            }
            "EC" if text("crv") == Some("P-256") => {
                let key = DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?;
                (Kind::P256, key)
            }
            "OKP" if text("crv") == Some("Ed25519") => {
                (Kind::Ed25519, DecodingKey::from_ed_components(text("x")?).ok()?)
            }
            _ => return None,
        };
        let kid = text("kid").map(str::to_owned);
        let key = Self { jwk: jwk.clone(), kid, algorithm, kind, key };
        key.algorithm.is_none_or(|algorithm| Kind::of(algorithm) == kind).then_some(key)
    }

    pub(super) fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// Whether it may have made a signature with this algorithm.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithm.map_or(Kind::of(algorithm) == self.kind, |own| own == algorithm)
    }

    /// Whether `signature` (base64url) is this key's over `input`.
    pub(crate) fn verify(&self, algorithm: Algorithm, signature: &str, input: &[u8]) -> bool {
        let name = match algorithm {
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        self.is_for(algorithm)
            && jsonwebtoken::crypto::verify(signature, input, &self.key, name).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Time;
    use crate::keys::SigningKey;

    fn set(keys: &Value) -> Result<JwkSet, JwkSetError> {
        JwkSet::from_json(json!({"keys": keys}).to_string().as_bytes())
    }

    #[test]
    fn a_signature_of_each_algorithm_verifies_by_the_published_key_alone() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate(algorithm, Time::EPOCH).unwrap();
            let published = set(&json!([key.verifier.jwk])).unwrap();
            let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(b"input").unwrap());
            for other in Algorithm::ALL {
                let found = published.candidates(Some(&key.kid), other);
                let valid = found.iter().any(|key| key.verify(other, &signature, b"input"));
                assert_eq!(valid, other == algorithm, "{algorithm} as {other}");
            }
            let [key] = published.candidates(None, algorithm)[..] else { panic!() };
            assert!(!key.verify(algorithm, &signature, b"inputs"));
            assert!(published.candidates(Some("another"), algorithm).is_empty());
        }
    }

    #[test]
    fn a_key_may_go_by_the_newer_name_of_its_algorithm() {
        let mut jwk = SigningKey::generate(Algorithm::EdDsa, Time::EPOCH).unwrap().verifier.jwk;
        jwk["alg"] = json!("Ed25519");
        assert_eq!(set(&json!([jwk])).unwrap().candidates(None, Algorithm::EdDsa).len(), 1);
    }

    #[test]
    fn an_rsa_key_that_does_not_say_its_algorithm_does_both() {
        let mut jwk = SigningKey::generate(Algorithm::Rs256, Time::EPOCH).unwrap().verifier.jwk;
        jwk.as_object_mut().unwrap().remove("alg");
        let set = set(&json!([jwk])).unwrap();
        assert_eq!(set.candidates(None, Algorithm::Rs256).len(), 1);
        assert_eq!(set.candidates(None, Algorithm::Ps256).len(), 1);
        assert!(set.candidates(None, Algorithm::Es256).is_empty());
    }

    #[test]
    fn keys_for_something_else_are_left_out_and_private_ones_refused() {
        let good = SigningKey::generate(Algorithm::Es256, Time::EPOCH).unwrap().verifier.jwk;
        let with = |name: &str, value: Value| {
            let mut jwk = good.clone();
            jwk[name] = value;
            jwk
        };
        for (name, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["sign"])),
            ("alg", json!("ES512")),
            ("alg", json!("RS256")),
            ("crv", json!("P-521")),
            ("kty", json!("unheard-of")),
            ("x", json!("***")),
        ] {
            let odd = with(name, value);
            assert_eq!(set(&json!([odd])).unwrap_err(), JwkSetError::Empty, "{odd}");
            assert_eq!(set(&json!([odd, good])).unwrap().kids().count(), 1, "{odd}");
        }
        for private in ["d", "k", "p"] {
            let leaked = json!([good, with(private, json!("AAAA"))]);
            assert_eq!(set(&leaked).unwrap_err(), JwkSetError::Private);
        }
        let weak =
            json!({"kty": "RSA", "n": BASE64_URL_SAFE_NO_PAD.encode([255; 128]), "e": "AQAB"});
        assert_eq!(set(&json!([weak])).unwrap_err(), JwkSetError::Empty);
    }

    #[test]
    fn sets_are_bounded_and_well_formed() {
        for bad in ["", "[]", "{}", "{\"keys\": {}}", "{\"keys\": []"] {
            assert_eq!(JwkSet::from_json(bad.as_bytes()).unwrap_err(), JwkSetError::Malformed);
        }
        assert_eq!(set(&json!([{}, 1, null])).unwrap_err(), JwkSetError::Empty);
        assert_eq!(set(&Value::from(vec![json!({}); 101])).unwrap_err(), JwkSetError::TooLarge);
        let long = vec![b' '; MAX_JWK_SET + 1];
        assert_eq!(JwkSet::from_json(&long).unwrap_err(), JwkSetError::TooLarge);
    }
}
