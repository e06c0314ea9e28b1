//! `grantor-server migrate-storage`: copies the engine's records from one backend to another.
//!
//! It may be killed and run again: what is there already is not copied twice, and the folder belongs
//! to its old backend until everything is copied.

use std::path::Path;

use clap::Args;
use grantor::store::{Inserted, Owner, SealedRing, StoreError};
use grantor::{Client, Issuer};
use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::accounts::Accounts;
use crate::config::Config;
use crate::error::{Fatal, StoreFailed};
use crate::storage::{Backend, Lock, Storage};

/// The setting that says where a copy was begun to. Whatever else opens the folder takes it away.
pub(super) const MOVING: &str = "moving";
/// How many records are read at once.
const PAGE: usize = 200;

/// Copy the records of the data folder to another backend; the server must be stopped
#[derive(Args)]
#[command(after_help = "Example:\n  \
    grantor-server migrate-storage --to sled && GRANTOR_STORAGE=sled grantor-server\n\n\
    The old records stay where they are until you delete them.")]
pub(crate) struct Migrate {
    /// Where to
    #[arg(long, value_name = "BACKEND")]
    to: Backend,
}

/// What was copied.
#[derive(Default)]
struct Copied {
    clients: u64,
    grants: u64,
    consents: u64,
}

pub(crate) async fn run(config: Config, migrate: Migrate) -> Result<(), Fatal> {
    let (data, to) = (&config.data, migrate.to);
    let from = match to {
        Backend::Sqlite => Backend::Sled,
        Backend::Sled => Backend::Sqlite,
    };
    if !from.is_in(data) {
        return Err(Fatal::Say(format!("{} has no records in {from}", data.display())));
    }
    let _alone = Lock::alone(data)?;
    let accounts = Accounts::open(&data.join("accounts.db"))?;
    let issuer = Issuer::new(&config.issuer).map_err(|error| Fatal::Say(error.to_string()))?;
    super::claim(&accounts, "issuer", issuer.as_str(), data, "GRANTOR_ISSUER").await?;
    if accounts.setting("storage").await?.as_deref() == Some(to.as_str()) {
        return Err(Fatal::Say(format!("{} is in {to} already", data.display())));
    }
    // What stands in the new storage is a copy that was begun and not used since, or it is refused: it
    // would bring back what was removed meanwhile.
    let is_begun = accounts.setting(MOVING).await?.as_deref() == Some(to.as_str());
    if to.is_in(data) && !is_begun {
        return Err(used_meanwhile(to, data));
    }
    accounts.set(MOVING, to.as_str()).await?;
    let (old, new) = (Storage::open(from, data)?, Storage::open(to, data)?);
    let copied = copy(&issuer, &accounts, &old, &new).await?;
    accounts.set("storage", to.as_str()).await?;
    accounts.set(MOVING, "").await?;
    let Copied { clients, grants, consents } = copied;
    say(format_args!(
        "Copied {clients} clients, {grants} grants and {consents} consents from {from} to {to}. \
         Start the server with GRANTOR_STORAGE={to}."
    ));
    Ok(())
}

async fn copy(
    issuer: &Issuer,
    accounts: &Accounts,
    old: &Storage,
    new: &Storage,
) -> Result<Copied, Fatal> {
    let style = "{spinner} {msg} {pos} copied, {per_sec}";
    let style = ProgressStyle::with_template(style);
    let progress = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let mut copied = Copied::default();
    if let Some(ring) = old.keys().load(issuer).await.map_err(failed)? {
        copy_ring(issuer, new, &ring).await?;
    }
    progress.set_message("clients and grants:");
    let mut after: Option<String> = None;
    loop {
        let page = old.clients().list(issuer, None, after.as_deref(), PAGE).await;
        let page = page.map_err(failed)?;
        let Some(last) = page.last() else { break };
        after = Some(last.client_id.clone());
        for client in &page {
            let inserted = new.clients().insert(issuer, Client::clone(client)).await;
            if !inserted.map_err(failed)? {
                let there = new.clients().find(issuer, &client.client_id).await;
                check_same(there.map_err(failed)?.as_ref(), client)?;
            }
            copied.clients += 1;
            let of = Owner::Client(issuer.clone(), client.client_id.clone());
            copied.grants += copy_grants(&of, old, new, &progress).await?;
        }
    }
    progress.set_message("consents:");
    for subject in accounts.user_ids().await? {
        copied.consents += copy_consents(issuer, &subject, old, new, &progress).await?;
    }
    copy_messages(issuer, old, new).await?;
    progress.finish_and_clear();
    Ok(copied)
}

/// A ring that an earlier run has copied is the same one: nobody has rotated keys meanwhile.
async fn copy_ring(issuer: &Issuer, new: &Storage, ring: &SealedRing) -> Result<(), Fatal> {
    let there = new.keys().load(issuer).await.map_err(failed)?;
    let version = match there {
        Some(there) if there.sealed == ring.sealed => return Ok(()),
        Some(there) => there.version,
        None => 0,
    };
    new.keys().replace(issuer, ring.sealed.clone(), version).await.map_err(failed)?;
    Ok(())
}

async fn copy_grants(
    of: &Owner,
    old: &Storage,
    new: &Storage,
    progress: &ProgressBar,
) -> Result<u64, Fatal> {
    let (mut after, mut copied) = (None, 0);
    loop {
        let page = old.grants().list(of, after, PAGE).await.map_err(failed)?;
        let Some(last) = page.last() else { return Ok(copied) };
        after = Some(last.id);
        for grant in page {
            let inserted = new.grants().insert(grant.clone(), None).await.map_err(failed)?;
            if let Inserted::Existing(there) = inserted {
                check_same(Some(&*there), &grant)?;
            }
            copied += 1;
            progress.inc(1);
        }
    }
}

async fn copy_consents(
    issuer: &Issuer,
    subject: &str,
    old: &Storage,
    new: &Storage,
    progress: &ProgressBar,
) -> Result<u64, Fatal> {
    let (mut after, mut copied): (Option<String>, u64) = (None, 0);
    loop {
        let page = old.grants().consents(issuer, subject, after.as_deref(), PAGE).await;
        let page = page.map_err(failed)?;
        let Some(last) = page.last() else { return Ok(copied) };
        after = Some(last.client_id.clone());
        for consent in page {
            new.grants().remember(consent).await.map_err(failed)?;
            copied += 1;
            progress.inc(1);
        }
    }
}

/// What applications are still to be told. A message that is there already stays.
async fn copy_messages(issuer: &Issuer, old: &Storage, new: &Storage) -> Result<(), Fatal> {
    let mut after: Option<String> = None;
    loop {
        let page = old.outbox().list(issuer, after.as_deref(), PAGE).await.map_err(failed)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id.clone());
        new.outbox().add(page).await.map_err(failed)?;
    }
}

/// What an earlier run has copied must be what is there now.
fn check_same<T: PartialEq>(there: Option<&T>, here: &T) -> Result<(), Fatal> {
    match there == Some(here) {
        true => Ok(()),
        false => {
            Err(Fatal::Say("the storages differ: delete what was copied and start again".into()))
        }
    }
}

fn used_meanwhile(to: Backend, data: &Path) -> Fatal {
    let path = to.path(data).display().to_string();
    Fatal::Say(format!(
        "{path} holds records, from before or from copying that was interrupted and the server has run \
         since: delete it (not the storage that is in use), and run this again"
    ))
}

#[expect(clippy::needless_pass_by_value, reason = "it is a `map_err`")]
fn failed(error: StoreError) -> Fatal {
    Fatal::Store(StoreFailed::of_engine(&error))
}
