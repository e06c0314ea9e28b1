//! Serving with deadlines, which `axum::serve` does not have: it keeps half-sent headers open for
//! ever.

use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use grantor::AuthorizationServer;
use grantor_tokio::{GRACE, HEADER_DEADLINE};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use tower_http::timeout::TimeoutBody;

use crate::waiting::{Place, Sending, Waiting};

/// How many connections are served at once. For another one the one is closed that has waited longest without a request.
const CONNECTIONS: usize = 4096;
/// How often somebody is asked to give way while a new one waits for a place.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// How long a client may pause while it sends a body or takes an answer.
const STALL: Duration = Duration::from_secs(30);

/// Serves HTTP/1.1, without upgrades (WebSockets), until the process gets SIGINT or SIGTERM, then finishes what is in flight. Runs the
/// server's maintenance beside it. Await it; the error is a listener that fails for good.
pub fn serve(listener: TcpListener, app: Router, server: &AuthorizationServer) -> Serve {
    Serve { server: Some(server.clone()), ..Serve::new(listener, app) }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// See [`serve`].
#[must_use = "it serves when it is awaited"]
pub struct Serve {
    listener: TcpListener,
    app: Router,
    /// Whose maintenance runs beside it.
    server: Option<AuthorizationServer>,
    stop: BoxFuture<()>,
    transport: Transport,
}

impl Serve {
    /// Serves something else with the same deadlines, without any maintenance.
    pub fn new(listener: TcpListener, app: Router) -> Self {
        let (stop, transport) = (Box::pin(stop_signal()), Transport::Plain);
        Self { listener, app, server: None, stop, transport }
    }

    /// Stops when `stop` is ready, instead of at a signal.
    pub fn until(self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { stop: Box::pin(stop), ..self }
    }

    /// Speaks TLS. The configuration's `alpn_protocols` should be empty or `http/1.1`.
    #[cfg(feature = "tls")]
    pub fn tls(self, config: Arc<tokio_rustls::rustls::ServerConfig>) -> Self {
        Self { transport: Transport::Tls(config.into()), ..self }
    }

    async fn run(self) -> io::Result<()> {
        let Self { listener, app, server, mut stop, transport } = self;
        // Dropped with this future, whatever ends it.
        let mut maintenance = JoinSet::new();
        if let Some(server) = server {
            maintenance.spawn(grantor_tokio::maintain(server));
        }
        let graceful = GracefulShutdown::new();
        let (permits, waiting) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::default());
        loop {
            let accepted = tokio::select! {
                // First the wish to stop, which is heard from its first look on: before anybody is answered.
                biased;
                () = &mut stop => break,
                accepted = accept(&listener, &permits, &waiting) => accepted,
            };
            let Some((stream, permit)) = accepted? else { continue };
            let Ok(peer) = stream.peer_addr() else { continue };
            let _ = stream.set_nodelay(true);
            limit_stalls(&stream);
            let (app, transport, watcher) = (app.clone(), transport.clone(), graceful.watcher());
            let place = Place::new(&waiting);
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = place.given_up() => {}
                    () = transport.converse(stream, peer, app, watcher, &place) => {}
                }
                drop(permit);
            });
        }
        drop(listener);
        drop(maintenance);
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
        Ok(())
    }
}

impl IntoFuture for Serve {
    type Output = io::Result<()>;
    type IntoFuture = BoxFuture<io::Result<()>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// What a connection speaks below HTTP.
#[derive(Clone)]
enum Transport {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tokio_rustls::TlsAcceptor),
}

impl Transport {
    /// Serves one connection to its end. One that breaks is its client's affair.
    async fn converse(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        app: Router,
        watcher: Watcher,
        place: &Arc<Place>,
    ) {
        match self {
            Transport::Plain => http(stream, peer, app, watcher, place).await,
            #[cfg(feature = "tls")]
            Transport::Tls(acceptor) => {
                let agreed = tokio::time::timeout(HEADER_DEADLINE, acceptor.accept(stream)).await;
                if let Ok(Ok(stream)) = agreed {
                    http(stream, peer, app, watcher, place).await;
                }
            }
        }
    }
}

async fn http<S>(stream: S, peer: SocketAddr, app: Router, watcher: Watcher, place: &Arc<Place>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let body = |body| axum::body::Body::new(TimeoutBody::new(STALL, body));
        let mut request = request.map(body);
        request.extensions_mut().insert(ConnectInfo(peer));
        let (app, working) = (app.clone(), place.works());
        async move {
            // It has just given way: nothing is begun whose answer could not be sent.
            let working = working.ok_or_else(|| io::Error::other("the connection gave way"))?;
            let response = app.oneshot(request).await.unwrap_or_else(|never| match never {});
            Ok::<_, io::Error>(response.map(|body| Sending::new(body, working)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let _ = watcher.watch(connection).await;
}

/// A peer that takes nothing of its answer any more is dropped by the kernel, where it can.
fn limit_stalls(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(STALL));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

/// The next connection, once one more may be served. `None` for a passing failure, such as a
/// connection that was gone again or too many open files.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    waiting: &Waiting,
) -> io::Result<Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)>> {
    match listener.accept().await {
        Ok((stream, _)) => {
            if let Ok(permit) = permits.clone().try_acquire_owned() {
                return Ok(Some((stream, permit)));
            }
            // All may be at work this very moment: then the first that waits again gives way.
            loop {
                waiting.make_room();
                let free = permits.clone().acquire_owned();
                if let Ok(permit) = tokio::time::timeout(ASK_EVERY, free).await {
                    return Ok(Some((stream, permit.map_err(io::Error::other)?)));
                }
            }
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput) => Err(error),
        Err(_) => {
            // There may be fewer open files than places.
            waiting.make_room();
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(None)
        }
    }
}

async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
