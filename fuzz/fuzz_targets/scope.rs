//! Scopes: the grammar of RFC 6749 section 3.3, and the laws of sets. Two texts, a line each.
#![no_main]

use grantor::Scope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(a) = Scope::parse(first) else {
        let token = |token: &str| {
            let sound = |b: u8| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
            !token.is_empty() && token.bytes().all(sound)
        };
        let is_sound = first.is_empty() || first.split(' ').all(token);
        let is_bounded = first.len() <= 2048 && first.split(' ').count() <= grantor::MAX_SCOPES;
        assert!(!(is_sound && is_bounded), "{first:?} is a scope");
        return;
    };
    let written = a.to_string();
    assert_eq!(Scope::parse(&written).as_ref(), Ok(&a));
    assert!(a.is_within(&a));
    let Ok(b) = Scope::parse(second) else { return };
    let (both, only, either) = (a.intersection(&b), a.without(&b), a.union(&b));
    assert!(both.is_within(&a) && both.is_within(&b));
    assert!(only.is_within(&a) && only.intersection(&b).is_empty());
    assert!(a.is_within(&either) && b.is_within(&either));
    let parts = both.union(&only);
    assert!(parts.is_within(&a) && a.is_within(&parts));
    assert_eq!(a.is_within(&b), only.is_empty());
});
