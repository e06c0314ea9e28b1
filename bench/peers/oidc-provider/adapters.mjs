// Adapters for oidc-provider. One instance is made per model name (Session, Grant, AccessToken, ...).

const GRANTABLE = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode', 'BackchannelAuthenticationRequest']);
const now = () => Math.floor(Date.now() / 1000);

// ---------------------------------------------------------------- memory: a plain Map per model
// Nothing is ever evicted (the library's default is an LRU of 1000 entries), expired entries are
// dropped when they are looked up.
export function memoryAdapter() {
  const models = new Map();                 // model -> Map(id -> {payload, exp})
  const byGrant = new Map();                // grantId -> [[Map, id], ...]
  const byUid = new Map();                  // session uid -> session id
  const store = (m) => { let s = models.get(m); if (!s) models.set(m, s = new Map()); return s; };
  return class MapAdapter {
    constructor(model) { this.model = model; this.store = store(model); this.grantable = GRANTABLE.has(model); }
    async upsert(id, payload, expiresIn) {
      const had = this.store.has(id);
      this.store.set(id, { payload, exp: expiresIn ? now() + expiresIn + 15 : Infinity });
      if (this.model === 'Session') byUid.set(payload.uid, id);
      if (this.grantable && payload.grantId && !had) {
        let l = byGrant.get(payload.grantId);
        if (!l) byGrant.set(payload.grantId, l = []);
        l.push([this.store, id]);
      }
    }
    async find(id) {
      const e = this.store.get(id);
      if (!e) return undefined;
      if (e.exp <= now()) { this.store.delete(id); return undefined; }
      return e.payload;
    }
    async findByUid(uid) { const id = byUid.get(uid); return id && this.find(id); }
    async findByUserCode() { return undefined; }
    async consume(id) { const e = this.store.get(id); if (e) e.payload.consumed = now(); }
    async destroy(id) {
      const e = this.store.get(id);
      if (e && this.model === 'Session') byUid.delete(e.payload.uid);
      this.store.delete(id);
    }
    async revokeByGrantId(grantId) {
      for (const [s, id] of byGrant.get(grantId) ?? []) s.delete(id);
      byGrant.delete(grantId);
    }
  };
}

// ---------------------------------------------------------------- sqlite
// WAL + synchronous=FULL: a commit is on disk before the call returns.
//   group=false  each upsert/consume/destroy/revoke is its own durable commit (autocommit statement)
//   group=true   operations queued while the event loop was busy share one transaction; every caller
//                still waits for the commit that holds its own operation (group commit)
export async function sqliteAdapter(path, group) {
  const { default: Database } = await import('better-sqlite3');
  const db = new Database(path);
  db.exec(`PRAGMA busy_timeout=10000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;`);
  db.exec(`
    CREATE TABLE IF NOT EXISTS oidc (
      model TEXT NOT NULL, id TEXT NOT NULL, payload TEXT NOT NULL,
      grant_id TEXT, uid TEXT, exp INTEGER, consumed INTEGER,
      PRIMARY KEY (model, id)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS oidc_grant ON oidc(grant_id) WHERE grant_id IS NOT NULL;
    CREATE INDEX IF NOT EXISTS oidc_uid ON oidc(uid) WHERE uid IS NOT NULL;
  `);
  const q = {
    upsert: db.prepare(`INSERT INTO oidc(model,id,payload,grant_id,uid,exp,consumed) VALUES (?,?,?,?,?,?,NULL)
      ON CONFLICT(model,id) DO UPDATE SET payload=excluded.payload, grant_id=excluded.grant_id, uid=excluded.uid, exp=excluded.exp`),
    find: db.prepare('SELECT payload, consumed FROM oidc WHERE model=? AND id=? AND (exp IS NULL OR exp>?)'),
    findByUid: db.prepare('SELECT payload, consumed FROM oidc WHERE uid=? AND model=? AND (exp IS NULL OR exp>?)'),
    consume: db.prepare('UPDATE oidc SET consumed=? WHERE model=? AND id=?'),
    destroy: db.prepare('DELETE FROM oidc WHERE model=? AND id=?'),
    revoke: db.prepare('DELETE FROM oidc WHERE grant_id=?'),
    begin: db.prepare('BEGIN IMMEDIATE'), commit: db.prepare('COMMIT'), rollback: db.prepare('ROLLBACK'),
  };
  let queue = [];
  const flush = () => {
    const batch = queue; queue = [];
    try {
      q.begin.run();
      for (const o of batch) o.stmt.run(...o.args);
      q.commit.run();
      for (const o of batch) o.resolve();
    } catch (e) {
      try { q.rollback.run(); } catch {}
      for (const o of batch) o.reject(e);
    }
  };
  const write = group
    ? (stmt, ...args) => new Promise((resolve, reject) => {
        if (queue.push({ stmt, args, resolve, reject }) === 1) setImmediate(flush);
      })
    : async (stmt, ...args) => { stmt.run(...args); };

  const row = (r) => {
    if (!r) return undefined;
    const p = JSON.parse(r.payload);
    if (r.consumed) p.consumed = r.consumed;
    return p;
  };
  const Adapter = class SqliteAdapter {
    constructor(model) { this.model = model; }
    async upsert(id, payload, expiresIn) {
      await write(q.upsert, this.model, id, JSON.stringify(payload),
        GRANTABLE.has(this.model) ? payload.grantId ?? null : null,
        this.model === 'Session' ? payload.uid ?? null : null,
        expiresIn ? now() + expiresIn + 15 : null);
    }
    async find(id) { return row(q.find.get(this.model, id, now())); }
    async findByUid(uid) { return row(q.findByUid.get(uid, this.model, now())); }
    async findByUserCode() { return undefined; }
    async consume(id) { await write(q.consume, now(), this.model, id); }
    async destroy(id) { await write(q.destroy, this.model, id); }
    async revokeByGrantId(grantId) { await write(q.revoke, grantId); }
  };
  return { Adapter, db };
}
