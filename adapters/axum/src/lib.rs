//! axum adapter for [Grantor](grantor): it moves bytes and decides nothing about the protocol.
//!
//! ```no_run
//! # use axum::{Router, routing::get};
//! # async fn sign_in() {}
//! # async fn orders() {}
//! # async fn f(server: grantor::AuthorizationServer) -> std::io::Result<()> {
//! let app = Router::new()
//!     .route("/login", get(sign_in).post(sign_in))
//!     .merge(grantor_axum::routes(&server))
//!     .nest(
//!         "/api",
//!         Router::new()
//!             .route("/orders", get(orders))
//!             .layer(grantor_axum::protect(&server).scope("orders:read")),
//!     );
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:4000").await?;
//! grantor_axum::serve(listener, app, &server).await
//! # }
//! ```
//!
//! # Features
//!
//! `tls`: [`Serve::tls`], and `rustls` as this crate knows it. Off by default: most servers stand
//! behind a proxy that ends TLS.

mod protect;
mod reply;
mod routes;
mod serve;
mod waiting;

pub use grantor_tokio::{is_overloaded, maintain};
pub use protect::{Admitted, Bearer, Protect, ProtectService, TokenClaims, protect};
pub use reply::Reply;
pub use routes::routes;
pub use serve::{Serve, serve};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
