//! A shop on actix-web. What makes it an identity provider is in `identity.rs`, and in the lines here
//! that say `identity`.

mod identity;

use actix_web::http::header::{COOKIE, LOCATION, SET_COOKIE};
use actix_web::web::{Data, Form, Html, Query, get, post};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Responder};
use grantor_example_shop::{Shop, Visit, cookie_in, next_of, pages, set_cookie};
use serde::Deserialize;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Shop::open("shop.db")?;
    let (address, password) = grantor_example_shop::first_start(&shop)?;
    let identity = identity::server(&shop, address).await?;
    let engine = identity.clone();
    let http = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(shop.clone()))
            .route("/", get().to(home))
            .route("/login", get().to(login_page))
            .route("/login", post().to(login))
            .route("/logout", post().to(logout))
            .configure(identity::routes(&engine))
    });
    let http = http.bind(address)?;
    println!("The shop is ready at http://localhost:{}. {password}", address.port());
    Ok(grantor_actix::serve(http, &identity).await?)
}

fn cookie_of(request: &HttpRequest) -> Option<&str> {
    cookie_in(request.headers().get(COOKIE).and_then(|value| value.to_str().ok()))
}

/// Who is signed in.
fn visit_of(shop: &Shop, request: &HttpRequest) -> Option<Visit> {
    shop.visit(cookie_of(request)?).ok().flatten()
}

async fn home(shop: Data<Shop>, request: HttpRequest) -> impl Responder {
    let user = visit_of(&shop, &request).map(|visit| visit.user);
    let orders = user.as_ref().and_then(|user| shop.orders(user.id).ok()).unwrap_or_default();
    Html::new(pages::home(user.as_ref(), &orders))
}

#[derive(Deserialize)]
struct Wanted {
    next: Option<String>,
}

async fn login_page(Query(wanted): Query<Wanted>) -> impl Responder {
    Html::new(pages::login(next_of(wanted.next.as_deref()), None))
}

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
    next: Option<String>,
}

async fn login(shop: Data<Shop>, Form(login): Form<Login>) -> HttpResponse {
    let next = next_of(login.next.as_deref());
    // Hashing takes a while: it must not keep others waiting.
    let signed_in = actix_web::web::block({
        let (email, password) = (login.email, login.password);
        move || shop.sign_in(&email, &password).ok().flatten()
    });
    match signed_in.await.ok().flatten() {
        Some(cookie) => to(next, Some(&cookie)),
        None => HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .body(pages::login(next, Some("That is not right."))),
    }
}

async fn logout(shop: Data<Shop>, request: HttpRequest) -> HttpResponse {
    if let Some(cookie) = cookie_of(&request) {
        let _ = shop.sign_out(cookie);
    }
    to("/", None)
}

fn to(path: &str, cookie: Option<&str>) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, path))
        .insert_header((SET_COOKIE, set_cookie(cookie)))
        .finish()
}
