//! Pages of applications ask in the browser whether their person is still signed in. What the page of the server does in
//! a real browser is seen with one (`session-management.test.mjs`); here its answer is computed by hand.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::application::{Application, Profile, Response, endpoint};
use crate::browser::Browser;
use crate::logout::end_session;
use crate::suite::suite;

/// What section 3.2 of OpenID Connect Session Management has the page find out.
fn is_unchanged(application: &Application, response: &Response, browser: &Browser) -> bool {
    let session_state = response.get("session_state");
    let (hash, salt) = session_state.split_once('.').unwrap();
    let (client_id, origin, state) = (application.id(), &suite().application, browser.state());
    let now = Sha256::digest(format!("{client_id} {origin} {state} {salt}"));
    hash == BASE64_URL_SAFE_NO_PAD.encode(now)
}

pub(crate) fn an_answer_holds_while_the_person_is_signed_in_and_no_longer(profile: &Profile) {
    let application = Application::new(profile);
    let mut browser = Browser::default();
    let first = application.ask(&mut browser, &[]);
    let silent = application.ask(&mut browser, &[("prompt", "none")]);
    // Asking for the password again is no other session.
    let again = application.ask(&mut browser, &[("prompt", "login")]);
    assert_eq!(browser.asked, ["login"]);
    for response in [&first, &silent, &again] {
        assert!(is_unchanged(&application, response, &browser), "{response:?}");
    }
    end_session(&mut browser, &[]);
    assert_eq!(browser.asked, ["logout"]);
    assert!(!is_unchanged(&application, &silent, &browser));
    // And of somebody who is not there.
    let nobody = application.ask(&mut browser, &[("prompt", "none")]);
    assert_eq!(nobody.get("error"), "login_required");
    assert!(is_unchanged(&application, &nobody, &browser));
    application.ask(&mut browser, &[]);
    for response in [&first, &nobody] {
        assert!(!is_unchanged(&application, response, &browser), "{response:?}");
    }
}

#[test]
fn an_answer_is_for_one_application_of_one_browser() {
    let [one, other] = [(), ()].map(|()| Application::new(&Profile::BASIC));
    let (mut browser, mut elsewhere) = (Browser::default(), Browser::default());
    let response = one.ask(&mut browser, &[]);
    one.ask(&mut elsewhere, &[]);
    assert!(!is_unchanged(&other, &response, &browser));
    assert!(!is_unchanged(&one, &response, &elsewhere));
}

#[test]
fn any_page_may_have_the_servers_page_in_a_frame() {
    let page = suite().send("GET", &endpoint("check_session_iframe"), &[], "");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(!policy.contains("frame-ancestors") && policy.contains("script-src 'sha256-"));
    assert_eq!(page.header("x-frame-options"), None);
    // The pages where people decide may be in nobody's.
    let login = suite().get("/login");
    assert!(login.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
}
