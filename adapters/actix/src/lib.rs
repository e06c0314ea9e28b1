//! actix-web adapter for [Grantor](grantor): it moves bytes and decides nothing about the protocol.
//!
//! ```no_run
//! # use actix_web::{App, HttpServer, web};
//! # async fn sign_in() -> &'static str { "" }
//! # async fn orders() -> &'static str { "" }
//! # async fn f(server: grantor::AuthorizationServer) -> std::io::Result<()> {
//! let engine = server.clone();
//! let http = HttpServer::new(move || {
//!     App::new()
//!         .route("/login", web::get().to(sign_in))
//!         .route("/login", web::post().to(sign_in))
//!         .configure(grantor_actix::routes(&engine))
//!         .service(
//!             web::scope("/api")
//!                 .wrap(grantor_actix::protect(&engine).scope("orders:read"))
//!                 .route("/orders", web::get().to(orders)),
//!         )
//! });
//! grantor_actix::serve(http.bind("127.0.0.1:4000")?, &server).await
//! # }
//! ```
//!
//! The server is built once, outside the closure, which runs in every worker.

mod protect;
mod reply;
mod routes;
mod serve;

pub use grantor_tokio::{is_overloaded, maintain};
pub use protect::{Bearer, Protect, ProtectService, TokenClaims, protect};
pub use reply::Reply;
pub use routes::routes;
pub use serve::serve;
