//! Message authentication codes (HMAC-SHA256, RFC 2104) and the one comparison whose time tells
//! nothing of what it compares.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, Context, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::issuer::Issuer;

/// A key for one purpose and one issuer, so that what is sealed for one is never valid as another.
pub(crate) struct Key(hmac::Key);

impl Key {
    pub(crate) fn derived(secret: &[u8; 32], purpose: &str, issuer: &Issuer) -> Self {
        let material = [b"grantor 1\0", purpose.as_bytes(), b"\0", issuer.as_str().as_bytes()];
        let key = Zeroizing::new(hmac(secret, &material));
        Self(hmac::Key::new(HMAC_SHA256, key.as_slice()))
    }

    pub(crate) fn code(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = Context::with_key(&self.0);
        for part in parts {
            // Lengths separate the parts: ("ab", "c") and ("a", "bc") differ.
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        code(context)
    }
}

/// The code of what `parts` are one after the other. A key may have any length.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::with_key(&hmac::Key::new(HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    code(context)
}

fn code(context: Context) -> [u8; 32] {
    let mut code = [0; 32];
    code.copy_from_slice(context.sign().as_ref());
    code
}

/// Whether two values are the same, in a time that depends on their lengths alone: a guess learns
/// nothing of how much of it was right. Whatever comes from outside and is compared with a secret
/// is compared here.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(secret: &[u8; 32], purpose: &str, issuer: &Issuer, parts: &[&[u8]]) -> [u8; 32] {
        Key::derived(secret, purpose, issuer).code(parts)
    }

    #[test]
    fn the_code_of_rfc_4231_in_one_part_or_in_two() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        for parts in [
            [b"what do ya want for nothing?".as_slice(), b""],
            [b"what do ya want ", b"for nothing?"],
        ] {
            let code: String =
                hmac(b"Jefe", &parts).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(code, expected);
        }
    }

    #[test]
    fn what_was_derived_once_is_derived_for_ever() {
        let issuer = Issuer::new("https://one.example").unwrap();
        let code = derived(&[7; 32], "pairwise", &issuer, &[b"rp.example", b"ann"]);
        // Computed apart from this code: HMAC(HMAC(secret, "grantor 1\0pairwise\0https://one.example"),
        // len || "rp.example" || len || "ann").
        let text: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "56e818ea76f16be7345dc4f676d9e7a852a8fa849e11e2f3b88b5aef84314e98");
    }

    #[test]
    fn purpose_issuer_and_the_borders_of_the_parts_all_count() {
        let issuer = |url: &str| Issuer::new(url).unwrap();
        let one = issuer("https://one.example");
        let code = derived(&[7; 32], "code", &one, &[b"ab", b"c"]);
        assert_eq!(code, derived(&[7; 32], "code", &one, &[b"ab", b"c"]));
        let two = issuer("https://two.example");
        for other in [
            derived(&[8; 32], "code", &one, &[b"ab", b"c"]),
            derived(&[7; 32], "ticket", &one, &[b"ab", b"c"]),
            derived(&[7; 32], "code", &two, &[b"ab", b"c"]),
            derived(&[7; 32], "code", &one, &[b"a", b"bc"]),
            derived(&[7; 32], "code", &one, &[b"abc"]),
        ] {
            assert!(!same(&code, &other));
        }
    }

    #[test]
    fn only_the_same_bytes_are_the_same() {
        assert!(same(b"", b""));
        assert!(same(b"secret", b"secret"));
        for other in [b"secreT".as_slice(), b"Secret", b"secre", b"secrets", b""] {
            assert!(!same(b"secret", other), "{other:?}");
        }
    }
}
