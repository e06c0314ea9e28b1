//! Signing out, and how other applications learn of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use url::Url;

use crate::application::{Application, Profile, SignedIn, endpoint, is_alive, unique, unsigned};
use crate::browser::{Browser, End};
use crate::suite::suite;

const PROFILE: Profile = Profile::BASIC;

/// An application that people come back to after signing out.
fn application(more: &Value) -> (Application, String) {
    let bye = format!("{}/{}/bye", suite().application, unique());
    let mut metadata = json!({"post_logout_redirect_uris": [bye]});
    for (name, value) in more.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    (Application::with(&PROFILE, &metadata), bye)
}

pub(crate) fn end_session(browser: &mut Browser, parameters: &[(&str, &str)]) -> End {
    let mut url = Url::parse(&endpoint("end_session_endpoint")).unwrap();
    url.query_pairs_mut().extend_pairs(parameters);
    browser.open(url.as_str().trim_end_matches('?'))
}

/// Nobody is signed in at the server any more.
fn assert_signed_out(application: &Application, browser: &mut Browser) {
    let response = application.ask(browser, &[("prompt", "none")]);
    assert_eq!(response.get("error"), "login_required");
}

fn assert_page(end: &End, status: u16, text: &str) {
    match end {
        End::Shown(page) => {
            assert_eq!(page.status, status, "{page:?}");
            assert!(page.text.contains(text), "{page:?}");
            assert_eq!(page.header("location"), None);
        }
        other => panic!("{other:?}"),
    }
}

const SIGNED_OUT: &str = "You have been signed out";

#[test]
fn a_person_who_signs_out_goes_back_with_the_state_and_nothing_else() {
    let (application, bye) = application(&json!({}));
    for state in [unique().repeat(3)[..128].to_owned(), String::new()] {
        let mut browser = Browser::default();
        let hint = application.sign_in(&mut browser, &[]).raw_id_token;
        let mut parameters = vec![("id_token_hint", &*hint), ("post_logout_redirect_uri", &*bye)];
        if !state.is_empty() {
            parameters.push(("state", &state));
        }
        let End::Redirected(url) = end_session(&mut browser, &parameters) else { panic!() };
        let expected = match state.is_empty() {
            true => bye.clone(),
            false => format!("{bye}?state={state}"),
        };
        assert_eq!(url.as_str(), expected);
        assert_signed_out(&application, &mut browser);
    }
}

#[test]
fn a_redirect_that_is_not_registered_leads_to_a_page() {
    let (application, bye) = application(&json!({}));
    let mut browser = Browser::default();
    let hint = application.sign_in(&mut browser, &[]).raw_id_token;
    for bad in [format!("{bye}/{}", unique()), format!("{bye}?foo=bar")] {
        let parameters = [("id_token_hint", &*hint), ("post_logout_redirect_uri", &*bad)];
        let end = end_session(&mut browser, &parameters);
        assert_page(&end, 400, "post_logout_redirect_uri is not registered");
    }
}

#[test]
fn a_hint_that_is_not_ours_leads_to_a_page() {
    let (application, bye) = application(&json!({}));
    let mut browser = Browser::default();
    let hint = application.sign_in(&mut browser, &[]).id_token;
    let foreign = json!({"iss": "https://other.example", "sub": hint["sub"], "aud": "other"});
    for bad in [unsigned(&hint), crate::application::shared_key().sign(&foreign)] {
        let parameters = [("id_token_hint", &*bad), ("post_logout_redirect_uri", &*bye)];
        assert_page(&end_session(&mut browser, &parameters), 400, "id_token_hint is invalid");
    }
    // A redirect URI without a hint.
    let end = end_session(&mut browser, &[("post_logout_redirect_uri", &bye)]);
    assert_page(&end, 400, "post_logout_redirect_uri is not registered");
}

#[test]
fn without_a_redirect_a_person_signs_out_on_a_page() {
    let (application, _) = application(&json!({}));
    for with_hint in [true, false] {
        let mut browser = Browser::default();
        let hint = application.sign_in(&mut browser, &[]).raw_id_token;
        let mut parameters = vec![("state", "nowhere")];
        if with_hint {
            parameters.push(("id_token_hint", &hint));
        }
        let end = end_session(&mut browser, &parameters);
        assert_page(&end, 200, SIGNED_OUT);
        // Without a proof that it comes from an application of theirs, they are asked.
        assert_eq!(browser.asked, if with_hint { vec![] } else { vec!["logout"] });
        assert_signed_out(&application, &mut browser);
    }
    let mut browser = Browser::default();
    application.sign_in(&mut browser, &[]);
    assert_page(&end_session(&mut browser, &[]), 200, SIGNED_OUT);
}

/// Signs in to an application, and out again by it.
fn sign_in_and_out(application: &Application, browser: &mut Browser, bye: &str) -> SignedIn {
    let signed_in = application.sign_in(browser, &[]);
    let parameters = [
        ("id_token_hint", &*signed_in.raw_id_token),
        ("post_logout_redirect_uri", bye),
        ("state", "s"),
    ];
    let End::Redirected(url) = end_session(browser, &parameters) else { panic!() };
    assert_eq!(url.as_str(), format!("{bye}?state=s"));
    signed_in
}

/// The form that was posted to a path of the applications' host, once it has come.
fn received(path: &str) -> BTreeMap<String, String> {
    for _ in 0..200 {
        if let Some(body) = suite().posted(path).first() {
            return url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        }
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    panic!("nothing came to {path}");
}

#[test]
fn an_application_is_told_behind_the_persons_back() {
    let path = format!("/{}/backchannel", unique());
    let uri = suite().publish(&path, "{}");
    let wish = json!({
        "backchannel_logout_uri": uri, "backchannel_logout_session_required": true,
    });
    let (application, bye) = application(&wish);
    let metadata = suite().metadata();
    for name in ["backchannel_logout_supported", "backchannel_logout_session_supported"] {
        assert_eq!(metadata[name], true, "{name}");
    }
    let mut browser = Browser::default();
    let signed_in = sign_in_and_out(&application, &mut browser, &bye);
    let form = received(&path);
    assert_eq!(form.keys().collect::<Vec<_>>(), ["logout_token"]);
    let token = &form["logout_token"];
    let claims = application.verified(token);
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("logout+jwt"));
    let event = "http://schemas.openid.net/event/backchannel-logout";
    assert_eq!(claims["events"], json!({event: {}}));
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!(suite().issuer), &json!(application.id()))
    );
    for name in ["sub", "sid"] {
        assert_eq!(claims[name], signed_in.id_token[name], "{name}");
    }
    assert!(claims["jti"].is_string() && claims["iat"].is_i64() && claims.get("nonce").is_none());
    assert_signed_out(&application, &mut browser);
    // What it was granted without `offline_access` ends with the session.
    assert!(!is_alive(signed_in.access_token.as_deref().unwrap()));
}

#[test]
fn a_page_of_an_application_is_opened_in_a_frame_and_the_person_goes_on() {
    let page = format!("{}/{}/frame", suite().application, unique());
    let wish = json!({
        "frontchannel_logout_uri": page, "frontchannel_logout_session_required": true,
    });
    let (application, bye) = application(&wish);
    let metadata = suite().metadata();
    for name in ["frontchannel_logout_supported", "frontchannel_logout_session_supported"] {
        assert_eq!(metadata[name], true, "{name}");
    }
    let mut browser = Browser::default();
    let signed_in = sign_in_and_out(&application, &mut browser, &bye);
    let [frame] = browser.frames.as_slice() else { panic!("{:?}", browser.frames) };
    let frame = Url::parse(frame).unwrap();
    assert!(frame.as_str().starts_with(&format!("{page}?")), "{frame}");
    let pairs: BTreeMap<String, String> = frame.query_pairs().into_owned().collect();
    let sid = signed_in.id_token["sid"].as_str().unwrap().to_owned();
    let expected = [("iss".to_owned(), suite().issuer.clone()), ("sid".to_owned(), sid)];
    assert_eq!(pairs, expected.into());
    assert_signed_out(&application, &mut browser);
}

#[test]
fn where_applications_are_told_must_be_theirs_and_safe() {
    for change in [
        json!({"backchannel_logout_uri": "http://rp.example/out"}),
        json!({"backchannel_logout_uri": "https://rp.example/out#fragment"}),
        json!({"frontchannel_logout_uri": "https://elsewhere.example/out"}),
        json!({"frontchannel_logout_uri": "javascript:alert(1)"}),
        json!({"backchannel_logout_session_required": "yes"}),
    ] {
        let mut metadata = json!({"redirect_uris": [format!("{}/cb", suite().application)]});
        for (name, value) in change.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        let answer = crate::application::register(&metadata);
        crate::application::assert_error(&answer, "invalid_client_metadata");
    }
}
