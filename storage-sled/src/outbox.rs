//! Messages that wait to be delivered, on sled.

use std::cell::Cell;

use async_trait::async_trait;
use grantor::store::{Message, Outbox, StoreError};
use grantor::{Issuer, Time};
use sled::Transactional as _;

use crate::codec;
use crate::records::{Failure, Records, abort};
use crate::store::Sled;

#[async_trait]
impl Outbox for Sled {
    async fn add(&self, messages: Vec<Message>) -> Result<(), StoreError> {
        self.run(|records| records.add_messages(&messages)).await
    }

    async fn claim(
        &self,
        issuer: &Issuer,
        now: Time,
        until: Time,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        self.run(|records| records.claim_messages(issuer, now, until, limit)).await
    }

    async fn list(
        &self,
        issuer: &Issuer,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        self.run(|records| records.list_messages(issuer, after, limit)).await
    }

    async fn settle(&self, id: &str, next: Option<Time>) -> Result<bool, StoreError> {
        self.run(|records| {
            let settled = records.change_message(id, |message| {
                let Some(due_at) = next else { return false };
                message.due_at = due_at;
                true
            })?;
            Ok(settled.is_some())
        })
        .await
    }
}

impl Records {
    fn add_messages(&self, messages: &[Message]) -> Result<(), Failure> {
        let _change = self.durability.changing();
        let both = (&self.messages, &self.due);
        let added = both.transaction(|(stored, due)| {
            for message in messages {
                if stored.get(message.id.as_bytes())?.is_none() {
                    let record = codec::write_message(message).map_err(abort)?;
                    stored.insert(message.id.as_bytes(), record)?;
                    due.insert(codec::due_of(message), &[])?;
                }
            }
            Ok(())
        });
        Ok(added?)
    }

    fn list_messages(
        &self,
        issuer: &Issuer,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Message>, Failure> {
        let mut listed = Vec::new();
        for entry in self.messages.range(after.unwrap_or_default().as_bytes()..) {
            let (key, stored) = entry?;
            if listed.len() >= limit {
                break;
            }
            let message = codec::read_message(&stored)?;
            if message.issuer == *issuer && Some(&*key) != after.map(str::as_bytes) {
                listed.push(message);
            }
        }
        Ok(listed)
    }

    fn claim_messages(
        &self,
        issuer: &Issuer,
        now: Time,
        until: Time,
        limit: usize,
    ) -> Result<Vec<Message>, Failure> {
        let prefix = codec::due(issuer);
        let mut claimed = Vec::new();
        for entry in self.due.scan_prefix(prefix) {
            let (key, _) = entry?;
            let Some((due_at, id)) = codec::due_and_id(&key) else { continue };
            if claimed.len() >= limit || due_at > codec::end(now) {
                break;
            }
            // Somebody else may have claimed or settled it since.
            let is_ours = Cell::new(false);
            let message = self.change_message(id, |message| {
                is_ours.set(message.due_at <= now);
                if is_ours.get() {
                    message.due_at = until;
                    message.attempts += 1;
                }
                true
            })?;
            claimed.extend(message.filter(|_| is_ours.get()));
        }
        Ok(claimed)
    }

    /// Changes a message, or removes it where `change` says so by false. The message as it is now or was last; `None`
    /// when there is none. `change` may be asked again when somebody else was quicker.
    fn change_message(
        &self,
        id: &str,
        change: impl Fn(&mut Message) -> bool,
    ) -> Result<Option<Message>, Failure> {
        let _change = self.durability.changing();
        let both = (&self.messages, &self.due);
        let changed = both.transaction(|(stored, due)| {
            let Some(bytes) = stored.get(id.as_bytes())? else { return Ok(None) };
            let mut message = codec::read_message(&bytes).map_err(abort)?;
            let before = codec::due_of(&message);
            let stays = change(&mut message);
            due.remove(before)?;
            if stays {
                due.insert(codec::due_of(&message), &[])?;
                let record = codec::write_message(&message).map_err(abort)?;
                stored.insert(id.as_bytes(), record)?;
            } else {
                stored.remove(id.as_bytes())?;
            }
            Ok(Some(message))
        });
        Ok(changed?)
    }
}
