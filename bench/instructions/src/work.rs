//! What is counted, without sockets: each request as an adapter would hand it over.

use grantor::store::{ClientStore, KeyStore, Memory, TokenStore};
use grantor::testing::{Anybody, TestEnvironment};
use grantor::{
    Algorithm, AuthorizationServer, Client, GrantType, Issuer, MasterKey, Next, Policy, Request,
    Response, Scope, Secret, Session,
};
use grantor_sqlite::Sqlite;
use pollster::block_on;
use serde_json::Value;

use crate::Result;

pub(crate) const ALL: [&str; 9] = [
    "authorize",
    "client_credentials",
    "code",
    "introspection",
    "jwks",
    "refresh",
    "refresh on SQLite",
    "userinfo",
    "userinfo on SQLite",
];

const ISSUER: &str = "https://id.example.com";
const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const SECRET: &str = "secret-of-the-app-secret-of-the-app";

/// Says where the keys are. To make an RSA key takes valgrind longer than all that is counted.
pub(crate) const RING: &str = "GRANTOR_INSTRUCTIONS_RING";

/// Makes keys, sealed as a server wants them.
pub(crate) fn ring() -> Result<Vec<u8>> {
    let store = Memory::new();
    server(store.clone())?;
    let ring = block_on(KeyStore::load(&store, &Issuer::new(ISSUER)?))?;
    Ok(ring.ok_or("a server has keys")?.sealed)
}

/// Does something so many times.
pub(crate) fn run(name: &str, times: u64) -> Result<()> {
    match name.strip_suffix(" on SQLite") {
        Some(name) => {
            let folder = tempfile::tempdir()?;
            go(Sqlite::open(folder.path().join("grantor.db"))?, name, times)
        }
        None => go(Memory::new(), name, times),
    }
}

fn go<S>(store: S, name: &str, times: u64) -> Result<()>
where
    S: ClientStore + TokenStore + KeyStore + Clone,
{
    let app = App(server(store)?);
    match name {
        "authorize" => (0..times).try_for_each(|_| app.ticket().map(drop)),
        "client_credentials" => (0..times).try_for_each(|_| {
            is_right(&app.post("/oauth2/token", &[("grant_type", "client_credentials")]))
        }),
        "code" => (0..times).try_for_each(|_| app.sign_in().map(drop)),
        "jwks" => (0..times).try_for_each(|_| {
            is_right(&block_on(app.0.handle(&Request::get("/oauth2/jwks.json"))))
        }),
        "refresh" => {
            let mut tokens = app.sign_in()?;
            for _ in 0..times {
                let token = text(&tokens, "refresh_token")?;
                let form = [("grant_type", "refresh_token"), ("refresh_token", &token)];
                tokens = right(&app.post("/oauth2/token", &form))?;
            }
            Ok(())
        }
        "userinfo" => {
            let token = text(&app.sign_in()?, "access_token")?;
            let request =
                Request::get("/oauth2/userinfo").header("authorization", format!("Bearer {token}"));
            (0..times).try_for_each(|_| is_right(&block_on(app.0.handle(&request))))
        }
        "introspection" => {
            let token = text(&app.sign_in()?, "access_token")?;
            (0..times).try_for_each(|_| {
                let told = right(&app.post("/oauth2/introspect", &[("token", &token)]))?;
                match told.get("active") == Some(&true.into()) {
                    true => Ok(()),
                    false => Err("the token is not active".into()),
                }
            })
        }
        _ => Err(format!("{name:?} is none of {ALL:?}").into()),
    }
}

fn server<S>(store: S) -> Result<AuthorizationServer>
where
    S: ClientStore + TokenStore + KeyStore + Clone,
{
    let mut app = Client::confidential("app", "App", &Secret::new(SECRET));
    app.redirect_uris = vec![CALLBACK.into()];
    app.grant_types.push(GrantType::ClientCredentials);
    app.scope = Scope::parse("openid profile offline_access api:read")?;
    app.first_party = true;
    app.id_token_signed_response_alg = Some(Algorithm::EdDsa);
    block_on(ClientStore::insert(&store, &Issuer::new(ISSUER)?, app))?;
    if let Some(ring) = std::env::var_os(RING) {
        let (issuer, ring) = (Issuer::new(ISSUER)?, std::fs::read(ring)?);
        block_on(KeyStore::replace(&store, &issuer, ring, 0))?;
    }
    let mut policy = Policy::default();
    // Each refresh rotates.
    policy.retry_window = std::time::Duration::ZERO;
    let builder = AuthorizationServer::builder(ISSUER)
        .store(store)
        .subjects(Anybody)
        .master_key(MasterKey::from_bytes([7; 32]))
        .interaction("/login")
        .scope("api:read")
        .policy(policy)
        .environment(TestEnvironment::new());
    Ok(block_on(builder.build())?)
}

/// The application, which knows where its server is.
struct App(AuthorizationServer);

impl App {
    fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        let basic = "Basic YXBwOnNlY3JldC1vZi10aGUtYXBwLXNlY3JldC1vZi10aGUtYXBw";
        block_on(self.0.handle(&Request::form(path, form).header("authorization", basic)))
    }

    /// Visits the authorization endpoint.
    fn ticket(&self) -> Result<String> {
        let url = format!(
            "/oauth2/authorize?response_type=code&client_id=app\
             &redirect_uri=https%3A%2F%2Fapp.example%2Fcb&scope=openid+profile+offline_access&state=st\
             &nonce=n0nce&code_challenge={CHALLENGE}&code_challenge_method=S256"
        );
        let response = block_on(self.0.handle(&Request::get(&url)));
        let ticket = response.get("location").and_then(|url| Some(url.split_once("ticket=")?.1));
        Ok(ticket.ok_or("there is no ticket")?.to_owned())
    }

    /// The whole flow, for somebody who is signed in.
    fn sign_in(&self) -> Result<Value> {
        let session = Session::new("ann", "session", self.0.now());
        let interaction =
            block_on(self.0.resume(&self.ticket()?)).map_err(|why| why.to_string())?;
        let next = block_on(interaction.proceed(Some(session))).map_err(|why| why.to_string())?;
        let Next::Done(response) = next else { return Err("the person is asked".into()) };
        let code = response.get("location").and_then(|url| url.split_once("code="));
        let code = code.and_then(|(_, rest)| rest.split('&').next()).ok_or("there is no code")?;
        right(&self.post(
            "/oauth2/token",
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", CALLBACK),
                ("code_verifier", VERIFIER),
            ],
        ))
    }
}

fn right(response: &Response) -> Result<Value> {
    is_right(response)?;
    Ok(serde_json::from_slice(&response.body)?)
}

fn is_right(response: &Response) -> Result<()> {
    match response.status {
        200 => Ok(()),
        status => Err(format!("{status}: {}", String::from_utf8_lossy(&response.body)).into()),
    }
}

fn text(body: &Value, name: &str) -> Result<String> {
    Ok(body
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("there is no {name}"))?
        .to_owned())
}
