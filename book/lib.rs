//! The pages of the book as documentation tests: every code block in them compiles, and those that can run do.
//! What a block leaves out, because it is the reader's own, is here.

use async_trait::async_trait;
use axum::http::HeaderMap;
use grantor::store::Memory;
use grantor::testing::{Anybody, TestEnvironment};
use grantor::{
    AuthorizationServer, Claims, Client, Consent, MasterKey, Pending, Scope, Session, SubjectError,
    SubjectStatus, Subjects, Time,
};

/// The reader's users.
#[derive(Clone, Debug)]
pub struct MyUsers;

#[async_trait]
impl Subjects for MyUsers {
    async fn status(&self, subject: &str) -> Result<SubjectStatus, SubjectError> {
        Anybody.status(subject).await
    }
    async fn claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        Ok(Claims::from_iter([("name".to_owned(), subject.into())]))
    }
}

/// The reader's session cookie.
#[must_use]
pub fn session_of(_: &HeaderMap) -> Option<Session> {
    Some(Session::new("alice", "session", Time::EPOCH))
}

/// The reader's login page.
#[must_use]
pub fn login_page(pending: &Pending) -> String {
    pending.ticket()
}

/// The reader's consent page.
#[must_use]
pub fn consent_page(consent: &Consent) -> String {
    consent.ticket()
}

/// A server in memory with a client, and the clock that it lives by.
pub async fn example() -> (AuthorizationServer, TestEnvironment) {
    let clock = TestEnvironment::new();
    let builder = AuthorizationServer::builder("https://id.example.com")
        .store(Memory::new())
        .subjects(MyUsers)
        .master_key(MasterKey::from_bytes([1; 32]))
        .scope("orders:read")
        .environment(clock.clone());
    #[expect(clippy::expect_used, reason = "its parts are right")]
    let server = builder.build().await.expect("a server");
    let mut shop = Client::public("client_shop", "Shop");
    shop.redirect_uris = vec!["https://shop.example.com/callback".into()];
    shop.scope = Scope::parse("openid profile orders:read").unwrap_or_default();
    #[expect(clippy::expect_used, reason = "its parts are right")]
    server.clients().create(shop).await.expect("a client");
    (server, clock)
}

macro_rules! pages {
    ($($page:ident: $file:literal,)*) => {
        /// The pages that the summary must list, and that are compiled.
        pub const PAGES: &[(&str, &str)] = &[$(($file, include_str!(concat!("src/", $file))),)*];
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("src/", $file))]
            pub mod $page {}
        )*
    };
}

pages! {
    introduction: "introduction.md",
    mount: "mount.md",
    clients: "clients.md",
    sign_in: "sign-in.md",
    consent: "consent.md",
    sign_out: "sign-out.md",
    claims: "claims.md",
    protect: "protect.md",
    issuers: "issuers.md",
    keys: "keys.md",
    events: "events.md",
    testing: "testing.md",
    production: "production.md",
    defaults: "defaults.md",
    certification: "certification.md",
    negative_cases: "negative-cases.md",
    speed: "speed.md",
    stores: "writing-a-storage-backend.md",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_in_the_summary_and_every_entry_is_a_page() {
        let summary = include_str!("src/SUMMARY.md");
        for (file, _) in PAGES {
            assert_eq!(summary.matches(&format!("({file})")).count(), 1, "{file}");
        }
        assert_eq!(summary.matches(".md)").count(), PAGES.len());
    }

    #[test]
    fn links_into_the_project_lead_somewhere() {
        const FORGE: &str = "(https://github.com/grantor-rs/grantor/blob/main/";
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut links = 0;
        for (file, page) in PAGES {
            for link in page.split(FORGE).skip(1) {
                let path = link.split(')').next().unwrap_or_default();
                assert!(root.join(path).is_file(), "{file}: {path}");
                links += 1;
            }
        }
        assert!(links > 4);
    }

    /// Whoever renames or removes a test learns that a promise hangs on it.
    #[test]
    fn every_test_that_the_page_of_certification_names_exists() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let source: String = ["core/tests/spec", "examples/server/tests/certification"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(root.join(folder)).expect("the tests"))
            .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a text"))
            .collect();
        // A claim of several profiles is a function that a list names.
        let is_test = |name: &str| {
            source.contains(&format!("#[test]\nfn {name}()"))
                || source.contains(&format!("pub(crate) fn {name}("))
                    && source.matches(name).count() > 1
        };
        let (_, page) =
            PAGES.iter().find(|(file, _)| *file == "certification.md").expect("the page");
        let mut named = 0;
        for row in page.lines().filter(|line| line.starts_with("| ")) {
            let proofs = row.rsplit(" | ").next().unwrap_or_default();
            for name in proofs.split('`').skip(1).step_by(2) {
                let exists = match name.ends_with(".mjs") {
                    true => root.join("e2e/test").join(name).is_file(),
                    false => is_test(name),
                };
                assert!(exists, "{name}");
                named += 1;
            }
        }
        assert!(named > 40, "{named}");
    }

    /// A setting that is added must be explained.
    #[test]
    fn the_page_of_defaults_names_every_setting_of_the_policy() {
        let policy = format!("{:#?}", grantor::Policy::default());
        // One level of indentation: the fields themselves.
        let fields = policy.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
        let names: Vec<&str> =
            fields.map(|(name, _)| name).filter(|name| !name.starts_with(' ')).collect();
        assert!(names.len() > 10, "{names:?}");
        let (_, page) = PAGES.iter().find(|(file, _)| *file == "defaults.md").expect("the page");
        for name in names {
            assert!(page.contains(&format!("`{name}`")), "`{name}` is not explained");
        }
    }
}
