//! What a credential says comes back, and nobody can say anything else.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::server::AuthorizationServer;

static SERVER: LazyLock<AuthorizationServer> = LazyLock::new(crate::unit::server);

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Code), Just(Kind::Refresh)]
}

fn credential() -> impl Strategy<Value = Credential> {
    (kind(), any::<[u8; 16]>(), any::<u32>(), any::<i64>()).prop_map(
        |(kind, handle, number, expires_at)| {
            let expires_at = Time::from_millis(expires_at);
            Credential { kind, handle, number, expires_at }
        },
    )
}

fn seal(credential: &Credential) -> String {
    let sealed = credential.seal(&SERVER.ring(), SERVER.issuer(), SERVER.now());
    sealed.unwrap().expose().to_owned()
}

fn open(kind: Kind, text: &str) -> Result<Credential, Unopened> {
    Credential::open(kind, text, &SERVER.ring(), SERVER.issuer())
}

proptest! {
    #[test]
    fn what_was_sealed_opens_again(credential in credential()) {
        prop_assert_eq!(open(credential.kind, &seal(&credential)), Ok(credential));
    }

    #[test]
    fn the_same_record_gives_the_same_bytes_at_any_time(credential in credential(), at in any::<i64>()) {
        // `made_at` is the record's. Who seals later, or on another process, gets the same token.
        let (ring, issuer) = (SERVER.ring(), SERVER.issuer());
        let made_at = Time::from_millis(at);
        let first = credential.seal(&ring, issuer, made_at).unwrap();
        let second = credential.seal(&ring, issuer, made_at).unwrap();
        prop_assert_eq!(first.expose(), second.expose());
    }

    #[test]
    fn any_flipped_bit_is_refused(credential in credential(), bit in any::<prop::sample::Index>()) {
        let sealed = seal(&credential);
        let (prefix, encoded) = sealed.split_at(credential.kind.prefix().len());
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).unwrap();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let flipped = format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        prop_assert!(open(credential.kind, &flipped).is_err());
    }

    #[test]
    fn any_other_character_is_refused(
        credential in credential(),
        at in any::<prop::sample::Index>(),
        other in any::<char>(),
    ) {
        let sealed = seal(&credential);
        let mut characters: Vec<char> = sealed.chars().collect();
        let at = at.index(characters.len());
        prop_assume!(characters[at] != other);
        characters[at] = other;
        prop_assert!(open(credential.kind, &characters.iter().collect::<String>()).is_err());
        // A base64 reader that ignores padding, or what is left over, would give one token two names.
        for more in ["=", "A", " ", "."] {
            let longer = format!("{sealed}{more}");
            prop_assert!(open(credential.kind, &longer).is_err());
        }
        prop_assert!(open(credential.kind, &sealed[..sealed.len() - 1]).is_err());
    }

    #[test]
    fn a_code_is_no_refresh_token_and_the_other_way(credential in credential()) {
        let other = match credential.kind {
            Kind::Code => Kind::Refresh,
            Kind::Refresh => Kind::Code,
        };
        let sealed = seal(&credential);
        prop_assert!(open(other, &sealed).is_err());
        let renamed = sealed.replacen(credential.kind.prefix(), other.prefix(), 1);
        prop_assert!(open(other, &renamed).is_err());
    }

    #[test]
    fn another_issuer_with_the_same_keys_refuses(credential in credential()) {
        let other = Issuer::new("https://id.example.com/other").unwrap();
        let opened = Credential::open(credential.kind, &seal(&credential), &SERVER.ring(), &other);
        prop_assert_eq!(opened, Err(Unopened::Garbage));
    }

    #[test]
    fn a_ring_without_its_key_says_so(credential in credential()) {
        static OTHER: LazyLock<AuthorizationServer> = LazyLock::new(crate::unit::server);
        let opened =
            Credential::open(credential.kind, &seal(&credential), &OTHER.ring(), OTHER.issuer());
        prop_assert_eq!(opened, Err(Unopened::UnknownKey));
    }

    #[test]
    fn any_text_is_refused(kind in kind(), text in ".{0,120}") {
        prop_assert!(open(kind, &text).is_err());
        let text = format!("{}{text}", kind.prefix());
        prop_assert!(open(kind, &text).is_err());
    }
}
