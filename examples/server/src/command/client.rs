//! `grantor-server client`

use clap::{Args, Subcommand};
use grantor::{Client, GrantType, Scope, Secret};
use serde_json::json;

use super::{Opened, open_existing, say};
use crate::accounts::{Organisation, new_client_id};
use crate::api::describe_client;
use crate::config::Config;
use crate::error::Fatal;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Register a client and print it as JSON, with its secret, once
    #[command(after_help = "Examples:\n  \
        grantor-server client add --org acme --name Shop --redirect-uri https://shop.example/callback\n  \
        grantor-server client add --org acme --name SPA --public --redirect-uri https://spa.example/callback --origin https://spa.example")]
    Add(Add),
    /// List an organisation's clients
    #[command(after_help = "Example:\n  grantor-server client list --org acme")]
    List(OfOrganisation),
    /// Show one client as JSON
    #[command(after_help = "Example:\n  grantor-server client show --org acme client_3f6c…")]
    Show(Show),
}

#[derive(Args)]
pub(crate) struct OfOrganisation {
    /// The organisation's short name
    #[arg(long, value_name = "SLUG")]
    org: String,
}

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    of: OfOrganisation,
    /// The clientId
    client_id: String,
}

#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    of: OfOrganisation,
    /// The name that people are shown
    #[arg(long)]
    name: String,
    /// A browser or mobile application, which can keep no secret
    #[arg(long)]
    public: bool,
    /// Where codes are sent; repeat for more
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// An origin whose pages may call the token endpoint; repeat for more
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// The scopes that it may have
    #[arg(long, default_value = "openid profile email")]
    scope: String,
    /// What it may do at the token endpoint; repeat for more
    #[arg(long = "grant-type", value_name = "TYPE", default_values = ["authorization_code", "refresh_token"])]
    grant_types: Vec<String>,
    /// Your own application: nobody is asked for consent
    #[arg(long)]
    first_party: bool,
}

pub(crate) async fn run(config: Config, verb: Verb) -> Result<(), Fatal> {
    let Opened { server, accounts, .. } = open_existing(&config).await?;
    let organisation = |slug: String| {
        let accounts = accounts.clone();
        async move {
            let found = accounts.organisation(&slug).await?;
            found.ok_or_else(|| Fatal::Say(format!("there is no organisation {slug:?}")))
        }
    };
    match verb {
        Verb::Add(add) => {
            let organisation = organisation(add.of.org.clone()).await?;
            let known = &server.policy().scopes;
            let client = new_client(add, &organisation, known)?;
            let created = server.clients().create(client).await?;
            let mut shown = describe_client(&created.client, &organisation);
            if let (Some(secret), Some(members)) = (created.client_secret, shown.as_object_mut()) {
                members.insert("clientSecret".into(), json!(secret.expose()));
            }
            print(&shown);
        }
        Verb::List(of) => {
            let organisation = organisation(of.org).await?;
            let mut after: Option<String> = None;
            loop {
                let clients = server.clients();
                let page = clients.list(Some(&organisation.id), after.as_deref(), 200).await;
                let page = page.map_err(grantor::RegistryError::from)?;
                for client in &page {
                    let kind = if client.is_public() { "public" } else { "confidential" };
                    let state = if client.active { "" } else { "   (revoked)" };
                    let (id, name) = (&client.client_id, &client.client_name);
                    say(format_args!("{id}   {kind:12}   {name}{state}"));
                }
                match page.last() {
                    Some(last) => after = Some(last.client_id.clone()),
                    None => return Ok(()),
                }
            }
        }
        Verb::Show(Show { of, client_id }) => {
            let organisation = organisation(of.org).await?;
            let found = server.clients().find(&client_id).await;
            let found = found.map_err(grantor::RegistryError::from)?;
            let client = found
                .filter(|client| client.tenant.as_ref() == Some(&organisation.id))
                .ok_or_else(|| {
                    let slug = &organisation.slug;
                    Fatal::Say(format!("the organisation {slug} has no client {client_id:?}"))
                })?;
            print(&describe_client(&client, &organisation));
        }
    }
    Ok(())
}

fn new_client(add: Add, organisation: &Organisation, known: &Scope) -> Result<Client, Fatal> {
    let client_id = new_client_id();
    let mut client = match add.public {
        true => Client::public(client_id, add.name),
        false => Client::confidential(client_id, add.name, &Secret::new("")),
    };
    client.tenant = Some(organisation.id.clone());
    client.redirect_uris = add.redirect_uris;
    client.allowed_origins = add.origins;
    client.scope = Scope::parse(&add.scope).map_err(|error| Fatal::Say(error.to_string()))?;
    if !client.scope.is_within(known) {
        let unknown = client.scope.without(known);
        return Err(Fatal::Say(format!(
            "the scope {unknown} is unknown. Add it to `scopes` in the configuration, or use: {known}"
        )));
    }
    let parse = |name: &String| {
        name.parse::<GrantType>().map_err(|_| {
            Fatal::Say(format!(
                "{name:?} is no grant type: use authorization_code, refresh_token or client_credentials"
            ))
        })
    };
    client.grant_types = add.grant_types.iter().map(parse).collect::<Result<_, _>>()?;
    client.first_party = add.first_party;
    Ok(client)
}

fn print(shown: &serde_json::Value) {
    say(format_args!("{shown:#}"));
}
