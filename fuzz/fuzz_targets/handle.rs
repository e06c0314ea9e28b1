//! Whole requests: any bytes get a sound answer. The input is text in the form of HTTP: a line with
//! method and target, headers, an empty line, a body.
#![no_main]

use std::sync::LazyLock;

use grantor_fuzz::World;
use grantor_fuzz::http::{check, filled, request};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fuzz_target!(|bytes: &[u8]| {
    let filled = filled(bytes, &[("SECRET", WORLD.secret.expose())]);
    let Some(request) = request(&filled) else { return };
    let response = block_on(WORLD.server.handle(&request));
    check(&response);
    // Nothing changed: the same request gets the same kind of answer.
    assert_eq!(block_on(WORLD.server.handle(&request)).status, response.status);
});
