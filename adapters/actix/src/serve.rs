//! Serving with deadlines and maintenance.

use std::fmt::Debug;
use std::io;

use actix_http::{KeepAlive, Request, Response};
use actix_service::IntoServiceFactory;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Service, ServiceFactory};
use actix_web::{Error, HttpServer};
use grantor::AuthorizationServer;
use grantor_tokio::{GRACE, HEADER_DEADLINE};

/// Runs the host's bound `HttpServer` until the process gets SIGINT or SIGTERM (or what the host has set
/// with `shutdown_signal`), with the server's maintenance beside it; then finishes what is in flight.
///
/// It sets three things of the `HttpServer`. Headers have thirty seconds, and what is in flight at the
/// end has ten. Every connection ends after one answer: actix watches the first header of a connection
/// alone, so a second one that is never finished would hold it for ever. Behind a proxy that has
/// deadlines of its own, run the `HttpServer` yourself with keep-alive, and [`maintain`](crate::maintain)
/// beside it. Bodies of the engine's endpoints have ten seconds; actix gives bodies of the host's own
/// routes none.
///
/// # Errors
/// When the HTTP server cannot run.
pub async fn serve<F, I, S, B>(
    http: HttpServer<F, I, S, B>,
    server: &AuthorizationServer,
) -> io::Result<()>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error>,
    S::InitError: Debug,
    S::Response: Into<Response<B>>,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let serving = http
        .client_request_timeout(HEADER_DEADLINE)
        .keep_alive(KeepAlive::Disabled)
        .shutdown_timeout(GRACE.as_secs())
        .run();
    // The end of serving ends the maintenance, which has none of its own.
    tokio::select! {
        served = serving => served,
        () = grantor_tokio::maintain(server.clone()) => Ok(()),
    }
}
