// The crate openidconnect. `just e2e` builds its client.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { launch } from '../lib/browser.mjs';
import { startCallback, visit } from '../lib/flow.mjs';
import { startServer } from '../lib/server.mjs';

const CLIENT = fileURLToPath(
  new URL('../openidconnect/target/debug/openidconnect-client', import.meta.url),
);
let server, app, browser;

before(async () => {
  server = await startServer();
  app = await startCallback();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  await server?.stop();
});

test('the whole flow of a public client with the crate openidconnect', async () => {
  const registered = await server.register({
    name: 'openidconnect',
    clientType: 'public',
    redirectUris: [app.callback],
    grantTypes: ['authorization_code', 'refresh_token'],
    scopes: ['openid', 'email'],
  });
  const client = spawn(CLIENT, [server.issuer, registered.clientId, app.callback]);
  let complaint = '';
  client.stderr.on('data', (chunk) => (complaint += chunk));
  const exited = once(client, 'exit');
  const lines = createInterface({ input: client.stdout })[Symbol.asyncIterator]();
  const { value: url } = await lines.next();
  assert.ok(url, complaint);
  const back = await visit(browser, url, server.user, app.callback);
  client.stdin.end(`${back}\n`);
  const { value: email } = await lines.next();
  assert.deepEqual(await exited, [0, null], complaint);
  assert.equal(email, server.user.email);
});
