// Starts grantor-server as a user would, in a folder of its own, and reads what its first start
// prints.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BINARY =
  process.env.E2E_SERVER ??
  fileURLToPath(new URL('../../target/debug/grantor-server', import.meta.url));

/** A port that was free a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Starts a server; `host` is the name in its issuer. With `tls` it speaks TLS with a certificate that nobody knows:
 *  set NODE_TLS_REJECT_UNAUTHORIZED=0, and have the browser ignore it. */
export async function startServer({ host = 'localhost', env = {}, tls = false } = {}) {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'grantor-e2e-'));
  const scheme = tls ? 'https' : 'http';
  if (tls) env = { ...env, ...certificate(folder) };
  const server = new Server(`${scheme}://${host}:${port}`, port, folder, env);
  await server.start();
  server.readFirstStart();
  return server;
}

function certificate(folder) {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'];
  execFileSync('openssl', [...request, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  return { GRANTOR_TLS__KEY: key, GRANTOR_TLS__CERTIFICATE: certificate };
}

class Server {
  constructor(issuer, port, folder, env) {
    Object.assign(this, { issuer, port, folder, env, output: '', log: '' });
  }

  async start() {
    this.output = '';
    this.process = spawn(BINARY, [], {
      cwd: this.folder,
      env: {
        ...process.env,
        GRANTOR_ISSUER: this.issuer,
        GRANTOR_LISTEN: `127.0.0.1:${this.port}`,
        GRANTOR_DATA: join(this.folder, 'data'),
        ...this.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.stderr.on('data', (chunk) => (this.log += chunk));
    await new Promise((resolve, reject) => {
      this.process.once('exit', (code) =>
        reject(new Error(`grantor-server exited with ${code}: ${this.log}`)),
      );
      this.process.stdout.on('data', (chunk) => {
        this.output += chunk;
        if (this.output.includes('is ready')) resolve();
      });
    });
  }

  readFirstStart() {
    const find = (pattern) => this.output.match(pattern)?.slice(1) ?? [];
    const [org] = find(/organisation\s+(\S+)/);
    const [adminEmail, adminPassword] = find(/administrator\s+(\S+)\s+password (\S+)/);
    const [userEmail, userPassword] = find(/person\s+(\S+)\s+password (\S+)/);
    this.org = org;
    this.admin = { email: adminEmail, password: adminPassword };
    this.user = { email: userEmail, password: userPassword };
  }

  /** Requests go to the loopback address, whatever the issuer is called: Node resolves no
   *  `*.localhost` names. */
  url(path) {
    return `${new URL(this.issuer).protocol}//127.0.0.1:${this.port}${path}`;
  }

  /** The administrator's session cookie, by the JSON login. */
  async adminCookie() {
    const response = await fetch(this.url('/v1/auth/login'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(this.admin),
    });
    if (response.status !== 200) throw new Error(`login: ${response.status}`);
    return response.headers.getSetCookie()[0].split(';')[0];
  }

  async register(client) {
    const response = await fetch(this.url('/v1/admin/clients'), {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-Org-Domain': this.org,
        Cookie: await this.adminCookie(),
      },
      body: JSON.stringify(client),
    });
    if (response.status !== 201) throw new Error(`register: ${await response.text()}`);
    return response.json();
  }

  async kill(signal = 'SIGKILL') {
    this.process.kill(signal);
    return this.exited;
  }

  async stop() {
    await this.kill('SIGTERM');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
