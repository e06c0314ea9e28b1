//! A request comes through the host's pages as it was made.

use std::sync::LazyLock;

use pollster::block_on;
use proptest::prelude::*;

use super::*;

static SERVER: LazyLock<AuthorizationServer> = LazyLock::new(crate::unit::server);

fn seal(purpose: Purpose, request: &str) -> Ticket {
    Ticket::seal(&SERVER, purpose, request, SERVER.now()).unwrap().ok().expect("it fits")
}

fn open(purpose: Purpose, text: &str) -> Option<Ticket> {
    block_on(Ticket::open(&SERVER, purpose, text, SERVER.now())).unwrap()
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![Just(Purpose::Authorization), Just(Purpose::Logout)]
}

/// A request with values of any kind.
fn request() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(".{0,40}", PARAMETERS.len())
        .prop_map(|values| PARAMETERS.iter().map(|name| (*name).to_owned()).zip(values).collect())
}

fn encoded(request: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(request).finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_parameter_comes_back_byte_for_byte(request in request()) {
        let sealed = seal(Purpose::Authorization, &encoded(&request));
        let opened = open(Purpose::Authorization, &sealed.to_string()).unwrap();
        prop_assert_eq!((opened.id, opened.issued_at), (sealed.id, sealed.issued_at));
        for (name, value) in &request {
            let found = opened.parameters.get(name);
            prop_assert_eq!(found, Some(value.as_str()).filter(|value| !value.is_empty()));
        }
        let again = seal(Purpose::Authorization, &opened.query());
        prop_assert_eq!(again.query(), opened.query());
    }

    #[test]
    fn any_flipped_bit_is_refused(
        purpose in purpose(),
        request in request(),
        bit in any::<prop::sample::Index>(),
    ) {
        let sealed = seal(purpose, &encoded(&request)).to_string();
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(open(purpose, &BASE64_URL_SAFE_NO_PAD.encode(bytes)).is_none());
        prop_assert!(open(purpose, &(sealed + "=")).is_none());
    }

    #[test]
    fn a_ticket_for_signing_out_signs_nobody_in(request in request()) {
        let encoded = encoded(&request);
        let login = seal(Purpose::Authorization, &encoded).to_string();
        let logout = seal(Purpose::Logout, &encoded).to_string();
        prop_assert!(open(Purpose::Logout, &login).is_none());
        prop_assert!(open(Purpose::Authorization, &logout).is_none());
    }

    #[test]
    fn each_ticket_and_session_and_person_is_a_grant_of_its_own(
        sessions in prop::collection::btree_set(("[ab]{0,2}", "[ab]{0,2}"), 2..6),
    ) {
        let now = SERVER.now();
        let (first, second) = (seal(Purpose::Authorization, "a=b"), seal(Purpose::Authorization, "a=b"));
        let mut handles = Vec::new();
        for (subject, id) in &sessions {
            let session = Session::new(subject, id, now);
            let handle = first.grant_handle(&SERVER, &session).unwrap();
            // Coming back from a page elsewhere is the same request.
            let returned = first.clone().into_returned(&SERVER).unwrap();
            prop_assert_eq!(returned.grant_handle(&SERVER, &session).unwrap(), handle);
            handles.extend([handle, second.grant_handle(&SERVER, &session).unwrap()]);
        }
        handles.sort_unstable();
        handles.dedup();
        prop_assert_eq!(handles.len(), sessions.len() * 2);
    }
}

#[test]
fn a_request_of_the_largest_size_comes_through_and_one_byte_more_does_not() {
    let largest = format!("state={}", "x".repeat(MAX_REQUEST - "state=".len()));
    let sealed = seal(Purpose::Authorization, &largest);
    assert_eq!(sealed.to_string().len(), MAX_TEXT);
    let opened = open(Purpose::Authorization, &sealed.to_string()).unwrap();
    assert_eq!(opened.query(), largest);
    let larger =
        Ticket::seal(&SERVER, Purpose::Authorization, &format!("{largest}x"), SERVER.now());
    assert!(matches!(larger, Ok(Err(TooLarge))));
}

#[test]
fn a_ticket_lives_for_ten_minutes() {
    let ticket = seal(Purpose::Authorization, "a=b");
    let end = ticket.issued_at.plus(LIFETIME);
    assert!(ticket.is_expired(end) && !ticket.is_expired(end.minus(Duration::from_millis(1))));
}

#[test]
fn a_ticket_does_not_print() {
    let ticket = seal(Purpose::Authorization, "state=secret");
    assert_eq!(format!("{ticket:?}"), "Ticket([redacted])");
}
