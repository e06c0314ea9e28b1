//! The host on actix.

use std::net::TcpListener;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorTooManyRequests;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, Query};
use actix_web::{App, HttpServer};
use grantor::AuthorizationServer;
use grantor_actix::{Bearer, Reply, TokenClaims, protect, routes};

#[derive(serde::Deserialize)]
struct Visit {
    ticket: String,
}

async fn login(
    server: Data<AuthorizationServer>,
    Query(visit): Query<Visit>,
) -> Result<Reply, Reply> {
    Ok(crate::sign_in(&server, &visit.ticket).await?.into())
}

/// What every access token says, in a type of the host's own.
#[derive(serde::Deserialize)]
struct Claims {
    client_id: String,
}

async fn client(TokenClaims(claims): TokenClaims<Claims>) -> String {
    claims.client_id
}

async fn needs_more(_: TokenClaims<Visit>) -> &'static str {
    ""
}

/// A middleware of the host's.
async fn refuse(
    _: ServiceRequest,
    _: Next<impl MessageBody>,
) -> Result<ServiceResponse, actix_web::Error> {
    Err(ErrorTooManyRequests("slowly"))
}

async fn me(Bearer(token): Bearer) -> String {
    token.subject.unwrap_or_default()
}

/// Serves until the process ends.
pub fn serve(listener: TcpListener, server: AuthorizationServer) {
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let engine = server.clone();
            let http = HttpServer::new(move || {
                let api = protect(&engine).resource(crate::API).unwrap();
                let resource = |path: &str| web::resource(path).wrap(api.clone());
                App::new()
                    .app_data(Data::new(engine.clone()))
                    .configure(routes(&engine))
                    .configure(api.metadata())
                    .route("/login", web::get().to(login))
                    .service(resource("/api/me").route(web::get().to(me)))
                    .service(resource("/api/client").route(web::get().to(client)))
                    .service(resource("/api/more").route(web::get().to(needs_more)))
                    .service(
                        // What is wrapped first is within.
                        web::resource("/api/refused")
                            .wrap(from_fn(refuse))
                            .wrap(api.clone())
                            .route(web::get().to(me)),
                    )
                    .service(
                        web::scope("/api")
                            .wrap(api.scope("orders:read"))
                            .route("/orders", web::get().to(me)),
                    )
            });
            let http = http.workers(2).disable_signals().listen(listener).unwrap();
            grantor_actix::serve(http, &server).await.unwrap();
        });
    });
}
