//! What OpenID certification asks of a provider, asked of a running `grantor-server` over TLS, in the configuration
//! for such runs (`packaging/certification.toml`). A test is a claim; the book lists them by profile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "these are tests: a panic is how they fail"
)]

mod application;
mod browser;
mod config;
mod dynamic;
mod every;
mod logout;
mod methods;
mod session_management;
mod suite;
mod wire;
mod with_code;

use application::Profile;

/// Each claim, for each of these ways to ask.
macro_rules! claims {
    ($($profile:ident: $how:expr, $module:ident [$($claim:ident)*];)*) => {
        $(mod $profile {
            use crate::Profile;
            $(#[test]
            fn $claim() {
                crate::$module::$claim(&$how);
            })*
        })*
    };
}

/// The claims of every profile.
macro_rules! every_profile {
    ($($profile:ident: $how:expr;)*) => {
        claims! {
            $($profile: $how, every [
                a_person_signs_in_and_the_application_learns_who
                a_missing_response_type_is_refused_to_the_application
                id_tokens_are_signed_with_rs256_by_a_published_key
                each_scope_releases_all_its_claims_and_no_others
                scopes_and_parameters_come_in_any_order
                wishes_about_the_page_and_unknown_parameters_are_never_an_error
                prompt_login_asks_again
                prompt_none_without_a_session_is_refused_with_its_long_state
                prompt_none_and_a_hint_succeed_silently_for_the_same_person
                a_login_that_is_too_old_is_asked_for_again_and_one_that_is_not_is_not
                the_context_class_that_was_asked_for_is_in_the_id_token
                a_redirect_uri_that_is_not_registered_leads_to_a_page
                the_request_may_be_posted
                an_unsigned_request_object_is_refused
                a_claim_that_is_asked_for_by_name_is_given
                a_request_object_with_a_redirect_uri_of_its_own_counts_or_shows_a_page
            ];)*
        }
    };
}

every_profile! {
    basic: Profile::BASIC;
    form_post: Profile::FORM_POST;
    implicit_id_token_token: Profile::of("id_token token");
    hybrid_code_id_token: Profile::of("code id_token");
    hybrid_code_token: Profile::of("code token");
    hybrid_code_id_token_token: Profile::of("code id_token token");
}

claims! {
    basic_code: Profile::BASIC, with_code [
        a_code_is_of_no_use_twice_and_what_it_led_to_ends
        a_refresh_keeps_who_and_when_and_is_for_its_own_application
        proof_keys_are_understood
        no_nonce_is_needed
    ];
    form_post_code: Profile::FORM_POST, with_code [
        a_code_is_of_no_use_twice_and_what_it_led_to_ends
        a_refresh_keeps_who_and_when_and_is_for_its_own_application
        proof_keys_are_understood
        no_nonce_is_needed
    ];
    hybrid_code: Profile::of("code id_token token"), with_code [
        a_code_is_of_no_use_twice_and_what_it_led_to_ends
        a_refresh_keeps_who_and_when_and_is_for_its_own_application
        proof_keys_are_understood
    ];
    basic_session: Profile::BASIC, session_management [
        an_answer_holds_while_the_person_is_signed_in_and_no_longer
    ];
    form_post_session: Profile::FORM_POST, session_management [
        an_answer_holds_while_the_person_is_signed_in_and_no_longer
    ];
    implicit_session: Profile::of("id_token token"), session_management [
        an_answer_holds_while_the_person_is_signed_in_and_no_longer
    ];
    hybrid_session: Profile::of("code id_token"), session_management [
        an_answer_holds_while_the_person_is_signed_in_and_no_longer
    ];
    implicit_id_token: Profile::of("id_token"), every [
        a_person_signs_in_and_the_application_learns_who
        a_missing_response_type_is_refused_to_the_application
        id_tokens_are_signed_with_rs256_by_a_published_key
        prompt_none_without_a_session_is_refused_with_its_long_state
        a_redirect_uri_that_is_not_registered_leads_to_a_page
        the_request_may_be_posted
    ];
}
