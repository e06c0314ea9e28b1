//! Forms and queries: what our strict parser reads, a lenient one reads the same; nothing is repaired.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|encoded: &[u8]| {
    let Some(pairs) = grantor::fuzzing::form(encoded) else { return };
    // Two parsers that disagree about what was asked are how requests are smuggled.
    let lenient: Vec<(String, String)> = form_urlencoded::parse(encoded).into_owned().collect();
    assert_eq!(pairs, lenient);
    let again = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
    // Encoded anew it may be longer than is read.
    if let Some(read) = grantor::fuzzing::form(again.as_bytes()) {
        assert_eq!(read, pairs);
    }
    for (name, _) in &pairs {
        let values: Vec<&str> = pairs
            .iter()
            .filter(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
            .collect();
        let expected = match values.as_slice() {
            [one] if !one.is_empty() => Some(*one),
            // RFC 6749 section 3.1: repeated is refused, empty counts as absent.
            _ => None,
        };
        assert_eq!(grantor::fuzzing::form_value(encoded, name).as_deref(), expected);
    }
    assert!(pairs.len() <= 64 && pairs.iter().all(|(name, _)| name.len() <= 64));
});
