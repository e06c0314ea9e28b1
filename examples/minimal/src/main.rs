//! An identity provider on one screen: everybody may sign in as who they say they are.
//!
//! `cargo run -p grantor-example-minimal`, then open the printed address. A real host checks a
//! password in `sign_in` and keeps a session; see `examples/server`.

use axum::extract::{Form, Query, State};
use axum::response::Html;
use axum::routing::get;
use grantor::store::Memory;
use grantor::{AuthorizationServer, Claims, Client, MasterKey, Next, Scope, Session};
use grantor::{SubjectError, SubjectStatus, Subjects, SystemEnvironment, Time};
use grantor_axum::Reply;

/// The host's people. Here: anybody.
struct Anybody;

#[async_trait::async_trait]
impl Subjects for Anybody {
    async fn status(&self, _: &str) -> Result<SubjectStatus, SubjectError> {
        Ok(SubjectStatus::Active { valid_from: Time::EPOCH })
    }
    async fn claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        Ok(Claims::from_iter([("name".to_owned(), subject.into())]))
    }
}

#[derive(serde::Deserialize)]
struct Visit {
    ticket: String,
    name: Option<String>,
}

async fn show(Query(visit): Query<Visit>) -> Html<String> {
    // A ticket is base64url, but what stands in an attribute is checked, not believed.
    let ticket: String =
        visit.ticket.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    Html(format!(
        "<!doctype html><title>Sign in</title><form method=post>\
         <input type=hidden name=ticket value=\"{ticket}\">\
         <label>Name <input name=name autofocus></label><button>Sign in</button></form>"
    ))
}

async fn sign_in(
    State(server): State<AuthorizationServer>,
    Form(visit): Form<Visit>,
) -> Result<Reply, Reply> {
    let name = visit.name.unwrap_or_default();
    let session = Session::new(&name, format!("session of {name}"), server.now());
    Ok(match server.resume(&visit.ticket).await?.proceed(Some(session)).await? {
        Next::Done(response) => response.into(),
        // This client is the operator's own: nobody is asked.
        Next::Consent(consent) => consent.deny().await?.into(),
        Next::SignIn(pending, _) => pending.deny().into(),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = AuthorizationServer::builder("http://localhost:4000")
        .store(Memory::new())
        .subjects(Anybody)
        .master_key(MasterKey::generate(&SystemEnvironment)?)
        .interaction("/login")
        .build()
        .await?;
    let mut client = Client::public("client_minimal", "Minimal");
    client.redirect_uris = vec!["http://localhost:3000/callback".into()];
    client.scope = Scope::parse("openid profile")?;
    client.first_party = true;
    server.clients().create(client).await?;

    let app = axum::Router::new()
        .route("/login", get(show).post(sign_in))
        .merge(grantor_axum::routes(&server))
        .with_state(server.clone());
    println!(
        "http://localhost:4000/oauth2/authorize?response_type=code&client_id=client_minimal\
         &redirect_uri=http://localhost:3000/callback&scope=openid%20profile&state=xyz\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4000").await?;
    Ok(grantor_axum::serve(listener, app, &server).await?)
}
