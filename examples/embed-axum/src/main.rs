//! A shop on axum. What makes it an identity provider is in `identity.rs`, and in the lines here that
//! say `identity`.

mod identity;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use grantor_example_shop::{Shop, Visit, cookie_in, next_of, pages, set_cookie};
use serde::Deserialize;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Shop::open("shop.db")?;
    let (address, password) = grantor_example_shop::first_start(&shop)?;
    let identity = identity::server(&shop, address).await?;
    let app = Router::new()
        .route("/", get(home))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        .with_state(shop.clone())
        .merge(identity::routes(shop, &identity));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("The shop is ready at http://localhost:{}. {password}", address.port());
    Ok(grantor_axum::serve(listener, app, &identity).await?)
}

/// Who is signed in.
fn visit_of(shop: &Shop, headers: &HeaderMap) -> Option<Visit> {
    let header = headers.get(COOKIE).and_then(|value| value.to_str().ok());
    shop.visit(cookie_in(header)?).ok().flatten()
}

async fn home(State(shop): State<Shop>, headers: HeaderMap) -> Html<String> {
    let user = visit_of(&shop, &headers).map(|visit| visit.user);
    let orders = user.as_ref().and_then(|user| shop.orders(user.id).ok()).unwrap_or_default();
    Html(pages::home(user.as_ref(), &orders))
}

#[derive(Deserialize)]
struct Wanted {
    next: Option<String>,
}

async fn login_page(Query(wanted): Query<Wanted>) -> Html<String> {
    Html(pages::login(next_of(wanted.next.as_deref()), None))
}

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
    next: Option<String>,
}

async fn login(State(shop): State<Shop>, Form(login): Form<Login>) -> Response {
    let next = next_of(login.next.as_deref());
    // Hashing takes a while: it must not keep others waiting.
    let signed_in = tokio::task::spawn_blocking({
        let (email, password) = (login.email, login.password);
        move || shop.sign_in(&email, &password).ok().flatten()
    });
    match signed_in.await.ok().flatten() {
        Some(cookie) => {
            ([(SET_COOKIE, set_cookie(Some(&cookie)))], Redirect::to(next)).into_response()
        }
        None => Html(pages::login(next, Some("That is not right."))).into_response(),
    }
}

async fn logout(State(shop): State<Shop>, headers: HeaderMap) -> Response {
    let header = headers.get(COOKIE).and_then(|value| value.to_str().ok());
    if let Some(cookie) = cookie_in(header) {
        let _ = shop.sign_out(cookie);
    }
    ([(SET_COOKIE, set_cookie(None))], Redirect::to("/")).into_response()
}
