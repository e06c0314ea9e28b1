//! Keys of the host's own, which this process need not hold.

use async_trait::async_trait;

use super::{Algorithm, JwkSet};

/// Signs tokens with keys that live elsewhere: in a key management service, a hardware module, behind
/// PKCS#11. For the algorithms that it has a key for, none is made in the engine's own ring any more; one that
/// was there before stays published until the tokens that it signed have ended.
///
/// Rotation is the host's then: a new key should be in [`Signer::keys`] for
/// [`Policy::publish_keys_ahead`](crate::Policy::publish_keys_ahead) before it signs, and an old one for
/// [`MAX_TOKEN_LIFETIME`](crate::MAX_TOKEN_LIFETIME) after it signed last.
///
/// The secrets that authenticate codes and refresh tokens stay in the ring, sealed by the
/// [`MasterKey`](crate::MasterKey): each request needs them, so a service elsewhere would be asked each time.
#[async_trait]
pub trait Signer: Send + Sync + 'static {
    /// The public keys to publish, each with its `kid` and `alg`. Asked for whenever a token is checked, so it
    /// should answer from memory; a [`JwkSet`] is cheap to clone.
    fn keys(&self) -> JwkSet;

    /// Which key signs with this algorithm now; none when the engine's own ring does.
    fn kid(&self, algorithm: Algorithm) -> Option<String>;

    /// Signs the input of a JWS (RFC 7515 section 5.1) with a key that [`Signer::kid`] has named. The
    /// signature is as in RFC 7518 section 3: for ES256 the two numbers of 32 bytes each, not the DER that
    /// many services give. A signature that does not verify by the published key is never handed out.
    ///
    /// # Errors
    /// When the key cannot be used now: the request is answered 503.
    async fn sign(&self, kid: &str, input: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// The host's keys could not sign.
#[derive(Debug, thiserror::Error)]
#[error("the host's signer failed")]
pub struct SignerError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SignerError {
    /// Wraps the host's own error.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}
