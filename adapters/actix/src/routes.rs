//! The engine's paths as actix routes.

use actix_web::web::{Payload, ServiceConfig, route};
use actix_web::{HttpRequest, HttpResponse};
use grantor::{AuthorizationServer, MAX_BODY, Method};

use crate::Reply;

/// The engine's endpoints. Configure the host's app with them, not a scope of it: their paths contain
/// the issuer's path, and the well-known documents must stand at the root (RFC 8414 section 3.1).
pub fn routes(server: &AuthorizationServer) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
    let server = server.clone();
    move |config| {
        for path in server.paths() {
            let server = server.clone();
            let answer = move |request, payload| answer(server.clone(), request, payload);
            config.route(&path, route().to(answer));
        }
    }
}

async fn answer(
    server: AuthorizationServer,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let body = async {
        let body = payload.to_bytes_limited(MAX_BODY).await;
        body.map_err(drop)?.map(Vec::from).map_err(drop)
    };
    Reply::from(grantor_tokio::answer(&server, to_engine(&request), body).await).into()
}

/// The parts that the engine looks at, undecoded and without the body.
pub(crate) fn to_engine(request: &HttpRequest) -> grantor::Request {
    let headers = grantor::Request::HEADERS.iter().flat_map(|name| {
        request.headers().get_all(*name).map(|value| (*name, value.as_bytes().to_vec()))
    });
    grantor::Request {
        method: Method::from_name(request.method().as_str()),
        path: request.uri().path().to_owned(),
        query: request.uri().query().map(str::to_owned),
        headers: headers.collect(),
        body: Vec::new(),
        peer: request.peer_addr().map(|peer| peer.ip()),
    }
}
