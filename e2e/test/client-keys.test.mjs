// Applications that prove themselves with a key of their own: private_key_jwt, signed requests, keys at an
// https URL that change, UserInfo as a JWT, and the answer as a form that the browser posts. oauth4webapi and
// openid-client 6.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client6';

import { launch, signIn } from '../lib/browser.mjs';
import { freePort, startServer } from '../lib/server.mjs';

const insecure = { [oauth.allowInsecureRequests]: true };
let server, browser, app, keys;

before(async () => {
  keys = await publish();
  server = await startServer({
    env: { GRANTOR_OUTGOING__ALLOW: '["127.0.0.0/8"]', GRANTOR_OUTGOING__TRUST: keys.authority },
  });
  app = await startFormCallback();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  keys?.close();
  await server?.stop();
});

/** A host with a certificate of its own that answers with the keys of the moment. */
async function publish() {
  const folder = mkdtempSync(join(tmpdir(), 'grantor-keys-'));
  const [key, authority] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=critical,CA:FALSE',
    '-keyout', key, '-out', authority,
  ], { stdio: 'ignore' });
  const host = { authority, jwks: { keys: [] }, calls: 0 };
  const port = await freePort();
  const https = createHttps({ key: readFileSync(key), cert: readFileSync(authority) }, (_, response) => {
    host.calls += 1;
    response.setHeader('content-type', 'application/json').end(JSON.stringify(host.jwks));
  });
  await new Promise((resolve) => https.listen(port, '127.0.0.1', resolve));
  host.url = `https://localhost:${port}/jwks.json`;
  host.close = () => {
    https.close();
    https.closeAllConnections();
    rmSync(folder, { recursive: true });
  };
  return host;
}

/** An application that takes its answer as a posted form. */
async function startFormCallback() {
  const port = await freePort();
  const posts = [];
  const http = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      if (request.method === 'POST') posts.push({ url: request.url, body, type: request.headers['content-type'] });
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>App</title>');
    });
  });
  await new Promise((resolve) => http.listen(port, '127.0.0.1', resolve));
  return { callback: `http://localhost:${port}/callback`, posts, close: () => http.close() };
}

async function pair(alg, kid) {
  const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { key: privateKey, kid, jwk: { ...(await jose.exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

const register = (more) =>
  server.register({
    name: 'Keyed',
    clientType: 'confidential',
    redirectUris: [app.callback],
    grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
    scopes: ['openid', 'profile', 'email'],
    tokenEndpointAuthMethod: 'private_key_jwt',
    ...more,
  });

/** A person signs in and allows; what the browser posted to the application. */
async function posted(url) {
  const before = app.posts.length;
  const context = await browser.newContext();
  const page = await context.newPage();
  const violations = [];
  page.on('console', (message) => message.type() === 'error' && violations.push(message.text()));
  await page.goto(String(url));
  await signIn(page, server.user);
  await page.waitForURL((at) => at.pathname === '/consent' || at.href.startsWith(app.callback));
  if (!page.url().startsWith(app.callback)) await page.click('#consent-allow');
  await page.waitForURL((at) => at.href.startsWith(app.callback));
  await context.close();
  assert.equal(app.posts.length, before + 1);
  assert.deepEqual(violations, [], 'the page keeps to its own policy');
  const post = app.posts.at(-1);
  assert.equal(post.url, '/callback', 'nothing is in the URL');
  assert.equal(post.type, 'application/x-www-form-urlencoded');
  return new URLSearchParams(post.body);
}

for (const alg of ['ES256', 'PS256', 'EdDSA', 'RS256']) {
  test(`private_key_jwt, a signed request, form_post and signed UserInfo with ${alg}`, async () => {
    const { key, kid, jwk } = await pair(alg, `key-${alg}`);
    const registered = await register({
      jwks: { keys: [jwk] },
      userinfoSignedResponseAlg: 'RS256',
      requestObjectSigningAlg: alg,
      tokenEndpointAuthSigningAlg: alg,
    });
    assert.equal(registered.clientSecret, null, 'a client with a key has no secret');
    const issuer = new URL(server.issuer);
    const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
    assert.ok(as.token_endpoint_auth_methods_supported.includes('private_key_jwt'));
    assert.ok(as.response_modes_supported.includes('form_post'));
    const self = { client_id: registered.clientId, userinfo_signed_response_alg: 'RS256' };
    const proof = oauth.PrivateKeyJwt({ key, kid });
    const verifier = oauth.generateRandomCodeVerifier();
    const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
    const request = await oauth.issueRequestObject(as, self, {
      response_type: 'code',
      response_mode: 'form_post',
      redirect_uri: app.callback,
      scope: 'openid email',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      claims: JSON.stringify({ userinfo: { name: { essential: true } } }),
      state,
      nonce,
    }, { key, kid });
    const url = new URL(as.authorization_endpoint);
    url.search = new URLSearchParams({ client_id: registered.clientId, request });
    const parameters = oauth.validateAuthResponse(as, self, await posted(url), state);
    const answer = await oauth.authorizationCodeGrantRequest(
      as, self, proof, parameters, app.callback, verifier, insecure,
    );
    const tokens = await oauth.processAuthorizationCodeResponse(as, self, answer, {
      expectedNonce: nonce,
      requireIdToken: true,
    });
    const { sub } = oauth.getValidatedIdTokenClaims(tokens);
    const info = await oauth.userInfoRequest(as, self, tokens.access_token, insecure);
    assert.match(info.headers.get('content-type'), /^application\/jwt/);
    const person = await oauth.processUserInfoResponse(as, self, sub, info);
    await oauth.validateApplicationLevelSignature(as, info, insecure);
    assert.equal(person.email, server.user.email);
    assert.ok(person.name, 'a claim that was asked for by name');

    for (const path of ['introspectionRequest', 'revocationRequest']) {
      const done = await oauth[path](as, self, proof, tokens.access_token, insecure);
      assert.equal(done.status, 200, path);
    }
    // A key that is not the registered one proves nothing.
    const stranger = await pair(alg, kid);
    const refused = await oauth.clientCredentialsGrantRequest(
      as, self, oauth.PrivateKeyJwt({ key: stranger.key, kid }), {}, insecure,
    );
    assert.equal(refused.status, 401);
    assert.equal((await refused.json()).error, 'invalid_client');
  });
}

test('openid-client 6 with keys at an https URL, which change while the server runs', async () => {
  const [first, second] = [await pair('ES256', 'first'), await pair('ES256', 'second')];
  keys.jwks = { keys: [first.jwk] };
  const registered = await register({ jwksUri: keys.url, scopes: ['openid', 'profile', 'email'] });
  const discover = ({ key, kid }) =>
    client.discovery(new URL(server.issuer), registered.clientId, undefined,
      client.PrivateKeyJwt({ key, kid }), { execute: [client.allowInsecureRequests] });
  const config = await discover(first);
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const url = await client.buildAuthorizationUrlWithJAR(config, {
    redirect_uri: app.callback,
    response_mode: 'form_post',
    scope: 'openid',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  }, { key: first.key, kid: first.kid });
  const body = await posted(url);
  const back = new Request(app.callback, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: body.toString(),
  });
  const tokens = await client.authorizationCodeGrant(config, back, { pkceCodeVerifier });
  assert.ok(tokens.refresh_token);
  const calls = keys.calls;
  assert.ok(calls >= 1);
  await client.refreshTokenGrant(config, tokens.refresh_token);
  assert.equal(keys.calls, calls, 'the keys are taken from memory');

  // A key that is not known yet is looked for; keys are fetched anew after some seconds at the earliest.
  keys.jwks = { keys: [second.jwk, first.jwk] };
  const next = await discover(second);
  const deadline = Date.now() + 20_000;
  for (;;) {
    try {
      await client.refreshTokenGrant(next, tokens.refresh_token);
      break;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
  assert.ok(keys.calls > calls);
});
