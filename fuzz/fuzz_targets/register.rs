//! Registrations and what a client changes of itself (RFC 7591, RFC 7592): any bytes get a sound answer, and whatever was
//! registered can be read and deleted by its own token. The input is text as in `handle`, in which `@CLIENT@` and `@TOKEN@`
//! are those of a client that has registered itself.
#![no_main]

use std::cell::LazyCell;

use grantor::{Method, Request, Response};
use grantor_fuzz::World;
use grantor_fuzz::http::{check, filled, request};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;
use serde_json::Value;

thread_local! {
    static WORLD: LazyCell<World> = LazyCell::new(World::open);
}

/// A client that has registered itself, and is what the server says of it.
struct Registered {
    client_id: String,
    token: String,
}

impl Registered {
    fn of(response: &Response) -> Self {
        let body: Value = serde_json::from_slice(&response.body).expect("JSON");
        let text = |name: &str| body[name].as_str().expect(name).to_owned();
        Self { client_id: text("client_id"), token: text("registration_access_token") }
    }

    fn new(world: &World) -> Self {
        let mut request =
            Request::get("/oauth2/register").header("content-type", "application/json");
        request.method = Method::Post;
        request.body = br#"{"redirect_uris":["https://rp.example/cb"]}"#.to_vec();
        let response = block_on(world.server.handle(&request));
        assert_eq!(response.status, 201);
        Self::of(&response)
    }

    fn manage(&self, world: &World, method: Method) -> u16 {
        let target = format!("/oauth2/register?client_id={}", self.client_id);
        let mut request =
            Request::get(&target).header("authorization", format!("Bearer {}", self.token));
        request.method = method;
        block_on(world.server.handle(&request)).status
    }

    /// It can be read, and deleted, and then it is gone.
    fn end(self, world: &World) {
        assert_eq!(self.manage(world, Method::Get), 200);
        assert_eq!(self.manage(world, Method::Delete), 204);
        assert_eq!(self.manage(world, Method::Get), 401);
    }
}

fuzz_target!(|bytes: &[u8]| {
    WORLD.with(|world| {
        let own = Registered::new(world);
        let values = [("CLIENT", own.client_id.as_str()), ("TOKEN", own.token.as_str())];
        let response = request(&filled(bytes, &values)).map(|request| {
            let response = block_on(world.server.handle(&request));
            check(&response);
            (request.method, response)
        });
        match response {
            Some((Method::Post, response)) if response.status == 201 => {
                Registered::of(&response).end(world);
                own.end(world);
            }
            // It may have another token now.
            Some((Method::Put, response)) if response.status == 200 => {
                let body: Value = serde_json::from_slice(&response.body).expect("JSON");
                let token = body["registration_access_token"].as_str().unwrap_or(&own.token).into();
                Registered { token, ..own }.end(world);
            }
            Some((Method::Delete, response)) if response.status == 204 => {
                assert_eq!(own.manage(world, Method::Get), 401);
            }
            // Nothing else has changed it.
            _ => own.end(world),
        }
    });
});
