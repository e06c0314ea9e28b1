//! `grantor-server serve`

use std::sync::Arc;

use grantor::AuthorizationServer;
use tokio::net::TcpListener;

use super::{Opened, open, say};
use crate::app::App;
use crate::audit::{TARGET, audit};
use crate::bootstrap::{self, Made, Plan};
use crate::config::Config;
use crate::error::Fatal;
use crate::registration::Mode;
use crate::tls::Certificate;
use crate::{metrics, telemetry};

pub(crate) async fn run(config: Config) -> Result<(), Fatal> {
    let _telemetry = telemetry::start(&config)?;
    let certificate = config.tls.as_ref().map(Certificate::read).transpose()?;
    let hangups = Hangups::take()?;
    // The port first: a second server that was started by mistake touches nothing.
    let address = config.listen.to_string();
    let listener = TcpListener::bind(config.listen).await.map_err(|source| Fatal::Listen {
        address,
        setting: "GRANTOR_LISTEN",
        source,
    })?;
    if let Some(address) = config.metrics {
        metrics::serve(address).await?;
    }
    let Opened { server, accounts, storage, _lock } = open(&config).await?;
    if accounts.is_empty().await? {
        if !config.is_loopback() {
            return Err(Fatal::Say(
                "there is no organisation yet. Make one with: grantor-server init --org <slug> \
                 --admin-email <e-mail>"
                    .into(),
            ));
        }
        let plan = Plan {
            slug: "your-org",
            name: "Your Organisation",
            admin_email: "admin@example.com",
            admin_password: None,
            demo: true,
        };
        introduce(&bootstrap::run(&server, &accounts, plan).await?);
    }
    if config.is_behind_an_unknown_proxy() {
        tracing::warn!(
            "a proxy seems to stand in front of this server, and everybody counts as one address: \
             set trusted_proxies to the proxy's address"
        );
    }
    if let Some(slug) = &config.registration.organisation
        && accounts.organisation(slug).await?.is_none()
    {
        return Err(Fatal::Say(format!(
            "registration.organisation: there is no organisation {slug:?}; make it with \
             `grantor-server init --org {slug}`"
        )));
    }
    if config.registration.mode == Mode::Open {
        tracing::warn!(target: TARGET, event = "config.dangerous_switch", "registration.mode is open: everybody can register an application");
    }
    if config.registration.mode != Mode::Closed && !config.registration.require_pkce {
        tracing::warn!(target: TARGET, event = "config.dangerous_switch",
            "registration.require_pkce is off: codes of such applications can be injected"
        );
    }
    if config.implicit {
        tracing::warn!(target: TARGET, event = "config.dangerous_switch",
            "implicit is on: applications can get tokens through the browser, which weakens them"
        );
    }
    if let Some(networks) = config.opened_networks() {
        tracing::warn!(target: TARGET, event = "config.dangerous_switch",
            networks,
            "outgoing.allow is set: whoever registers a client can have this server call there"
        );
    }
    audit!("server.started", version = env!("CARGO_PKG_VERSION"), "started");
    let origin = server.issuer().origin();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        issuer = %server.issuer(),
        listen = %config.listen,
        tls = config.tls.is_some(),
        storage = %config.storage,
        "started"
    );
    say(format_args!("Grantor is ready: open {origin} in a browser. Stop with Ctrl-C."));
    tokio::spawn(hangups.answer(certificate.clone(), server.clone()));
    let app = App::new(server.clone(), storage, accounts, &config).router();
    let mut serving = grantor_axum::serve(listener, app, &server);
    if let Some(certificate) = certificate {
        serving = serving.tls(certificate.server_config()?);
        tokio::spawn(certificate.keep_fresh());
    }
    serving.await?;
    audit!("server.stopped", "stopped");
    say(format_args!("Grantor has stopped."));
    Ok(())
}

/// A hook that renews certificates or turns logs over sends SIGHUP by habit, which would end the
/// process. It is taken as a wish to look now for what would be looked at within a minute: the certificate, and keys
/// that another process has made.
struct Hangups(#[cfg(unix)] tokio::signal::unix::Signal);

impl Hangups {
    /// From now on they end nothing.
    fn take() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            signal(SignalKind::hangup()).map(Self)
        }
        #[cfg(not(unix))]
        Ok(Self())
    }

    #[cfg(unix)]
    async fn answer(mut self, certificate: Option<Arc<Certificate>>, server: AuthorizationServer) {
        while self.0.recv().await.is_some() {
            if let Some(certificate) = &certificate {
                certificate.look();
            }
            // What fails is told by its event.
            let _ = server.maintain().await;
        }
    }

    #[cfg(not(unix))]
    async fn answer(self, _: Option<Arc<Certificate>>, _: AuthorizationServer) {}
}

/// What the first start made. The passwords are shown here and nowhere else.
fn introduce(made: &Made) {
    say(format_args!("First start: made a demonstration. The passwords are shown once.\n"));
    say(format_args!("  organisation   {}", made.organisation.slug));
    if let (email, Some(password)) = &made.admin {
        say(format_args!("  administrator  {email}   password {}", password.expose()));
    }
    if let Some(demo) = &made.demo {
        let (email, password) = &demo.user;
        say(format_args!("  person         {email}    password {}", password.expose()));
        say(format_args!(
            "  browser app    {}   (redirects to http://localhost:3000/callback)",
            demo.spa
        ));
        let (id, secret) = &demo.web;
        let secret = secret.as_ref().map_or("", |secret| secret.expose());
        say(format_args!("  server app     {id}   (the same redirect)"));
        say(format_args!("                 its secret {secret}"));
    }
    say(format_args!(""));
}
