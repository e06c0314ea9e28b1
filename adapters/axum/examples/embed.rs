//! The README's example. What follows its `main` is the host's own.

use axum::{
    Router,
    extract::{Query, State},
    http::HeaderMap,
    routing::get,
};
use grantor::{AuthorizationServer, MasterKey, Next, Session};
use grantor_axum::{Bearer, Reply};
use grantor_sqlite::Sqlite;

async fn sign_in(
    State(server): State<AuthorizationServer>,
    Query(visit): Query<Visit>, // yours: `struct Visit { ticket: String }`
    headers: HeaderMap,
) -> Result<Reply, Reply> {
    let session = session_of(&headers); // yours: who is signed in, and since when
    Ok(match server.resume(&visit.ticket).await?.proceed(session).await? {
        Next::SignIn(pending, _why) => Reply::page(login_page(&pending)),
        Next::Consent(consent) => Reply::page(consent_page(&consent)),
        Next::Done(response) => response.into(),
    })
}

async fn orders(Bearer(token): Bearer) -> String {
    format!("the orders of {:?}", token.subject)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = AuthorizationServer::builder("https://id.example.com")
        .store(Sqlite::open("grantor.db")?)
        .subjects(MyUsers) // yours: claims and status of a subject
        .master_key(MasterKey::from_env("MASTER_KEY")?)
        .interaction("/login")
        .build()
        .await?;
    let api = Router::new().route("/orders", get(orders));
    let app = Router::new()
        .route("/login", get(sign_in)) // your login form posts where it always did, and comes back here
        .nest("/api", api.layer(grantor_axum::protect(&server).scope("orders:read")))
        .merge(grantor_axum::routes(&server)) // /oauth2/*, /.well-known/*
        .with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4000").await?;
    Ok(grantor_axum::serve(listener, app, &server).await?)
}

struct MyUsers;

#[async_trait::async_trait]
impl grantor::Subjects for MyUsers {
    async fn status(&self, _: &str) -> Result<grantor::SubjectStatus, grantor::SubjectError> {
        Ok(grantor::SubjectStatus::Active { valid_from: grantor::Time::EPOCH })
    }
    async fn claims(&self, _: &str) -> Result<grantor::Claims, grantor::SubjectError> {
        Ok(grantor::Claims::new())
    }
}

#[derive(serde::Deserialize)]
struct Visit {
    ticket: String,
}

fn session_of(_: &HeaderMap) -> Option<Session> {
    None
}

fn login_page(pending: &grantor::Pending) -> String {
    format!("Sign in to use {}", pending.client().client_id)
}

fn consent_page(consent: &grantor::Consent) -> String {
    format!("Allow {}?", consent.client().client_id)
}
