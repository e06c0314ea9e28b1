//! `grantor-server client`

use std::time::Duration;

use clap::{Args, Subcommand};
use grantor::{AuthorizationServer, Client, Scope, Secret};
use serde_json::json;

use super::{Opened, open_existing, say};
use crate::accounts::{Organisation, new_client_id};
use crate::administration::clients::{describe, parse_grant_types, parse_scope};
use crate::config::Config;
use crate::error::Fatal;
use crate::trusted::TrustedOrigins;

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
    Show(One),
    /// Change a client; what is not named stays
    #[command(after_help = "Examples:\n  \
        grantor-server client edit --org acme client_3f6c… --redirect-uri https://shop.example/callback\n  \
        grantor-server client edit --org acme client_3f6c… --active false")]
    Edit(Edit),
    /// Give a client a new secret and print it, once; the old one stops at once, or after a while
    #[command(
        after_help = "Example:\n  grantor-server client rotate-secret --org acme client_3f6c… --overlap 3600"
    )]
    RotateSecret {
        #[command(flatten)]
        one: One,
        /// For how many seconds the old secret goes on working
        #[arg(long, default_value_t = 0, value_name = "SECONDS")]
        overlap: u64,
    },
    /// Remove a client for good, with everything that it holds
    #[command(after_help = "Example:\n  grantor-server client remove --org acme client_3f6c…")]
    Remove(One),
}

#[derive(Args)]
pub(crate) struct OfOrganisation {
    /// The organisation's short name
    #[arg(long, value_name = "SLUG")]
    org: String,
}

#[derive(Args)]
pub(crate) struct One {
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
    #[command(flatten)]
    fields: Fields,
    /// Your own application: nobody is asked for consent
    #[arg(long)]
    first_party: bool,
}

#[derive(Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    one: One,
    /// The name that people are shown
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// Your own application: nobody is asked for consent
    #[arg(long, value_name = "BOOL")]
    first_party: Option<bool>,
    /// Off ends everything that the client holds
    #[arg(long, value_name = "BOOL")]
    active: Option<bool>,
}

/// What both adding and editing take. Naming a list replaces the whole of it.
#[derive(Args)]
struct Fields {
    /// Where codes are sent; repeat for more
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// Where people may be sent after signing out; repeat for more
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    /// An origin whose pages may call the token endpoint; repeat for more
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// A scope that it may have, or several between blanks; repeat for more [a new client: "openid
    /// profile email"]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// An audience of its access tokens beside the server's; repeat for more. Whoever accepts tokens
    /// by it accepts this client's
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audiences: Vec<String>,
    /// An audience whose tokens it may ask about (introspection), as an API does; repeat for more
    #[arg(long = "resource", value_name = "AUDIENCE")]
    resources: Vec<String>,
    /// What it may do at the token endpoint; repeat for more [a new client: authorization_code
    /// and refresh_token]
    #[arg(long = "grant-type", value_name = "TYPE")]
    grant_types: Vec<String>,
}

impl Fields {
    fn apply(
        self,
        client: &mut Client,
        known: &Scope,
        trusted: &TrustedOrigins,
    ) -> Result<(), Fatal> {
        trusted.refuse(&self.origins).map_err(Fatal::Say)?;
        let replace = |list: &mut Vec<String>, with: Vec<String>| {
            if !with.is_empty() {
                *list = with;
            }
        };
        replace(&mut client.redirect_uris, self.redirect_uris);
        replace(&mut client.post_logout_redirect_uris, self.post_logout_redirect_uris);
        replace(&mut client.allowed_origins, self.origins);
        replace(&mut client.audiences, self.audiences);
        replace(&mut client.resources, self.resources);
        if !self.scopes.is_empty() {
            let scopes = self.scopes.iter().flat_map(|text| text.split_whitespace());
            client.scope = parse_scope(scopes, known).map_err(|why| {
                Fatal::Say(format!(
                    "the scope is {why}. More go into `scopes` in the configuration"
                ))
            })?;
        }
        if !self.grant_types.is_empty() {
            client.grant_types = parse_grant_types(&self.grant_types).map_err(Fatal::Say)?;
        }
        Ok(())
    }
}

pub(crate) async fn run(config: Config, verb: Verb) -> Result<(), Fatal> {
    let opened = open_existing(&config).await?;
    let server = &opened.server;
    match verb {
        Verb::Add(add) => {
            let organisation = opened.organisation(&add.of.org).await?;
            let mut client = match add.public {
                true => Client::public(new_client_id(), add.name),
                false => Client::confidential(new_client_id(), add.name, &Secret::new("")),
            };
            client.tenant = Some(organisation.id.clone());
            client.scope = Scope::collect(["openid", "profile", "email"]).unwrap_or_default();
            client.first_party = add.first_party;
            add.fields.apply(&mut client, &server.policy().scopes, &config.trusted())?;
            let created = server.clients().create(client).await?;
            print(&created.client, &organisation, created.client_secret.as_ref());
        }
        Verb::List(of) => list(server, &opened.organisation(&of.org).await?).await?,
        Verb::Show(one) => {
            let (client, organisation) = find(&opened, &one).await?;
            print(&client, &organisation, None);
        }
        Verb::Edit(edit) => {
            let (stored, organisation) = find(&opened, &edit.one).await?;
            let mut client = stored.clone();
            client.client_name = edit.name.unwrap_or(client.client_name);
            client.first_party = edit.first_party.unwrap_or(client.first_party);
            edit.fields.apply(&mut client, &server.policy().scopes, &config.trusted())?;
            let switch_off = edit.active == Some(false);
            client.active = client.active || edit.active == Some(true);
            // Switching off alone works even for a client that today's rules would not let in.
            if client != stored {
                server.clients().update(client).await?;
            }
            if switch_off {
                server.clients().revoke(&edit.one.client_id).await?;
            }
            let (client, _) = find(&opened, &edit.one).await?;
            print(&client, &organisation, None);
        }
        Verb::RotateSecret { one, overlap } => {
            let (client, organisation) = find(&opened, &one).await?;
            let overlap = Duration::from_secs(overlap);
            let secret = server.clients().rotate_secret(&client.client_id, overlap).await?;
            print(&client, &organisation, Some(&secret));
        }
        Verb::Remove(one) => {
            let (client, _) = find(&opened, &one).await?;
            server.clients().remove(&client.client_id).await?;
            say(format_args!("Removed {}; its tokens are dead.", client.client_id));
        }
    }
    Ok(())
}

async fn list(server: &AuthorizationServer, organisation: &Organisation) -> Result<(), Fatal> {
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

async fn find(opened: &Opened, one: &One) -> Result<(Client, Organisation), Fatal> {
    let organisation = opened.organisation(&one.of.org).await?;
    let found = opened.server.clients().find(&one.client_id).await;
    let found = found.map_err(grantor::RegistryError::from)?;
    let client = found.filter(|client| client.tenant.as_ref() == Some(&organisation.id));
    let client = client.ok_or_else(|| {
        let (slug, id) = (&organisation.slug, &one.client_id);
        Fatal::Say(format!("the organisation {slug} has no client {id:?}"))
    })?;
    Ok((Client::clone(&client), organisation))
}

fn print(client: &Client, organisation: &Organisation, secret: Option<&Secret>) {
    let mut shown = describe(client, organisation);
    if let (Some(secret), Some(members)) = (secret, shown.as_object_mut()) {
        members.insert("clientSecret".into(), json!(secret.expose()));
    }
    say(format_args!("{shown:#}"));
}
