//! Tickets: the request comes back as it went in, and every changed character is refused.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use grantor::fuzzing::{AUTHORIZATION, form, open_ticket, seal_ticket};
use grantor_fuzz::World;
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

static WORLD: LazyLock<World> = LazyLock::new(World::new);

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    query: &'a str,
    at: u16,
    becomes: char,
    text: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let Input { query, at, becomes, text } = input;
    let server = &WORLD.server;
    assert_eq!(block_on(open_ticket(server, text)), None);
    let Some(sealed) = seal_ticket(server, query) else { return };
    let opened = block_on(open_ticket(server, &sealed)).expect("what was sealed opens");
    // The parameters of an authorization request, and no others, in their order.
    let (before, after) = (form(query.as_bytes()), form(opened.as_bytes()));
    let (before, after) = (before.expect("it was sealed"), after.expect("it was opened"));
    let of_the_request = before.into_iter().filter(|(name, _)| AUTHORIZATION.contains(&&**name));
    assert_eq!(after, of_the_request.collect::<Vec<_>>(), "{query} became {opened}");
    let mut characters: Vec<char> = sealed.chars().collect();
    let at = usize::from(at) % characters.len();
    if characters[at] != becomes {
        characters[at] = becomes;
        let flipped: String = characters.into_iter().collect();
        assert_eq!(block_on(open_ticket(server, &flipped)), None);
    }
});
