//! Where a person is signed in, and to which applications: as pages show it and the API tells it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use grantor::{Client, Time};
use serde_json::{Value, json};

use crate::accounts::User;
use crate::api::rfc3339;
use crate::app::App;
use crate::error::StoreFailed;
use crate::session::{Listed, SignedIn};

/// Of how many sessions the applications are looked up.
const IN_FULL: usize = 20;

/// A session of a person.
pub(crate) struct Place {
    listed: Listed,
    /// Whether it is the one that asks.
    pub(crate) is_current: bool,
    /// Those that it is signed in to, where that was looked up.
    clients: Option<Vec<Arc<Client>>>,
}

/// The live sessions of a person, the newest first, as `who` sees them.
pub(crate) async fn places(
    app: &App,
    user: &User,
    who: &SignedIn,
) -> Result<Vec<Place>, StoreFailed> {
    let current = who.public_id();
    let mut places = Vec::new();
    for listed in app.sessions.list(user, app.server.now()).await? {
        let clients = match places.len() < IN_FULL {
            true => {
                let clients = app.server.clients_in(&listed.session).await;
                Some(clients.map_err(|error| StoreFailed::of_engine(&error))?)
            }
            false => None,
        };
        places.push(Place { is_current: listed.id == current, listed, clients });
    }
    Ok(places)
}

impl Place {
    pub(crate) fn id(&self) -> &str {
        &self.listed.id
    }

    /// The browser, by the names that people know.
    pub(crate) fn agent(&self) -> String {
        agent_in_words(self.listed.user_agent.as_deref().unwrap_or_default())
    }

    pub(crate) fn peer(&self) -> &str {
        self.listed.peer.as_deref().unwrap_or_default()
    }

    pub(crate) fn since(&self) -> String {
        in_words(self.listed.created_at)
    }

    pub(crate) fn seen(&self) -> String {
        in_words(self.listed.last_seen)
    }

    /// The names of the applications; nothing when there are none.
    pub(crate) fn applications(&self) -> String {
        let clients = self.clients.iter().flatten();
        clients.map(|client| client.client_name.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn describe(&self) -> Value {
        let application = |client: &Arc<Client>| json!({"clientId": client.client_id, "name": client.client_name});
        let applications = self.clients.as_ref();
        let applications: Option<Vec<Value>> =
            applications.map(|clients| clients.iter().map(application).collect());
        let Listed { id, created_at, last_seen, expires_at, user_agent, peer, .. } = &self.listed;
        json!({
            "id": id,
            "current": self.is_current,
            "ipAddress": peer,
            "userAgent": user_agent,
            "lastActivityAt": rfc3339(*last_seen),
            "expiresAt": rfc3339(*expires_at),
            "createdAt": rfc3339(*created_at),
            "applications": applications,
        })
    }
}

/// Where people are signed in, for the API.
pub(crate) fn describe(places: &[Place]) -> Value {
    json!({"data": places.iter().map(Place::describe).collect::<Vec<_>>()})
}

pub(crate) fn in_words(at: Time) -> String {
    DateTime::<Utc>::from(at).format("%-d %B %Y, %H:%M UTC").to_string()
}

/// A browser and its system as people call them. The order matters: every browser pretends to be some
/// older one.
fn agent_in_words(agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        names.iter().find(|(sign, _)| agent.contains(sign)).map(|(_, name)| *name)
    };
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "a Mac"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) if agent.is_empty() => "An unknown program".to_owned(),
        (None, _) => agent.chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_by_their_names() {
        for (agent, words) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/156.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
                "Safari on an iPhone",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
            ("", "An unknown program"),
        ] {
            assert_eq!(agent_in_words(agent), words);
        }
    }
}
