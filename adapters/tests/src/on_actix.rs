//! The host on actix.

use std::net::TcpListener;

use actix_web::web::{self, Data, Query};
use actix_web::{App, HttpServer};
use grantor::AuthorizationServer;
use grantor_actix::{Bearer, Reply, protect, routes};

#[derive(serde::Deserialize)]
struct Visit {
    ticket: String,
}

async fn login(
    server: Data<AuthorizationServer>,
    Query(visit): Query<Visit>,
) -> Result<Reply, Reply> {
    Ok(crate::sign_in(&server, &visit.ticket).await?.into())
}

async fn me(Bearer(token): Bearer) -> String {
    token.subject.unwrap_or_default()
}

/// Serves until the process ends.
pub fn serve(listener: TcpListener, server: AuthorizationServer) {
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let engine = server.clone();
            let http = HttpServer::new(move || {
                let orders = protect(&engine).scope("orders:read");
                App::new()
                    .app_data(Data::new(engine.clone()))
                    .configure(routes(&engine))
                    .route("/login", web::get().to(login))
                    .service(
                        web::resource("/api/me").wrap(protect(&engine)).route(web::get().to(me)),
                    )
                    .service(web::scope("/api").wrap(orders).route("/orders", web::get().to(me)))
            });
            let http = http.workers(2).disable_signals().listen(listener).unwrap();
            grantor_actix::serve(http, &server).await.unwrap();
        });
    });
}
