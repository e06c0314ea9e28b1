//! What earlier releases have written is read by this one: of each there is a database and a sled folder in
//! `adapters/tests/releases`, with tokens that must still work.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::{Path, PathBuf};

use grantor::store::{ClientStore, KeyStore, TokenStore};
use grantor::testing::{Anybody, TestEnvironment};
use grantor::{AuthorizationServer, Client, MasterKey, Request, Scope, Secret};
use grantor_sled::Sled;
use grantor_sqlite::Sqlite;
use pollster::block_on;
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example.com";
const WEB: &str = "client_web";
const CALLBACK: &str = "https://rp.example/cb";
/// What the folder of a release has beside its records.
const TOKENS: &str = "tokens.json";

fn releases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("releases")
}

/// The clock of all of them shows the same moment.
fn server<S>(store: S) -> AuthorizationServer
where
    S: ClientStore + TokenStore + KeyStore + Clone,
{
    let builder = AuthorizationServer::builder(ISSUER)
        .store(store)
        .subjects(Anybody)
        .master_key(MasterKey::from_bytes([7; 32]))
        .interaction("/login")
        .environment(TestEnvironment::new());
    block_on(builder.build()).unwrap()
}

fn sqlite(folder: &Path) -> Sqlite {
    Sqlite::open(folder.join("grantor.db")).unwrap()
}

fn sled(folder: &Path) -> Sled {
    Sled::open(folder.join("sled")).unwrap()
}

/// Whether an access token lives.
fn is_active(server: &AuthorizationServer, access_token: &str) -> bool {
    let request =
        Request::get("/oauth2/userinfo").header("authorization", format!("Bearer {access_token}"));
    block_on(server.handle(&request)).status == 200
}

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens.get(name).and_then(Value::as_str).unwrap()
}

/// The answer to a form of the client's.
fn post(server: &AuthorizationServer, tokens: &Value, fields: &[(&str, &str)]) -> (u16, Value) {
    let mut all = vec![("client_id", WEB), ("client_secret", text(tokens, "client_secret"))];
    all.extend(fields);
    let response = block_on(server.handle(&Request::form("/oauth2/token", &all)));
    (response.status, serde_json::from_slice(&response.body).unwrap())
}

/// Everything that was given out is what it was: a code, a refresh token, an access token, a consent, and what has ended.
fn still_works<S>(store: S, tokens: &Value)
where
    S: ClientStore + TokenStore + KeyStore + Clone,
{
    let server = server(store);
    assert_eq!(block_on(server.consents("ann")).unwrap().len(), 1);
    assert!(is_active(&server, text(tokens, "access_token")));
    assert!(!is_active(&server, text(tokens, "revoked_access_token")));
    let refresh = |name: &str| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", text(tokens, name))];
        post(&server, tokens, &fields)
    };
    let (status, refreshed) = refresh("refresh_token");
    assert_eq!(status, 200, "{refreshed}");
    assert!(is_active(&server, text(&refreshed, "access_token")));
    assert_eq!(refresh("revoked_refresh_token").0, 400);
    let (status, redeemed) = post(
        &server,
        tokens,
        &[
            ("grant_type", "authorization_code"),
            ("code", text(tokens, "code")),
            ("redirect_uri", CALLBACK),
            ("code_verifier", grantor::testing::CODE_VERIFIER),
        ],
    );
    assert_eq!(status, 200, "{redeemed}");
}

/// Sled locks its folder and changes it, and so does SQLite: both get a copy.
fn copied(from: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to),
                false => drop(fs::copy(entry.path(), to).unwrap()),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(from, folder.path());
    folder
}

#[test]
fn what_each_release_has_written_is_read_and_its_tokens_still_work() {
    let mut seen = 0;
    for release in fs::read_dir(releases()).unwrap().map(Result::unwrap) {
        let tokens = |storage: &str| -> Value {
            let text = fs::read(release.path().join(storage).join(TOKENS)).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        let of = |storage: &str| copied(&release.path().join(storage));
        let folder = of("sqlite");
        still_works(sqlite(folder.path()), &tokens("sqlite"));
        let folder = of("sled");
        still_works(sled(folder.path()), &tokens("sled"));
        seen += 1;
    }
    assert!(seen > 0, "there is no release");
}

/// Makes the records of one storage, and says what was given out.
fn write<S>(store: S) -> Value
where
    S: ClientStore + TokenStore + KeyStore + Clone,
{
    let server = server(store);
    let mut web = Client::confidential(WEB, "Web", &Secret::new(""));
    web.redirect_uris = vec![CALLBACK.into()];
    web.scope = Scope::parse("openid profile offline_access").unwrap();
    let secret = block_on(server.clients().create(web)).unwrap().client_secret.unwrap();
    let client = server.test_client(WEB).secret(&secret);
    let [kept, revoked] =
        [(); 2].map(|()| block_on(client.sign_in_as("ann")).unwrap()).map(|tokens| {
            let refresh_token = tokens.refresh_token.unwrap();
            (tokens.access_token.expose().to_owned(), refresh_token.expose().to_owned())
        });
    let code = block_on(client.code("ann")).unwrap();
    let form = [("client_id", WEB), ("client_secret", secret.expose()), ("token", &revoked.1)];
    assert_eq!(block_on(server.handle(&Request::form("/oauth2/revoke", &form))).status, 200);
    json!({
        "client_secret": secret.expose(), "code": code, "access_token": kept.0, "refresh_token": kept.1,
        "revoked_access_token": revoked.0, "revoked_refresh_token": revoked.1,
    })
}

/// `cargo test -p grantor-adapter-tests --test releases -- --ignored`, when a release is made.
#[test]
#[ignore = "it writes the files of this release"]
fn write_what_this_release_writes() {
    let release = releases().join(env!("CARGO_PKG_VERSION"));
    assert!(!release.exists(), "it has been written: delete {} first", release.display());
    let folder = |storage: &str| {
        let folder = release.join(storage);
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let keep = |folder: &Path, tokens: &Value| {
        fs::write(folder.join(TOKENS), format!("{tokens:#}\n")).unwrap();
    };
    keep(&folder("sqlite"), &write(sqlite(&folder("sqlite"))));
    keep(&folder("sled"), &write(sled(&folder("sled"))));
}
