//! The calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use grantor::{Document, Fetch, FetchError, Secret};
use ipnet::IpNet;
use moka::future::Cache;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Certificate, Client, Response, redirect};
use tokio::time::Instant;
use url::Url;

use crate::address::Gate;

const CONNECT: Duration = Duration::from_secs(3);
/// For a whole call, redirects included.
const TOTAL: Duration = Duration::from_secs(5);
const REDIRECTS: usize = 3;
/// For how long a failure is kept.
const FAILED: Duration = Duration::from_secs(5);
/// How many bytes are kept in all.
const KEPT: u64 = 32 * 1024 * 1024;
/// For how long anything is kept at most.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What an entry costs beside its body.
const ENTRY: usize = 1024;

/// Makes guarded calls. Clones share what they keep. It needs a tokio runtime.
#[derive(Clone)]
pub struct Fetcher {
    gate: Gate,
    client: Client,
    kept: Cache<String, Arc<Kept>>,
}

/// What came of the calls of a URL.
struct Kept {
    /// The last document, and when it came. A failure does not drive it out.
    document: Option<(Instant, Arc<Document>)>,
    /// The last failure, if nothing came since.
    failed: Option<(Instant, FetchError)>,
}

impl Kept {
    /// What is to be answered from memory.
    fn answer(&self, max_age: Duration) -> Option<Result<Arc<Document>, FetchError>> {
        if let Some((at, document)) = &self.document
            && at.elapsed() < max_age
        {
            return Some(Ok(document.clone()));
        }
        let failed = self.failed.as_ref().filter(|(at, _)| at.elapsed() < max_age.min(FAILED));
        failed.map(|(_, error)| Err(error.clone()))
    }
}

/// Builds a [`Fetcher`] that may call more.
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    gate: Gate,
    roots: Vec<Certificate>,
}

/// A fetcher that cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The text has no PEM certificate.
    #[error("there is no PEM certificate to trust: it begins with -----BEGIN CERTIFICATE-----")]
    Certificate,
    /// The HTTP client.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

impl Builder {
    /// Networks that may be called though they are not public, such as the one that the company's own
    /// applications are in: then whoever may register a client may have them called. With a network of this
    /// machine (127.0.0.0/8, ::1/128) plain http is allowed to it too; that is for development and for tests.
    pub fn allow(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.gate.allowed.extend(networks);
        self
    }

    /// Certificate authorities to trust beside the system's, as PEM.
    ///
    /// # Errors
    /// When the text is not PEM.
    pub fn trust(mut self, pem: &[u8]) -> Result<Self, BuildError> {
        let certificates = Certificate::from_pem_bundle(pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(BuildError::Certificate);
        }
        self.roots.extend(certificates);
        Ok(self)
    }

    /// Makes the fetcher.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn build(self) -> Result<Fetcher, BuildError> {
        // Not the platform's verifier: some fetch what a certificate names, past these rules.
        let system = rustls_native_certs::load_native_certs().certs;
        let system =
            system.iter().filter_map(|certificate| Certificate::from_der(certificate).ok());
        // With none at all every call fails, and says that it is the certificate.
        let roots: Vec<Certificate> = system.chain(self.roots).collect();
        let client = Client::builder()
            .user_agent(concat!("grantor/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // Whatever other features of reqwest the host's other crates switch on.
            .tls_backend_rustls()
            .http1_only()
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .dns_resolver(Arc::new(self.gate.clone()))
            .tls_certs_only(roots)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(BuildError::Client)?;
        let size = |_: &String, kept: &Arc<Kept>| {
            let body = kept.document.as_ref().map_or(0, |(_, document)| document.body.len());
            u32::try_from(body + ENTRY).unwrap_or(u32::MAX)
        };
        let kept = Cache::builder().max_capacity(KEPT).weigher(size).time_to_live(LONGEST).build();
        Ok(Fetcher { gate: self.gate, client, kept })
    }
}

impl Fetcher {
    /// A fetcher that calls nothing but what is public.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new() -> Result<Self, BuildError> {
        Builder::default().build()
    }

    /// One that may call more.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn parse(&self, url: &str) -> Result<Url, FetchError> {
        let parsed = Url::parse(url).map_err(|why| FetchError::new(url, why))?;
        self.gate.check(&parsed).map_err(|why| FetchError::new(url, why))?;
        Ok(parsed)
    }

    async fn call(&self, url: &str, limit: usize) -> Result<Arc<Document>, FetchError> {
        let whole = async {
            let mut at = self.parse(url)?;
            for _ in 0..=REDIRECTS {
                let request =
                    self.client.get(at.clone()).header(ACCEPT, "application/json, */*;q=0.5");
                let response = request.send().await.map_err(|why| failed(url, &why))?;
                let status = response.status();
                if !status.is_redirection() {
                    let document = read(url, response, limit).await?;
                    return match document.status {
                        200 => Ok(Arc::new(document)),
                        other => Err(FetchError::new(url, format_args!("it answered {other}"))),
                    };
                }
                let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                let to = to.and_then(|to| at.join(to).ok());
                let to = to.ok_or_else(|| FetchError::new(url, "it redirects to nowhere"))?;
                at = self.parse(to.as_str())?;
            }
            Err(FetchError::new(url, "it redirects too often"))
        };
        match tokio::time::timeout(TOTAL, whole).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::new(url, "it took too long")),
        }
    }
}

async fn read(url: &str, response: Response, limit: usize) -> Result<Document, FetchError> {
    match read_some(url, response, limit).await? {
        (document, false) => Ok(document),
        (_, true) => Err(FetchError::new(url, format_args!("it has more than {limit} bytes"))),
    }
}

/// At most so many bytes of an answer, and whether there are more.
async fn read_some(
    url: &str,
    mut response: Response,
    limit: usize,
) -> Result<(Document, bool), FetchError> {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let (status, mut body) = (response.status().as_u16(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|why| failed(url, &why))? {
        let room = limit - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if chunk.len() > room {
            return Ok((Document { status, content_type, body }, true));
        }
    }
    Ok((Document { status, content_type, body }, false))
}

/// What went wrong, with its sources: reqwest says the least in the first of them.
fn failed(url: &str, error: &reqwest::Error) -> FetchError {
    FetchError::new(url, grantor::with_sources(error))
}

#[async_trait]
impl Fetch for Fetcher {
    async fn get(
        &self,
        url: &str,
        max_age: Duration,
        limit: usize,
    ) -> Result<Arc<Document>, FetchError> {
        let (fetcher, called) = (self.clone(), url.to_owned());
        // In a task of its own: whoever asks and hangs up must not make the next one call again.
        let kept = tokio::spawn(async move {
            let key = format!("{limit} {called}");
            let before = fetcher.kept.get(&key).await.and_then(|kept| kept.document.clone());
            let call = async {
                let result = fetcher.call(&called, limit).await;
                let now = Instant::now();
                Arc::new(match result {
                    Ok(document) => Kept { document: Some((now, document)), failed: None },
                    Err(error) => Kept { document: before, failed: Some((now, error)) },
                })
            };
            let entry = fetcher.kept.entry(key);
            let entry = entry.or_insert_with_if(call, |kept| kept.answer(max_age).is_none()).await;
            // Just called, it is what it is, however fresh the caller wants it.
            let (is_fresh, kept) = (entry.is_fresh(), entry.into_value());
            match (is_fresh, &kept.failed, &kept.document) {
                (true, Some((_, error)), _) => Err(error.clone()),
                (true, None, Some((_, document))) => Ok(document.clone()),
                _ => kept
                    .answer(max_age)
                    .unwrap_or_else(|| Err(FetchError::new(&called, "it was not called"))),
            }
        });
        kept.await.unwrap_or_else(|_| Err(FetchError::new(url, "the call was given up")))
    }

    async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
        authorization: Option<&Secret>,
        limit: usize,
    ) -> Result<Document, FetchError> {
        let to = self.parse(url)?;
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self
            .client
            .post(to)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(body);
        if let Some(secret) = authorization {
            let mut value = HeaderValue::from_str(secret.expose())
                .map_err(|_| FetchError::new(url, "the credentials are no header"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|why| failed(url, &why))?;
        Ok(read_some(url, response, limit).await?.0)
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("gate", &self.gate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Mutex;

    use grantor::Fetch as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::address::Names;

    /// Listens at two addresses on one port.
    async fn listeners() -> [TcpListener; 2] {
        for _ in 0..20 {
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = first.local_addr().unwrap().port();
            if let Ok(second) = TcpListener::bind(("127.0.0.2", port)).await {
                return [first, second];
            }
        }
        panic!("nothing can listen at 127.0.0.2");
    }

    /// Whether somebody has connected. They are gone again: nobody spoke TLS with them.
    async fn was_called(listener: &TcpListener, within: Duration) -> bool {
        tokio::time::timeout(within, listener.accept()).await.is_ok()
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_the_second_time_is_called_where_it_was_looked_at() {
        let [allowed, inner] = listeners().await;
        let port = allowed.local_addr().unwrap().port();
        // The last one is given first.
        let answers: [IpAddr; 3] =
            ["127.0.0.2", "127.0.0.1", "127.0.0.1"].map(|address| address.parse().unwrap());
        let answers = Arc::new(Mutex::new(answers.to_vec()));
        let gate = Gate {
            allowed: vec!["127.0.0.1/32".parse().unwrap()],
            names: Names::Scripted(answers.clone()),
        };
        let fetcher = Builder { gate, roots: Vec::new() }.build().unwrap();
        for (path, is_called, left) in [("a", true, 2), ("b", true, 1), ("c", false, 0)] {
            let url = format!("https://rebinds.example:{port}/{path}");
            let answering = fetcher.get(&url, Duration::from_secs(60), 1000);
            let (answer, called) = match is_called {
                true => tokio::join!(answering, was_called(&allowed, Duration::from_secs(2))),
                false => (answering.await, was_called(&allowed, Duration::ZERO).await),
            };
            assert!(answer.is_err());
            assert_eq!(called, is_called, "{path}");
            // It was looked up once for each call: what was checked is what was called.
            assert_eq!(answers.lock().unwrap().len(), left, "{path}");
        }
        assert!(!was_called(&inner, Duration::ZERO).await);
    }
}
