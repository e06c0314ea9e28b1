//! The tables. What is looked up is a column; the rest is one record.

use crate::database::Schema;

/// A released migration is never changed: append the next.
pub(crate) const SCHEMA: Schema = Schema { application_id: 0x4752_4e54, migrations: &[V1, V2] };

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
