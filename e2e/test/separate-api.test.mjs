// examples/separate-api beside a real server, by the commands of its README: an API in a process of its own
// accepts the server's tokens, by its keys or by asking.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { freePort, startServer } from '../lib/server.mjs';

const binary = (name) => fileURLToPath(new URL(`../../target/debug/${name}`, import.meta.url));
const scopes = { GRANTOR_SCOPES: '["invoices:read"]' };
let server, resource, robot, address;

before(async () => {
  server = await startServer({ env: scopes });
  address = `127.0.0.1:${await freePort()}`;
  resource = `http://localhost:${address.split(':')[1]}`;
  robot = add('Invoice robot', '--audience', resource);
});

after(() => server?.stop());

function add(name, ...more) {
  const fixed = ['client', 'add', '--org', server.org, '--name', name, '--scope', 'invoices:read'];
  const printed = execFileSync(
    binary('grantor-server'),
    [...fixed, '--grant-type', 'client_credentials', ...more],
    {
      env: {
        ...process.env,
        ...scopes,
        GRANTOR_ISSUER: server.issuer,
        GRANTOR_DATA: join(server.folder, 'data'),
      },
    },
  );
  return JSON.parse(printed);
}

async function startApi(env = {}) {
  const api = spawn(binary('grantor-example-separate-api'), [], {
    env: { ...process.env, API_ISSUER: server.issuer, API_LISTEN: address, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve, reject) => {
    api.once('exit', (code) => reject(new Error(`the API exited with ${code}`)));
    api.stdout.on('data', (chunk) => String(chunk).includes('is ready') && resolve());
  });
  return async () => {
    const exited = new Promise((resolve) => api.once('exit', resolve));
    api.kill('SIGTERM');
    assert.equal(await exited, 0);
  };
}

const post = (path, form) =>
  fetch(server.url(path), {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${robot.clientId}:${robot.clientSecret}`)}` },
    body: new URLSearchParams(form),
  });

const token = async () =>
  (await (await post('/oauth2/token', { grant_type: 'client_credentials' })).json()).access_token;

const invoices = (token) =>
  fetch(`http://${address}/invoices`, token && { headers: { authorization: `Bearer ${token}` } });

test('an API elsewhere accepts tokens by the published keys, and tells strangers whom to ask', async () => {
  const stop = await startApi();
  const stranger = await invoices();
  assert.equal(stranger.status, 401);
  const path = '/.well-known/oauth-protected-resource';
  const challenge = `Bearer resource_metadata="${resource}${path}"`;
  assert.equal(stranger.headers.get('www-authenticate'), challenge);
  const metadata = await (await fetch(`http://${address}${path}`)).json();
  assert.deepEqual(metadata.authorization_servers, [server.issuer]);
  assert.deepEqual(metadata.scopes_supported, ['invoices:read']);

  const good = await token();
  const answer = await (await invoices(good)).json();
  assert.equal(answer.asked_by, robot.clientId);
  assert.equal(answer.invoices.length, 1);
  assert.equal((await invoices(`${good}x`)).status, 401);

  // While the server is away, known keys go on working.
  await server.kill('SIGTERM');
  assert.equal((await invoices(good)).status, 200);
  await server.start();
  await post('/oauth2/revoke', { token: good });
  assert.equal((await invoices(good)).status, 200, 'nobody was asked');
  await stop();
});

test('an API that asks about every token sees a revocation at once', async () => {
  const own = add('Invoice API', '--resource', resource);
  const stop = await startApi({ API_CLIENT: `${own.clientId}:${own.clientSecret}` });
  const good = await token();
  assert.equal((await invoices(good)).status, 200);
  await post('/oauth2/revoke', { token: good });
  const dead = await invoices(good);
  assert.equal(dead.status, 401);
  assert.match(dead.headers.get('www-authenticate'), /invalid_token/);
  await stop();
});
