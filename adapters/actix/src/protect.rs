//! A middleware that protects the host's own routes with the engine's access tokens.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::web::{ServiceConfig, route};
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse};
use grantor::{AccessToken, Admission, Guard, ResourceError};
use serde::de::DeserializeOwned;

use crate::Reply;
use crate::reply::add_headers;
use crate::routes::to_engine;

/// A middleware for routes that need a valid access token. Handlers take the token with
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
    /// The routes are this resource: see [`Guard::resource`]. Configure the host's app with
    /// [`Protect::metadata`].
    ///
    /// # Errors
    /// What is wrong with the URL, or that no token is meant for it.
    pub fn resource(self, url: &str) -> Result<Self, ResourceError> {
        Ok(Self(self.0.resource(url)?))
    }

    /// The route of the resource's metadata (RFC 9728); none without [`Protect::resource`].
    pub fn metadata(&self) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
        let guard = self.0.clone();
        move |config| {
            let Some(path) = guard.metadata_path() else { return };
            let answer = move |request: HttpRequest| {
                ready(Reply::from(guard.metadata(&to_engine(&request))))
            };
            config.route(&path, route().to(answer));
        }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Protect
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = ProtectService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(ProtectService { guard: self.0.clone(), inner: Rc::new(inner) }))
    }
}

/// The service of [`Protect`].
#[derive(Debug)]
pub struct ProtectService<S> {
    guard: Guard,
    inner: Rc<S>,
}

impl<S, B> Service<ServiceRequest> for ProtectService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (guard, inner) = (self.guard.clone(), self.inner.clone());
        Box::pin(async move {
            let admission = guard.admit(&to_engine(request.request())).await;
            let (token, headers) = match admission {
                Admission::Admitted(token, headers) => (token, headers),
                Admission::Answered(response) => {
                    let answer = HttpResponse::from(Reply::from(response));
                    return Ok(request.into_response(answer).map_into_right_body());
                }
            };
            request.extensions_mut().insert(*token);
            // The request is handed on whole: scopes within count on being its only owner.
            match inner.call(request).await {
                Ok(answer) => {
                    let mut answer = answer.map_into_left_body();
                    add_headers(answer.headers_mut(), headers);
                    Ok(answer)
                }
                // A middleware within that refuses: the client's page may read that too.
                Err(error) => {
                    let mut answer = error.error_response();
                    add_headers(answer.headers_mut(), headers);
                    Err(InternalError::from_response(error, answer).into())
                }
            }
        })
    }
}

/// The access token of a request that came through [`protect`].
#[derive(Clone, Debug)]
pub struct Bearer(pub AccessToken);

impl Bearer {
    fn of(request: &HttpRequest) -> Result<Self, Error> {
        let token = request.extensions().get::<AccessToken>().cloned();
        token.map(Bearer).ok_or_else(|| bare(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

/// A status, and no word to whoever asks.
fn bare(status: StatusCode) -> Error {
    InternalError::from_response(status, HttpResponse::new(status)).into()
}

impl FromRequest for Bearer {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    /// A route that forgot the middleware refuses everybody: 500, since the mistake is the host's.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// The claims of the access token, as a type of the host's own: [`AccessToken::claims_as`].
#[derive(Clone, Copy, Debug)]
pub struct TokenClaims<T>(pub T);

impl<T: DeserializeOwned> FromRequest for TokenClaims<T> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    /// A token without these claims opens nothing here: 403.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Bearer::of(request).and_then(|Bearer(token)| {
            token.claims_as().map(TokenClaims).map_err(|_| bare(StatusCode::FORBIDDEN))
        }))
    }
}
