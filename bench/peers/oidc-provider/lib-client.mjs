// A tiny raw HTTP/1.1 client over one keep-alive connection, so that what is printed is what is sent.
import net from 'node:net';
import crypto from 'node:crypto';

export class Conn {
  constructor(addr) {
    const [host, port] = addr.split(':');
    this.addr = addr; this.buf = Buffer.alloc(0); this.wait = null;
    this.sock = net.connect({ host, port: Number(port), noDelay: true });
    this.sock.on('data', (d) => { this.buf = Buffer.concat([this.buf, d]); this.wait?.(); });
  }
  close() { this.sock.end(); }
  async more() { await new Promise((r) => { this.wait = r; }); this.wait = null; }
  async request(method, path, headers = {}, body) {
    const h = { Host: this.addr, ...headers };
    if (body !== undefined) h['Content-Length'] = Buffer.byteLength(body);
    const raw = `${method} ${path} HTTP/1.1\r\n${Object.entries(h).map(([k, v]) => `${k}: ${v}\r\n`).join('')}\r\n${body ?? ''}`;
    this.sock.write(raw);
    let end;
    while ((end = this.buf.indexOf('\r\n\r\n')) < 0) await this.more();
    const [first, ...lines] = this.buf.subarray(0, end).toString().split('\r\n');
    const hs = lines.map((l) => { const i = l.indexOf(':'); return [l.slice(0, i).toLowerCase(), l.slice(i + 1).trim()]; });
    const get = (n) => hs.find(([k]) => k === n)?.[1];
    let at = end + 4, text = '';
    if (get('transfer-encoding') === 'chunked') {
      for (;;) {
        let e; while ((e = this.buf.indexOf('\r\n', at)) < 0) await this.more();
        const n = parseInt(this.buf.subarray(at, e).toString(), 16);
        while (this.buf.length < e + 2 + n + 2) await this.more();
        text += this.buf.subarray(e + 2, e + 2 + n); at = e + 2 + n + 2;
        if (n === 0) break;
      }
    } else {
      const n = Number(get('content-length') ?? 0);
      while (this.buf.length < at + n) await this.more();
      text = this.buf.subarray(at, at + n).toString(); at += n;
    }
    this.buf = this.buf.subarray(at);
    const setCookies = hs.filter(([k]) => k === 'set-cookie').map(([, v]) => v);
    return { raw, rawHead: [first, ...lines].join('\r\n'), status: Number(first.split(' ')[1]), get, setCookies, text,
      json: () => JSON.parse(text) };
  }
}
export const basic = (id, secret) => `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;
export const FORM = 'application/x-www-form-urlencoded';
export const pkce = () => { const v = crypto.randomBytes(32).toString('base64url'); return { v, c: crypto.createHash('sha256').update(v).digest('base64url') }; };
export const authPath = (c, client = 'app', extra = {}) => '/auth?' + new URLSearchParams({ response_type: 'code', client_id: client,
  redirect_uri: 'https://app.example/cb', scope: 'openid profile offline_access', state: 'st', nonce: 'n0nce',
  code_challenge: c, code_challenge_method: 'S256', ...extra });

// Sign in once over HTTP; returns the Cookie header value to reuse.
export async function login(conn, account = 'alice', client = 'app', log = () => {}) {
  const jar = new Map();
  const take = (r) => r.setCookies.forEach((c) => { const [kv] = c.split(';'); const i = kv.indexOf('=');
    const k = kv.slice(0, i), v = kv.slice(i + 1); if (v) jar.set(k, v); else jar.delete(k); });
  const cookie = () => [...jar].map(([k, v]) => `${k}=${v}`).join('; ');
  let r = await conn.request('GET', authPath(pkce().c, client, { login_hint: account }));
  log(r); take(r);
  for (let hop = 0; hop < 3 && !r.get('location').startsWith('https://app.example/cb'); hop += 1) {
    const l = r.get('location'); const path = l.startsWith('http') ? l.slice(l.indexOf('/', 8)) : l;
    r = await conn.request('GET', path, { Cookie: cookie() });
    log(r); take(r);
  }
  if (!r.get('location')?.startsWith('https://app.example/cb?code=')) throw new Error(`login failed: ${r.status} ${r.text} ${r.get('location')}`);
  return ['_session', '_session.sig'].map((k) => `${k}=${jar.get(k)}`).join('; ');
}
