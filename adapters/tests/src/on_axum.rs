//! The host on axum.

use std::net::TcpListener;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use grantor::AuthorizationServer;
use grantor_axum::{Bearer, Reply, protect, routes};

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

async fn me(Bearer(token): Bearer) -> String {
    token.subject.unwrap_or_default()
}

/// Serves until the process ends.
pub fn serve(listener: TcpListener, server: AuthorizationServer) {
    let orders = Router::new().route("/api/orders", get(me));
    let app = Router::new()
        .route("/login", get(login))
        .merge(Router::new().route("/api/me", get(me)).layer(protect(&server)))
        .merge(orders.layer(protect(&server).scope("orders:read")))
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
