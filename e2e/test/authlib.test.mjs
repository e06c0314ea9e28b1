// Authlib, from PyPI. `just e2e` makes the environment that it runs in.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { startServer } from '../lib/server.mjs';

const here = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
let server;

before(async () => {
  server = await startServer({ env: { GRANTOR_SCOPES: '["orders:read"]' } });
});

after(() => server?.stop());

test('the whole flow of a confidential application with Authlib', async () => {
  assert.ok(existsSync(here('.venv/bin/python')), 'run `just e2e`, which makes e2e/.venv');
  const callback = 'https://app.example/callback';
  const client = await server.register({
    name: 'Authlib',
    clientType: 'confidential',
    redirectUris: [callback],
    grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
    scopes: ['openid', 'profile', 'email', 'orders:read'],
  });
  const { clientId, clientSecret } = client;
  const input = JSON.stringify({ issuer: server.issuer, callback, clientId, clientSecret, ...server.user });
  const run = spawnSync(here('.venv/bin/python'), [here('python/authlib_flow.py')], {
    input,
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, AUTHLIB_INSECURE_TRANSPORT: '1' },
  });
  assert.equal(run.stdout.trim(), 'done', run.stderr);
});
