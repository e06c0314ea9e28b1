//! What holds however an application asks.

use serde_json::{Value, json};

use crate::application::{Application, Profile, SignedIn, unique, unsigned, userinfo};
use crate::browser::{Browser, End};
use crate::suite::{EMAIL, suite};

const PROFILE: [&str; 14] = [
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "updated_at",
];

pub(crate) fn a_person_signs_in_and_the_application_learns_who(profile: &Profile) {
    let application = Application::new(profile);
    let mut browser = Browser::default();
    let SignedIn { id_token, access_token, .. } = application.sign_in(&mut browser, &[]);
    assert_eq!(browser.asked, ["login", "consent"]);
    // Nothing of the person that nobody asked for.
    for claim in PROFILE.iter().chain(&["email", "address", "phone_number"]) {
        assert!(id_token.get(claim).is_none(), "{claim}");
    }
    assert_eq!(access_token.is_some(), profile.has_access_token());
    if let Some(token) = access_token {
        let info = userinfo(&token);
        assert_eq!(info["sub"], id_token["sub"]);
        assert_eq!(info.as_object().unwrap().len(), 1, "{info}");
    }
    // Somebody who comes back is neither asked for a password nor for consent.
    application.sign_in(&mut browser, &[]);
    assert!(browser.asked.is_empty(), "{:?}", browser.asked);
}

pub(crate) fn a_missing_response_type_is_refused_to_the_application(profile: &Profile) {
    let application = Application::new(profile);
    let response = application.ask(&mut Browser::default(), &[("response_type", "")]);
    assert_eq!(response.get("error"), "invalid_request");
}

pub(crate) fn id_tokens_are_signed_with_rs256_by_a_published_key(profile: &Profile) {
    let application = Application::new(profile);
    assert_eq!(application.metadata["id_token_signed_response_alg"], "RS256");
    // Which `sign_in` demands of every ID token.
    application.sign_in(&mut Browser::default(), &[]);
    let keys = suite().jwks();
    let keys = keys["keys"].as_array().unwrap();
    let mut kids: Vec<_> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), keys.len());
    for (key, private) in keys.iter().flat_map(|key| ["d", "p", "q", "k"].map(|p| (key, p))) {
        assert!(key.get(private).is_none() && key["kty"] != "oct", "{key}");
    }
}

pub(crate) fn each_scope_releases_all_its_claims_and_no_others(profile: &Profile) {
    let application = Application::new(profile);
    let mut browser = Browser::default();
    let known = |scope: &str| -> Vec<&str> {
        match scope {
            "profile" => PROFILE.to_vec(),
            "email" => vec!["email", "email_verified"],
            "address" => vec!["address"],
            "phone" => vec!["phone_number", "phone_number_verified"],
            _ => Vec::new(),
        }
    };
    let all = ["profile", "email", "address", "phone"];
    let combinations = all.map(|one| vec![one]).into_iter().chain([all.to_vec()]);
    for scopes in combinations {
        let scope = format!("openid {}", scopes.join(" "));
        let signed_in = application.sign_in(&mut browser, &[("scope", &scope)]);
        let info = userinfo(signed_in.access_token.as_deref().unwrap());
        let mut expected: Vec<&str> = scopes.iter().flat_map(|scope| known(scope)).collect();
        expected.push("sub");
        expected.sort_unstable();
        let mut names: Vec<_> = info.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{scope}");
        for (name, value) in info.as_object().unwrap() {
            let is_right = match name.as_str() {
                "email_verified" | "phone_number_verified" => value.is_boolean(),
                "updated_at" => value.is_i64(),
                "address" => value.is_object(),
                _ => value.as_str().is_some_and(|text| !text.is_empty()),
            };
            assert!(is_right, "{name}: {value}");
            // They are at UserInfo, and not in the ID token too.
            assert!(name == "sub" || signed_in.id_token.get(name).is_none(), "{name}");
        }
    }
    let info = application.sign_in(&mut browser, &[("scope", "openid email")]);
    assert_eq!(userinfo(&info.access_token.unwrap())["email"], EMAIL);
}

pub(crate) fn scopes_and_parameters_come_in_any_order(profile: &Profile) {
    let application = Application::new(profile);
    let mut browser = Browser::default();
    let mut parameters = application.parameters(&[("scope", "phone email openid profile")]);
    parameters.reverse();
    let end = browser.open(&application.url(&parameters));
    let response = application.take(&parameters, end);
    application.finish(&response);
}

pub(crate) fn wishes_about_the_page_and_unknown_parameters_are_never_an_error(profile: &Profile) {
    let application = Application::new(profile);
    for wish in [
        ("display", "page"),
        ("display", "popup"),
        ("ui_locales", "se"),
        ("ui_locales", "en-GB de"),
        ("claims_locales", "se"),
        ("login_hint", "bob@example.com"),
        ("extra", "foobar"),
    ] {
        application.sign_in(&mut Browser::default(), &[wish]);
    }
}

pub(crate) fn prompt_login_asks_again(profile: &Profile) {
    let application = Application::new(profile);
    let mut browser = Browser::default();
    let first = application.sign_in(&mut browser, &[]).id_token;
    let second = application.sign_in(&mut browser, &[("prompt", "login")]).id_token;
    assert_eq!(browser.asked, ["login"]);
    assert_eq!(first["sub"], second["sub"]);
    assert!(second["auth_time"].as_i64() >= first["auth_time"].as_i64());
    // It is the same session to its applications, which are told of its end once.
    assert_eq!(first["sid"], second["sid"]);
}

pub(crate) fn prompt_none_without_a_session_is_refused_with_its_long_state(profile: &Profile) {
    let application = Application::new(profile);
    let mut browser = Browser::default();
    let response = application.ask(&mut browser, &[("prompt", "none")]);
    assert_eq!(response.get("error"), "login_required");
    assert_eq!(response.get("state").len(), 128);
    assert!(browser.asked.is_empty());
}

pub(crate) fn prompt_none_and_a_hint_succeed_silently_for_the_same_person(profile: &Profile) {
    let application = Application::new(profile);
    let mut browser = Browser::default();
    let first = application.sign_in(&mut browser, &[]);
    for more in [vec![], vec![("id_token_hint", first.raw_id_token.as_str())]] {
        let changes = [vec![("prompt", "none")], more].concat();
        let second = application.sign_in(&mut browser, &changes);
        assert!(browser.asked.is_empty());
        for claim in ["sub", "auth_time", "sid"] {
            assert_eq!(first.id_token[claim], second.id_token[claim], "{claim}");
        }
    }
}

pub(crate) fn a_login_that_is_too_old_is_asked_for_again_and_one_that_is_not_is_not(
    profile: &Profile,
) {
    let application = Application::new(profile);
    let mut browser = Browser::default();
    let first = application.sign_in(&mut browser, &[("max_age", "15000")]).id_token;
    let second = application.sign_in(&mut browser, &[("max_age", "10000")]).id_token;
    assert!(browser.asked.is_empty());
    assert_eq!(first["auth_time"], second["auth_time"]);
    // Whatever was before is too old.
    let third = application.sign_in(&mut browser, &[("max_age", "0")]).id_token;
    assert_eq!(browser.asked, ["login"]);
    assert!(third["auth_time"].as_i64() >= second["auth_time"].as_i64());
}

pub(crate) fn the_context_class_that_was_asked_for_is_in_the_id_token(profile: &Profile) {
    let application = Application::new(profile);
    let metadata = suite().metadata();
    let known = metadata["acr_values_supported"].as_array().unwrap();
    let wanted: Vec<_> = known.iter().map(|acr| acr.as_str().unwrap()).collect();
    let wish = [("acr_values", &*wanted.join(" "))];
    let id_token = application.sign_in(&mut Browser::default(), &wish).id_token;
    assert!(known.contains(&id_token["acr"]), "{id_token}");
}

pub(crate) fn a_redirect_uri_that_is_not_registered_leads_to_a_page(profile: &Profile) {
    let application = Application::new(profile);
    let other = format!("{}/{}", application.redirect_uri, unique());
    let page = application.ask_in_vain(&[("redirect_uri", &other)]);
    assert!(page.text.contains("redirect_uri_mismatch"), "{page:?}");
}

pub(crate) fn the_request_may_be_posted(profile: &Profile) {
    let application = Application::new(profile);
    let parameters = application.parameters(&[]);
    let form: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
    let url = crate::application::endpoint("authorization_endpoint");
    let end = Browser::default().post(&url, &form);
    let response = application.take(&parameters, end);
    application.finish(&response);
}

pub(crate) fn an_unsigned_request_object_is_refused(profile: &Profile) {
    let application = Application::new(profile);
    let metadata = suite().metadata();
    let known = metadata["request_object_signing_alg_values_supported"].as_array().unwrap();
    assert!(!known.contains(&json!("none")));
    let object = unsigned(&json!({"iss": application.id(), "aud": suite().issuer}));
    let response = application.ask(&mut Browser::default(), &[("request", &object)]);
    assert_eq!(response.get("error"), "invalid_request_object");
    // By reference it would have to be registered first.
    let uri = suite().publish(&format!("/{}", unique()), object);
    let response = application.ask(&mut Browser::default(), &[("request_uri", &uri)]);
    assert_eq!(response.get("error"), "invalid_request_uri");
}

pub(crate) fn a_claim_that_is_asked_for_by_name_is_given(profile: &Profile) {
    let application = Application::new(profile);
    let wish = json!({"userinfo": {"name": {"essential": true}}}).to_string();
    let signed_in = application.sign_in(&mut Browser::default(), &[("claims", &wish)]);
    assert_eq!(userinfo(signed_in.access_token.as_deref().unwrap())["name"], "Dana Demo");
    assert_eq!(signed_in.id_token.get("name"), None::<&Value>);
}

pub(crate) fn a_request_object_with_a_redirect_uri_of_its_own_counts_or_shows_a_page(
    profile: &Profile,
) {
    let application = Application::new(profile);
    let bad = format!("{}/{}", application.redirect_uri, unique());
    let mut object = json!({"iss": application.id(), "aud": suite().issuer});
    let parameters = application.parameters(&[]);
    for (name, value) in &parameters {
        object[name] = json!(value);
    }
    let signed = crate::application::shared_key().sign(&object);
    let outer = application.parameters(&[("redirect_uri", &bad), ("request", &signed)]);
    match Browser::default().open(&application.url(&outer)) {
        End::Shown(page) => assert_eq!(page.status, 400, "{page:?}"),
        end => {
            let response = application.take(&parameters, end);
            application.finish(&response);
        }
    }
}
