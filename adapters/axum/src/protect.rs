//! A layer that protects the host's own routes with the engine's access tokens.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use grantor::{AccessToken, Admission, Guard, ResourceError};
use serde::de::DeserializeOwned;
use tower::{Layer, Service, ServiceExt as _};

use crate::Reply;
use crate::reply::add_headers;
use crate::routes::to_engine;

/// A layer for routes that need a valid access token. Handlers take the token with
/// [`Bearer`]. Browsers of the clients' registered origins may call; preflights are answered here.
///
/// `of` is an [`AuthorizationServer`](grantor::AuthorizationServer) of this process, a
/// [`ResourceServer`](grantor::ResourceServer) for one elsewhere, or a [`Guard`].
#[must_use]
pub fn protect(of: impl Into<Guard>) -> Protect {
    Protect(of.into())
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

impl Protect {
    /// The routes are this resource: see [`Guard::resource`]. Merge [`Protect::metadata`] at the root of
    /// the host's app.
    ///
    /// # Errors
    /// What is wrong with the URL, or that no token is meant for it.
    pub fn resource(self, url: &str) -> Result<Self, ResourceError> {
        Ok(Self(self.0.resource(url)?))
    }

    /// The route of the resource's metadata (RFC 9728); none without [`Protect::resource`].
    pub fn metadata<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let Some(path) = self.0.metadata_path() else { return Router::new() };
        let guard = self.0.clone();
        let answer = move |request: Request| async move {
            Reply::from(guard.metadata(&to_engine(&request.into_parts().0)))
        };
        Router::new().route(&path, any(answer))
    }
}

/// A request that [`Protect::admit`] let pass.
#[derive(Debug)]
pub struct Admitted {
    /// Its access token.
    pub token: AccessToken,
    headers: Vec<(&'static str, std::borrow::Cow<'static, str>)>,
}

impl Admitted {
    /// Adds to the host's answer what lets the client's pages read it.
    pub fn dress(self, answer: impl IntoResponse) -> Response {
        let mut response = answer.into_response();
        add_headers(&mut response, self.headers);
        response
    }
}

impl Protect {
    /// Judges one request, for a handler that accepts something else than a token too.
    ///
    /// # Errors
    /// The answer to give instead: a challenge, or the answer to a preflight.
    pub async fn admit(&self, parts: &Parts) -> Result<Admitted, Box<Response>> {
        match self.0.admit(&to_engine(parts)).await {
            Admission::Admitted(token, headers) => Ok(Admitted { token: *token, headers }),
            Admission::Answered(response) => Err(Box::new(Reply::from(response).into_response())),
        }
    }
}

impl<S> Layer<S> for Protect {
    type Service = ProtectService<S>;
    fn layer(&self, inner: S) -> Self::Service {
        ProtectService { protect: self.clone(), inner }
    }
}

/// The service of [`Protect`].
#[derive(Clone, Debug)]
pub struct ProtectService<S> {
    protect: Protect,
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
        let (protect, inner) = (self.protect.clone(), self.inner.clone());
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let admitted = match protect.admit(&parts).await {
                Ok(admitted) => admitted,
                Err(answer) => return Ok(*answer),
            };
            parts.extensions.insert(admitted.token.clone());
            let answer = inner.oneshot(Request::from_parts(parts, body)).await;
            Ok(admitted.dress(answer))
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

/// The claims of the access token, as a type of the host's own: [`AccessToken::claims_as`].
#[derive(Clone, Copy, Debug)]
pub struct TokenClaims<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for TokenClaims<T> {
    type Rejection = StatusCode;

    /// A token without these claims opens nothing here: 403.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let Bearer(token) = Bearer::from_request_parts(parts, state).await?;
        token.claims_as().map(TokenClaims).map_err(|_| StatusCode::FORBIDDEN)
    }
}
