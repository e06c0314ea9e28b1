//! The host on axum.

use std::net::TcpListener;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use grantor::AuthorizationServer;
use grantor_axum::{Bearer, Reply, TokenClaims, protect, routes};

#[derive(serde::Deserialize)]
struct Visit {
    ticket: String,
}

async fn login(
    State(server): State<AuthorizationServer>,
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

async fn needs_more(_: TokenClaims<Visit>) {}

async fn me(Bearer(token): Bearer) -> String {
    token.subject.unwrap_or_default()
}

/// Serves until the process ends.
pub fn serve(listener: TcpListener, server: AuthorizationServer) {
    let api = protect(&server).resource(crate::API).unwrap();
    let mine = Router::new()
        .route("/api/me", get(me))
        .route("/api/client", get(client))
        .route("/api/more", get(needs_more))
        .merge(
            Router::new()
                .route("/api/refused", get(me))
                .layer(from_fn(async |_: Request, _: Next| StatusCode::TOO_MANY_REQUESTS)),
        );
    let orders = Router::new().route("/api/orders", get(me));
    let app = Router::new()
        .route("/login", get(login))
        .merge(api.metadata())
        .merge(mine.layer(api.clone()))
        .merge(orders.layer(api.scope("orders:read")))
        .merge(routes(&server))
        .with_state(server.clone());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            grantor_axum::serve(listener, app, &server).await.unwrap();
        });
    });
}
