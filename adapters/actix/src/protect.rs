//! A middleware that protects the host's own routes with the engine's access tokens.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::ErrorInternalServerError;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse};
use grantor::{AccessToken, Admission, AuthorizationServer, Guard};

use crate::Reply;
use crate::reply::add_headers;
use crate::routes::to_engine;

/// A middleware for routes that need a valid access token of this server. Handlers take the token with
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
            let mut answer = inner.call(request).await?.map_into_left_body();
            add_headers(answer.headers_mut(), headers);
            Ok(answer)
        })
    }
}

/// The access token of a request that came through [`protect`].
#[derive(Clone, Debug)]
pub struct Bearer(pub AccessToken);

impl FromRequest for Bearer {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    /// A route that forgot the middleware refuses everybody: 500, since the mistake is the host's.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = request.extensions().get::<AccessToken>().cloned();
        ready(token.map(Bearer).ok_or_else(|| ErrorInternalServerError("unprotected")))
    }
}
