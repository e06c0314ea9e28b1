//! What makes the shop an identity provider.

use std::net::SocketAddr;

use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use grantor::{
    AuthorizationServer, Claims, Client, MasterKey, Next, Policy, Response, Scope, Session,
    SignInReason, SubjectError, SubjectStatus, Subjects, Time,
};
use grantor_axum::{Bearer, Reply, protect};
use grantor_example_shop::{Order, Shop, User, Visit, pages};
use grantor_sqlite::Sqlite;
use serde::Deserialize;

use crate::visit_of;

/// The engine, with the shop's people.
pub(crate) async fn server(
    shop: &Shop,
    address: SocketAddr,
) -> Result<AuthorizationServer, Box<dyn std::error::Error>> {
    let mut policy = Policy::default();
    policy.scopes = policy.scopes.union(&Scope::parse("orders:read")?);
    let server = AuthorizationServer::builder(&format!("http://localhost:{}", address.port()))
        .store(Sqlite::open("identity.db")?)
        .subjects(People(shop.clone()))
        .master_key(MasterKey::from_base64(&setting("MASTER_KEY")?)?)
        .interaction("/connect")
        .policy(policy)
        .build()
        .await?;
    if server.clients().find("client_partner").await?.is_none() {
        let mut partner = Client::public("client_partner", "The partner");
        partner.redirect_uris = vec![setting("PARTNER_URL")?];
        partner.scope = Scope::parse("openid profile email orders:read")?;
        server.clients().create(partner).await?;
    }
    Ok(server)
}

fn setting(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("set {name}: the README says to what"))
}

struct People(Shop);

impl People {
    fn user(&self, subject: &str) -> Result<Option<User>, SubjectError> {
        self.0.user(subject.parse().unwrap_or_default()).map_err(SubjectError::new)
    }
}

#[async_trait::async_trait]
impl Subjects for People {
    async fn status(&self, subject: &str) -> Result<SubjectStatus, SubjectError> {
        Ok(match self.user(subject)? {
            Some(user) if !user.is_blocked => SubjectStatus::Active { valid_from: Time::EPOCH },
            _ => SubjectStatus::Disabled,
        })
    }
    async fn claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        let user = self.user(subject)?.ok_or_else(|| SubjectError::new("no such user"))?;
        let claims = [("name", user.name), ("email", user.email)];
        Ok(claims.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

/// The protocol's paths, the page that connects it with the shop's login, and an API for partners.
pub(crate) fn routes(shop: Shop, server: &AuthorizationServer) -> Router {
    let api = Router::new().route("/orders", get(orders));
    Router::new()
        .route("/connect", get(connect).post(connect))
        .nest("/api", api.layer(protect(server).scope("orders:read")))
        .merge(grantor_axum::routes(server))
        .with_state((shop, server.clone()))
}

type Both = (Shop, AuthorizationServer);

#[derive(Deserialize)]
struct Connect {
    ticket: String,
    /// From the consent form.
    token: Option<String>,
    allow: Option<String>,
}

/// Who came here from a partner goes on: by the shop's own login page, and by the question whether the
/// partner may have what it asks for.
async fn connect(
    State((shop, server)): State<Both>,
    headers: HeaderMap,
    Form(Connect { ticket, token, allow }): Form<Connect>,
) -> Result<Reply, Reply> {
    let visit = visit_of(&shop, &headers);
    let next = server.resume(&ticket).await?.proceed(visit.as_ref().map(session)).await?;
    Ok(match (next, visit) {
        (Next::Done(response), _) => response.into(),
        (Next::Consent(consent), Some(visit)) if token == Some(visit.form_token()) => {
            let scope = consent.scope().clone();
            match allow.as_deref() {
                Some("yes") => consent.approve(&scope).await?.into(),
                _ => consent.deny().await?.into(),
            }
        }
        (Next::Consent(consent), Some(visit)) => {
            let (who, what) = (&consent.client().client_name, consent.scope());
            let fields = [("ticket", ticket.as_str()), ("token", &visit.form_token())];
            let question = format!("May {who} see: {what}?");
            Reply::page(pages::question("A partner asks", &question, "/connect", &fields))
        }
        // The partner asks for somebody else: signing in again as the same person would not help.
        (Next::SignIn(pending, SignInReason::OtherPerson), Some(_)) => pending.deny().into(),
        _ => Response::see_other(&format!("/login?next=/connect?ticket={ticket}")).into(),
    })
}

fn session(visit: &Visit) -> Session {
    Session::new(visit.user.id.to_string(), &visit.session, visit.since.into())
}

async fn orders(State((shop, _)): State<Both>, Bearer(token): Bearer) -> Json<Vec<Order>> {
    let user = token.subject.and_then(|subject| subject.parse().ok()).unwrap_or_default();
    Json(shop.orders(user).unwrap_or_default())
}
