//! The server that is measured: a host as an embedder would write it, with people, sessions and a login page.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::{Args, ValueEnum};
use grantor::store::{ClientStore, KeyStore, Memory, TokenStore};
use grantor::{
    Algorithm, AuthorizationServer, Builder, Claims, Client, GrantType, Issuer, MasterKey, Next,
    Policy, Response, Scope, Secret, Session, SubjectError, SubjectStatus, Subjects, Time,
};
use grantor_sled::Sled;
use grantor_sqlite::Sqlite;

use crate::Result;
use crate::credentials::{
    APP, APP_RS256, CALLBACK, Credentials, PEOPLE, RESOURCE_SERVER, SERVICE, SERVICE_RS256,
};

#[derive(Args)]
pub(crate) struct Serve {
    /// The framework
    #[arg(long, value_enum, default_value_t = Framework::Axum)]
    framework: Framework,
    /// Where records are kept
    #[arg(long, value_enum, default_value_t = Storage::Sqlite)]
    storage: Storage,
    /// The folder for them
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framework {
    Axum,
    Actix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Storage {
    Memory,
    Sqlite,
    Sled,
}

impl Storage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Storage::Memory => "memory",
            Storage::Sqlite => "sqlite",
            Storage::Sled => "sled",
        }
    }
}

/// The host's people: `u0`, `u1` and so on.
struct People;

#[async_trait]
impl Subjects for People {
    async fn status(&self, _: &str) -> std::result::Result<SubjectStatus, SubjectError> {
        Ok(SubjectStatus::Active { valid_from: Time::EPOCH })
    }
    async fn claims(&self, subject: &str) -> std::result::Result<Claims, SubjectError> {
        let name = format!("User {subject}");
        Ok(Claims::from_iter([
            ("name".to_owned(), name.into()),
            ("preferred_username".to_owned(), subject.into()),
        ]))
    }
}

/// Who is signed in, by the value of their cookie.
type Sessions = Arc<HashMap<String, Session>>;

impl Serve {
    pub(crate) fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let server = runtime.block_on(async {
            let issuer = Issuer::new(ISSUER)?;
            match self.storage {
                Storage::Memory => built(Memory::new(), &issuer).await,
                Storage::Sqlite => built(Sqlite::open(database(&self.folder))?, &issuer).await,
                Storage::Sled => built(Sled::open(sled(&self.folder))?, &issuer).await,
            }
        })?;
        let sessions = (0..PEOPLE).map(|n| {
            let cookie = format!("u{n}");
            (cookie.clone(), Session::new(cookie.clone(), cookie, server.now()))
        });
        let sessions = Arc::new(sessions.collect());
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        println!("{}", listener.local_addr()?);
        match self.framework {
            Framework::Axum => runtime.block_on(on_axum::serve(listener, server, sessions)),
            Framework::Actix => on_actix::serve(listener, server, sessions),
        }
    }
}

pub(crate) const ISSUER: &str = "http://localhost:4000";

/// Where sled keeps its records.
pub(crate) fn sled(folder: &Path) -> PathBuf {
    folder.join("sled")
}

/// Where SQLite keeps its records.
pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join("grantor.db")
}

async fn built<S: ClientStore + TokenStore + KeyStore + Clone>(
    store: S,
    issuer: &Issuer,
) -> Result<AuthorizationServer> {
    for client in clients()? {
        // A folder that is opened again has them.
        ClientStore::insert(&store, issuer, client).await?;
    }
    Ok(settings(AuthorizationServer::builder(ISSUER).store(store)).build().await?)
}

/// What is measured are the defaults, but for one: clients here refresh again at once, and within the retry window a
/// refresh token that has just come out of a rotation is answered with itself. Without a window each refresh rotates,
/// and is written.
fn settings(builder: Builder) -> Builder {
    let mut policy = Policy::default();
    policy.retry_window = Duration::ZERO;
    builder
        .policy(policy)
        .subjects(People)
        .master_key(MasterKey::from_bytes([7; 32]))
        .interaction("/login")
        .scope("api:read")
}

fn clients() -> Result<Vec<Client>> {
    let confidential =
        |(id, secret): Credentials| Client::confidential(id, id, &Secret::new(secret));
    let mut clients = Vec::new();
    for (credentials, algorithm) in [(SERVICE, Algorithm::EdDsa), (SERVICE_RS256, Algorithm::Rs256)]
    {
        let mut service = confidential(credentials);
        service.grant_types = vec![GrantType::ClientCredentials];
        service.scope = Scope::parse("api:read")?;
        service.access_token_signed_response_alg = Some(algorithm);
        clients.push(service);
    }
    for (credentials, algorithm) in [(APP, Algorithm::EdDsa), (APP_RS256, Algorithm::Rs256)] {
        let mut app = confidential(credentials);
        app.redirect_uris = vec![CALLBACK.into()];
        app.scope = Scope::parse("openid profile offline_access")?;
        app.first_party = true;
        app.id_token_signed_response_alg = Some(algorithm);
        clients.push(app);
    }
    let mut api = confidential(RESOURCE_SERVER);
    api.grant_types = Vec::new();
    api.resources = vec![ISSUER.into()];
    clients.push(api);
    Ok(clients)
}

/// The login page: whoever is signed in goes on.
async fn visit(
    server: &AuthorizationServer,
    sessions: &Sessions,
    ticket: &str,
    cookie: &str,
) -> std::result::Result<Response, grantor::InteractionError> {
    let session = cookie.strip_prefix("sid=").and_then(|id| sessions.get(id)).cloned();
    Ok(match server.resume(ticket).await?.proceed(session).await? {
        Next::Done(response) => response,
        Next::SignIn(..) => Response::page("sign in"),
        Next::Consent(_) => Response::page("consent"),
    })
}

/// As long as a token response.
const FLOOR: usize = 560;

mod on_axum {
    use std::net::TcpListener;

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::Query;
    use axum::http::HeaderMap;
    use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
    use axum::routing::{get, post};
    use grantor::AuthorizationServer;
    use grantor_axum::Reply;
    use serde::Deserialize;

    use super::{FLOOR, Sessions, visit};
    use crate::Result;

    #[derive(Deserialize)]
    struct Visit {
        ticket: String,
    }

    pub(super) async fn serve(
        listener: TcpListener,
        server: AuthorizationServer,
        sessions: Sessions,
    ) -> Result<()> {
        let engine = server.clone();
        let login = async move |Query(asked): Query<Visit>, headers: HeaderMap| {
            let cookie = headers.get("cookie").and_then(|value| value.to_str().ok());
            visit(&engine, &sessions, &asked.ticket, cookie.unwrap_or_default())
                .await
                .map(Reply::from)
                .map_err(Reply::from)
        };
        let floor = async |_: Bytes| {
            let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
            (headers, "x".repeat(FLOOR))
        };
        let app = Router::new()
            .route("/login", get(login))
            .route("/floor", post(floor))
            .merge(grantor_axum::routes(&server));
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(grantor_axum::serve(listener, app, &server).await?)
    }
}

mod on_actix {
    use std::net::TcpListener;

    use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
    use actix_web::web::{Bytes, Data, Query, get, post};
    use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
    use grantor::AuthorizationServer;
    use grantor_actix::Reply;
    use serde::Deserialize;

    use super::{FLOOR, Sessions, visit};
    use crate::Result;

    #[derive(Deserialize)]
    struct Visit {
        ticket: String,
    }

    async fn login(
        server: Data<AuthorizationServer>,
        sessions: Data<Sessions>,
        asked: Query<Visit>,
        request: HttpRequest,
    ) -> std::result::Result<Reply, Reply> {
        let cookie = request.headers().get("cookie").and_then(|value| value.to_str().ok());
        let cookie = cookie.unwrap_or_default();
        Ok(visit(&server, &sessions, &asked.ticket, cookie).await?.into())
    }

    async fn floor(_: Bytes) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "application/json"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body("x".repeat(FLOOR))
    }

    /// As behind a proxy that has deadlines of its own: connections are kept.
    pub(super) fn serve(
        listener: TcpListener,
        server: AuthorizationServer,
        sessions: Sessions,
    ) -> Result<()> {
        actix_web::rt::System::new().block_on(async move {
            let engine = server.clone();
            let http = HttpServer::new(move || {
                App::new()
                    .app_data(Data::new(engine.clone()))
                    .app_data(Data::new(sessions.clone()))
                    .route("/login", get().to(login))
                    .route("/floor", post().to(floor))
                    .configure(grantor_actix::routes(&engine))
            });
            let serving = http.workers(1).listen(listener)?.run();
            tokio::select! {
                served = serving => Ok(served?),
                () = grantor_actix::maintain(server) => Ok(()),
            }
        })
    }
}
