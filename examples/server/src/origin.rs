//! Where a request comes from: which address, and whose page.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::ORIGIN;
use axum::http::request::Parts;

use crate::app::App;

/// Where a request comes from, as far as the connection tells.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(address.map(|address| address.0.ip())))
    }
}

/// Whether a request comes from a page of another site. Every current browser says so; what comes
/// from no browser carries no browser's cookies either.
pub(crate) fn is_foreign(app: &App, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) if site != "same-origin" && site != "none" => true,
        (Some(_), Some("null")) => false,
        (_, Some(origin)) => origin != app.server.issuer().origin(),
        (_, None) => false,
    }
}

/// The same for a form. Our pages send no referrer, so browsers give their forms the origin `null`.
/// From a browser that is too old to say more (before 2023) it counts as ours; the decision on
/// consent is bound to its session by a token all the same.
pub(crate) fn is_foreign_form(app: &App, headers: &HeaderMap) -> bool {
    let says_null = headers.get(ORIGIN).is_some_and(|origin| origin == "null");
    is_foreign(app, headers) && (headers.contains_key("sec-fetch-site") || !says_null)
}
