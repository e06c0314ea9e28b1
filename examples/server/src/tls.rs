//! TLS by a certificate and a key in files, which are read again when they change: whoever renews
//! certificates should not have to restart a server.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use grantor_axum::rustls::ServerConfig;
use grantor_axum::rustls::crypto::{CryptoProvider, aws_lc_rs};
use grantor_axum::rustls::pki_types::pem::PemObject as _;
use grantor_axum::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use grantor_axum::rustls::server::{ClientHello, ResolvesServerCert};
use grantor_axum::rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::audit::TARGET;
use crate::error::Fatal;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Where the certificate is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// The certificate and those that lead to a root, PEM.
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
}

/// The certificate in use.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Tls,
    current: RwLock<(Arc<CertifiedKey>, Version)>,
}

/// When the files were written.
type Version = [Option<SystemTime>; 2];

impl Certificate {
    pub(crate) fn read(files: &Tls) -> Result<Arc<Self>, Fatal> {
        let version = version(files);
        let key = read(files).map_err(|text| Fatal::Config(format!("tls: {text}")))?;
        let (files, current) = (files.clone(), RwLock::new((Arc::new(key), version)));
        Ok(Arc::new(Self { files, current }))
    }

    /// What the listener needs.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, Fatal> {
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Fatal::Config(format!("tls: {error}")))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks at the files for ever.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    /// Looks at the files now.
    pub(crate) fn look(&self) {
        match self.reload() {
            Ok(true) => tracing::info!("the certificate has changed and is in use"),
            Ok(false) => {}
            Err(why) => tracing::error!(why, "the old certificate stays in use"),
        }
    }

    /// Reads files that have changed. Half-written ones are an error, and are tried again: the old
    /// certificate serves meanwhile.
    fn reload(&self) -> Result<bool, String> {
        let version = version(&self.files);
        if self.current.read().unwrap_or_else(PoisonError::into_inner).1 == version {
            return Ok(false);
        }
        let key = Arc::new(read(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (key, version);
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn version(files: &Tls) -> Version {
    [&files.certificate, &files.key]
        .map(|file| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok())
}

fn read(files: &Tls) -> Result<CertifiedKey, String> {
    let fail = |file: &Path, why: String| format!("{}: {why}", file.display());
    let certificate = &files.certificate;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| fail(certificate, error.to_string()))?;
    if chain.is_empty() {
        let why = "there is no certificate in it. It must be PEM: -----BEGIN CERTIFICATE-----";
        return Err(fail(certificate, why.into()));
    }
    if is_open_to_others(&files.key) {
        tracing::warn!(
            target: TARGET,
            event = "config.dangerous_switch",
            file = %files.key.display(),
            "the key of the certificate can be read by others on this machine: chmod 600"
        );
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fail(&files.key, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        let why = format!("the key does not go with {} ({error})", certificate.display());
        fail(&files.key, why)
    })
}

/// Whether everybody on this machine can read a file. It is said and not refused: where secrets are mounted into a
/// container they often are, and nobody else is there.
fn is_open_to_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a certificate of its own into a folder.
    fn write(folder: &Path) -> Tls {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let tls = Tls { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
        std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
        tls
    }

    fn shown(certificate: &Certificate) -> Vec<u8> {
        certificate.current.read().unwrap().0.cert.first().unwrap().to_vec()
    }

    #[test]
    fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::read(&write(folder.path())).unwrap();
        let first = shown(&certificate);
        assert_eq!(certificate.reload(), Ok(false));
        let age = |file: &Path, seconds: u64| {
            let file = std::fs::File::options().write(true).open(file).unwrap();
            file.set_modified(SystemTime::now() + Duration::from_secs(seconds)).unwrap();
        };
        let renewed = write(folder.path());
        age(&renewed.certificate, 5);
        assert_eq!(certificate.reload(), Ok(true));
        let second = shown(&certificate);
        assert_ne!(first, second);
        std::fs::write(&renewed.key, "-----BEGIN").unwrap();
        age(&renewed.key, 10);
        assert!(certificate.reload().is_err());
        assert_eq!(shown(&certificate), second);
    }

    #[test]
    fn files_that_cannot_serve_are_named_with_the_reason() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (good, other) = (write(one.path()), write(two.path()));
        let refuse = |certificate: &Path, key: &Path| {
            let tls = Tls { certificate: certificate.into(), key: key.into() };
            Certificate::read(&tls).unwrap_err().to_string()
        };
        assert!(refuse(Path::new("no/such.pem"), &good.key).contains("no/such.pem"));
        assert!(refuse(&good.key, &good.key).contains("no certificate"));
        assert!(refuse(&good.certificate, &good.certificate).contains("cert.pem"));
        assert!(refuse(&good.certificate, &other.key).contains("does not go with"));
    }
}
