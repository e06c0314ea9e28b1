//! Basic headers (RFC 6749 section 2.3.1): any id and secret arrive as they were, and nothing else is
//! read.
#![no_main]

use arbitrary::Arbitrary;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Pair(String, String),
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn header(id: &str, secret: &str) -> Vec<u8> {
    let pair = format!("{}:{}", encoded(id), encoded(secret));
    format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes()
}

fuzz_target!(|input: Input| {
    let sound = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    match input {
        Input::Bytes(bytes) => {
            if let Some((id, secret)) = grantor::fuzzing::basic_header(&bytes) {
                assert!(sound(&id) && sound(&secret));
                let again = grantor::fuzzing::basic_header(&header(&id, &secret));
                assert_eq!(again, Some((id, secret)));
            }
        }
        Input::Pair(id, secret) => {
            let read = grantor::fuzzing::basic_header(&header(&id, &secret));
            let expected = (sound(&id) && sound(&secret)).then_some((id, secret));
            assert_eq!(read, expected);
        }
    }
});
