//! The tables. What is looked up is a column; the rest is one record.

use crate::database::Schema;

/// A released migration is never changed: append the next.
pub(crate) const SCHEMA: Schema =
    Schema { application_id: 0x4752_4e54, migrations: &[V1, V2, V3, V4] };

const V1: &str = "
CREATE TABLE grants (
    id         BLOB PRIMARY KEY,
    issuer     TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    subject    TEXT NOT NULL,
    sid        TEXT,
    expires_at INTEGER NOT NULL,
    record     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_subject ON grants (issuer, subject);
CREATE INDEX grants_by_client ON grants (issuer, client_id);
CREATE INDEX grants_by_session ON grants (issuer, sid) WHERE sid IS NOT NULL;
CREATE INDEX grants_by_end ON grants (expires_at);

-- A removed client keeps its row, without a record: its id is never used again.
CREATE TABLE clients (
    issuer    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    version   INTEGER NOT NULL,
    tenant    TEXT,
    record    TEXT,
    PRIMARY KEY (issuer, client_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX clients_by_tenant ON clients (issuer, tenant) WHERE tenant IS NOT NULL;

-- The origins of active clients.
CREATE TABLE origins (
    issuer    TEXT NOT NULL,
    origin    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    PRIMARY KEY (issuer, origin, client_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX origins_by_client ON origins (issuer, client_id);

CREATE TABLE remembered (
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    scope      TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject, client_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE rings (
    issuer  TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    sealed  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

const V2: &str = "
-- Messages to applications that wait to be delivered.
CREATE TABLE outbox (
    id     TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_by_due ON outbox (issuer, due_at);
";

const V3: &str = "
-- Records one behind the other, in the order in which they come, and found by a small index: under random keys each new
-- one would touch, and split, a page of its own among all that there are.
DROP INDEX grants_by_subject;
DROP INDEX grants_by_client;
DROP INDEX grants_by_session;
DROP INDEX grants_by_end;
ALTER TABLE grants RENAME TO grants_before;
CREATE TABLE grants (
    number     INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    issuer     TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    subject    TEXT NOT NULL,
    sid        TEXT,
    expires_at INTEGER NOT NULL,
    record     TEXT NOT NULL
) STRICT;
INSERT INTO grants (id, issuer, client_id, subject, sid, expires_at, record)
    SELECT id, issuer, client_id, subject, sid, expires_at, record FROM grants_before;
DROP TABLE grants_before;
CREATE INDEX grants_by_subject ON grants (issuer, subject, id);
CREATE INDEX grants_by_client ON grants (issuer, client_id, id);
CREATE INDEX grants_by_session ON grants (issuer, sid, id) WHERE sid IS NOT NULL;
CREATE INDEX grants_by_end ON grants (expires_at);
";

const V4: &str = "
-- A tree whose keys have whole records beside them is nine pages deep with a hundred thousand clients. What is asked of
-- one each time is its version, which stands in an index.
DROP INDEX clients_by_tenant;
ALTER TABLE clients RENAME TO clients_before;
CREATE TABLE clients (
    number    INTEGER PRIMARY KEY,
    issuer    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    version   INTEGER NOT NULL,
    tenant    TEXT,
    record    TEXT,
    UNIQUE (issuer, client_id)
) STRICT;
INSERT INTO clients (issuer, client_id, version, tenant, record)
    SELECT issuer, client_id, version, tenant, record FROM clients_before;
DROP TABLE clients_before;
CREATE INDEX clients_by_tenant ON clients (issuer, tenant, client_id) WHERE tenant IS NOT NULL;
CREATE INDEX clients_by_version ON clients (issuer, client_id, version) WHERE record IS NOT NULL;
";

#[cfg(test)]
mod tests {
    use grantor::grant::{GrantId, Outcome, State, Step};
    use grantor::store::{ClientStore, Owner, TokenStore, record};
    use grantor::{Client, Issuer, Time};
    use pollster::block_on;

    use super::*;
    use crate::{Database, Sqlite, WriteError};

    /// A grant as the first release wrote it, and its key.
    const RECORD: &str = r#"{"v":1,"id":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","issuer":"https://id.example.com","client_id":"client_a","subject":"ann","scope":"openid profile","claims_of_userinfo":[],"claims_of_id_token":[],"redirect_uri":"https://rp.example/cb","redirect_uri_named":true,"challenge":null,"nonce":"n","auth_time":1700000000000,"acr":null,"amr":[],"sid":"s1","approved_at":1700000000000,"code_expires_at":1700000060000,"refresh_idle_ms":86400000,"expires_at":1800000000000,"state":{"is":"active","generation":3,"advanced_at":1700000001000}}"#;

    #[test]
    fn the_records_of_each_earlier_release_are_there_after_an_update() {
        for released in 1..SCHEMA.migrations.len() {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("grantor.db");
            let before = Schema { migrations: &SCHEMA.migrations[..released], ..SCHEMA };
            let before = Database::open(&file, before).unwrap();
            let mut client = Client::public("client_b", "B");
            client.tenant = Some("acme".into());
            let (version, client) = (client.version, record::write_client(&client).unwrap());
            block_on(before.write(move |connection| {
                connection.execute_batch(&format!(
                    "INSERT INTO grants (id, issuer, client_id, subject, sid, expires_at, record) VALUES
                     (x'{}', 'https://id.example.com', 'client_a', 'ann', 's1', 1800000000000, '{RECORD}');
                     INSERT INTO clients (issuer, client_id, version, tenant, record) VALUES
                     ('https://id.example.com', 'client_a', 3, NULL, NULL),
                     ('https://id.example.com', 'client_b', {version}, 'acme', '{client}')",
                    "01".repeat(32)
                ))?;
                Ok::<_, WriteError>(())
            }))
            .unwrap();
            drop(before);
            let store = Sqlite::open(&file).unwrap();
            let (id, issuer) =
                (GrantId::from_bytes([1; 32]), Issuer::new("https://id.example.com").unwrap());
            let found = block_on(TokenStore::find(&store, id)).unwrap().unwrap();
            assert!(matches!(found.state, State::Active { generation: 3, .. }), "{released}");
            for owner in [
                Owner::Subject(issuer.clone(), "ann".into()),
                Owner::Client(issuer.clone(), "client_a".into()),
                Owner::Session(issuer.clone(), "s1".into()),
            ] {
                let listed = block_on(TokenStore::list(&store, &owner, None, 10)).unwrap();
                assert_eq!(listed, std::slice::from_ref(&found), "{owner:?}");
            }
            let end = Time::from_secs(1_700_000_010);
            let revoked = block_on(store.apply(id, Step::Revoke { client: None }, end)).unwrap();
            assert_eq!(revoked, Outcome::Revoked);
            assert_eq!(block_on(store.purge(Time::from_secs(1_900_000_000), 10)).unwrap(), 1);
            let find = |id: &str| block_on(ClientStore::find(&store, &issuer, id)).unwrap();
            assert!(find("client_a").is_none(), "it was removed");
            let again = Client::public("client_a", "A");
            assert!(!block_on(ClientStore::insert(&store, &issuer, again)).unwrap());
            let acme =
                block_on(ClientStore::list(&store, &issuer, Some("acme"), None, 10)).unwrap();
            assert_eq!(acme, [find("client_b").unwrap()]);
            let mut changed = (*acme[0]).clone();
            changed.active = false;
            assert!(block_on(store.update(&issuer, changed)).unwrap());
            assert!(!find("client_b").unwrap().active);
        }
    }
}
