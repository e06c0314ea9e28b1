//! What makes the shop an identity provider.

use std::net::SocketAddr;

use actix_web::web::{self, Data, Form, Json, Query, ServiceConfig};
use actix_web::{Either, HttpRequest};
use grantor::{
    AuthorizationServer, Claims, Client, MasterKey, Next, Response, Scope, Session, SignInReason,
    SubjectError, SubjectStatus, Subjects, Time,
};
use grantor_actix::{Bearer, Reply, protect};
use grantor_example_shop::{Order, Shop, pages, setting};
use grantor_sqlite::Sqlite;
use serde::Deserialize;

use crate::visit_of;

/// The engine, with the shop's people.
pub(crate) async fn server(
    shop: &Shop,
    address: SocketAddr,
) -> Result<AuthorizationServer, Box<dyn std::error::Error>> {
    let server = AuthorizationServer::builder(&format!("http://localhost:{}", address.port()))
        .store(Sqlite::open("identity.db")?)
        .subjects(People(shop.clone()))
        .master_key(MasterKey::from_env("MASTER_KEY")?)
        .interaction("/connect")
        .scope("orders:read")
        .build()
        .await?;
    let mut partner = Client::public("client_partner", "The partner");
    partner.redirect_uris = vec![setting("PARTNER_URL")?];
    partner.scope = Scope::parse("openid profile email orders:read")?;
    server.clients().ensure(partner).await?;
    Ok(server)
}

struct People(Shop);

#[async_trait::async_trait]
impl Subjects for People {
    async fn status(&self, subject: &str) -> Result<SubjectStatus, SubjectError> {
        let user = self.0.user(id(subject)).map_err(SubjectError::new)?;
        Ok(match user.is_some_and(|user| !user.is_blocked) {
            true => SubjectStatus::Active { valid_from: Time::EPOCH },
            false => SubjectStatus::Disabled,
        })
    }
    async fn claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        let user = self.0.user(id(subject)).map_err(SubjectError::new)?;
        let claims = user.map(|user| [("name", user.name), ("email", user.email)]);
        let claims = claims.into_iter().flatten();
        Ok(claims.map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

/// Subjects are the numbers of users.
fn id(subject: &str) -> i64 {
    subject.parse().unwrap_or_default()
}

/// The protocol's paths, the page that connects it with the shop's login, and an API for partners.
pub(crate) fn routes(server: &AuthorizationServer) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let server = server.clone();
    move |config| {
        let api = web::scope("/api").wrap(protect(&server).scope("orders:read"));
        config
            .configure(grantor_actix::routes(&server))
            .service(api.route("/orders", web::get().to(orders)))
            .app_data(Data::new(server))
            .route("/connect", web::get().to(connect))
            .route("/connect", web::post().to(connect));
    }
}

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
    shop: Data<Shop>,
    server: Data<AuthorizationServer>,
    request: HttpRequest,
    sent: Either<Form<Connect>, Query<Connect>>,
) -> Result<Reply, Reply> {
    let (Either::Left(Form(sent)) | Either::Right(Query(sent))) = sent;
    let Connect { ticket, token, allow } = sent;
    let visit = visit_of(&shop, &request);
    let session = visit
        .as_ref()
        .map(|visit| Session::new(visit.user.id.to_string(), &visit.session, visit.since.into()));
    Ok(match (server.resume(&ticket).await?.proceed(session).await?, visit) {
        (Next::Done(response), _) => response.into(),
        (Next::Consent(consent), Some(visit)) if token == Some(visit.form_token()) => {
            consent.answer(allow.as_deref() == Some("yes")).await?.into()
        }
        (Next::Consent(consent), Some(visit)) => {
            let question =
                format!("May {} see: {}?", consent.client().client_name, consent.scope());
            let fields = [("ticket", ticket.as_str()), ("token", &visit.form_token())];
            Reply::page(pages::question("A partner asks", &question, "/connect", &fields))
        }
        // The partner asks for somebody else: signing in again as the same person would not help.
        (Next::SignIn(pending, SignInReason::OtherPerson), Some(_)) => pending.deny().into(),
        _ => Response::see_other(&format!("/login?next=/connect?ticket={ticket}")).into(),
    })
}

async fn orders(shop: Data<Shop>, Bearer(token): Bearer) -> Json<Vec<Order>> {
    Json(shop.orders(id(&token.subject.unwrap_or_default())).unwrap_or_default())
}
