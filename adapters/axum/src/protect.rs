//! A layer that protects the host's own routes with the engine's access tokens.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use grantor::{AccessToken, Admission, AuthorizationServer, Guard};
use tower::{Layer, Service, ServiceExt as _};

use crate::Reply;
use crate::reply::add_headers;
use crate::routes::to_engine;

/// A layer for routes that need a valid access token of this server. Handlers take the token with
/// [`Bearer`]. Browsers of the clients' registered origins may call; preflights are answered here.
#[must_use]
pub fn protect(server: &AuthorizationServer) -> Protect {
    Protect(Guard::new(server))
}

/// See [`protect`].
#[derive(Clone, Debug)]
pub struct Protect(Guard);

impl Protect {
    /// The routes need this scope too.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        Self(self.0.scope(scope))
    }
}

impl<S> Layer<S> for Protect {
    type Service = ProtectService<S>;
    fn layer(&self, inner: S) -> Self::Service {
        ProtectService { guard: self.0.clone(), inner }
    }
}

/// The service of [`Protect`].
#[derive(Clone, Debug)]
pub struct ProtectService<S> {
    guard: Guard,
    inner: S,
}

impl<S> Service<Request> for ProtectService<S>
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner service is made ready by `oneshot`, after the token was checked.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (guard, inner) = (self.guard.clone(), self.inner.clone());
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match guard.admit(&to_engine(&parts, Vec::new())).await {
                Admission::Answered(response) => Ok(Reply::from(response).into_response()),
                Admission::Admitted(token, headers) => {
                    parts.extensions.insert(*token);
                    let answered = inner.oneshot(Request::from_parts(parts, body)).await;
                    let mut response = answered.into_response();
                    add_headers(&mut response, headers);
                    Ok(response)
                }
            }
        })
    }
}

/// The access token of a request that came through [`protect`].
#[derive(Clone, Debug)]
pub struct Bearer(pub AccessToken);

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = StatusCode;

    /// A route that forgot the layer refuses everybody: 500, since the mistake is the host's.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let token = parts.extensions.get::<AccessToken>().cloned();
        token.map(Bearer).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
