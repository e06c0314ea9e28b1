//! A shop on actix-web. What makes it an identity provider is in `identity.rs`, and in the lines here
//! that say `identity`.

mod identity;

use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::web::{Data, Form, Html, Query, get, post};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Responder};
use grantor_actix::Reply;
use grantor_example_shop::{
    Login, Shop, Visit, Wanted, cookie_in, is_foreign, next_of, pages, set_cookie,
};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Shop::open("shop.db")?;
    let address = grantor_example_shop::address()?;
    let identity = identity::server(&shop, address).await?;
    let hint = grantor_example_shop::first_user(&shop)?;
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
    println!("The shop is ready at http://localhost:{}. {hint}", address.port());
    Ok(grantor_actix::serve(http, &identity).await?)
}

fn text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Who is signed in.
fn visit_of(shop: &Shop, request: &HttpRequest) -> Option<Visit> {
    shop.visit(cookie_in(text(request, "cookie"))?).ok().flatten()
}

async fn home(shop: Data<Shop>, request: HttpRequest) -> impl Responder {
    let user = visit_of(&shop, &request).map(|visit| visit.user);
    let orders = user.as_ref().and_then(|user| shop.orders(user.id).ok()).unwrap_or_default();
    Html::new(pages::home(user.as_ref(), &orders))
}

async fn login_page(Query(wanted): Query<Wanted>) -> Reply {
    Reply::page(pages::login(next_of(wanted.next.as_deref()), None))
}

async fn login(shop: Data<Shop>, request: HttpRequest, Form(login): Form<Login>) -> HttpResponse {
    if is_foreign(text(&request, "sec-fetch-site")) {
        return HttpResponse::Forbidden().finish();
    }
    let next = next_of(login.next.as_deref());
    // Hashing takes a while: it must not keep others waiting.
    let signed_in = actix_web::web::block({
        let (email, password) = (login.email, login.password);
        move || shop.sign_in(&email, &password).ok().flatten()
    });
    match signed_in.await.ok().flatten() {
        Some(cookie) => to(next, Some(&cookie)),
        None => Reply::page(pages::login(next, Some("That is not right."))).into(),
    }
}

async fn logout(shop: Data<Shop>, request: HttpRequest) -> HttpResponse {
    if is_foreign(text(&request, "sec-fetch-site")) {
        return HttpResponse::Forbidden().finish();
    }
    if let Some(cookie) = cookie_in(text(&request, "cookie")) {
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
