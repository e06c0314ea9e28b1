// Every curl of the guide, with its placeholders filled in and nothing else changed.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { startServer } from '../lib/server.mjs';

const run = promisify(execFile);
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url');
let server;

before(async () => {
  server = await startServer();
});

after(() => server?.stop());

/** Runs a shell script; the guide's host becomes the server's. */
async function shell(script) {
  const mapped = script.replaceAll('https://auth.example.com', server.issuer);
  const { stdout } = await run('bash', ['-ec', mapped]);
  return stdout;
}

test('the curls of the guide', async () => {
  const cookie = await server.adminCookie();

  const created = JSON.parse(
    await shell(`curl -s -X POST https://auth.example.com/v1/admin/clients \\
-H "Content-Type: application/json" \\
-H "X-Org-Domain: your-org" \\
-H "Cookie: ${cookie}" \\
-d '{
"name": "My Application",
"clientType": "public",
"redirectUris": ["https://myapp.example.com/callback"],
"allowedOrigins": ["https://myapp.example.com"],
"grantTypes": ["authorization_code", "refresh_token"],
"scopes": ["openid", "profile", "email"],
"requirePkce": true,
"requireConsent": false,
"isFirstParty": true
}'`),
  );
  assert.match(created.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.match(created.clientId, /^client_[A-Za-z0-9_-]+$/);
  assert.equal(created.clientSecret, null);
  assert.equal(created.name, 'My Application');
  assert.equal(created.clientType, 'public');
  assert.deepEqual(created.redirectUris, ['https://myapp.example.com/callback']);
  assert.equal(created.requirePkce, true);
  assert.match(created.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);

  // "Start authorization": the URL of the guide, opened with a session instead of a browser.
  const redirect = await shell(`
    login=$(curl -s -o /dev/null -w '%{redirect_url}' -b "${cookie}" "https://auth.example.com/oauth2/authorize?response_type=code&client_id=${created.clientId}&redirect_uri=https://myapp.example.com/callback&scope=openid%20profile%20email&state=xyz&code_challenge=${CHALLENGE}&code_challenge_method=S256")
    curl -s -o /dev/null -w '%{redirect_url}' -b "${cookie}" "$login"`);
  const callback = new URL(redirect);
  assert.equal(`${callback.origin}${callback.pathname}`, 'https://myapp.example.com/callback');
  assert.equal(callback.searchParams.get('state'), 'xyz');
  const code = callback.searchParams.get('code');

  const exchange = `curl -s -X POST https://auth.example.com/oauth2/token \\
-H "Content-Type: application/x-www-form-urlencoded" \\
-d "grant_type=authorization_code" \\
-d "code=${code}" \\
-d "client_id=${created.clientId}" \\
-d "redirect_uri=https://myapp.example.com/callback" \\
-d "code_verifier=${VERIFIER}"`;
  const wrong = JSON.parse(await shell(exchange.replace(VERIFIER, 'A'.repeat(43))));
  assert.equal(wrong.error, 'invalid_grant');
  assert.match(wrong.error_description, /^invalid_code_verifier/);
  const tokens = JSON.parse(await shell(exchange));
  assert.equal(tokens.token_type, 'Bearer');
  assert.equal(tokens.expires_in, 3600);
  assert.equal(tokens.scope, 'openid profile email');
  assert.ok(tokens.refresh_token && tokens.id_token);

  const userinfo = JSON.parse(
    await shell(`curl -s https://auth.example.com/oauth2/userinfo \\
-H "Authorization: Bearer ${tokens.access_token}"`),
  );
  assert.equal(userinfo.email, server.admin.email);
  assert.equal(userinfo.name, 'Ada Admin');

  // Troubleshooting: the code works once.
  const again = JSON.parse(await shell(exchange));
  assert.equal(again.error, 'invalid_grant');
  const dead = await shell(`curl -s -o /dev/null -w '%{http_code}' https://auth.example.com/oauth2/userinfo \\
-H "Authorization: Bearer ${tokens.access_token}"`);
  assert.equal(dead, '401');
});

test('no token, code, secret or password is in the log', async () => {
  assert.ok(server.log.includes('answered'), 'requests are logged');
  for (const secret of [/authz_\w/, /rt_\w/, /eyJ\w/, /secret_\w/, /cerb_sid/, VERIFIER, CHALLENGE, server.admin.password]) {
    assert.doesNotMatch(server.log, secret instanceof RegExp ? secret : new RegExp(secret));
  }
});
