//! Codes and refresh tokens: they come back as they were sealed, every flipped bit is refused, and no
//! kind is taken for the other.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use grantor::Time;
use grantor::fuzzing::{open_credential, seal_credential};
use grantor_fuzz::World;
use libfuzzer_sys::fuzz_target;

static WORLD: LazyLock<World> = LazyLock::new(World::new);
static OTHER: LazyLock<World> = LazyLock::new(|| World::at("https://other.example.com"));

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    is_code: bool,
    handle: [u8; 16],
    number: u32,
    expires_at: i64,
    /// Where one character becomes another.
    at: u8,
    becomes: char,
    /// Something that nobody sealed.
    text: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let Input { is_code, handle, number, expires_at, at, becomes, text } = input;
    let server = &WORLD.server;
    assert_eq!(open_credential(server, is_code, text), None);
    let said = (handle, number, Time::from_millis(expires_at));
    let sealed = seal_credential(server, is_code, said);
    assert_eq!(open_credential(server, is_code, &sealed), Some(said));
    assert_eq!(open_credential(server, !is_code, &sealed), None, "the other kind");
    let (_, bare) = sealed.split_once('_').expect("a prefix");
    let disguised = format!("{}{bare}", if is_code { "rt_" } else { "authz_" });
    assert_eq!(open_credential(server, !is_code, &disguised), None, "with the other prefix");
    let at = usize::from(at) % sealed.len();
    let mut characters: Vec<char> = sealed.chars().collect();
    if characters[at] != becomes {
        characters[at] = becomes;
        let flipped: String = characters.into_iter().collect();
        assert_eq!(open_credential(server, is_code, &flipped), None, "{sealed} became {flipped}");
    }
    assert_eq!(open_credential(&OTHER.server, is_code, &sealed), None, "another issuer");
});
