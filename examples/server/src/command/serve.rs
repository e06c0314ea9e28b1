//! `grantor-server serve`

use std::io::IsTerminal as _;

use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use super::{Opened, open};
use crate::app::App;
use crate::bootstrap::{self, Made, Plan};
use crate::config::{Config, LogFormat};
use crate::error::Fatal;

pub(crate) async fn run(config: Config) -> Result<(), Fatal> {
    log_to_stderr(&config)?;
    // The port first: a second server that was started by mistake touches nothing.
    let address = config.listen.to_string();
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| Fatal::Listen { address, source })?;
    let Opened { server, accounts, store } = open(&config).await?;
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
    let origin = server.issuer().origin();
    println!("Grantor is ready: open {origin} in a browser. Stop with Ctrl-C.");
    let app = App::new(server.clone(), store, accounts, &config).router();
    grantor_axum::serve(listener, app, &server).await?;
    println!("Grantor has stopped.");
    Ok(())
}

/// What the first start made. The passwords are shown here and nowhere else.
fn introduce(made: &Made) {
    println!("First start: made a demonstration. The passwords are shown once.\n");
    println!("  organisation   {}", made.organisation.slug);
    if let (email, Some(password)) = &made.admin {
        println!("  administrator  {email}   password {}", password.expose());
    }
    if let Some(demo) = &made.demo {
        let (email, password) = &demo.user;
        println!("  person         {email}    password {}", password.expose());
        println!("  browser app    {}   (redirects to http://localhost:3000/callback)", demo.spa);
        let (id, secret) = &demo.web;
        let secret = secret.as_ref().map_or("", |secret| secret.expose());
        println!("  server app     {id}   (the same redirect)");
        println!("                 its secret {secret}");
    }
    println!();
}

fn log_to_stderr(config: &Config) -> Result<(), Fatal> {
    let filter = EnvFilter::try_new(&config.log.level)
        .map_err(|error| Fatal::Config(format!("the configuration: log.level: {error}")))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}
