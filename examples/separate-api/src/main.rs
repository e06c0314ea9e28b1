//! An API in a process of its own, which accepts the access tokens of an authorization server elsewhere.
//!
//! It has no database and no users. It knows the issuer, checks tokens with the issuer's published keys, and tells
//! strangers whom to ask. The README says how to try it.

use axum::routing::get;
use axum::{Json, Router};
use grantor::{ResourceServer, Secret};
use grantor_axum::{Serve, TokenClaims, protect};
use grantor_fetch::Fetcher;
use serde::Deserialize;
use serde_json::{Value, json};

/// What this API reads from a token.
#[derive(Deserialize)]
struct Caller {
    client_id: String,
    sub: String,
}

async fn invoices(TokenClaims(caller): TokenClaims<Caller>) -> Json<Value> {
    Json(
        json!({ "for": caller.sub, "asked_by": caller.client_id, "invoices": [{ "id": 1, "total": "12.50" }] }),
    )
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = setting("API_ISSUER", "http://localhost:4000");
    let address = setting("API_LISTEN", "127.0.0.1:5000");
    let resource = format!("http://localhost:{}", address.rsplit(':').next().unwrap_or_default());
    // The issuer of this example runs on this machine. One that is elsewhere needs no more than `Fetcher::new()`.
    let fetch = Fetcher::builder().allow(["127.0.0.0/8".parse()?, "::1/128".parse()?]).build()?;
    let mut server = ResourceServer::builder(&issuer, &resource).fetch(fetch);
    // With a client of its own the API asks about every token: a revocation bites at once, for a call each.
    if let Ok(credentials) = std::env::var("API_CLIENT") {
        let (id, secret) =
            credentials.split_once(':').ok_or("API_CLIENT is client_id:client_secret")?;
        server = server.introspect_as(id, &Secret::new(secret));
    }
    let guard = protect(&server.build()?).scope("invoices:read");
    let app = Router::new()
        .merge(guard.metadata())
        .merge(Router::new().route("/invoices", get(invoices)).layer(guard));
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("The API is ready at {resource} and accepts tokens of {issuer}");
    Ok(Serve::new(listener, app).await?)
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
