//! Applications that register themselves.

use serde_json::{Value, json};

use crate::application::{
    Application, Key, Profile, assert_error, endpoint, now, register, shared_key, token_response,
    unique,
};
use crate::browser::{Browser, End};
use crate::suite::suite;

const KEYED: Profile = Profile::by("private_key_jwt");

fn refused(change: &Value, error: &str) {
    let mut metadata = json!({
        "redirect_uris": [format!("{}/callback", suite().application)], "client_name": "Refused",
    });
    for (name, value) in change.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    let answer = register(&metadata);
    assert_error(&answer, error);
}

#[test]
fn a_person_signs_in_at_an_application_with_a_key_of_its_own() {
    Application::new(&KEYED).sign_in(&mut Browser::default(), &[]);
}

#[test]
fn userinfo_is_signed_for_an_application_that_wants_it_so() {
    let wish = json!({"userinfo_signed_response_alg": "RS256"});
    let application = Application::with(&KEYED, &wish);
    let signed_in = application.sign_in(&mut Browser::default(), &[("scope", "openid email")]);
    let bearer = format!("Bearer {}", signed_in.access_token.unwrap());
    let url = endpoint("userinfo_endpoint");
    let answer = suite().send("GET", &url, &[("authorization", &bearer)], "");
    assert_eq!(answer.header("content-type"), Some("application/jwt"));
    let claims = application.verified(&answer.text);
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!(suite().issuer), &json!(application.id()))
    );
    assert_eq!(claims["sub"], signed_in.id_token["sub"]);
    assert_eq!(claims.get("nonce"), None);
}

#[test]
fn with_two_redirect_uris_one_must_be_named() {
    let uris = [unique(), unique()].map(|path| format!("{}/{path}", suite().application));
    let application = Application::with(&KEYED, &json!({"redirect_uris": uris}));
    application.ask_in_vain(&[("redirect_uri", "")]);
}

#[test]
fn a_redirect_uri_matches_with_its_query_and_only_so() {
    let base = format!("{}/{}", suite().application, unique());
    let with_query = format!("{base}?foo=bar");
    let application = Application::with(&KEYED, &json!({"redirect_uris": [with_query]}));
    application.ask_in_vain(&[("redirect_uri", &format!("{base}?foo=baz"))]);
    application.ask_in_vain(&[("redirect_uri", &base)]);
    let parameters = application.parameters(&[("redirect_uri", &with_query)]);
    let end = Browser::default().open(&application.url(&parameters));
    let response = application.take(&parameters, end);
    assert!(response.parameters.contains_key("code"));
    // A query that was not registered.
    let plain = Application::new(&KEYED);
    plain.ask_in_vain(&[("redirect_uri", &format!("{}?foo=bar", plain.redirect_uri))]);
}

#[test]
fn a_redirect_uri_with_a_fragment_is_refused() {
    let uri = format!("{}/callback#foobar", suite().application);
    refused(&json!({"redirect_uris": [uri]}), "invalid_redirect_uri");
}

#[test]
fn people_are_shown_the_logo_and_the_links_of_the_application_in_their_language() {
    let of = |path: &str| format!("{}/{path}", suite().application);
    let application = Application::with(
        &KEYED,
        &json!({
            "logo_uri": of("logo.png"), "policy_uri": of("policy"), "tos_uri": of("tos"),
            "client_name": "Shop <b>", "client_name#de": "Laden", "tos_uri#de": of("agb"),
        }),
    );
    let mut browser = Browser::default();
    application.sign_in(&mut browser, &[]);
    let page = &browser.login_page;
    assert!(page.contains("id=\"client-logo\"") && page.contains(&of("logo.png")), "{page}");
    assert!(page.contains(&of("policy")) && page.contains(&of("tos")), "{page}");
    assert!(page.contains("Shop &#60;b&#62;") && !page.contains("<b>"), "{page}");
    let mut browser = Browser::default();
    application.sign_in(&mut browser, &[("ui_locales", "fr de-CH")]);
    let page = &browser.login_page;
    assert!(page.contains("Laden") && page.contains(&of("agb")), "{page}");
    assert!(page.contains(&of("policy")) && !page.contains(&of("tos\"")), "{page}");
}

#[test]
fn the_keys_of_an_application_are_fetched_and_again_when_they_change() {
    let (old, new) = (Box::leak(Box::new(Key::new("old"))), Box::leak(Box::new(Key::new("new"))));
    let path = format!("/{}/jwks.json", unique());
    let uri = suite().publish(&path, old.jwks().to_string());
    let mut application = Application::with(&KEYED, &json!({"jwks": null, "jwks_uri": uri}));
    application.use_key(old);
    let mut browser = Browser::default();
    let refresh_token =
        application.sign_in(&mut browser, &[]).tokens["refresh_token"].as_str().unwrap().to_owned();
    suite().publish(&path, new.jwks().to_string());
    application.use_key(new);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
    // A copy of the keys that is some seconds old is not fetched again for whoever invents a key. Nobody waits
    // longer than a client is told to.
    for _ in 0..120 {
        let answer = application.call("token_endpoint", &refresh);
        if answer.status == 200 {
            token_response(&answer);
            return;
        }
        assert_error(&answer, "invalid_client");
        std::thread::park_timeout(std::time::Duration::from_millis(250));
    }
    panic!("the new key was never fetched");
}

#[test]
fn pairwise_applications_of_one_sector_know_a_person_by_one_name() {
    let path = format!("/{}/uris.json", unique());
    let uris = [unique(), unique()].map(|path| format!("{}/{path}/callback", suite().application));
    let sector = suite().publish(&path, json!(uris).to_string());
    let of = |uri: &String| {
        let application = Application::with(
            &KEYED,
            &json!({"redirect_uris": [uri], "subject_type": "pairwise", "sector_identifier_uri": sector}),
        );
        let parameters = application.parameters(&[("redirect_uri", uri)]);
        let end = Browser::default().open(&application.url(&parameters));
        let response = application.take(&parameters, end);
        let redemption = [
            ("grant_type", "authorization_code"),
            ("code", response.get("code")),
            ("redirect_uri", uri),
        ];
        let tokens = token_response(&application.call("token_endpoint", &redemption));
        application.verified(tokens["id_token"].as_str().unwrap())["sub"].clone()
    };
    let names = [of(&uris[0]), of(&uris[1])];
    assert_eq!(names[0], names[1]);
    let public = Application::new(&KEYED).sign_in(&mut Browser::default(), &[]);
    assert_ne!(public.id_token["sub"], names[0]);
    // Whoever is not in the list.
    let outside = json!({
        "redirect_uris": [format!("{}/outside", suite().application)],
        "subject_type": "pairwise", "sector_identifier_uri": sector,
    });
    refused(&outside, "invalid_client_metadata");
}

#[test]
fn signing_keys_rotate_while_the_server_runs_and_the_old_ones_stay() {
    let kids = || -> Vec<String> {
        let keys = suite().jwks();
        let keys = keys["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let before = kids();
    suite().command(&["keys", "rotate"]);
    // The running server would look for keys that another process has made within a minute.
    suite().hang_up();
    for _ in 0..300 {
        let after = kids();
        if after.len() > before.len() {
            assert!(before.iter().all(|kid| after.contains(kid)), "{before:?} {after:?}");
            Application::new(&KEYED).sign_in(&mut Browser::default(), &[]);
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(250));
    }
    panic!("no new key was published");
}

#[test]
fn a_signed_request_by_reference_is_fetched_from_where_it_is_registered() {
    let path = format!("/{}/request.jwt", unique());
    // The fragment is no hash of what is there: it is compared, and nothing more.
    let uri = format!("{}{path}#{}", suite().application, unique());
    let wish = json!({"request_uris": [uri], "request_object_signing_alg": "RS256"});
    let application = Application::with(&KEYED, &wish);
    let parameters = application.parameters(&[("scope", "openid email")]);
    let mut object = json!({"iss": application.id(), "aud": suite().issuer, "exp": now() + 60});
    for (name, value) in &parameters {
        object[name] = json!(value);
    }
    suite().publish(&path, shared_key().sign(&object));
    // State and nonce come from the object alone.
    let outer = application.parameters(&[("request_uri", &uri), ("state", ""), ("nonce", "")]);
    let end = Browser::default().open(&application.url(&outer));
    let response = application.take(&parameters, end);
    let signed_in = application.finish(&response);
    assert_eq!(signed_in.tokens["scope"], "openid email");
}

#[test]
fn an_application_reads_and_removes_itself() {
    let of = format!("{}/begin", suite().application);
    let application = Application::with(&KEYED, &json!({"initiate_login_uri": of}));
    let bearer = format!("Bearer {}", application.text("registration_access_token"));
    let uri = application.text("registration_client_uri");
    let answer = suite().send("GET", &uri, &[("authorization", &bearer)], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["initiate_login_uri"], of);
    assert_eq!(answer.json()["client_id"], application.id());
    let id = application.id();
    drop(application);
    let answer = suite().send("GET", &uri, &[("authorization", &bearer)], "");
    assert_eq!(answer.status, 401, "{answer:?}");
    let gone = format!("{}?client_id={id}&response_type=code", endpoint("authorization_endpoint"));
    let End::Shown(page) = Browser::default().open(&gone) else { panic!() };
    assert_eq!(page.status, 400);
}

#[test]
fn a_login_can_be_begun_at_https_urls_alone() {
    refused(&json!({"initiate_login_uri": "http://rp.example/begin"}), "invalid_client_metadata");
}

#[test]
fn what_leads_into_the_network_or_runs_as_a_script_is_refused() {
    for change in [
        json!({"jwks_uri": "http://169.254.169.254/latest"}),
        json!({"logo_uri": "javascript:alert(1)"}),
        json!({"policy_uri": "data:text/html,x"}),
        json!({"request_uris": ["file:///etc/passwd"]}),
        json!({"sector_identifier_uri": "http://localhost/uris"}),
        // It may be registered nowhere that is private: this address is not among those that are open.
        json!({"sector_identifier_uri": "https://10.1.2.3/uris", "subject_type": "pairwise"}),
        json!({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}),
    ] {
        refused(&change, "invalid_client_metadata");
    }
}
