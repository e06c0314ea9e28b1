//! Outgoing calls for [Grantor](grantor), guarded against server-side request forgery.
//!
//! An authorization server calls URLs that strangers have written down: where a client's keys are, where its
//! request objects and sector identifiers are. Unguarded, that is a way into the network that the server
//! stands in. [`Fetcher`] calls nothing but what is public:
//!
//! - `https` alone, on port 443 or one from 1024 on, without credentials in the URL;
//! - public addresses alone. Names are resolved once, and the connection goes to an address that was checked
//!   (so a name whose answer changes, DNS rebinding, gains nothing); if any address of a name is not public,
//!   the name is refused. Literal addresses are checked too, and so is every redirect, of which there are at
//!   most three;
//! - no proxy from the environment, no cookies, no other credentials than the caller's, no compressed bodies;
//! - three seconds to connect, five in all, and no more bytes than the caller asks for.
//!
//! What it got it keeps, within bounds, and so it does with failures: a stranger cannot make it call a URL
//! again and again, and many callers at once wait for one call.
//!
//! A fence around the machine is still right: rules of the network hold also for what has a hole.
//!
//! ```no_run
//! let fetch = grantor_fetch::Fetcher::new()?;
//! let api = grantor::ResourceServer::builder("https://id.example.com", "https://api.example.com")
//!     .fetch(fetch)
//!     .build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod fetcher;

pub use fetcher::{BuildError, Builder, Fetcher};
pub use ipnet::IpNet;
