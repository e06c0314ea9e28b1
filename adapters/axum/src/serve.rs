//! Serving with deadlines, which `axum::serve` does not have: it keeps half-sent headers open for
//! ever.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use grantor::AuthorizationServer;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use tower_http::timeout::TimeoutBody;

/// How long a client may take to send a request's headers; also how long it may stay idle.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// How many connections are served at once. More wait in the listener's queue.
const CONNECTIONS: usize = 4096;
/// How long a client may pause while it sends a body or takes an answer.
const STALL: Duration = Duration::from_secs(30);
/// How long requests in flight may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until the process gets SIGINT or SIGTERM, then finishes what is in flight. Runs the
/// server's maintenance beside it.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    server: &AuthorizationServer,
) -> io::Result<()> {
    serve_until(listener, app, server, stop_signal()).await
}

/// Serves until `stop` is ready. See [`serve`].
///
/// # Errors
/// When the listener fails for good.
pub async fn serve_until(
    listener: TcpListener,
    app: Router,
    server: &AuthorizationServer,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let maintenance = tokio::spawn(maintain(server.clone()));
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, permit)) = accepted? else { continue };
        let Ok(peer) = stream.peer_addr() else { continue };
        let _ = stream.set_nodelay(true);
        limit_stalls(&stream);
        let app = app.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let body = |body| axum::body::Body::new(TimeoutBody::new(STALL, body));
            let mut request = request.map(body);
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_DEADLINE)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A connection that breaks is its client's affair.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    maintenance.abort();
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    Ok(())
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
) -> io::Result<Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)>> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    match listener.accept().await {
        Ok((stream, _)) => Ok(Some((stream, permit))),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput) => Err(error),
        Err(_) => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(None)
        }
    }
}

/// Rotates keys and purges ended grants whenever the server says that it is due.
async fn maintain(server: AuthorizationServer) {
    loop {
        // A store that is away now is asked again; requests fail closed meanwhile.
        let rest = server.maintain().await.unwrap_or(Duration::from_secs(10));
        tokio::time::sleep(rest.max(Duration::from_millis(50))).await;
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
