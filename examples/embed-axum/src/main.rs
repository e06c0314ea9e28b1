//! A shop on axum. What makes it an identity provider is in `identity.rs`, and in the lines here that
//! say `identity`.

mod identity;

use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use grantor_axum::Reply;
use grantor_example_shop::{
    Login, Shop, Visit, Wanted, cookie_in, is_foreign, next_of, pages, set_cookie,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Shop::open("shop.db")?;
    let address = grantor_example_shop::address()?;
    let identity = identity::server(&shop, address).await?;
    let hint = grantor_example_shop::first_user(&shop)?;
    let app = Router::new()
        .route("/", get(home))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        .with_state(shop.clone())
        .merge(identity::routes(shop, &identity));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("The shop is ready at http://localhost:{}. {hint}", address.port());
    Ok(grantor_axum::serve(listener, app, &identity).await?)
}

/// Who is signed in.
fn visit_of(shop: &Shop, headers: &HeaderMap) -> Option<Visit> {
    shop.visit(cookie_in(text(headers, "cookie"))?).ok().flatten()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn home(State(shop): State<Shop>, headers: HeaderMap) -> Html<String> {
    let user = visit_of(&shop, &headers).map(|visit| visit.user);
    let orders = user.as_ref().and_then(|user| shop.orders(user.id).ok()).unwrap_or_default();
    Html(pages::home(user.as_ref(), &orders))
}

async fn login_page(Query(wanted): Query<Wanted>) -> Reply {
    Reply::page(pages::login(next_of(wanted.next.as_deref()), None))
}

async fn login(State(shop): State<Shop>, headers: HeaderMap, Form(login): Form<Login>) -> Response {
    if is_foreign(text(&headers, "sec-fetch-site")) {
        return StatusCode::FORBIDDEN.into_response();
    }
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
        None => Reply::page(pages::login(next, Some("That is not right."))).into_response(),
    }
}

async fn logout(State(shop): State<Shop>, headers: HeaderMap) -> Response {
    if is_foreign(text(&headers, "sec-fetch-site")) {
        return StatusCode::FORBIDDEN.into_response();
    }
    if let Some(cookie) = cookie_in(text(&headers, "cookie")) {
        let _ = shop.sign_out(cookie);
    }
    ([(SET_COOKIE, set_cookie(None))], Redirect::to("/")).into_response()
}
