//! Messages that wait to be delivered, on SQLite.

use async_trait::async_trait;
use grantor::store::{Message, Outbox, StoreError, record};
use grantor::{Issuer, Time};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::store::{Failure, Sqlite};

#[async_trait]
impl Outbox for Sqlite {
    async fn add(&self, messages: Vec<Message>) -> Result<(), StoreError> {
        self.write(move |connection| {
            let sql = "INSERT INTO outbox (id, issuer, due_at, record) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT DO NOTHING";
            let mut insert = connection.prepare_cached(sql)?;
            for message in &messages {
                let (issuer, due_at) = (message.issuer.as_str(), message.due_at.millis());
                let record = record::write_message(message)?;
                insert.execute(params![message.id, issuer, due_at, record])?;
            }
            Ok(())
        })
        .await
    }

    async fn claim(
        &self,
        issuer: &Issuer,
        now: Time,
        until: Time,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let (issuer, limit) = (issuer.clone(), i64::try_from(limit).unwrap_or(i64::MAX));
        // Asked every second, and mostly in vain: that must not wait for the writer, nor for the disk.
        let looked_for = issuer.clone();
        if self.read(move |connection| due(connection, &looked_for, now, 1)).await?.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |connection| {
            let mut claimed = due(connection, &issuer, now, limit)?;
            for message in &mut claimed {
                message.due_at = until;
                message.attempts += 1;
                save(connection, message)?;
            }
            Ok(claimed)
        })
        .await
    }

    async fn list(
        &self,
        issuer: &Issuer,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let (issuer, after) = (issuer.clone(), after.unwrap_or_default().to_owned());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection| {
            let sql =
                "SELECT record FROM outbox WHERE id > ?1 AND issuer = ?2 ORDER BY id LIMIT ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let bound = params![after, issuer.as_str(), limit];
            let rows = statement.query_map(bound, |row| row.get::<_, String>(0))?;
            rows.map(|text| Ok(record::read_message(&text?)?)).collect()
        })
        .await
    }

    async fn settle(&self, id: &str, next: Option<Time>) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |connection| {
            let Some(next) = next else {
                let sql = "DELETE FROM outbox WHERE id = ?1";
                return Ok(connection.prepare_cached(sql)?.execute([id])? > 0);
            };
            let mut statement =
                connection.prepare_cached("SELECT record FROM outbox WHERE id = ?1")?;
            let text: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
            let Some(text) = text else { return Ok(false) };
            let mut message = record::read_message(&text)?;
            message.due_at = next;
            save(connection, &message)?;
            Ok(true)
        })
        .await
    }
}

fn due(
    connection: &Connection,
    issuer: &Issuer,
    now: Time,
    limit: i64,
) -> Result<Vec<Message>, Failure> {
    let sql = "SELECT record FROM outbox WHERE issuer = ?1 AND due_at <= ?2
               ORDER BY due_at LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let bound = params![issuer.as_str(), now.millis(), limit];
    let rows = statement.query_map(bound, |row| row.get::<_, String>(0))?;
    rows.map(|text| Ok(record::read_message(&text?)?)).collect()
}

fn save(connection: &Connection, message: &Message) -> Result<(), Failure> {
    let sql = "UPDATE outbox SET due_at = ?2, record = ?3 WHERE id = ?1";
    let record = record::write_message(message)?;
    let bound = params![message.id, message.due_at.millis(), record];
    connection.prepare_cached(sql)?.execute(bound)?;
    Ok(())
}
