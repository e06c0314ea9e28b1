// Answers that bring an ID token through the browser, where the operator lets them; a secret that signs instead of
// being sent; people by a name of the application's own; an application in the person's language. openid-client 6
// and oauth4webapi.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client6';

import { launch, picture, signIn } from '../lib/browser.mjs';
import { freePort, startServer } from '../lib/server.mjs';

let server, browser, app;

before(async () => {
  server = await startServer({ env: { GRANTOR_IMPLICIT: 'true' } });
  const port = await freePort();
  const http = createServer((request, response) =>
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>App</title>'),
  );
  await new Promise((resolve) => http.listen(port, '127.0.0.1', resolve));
  app = { callback: `http://localhost:${port}/callback`, close: () => http.close() };
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  await server?.stop();
});

const register = (more) =>
  server.register({
    name: 'Hybrid',
    clientType: 'confidential',
    redirectUris: [app.callback],
    grantTypes: ['authorization_code', 'implicit', 'refresh_token'],
    responseTypes: ['code', 'id_token', 'code id_token'],
    // A web application would have to use https.
    applicationType: 'native',
    scopes: ['openid', 'profile', 'email'],
    ...more,
  });

const discover = ({ clientId }, authentication, ...execute) =>
  client.discovery(new URL(server.issuer), clientId, undefined, authentication, {
    execute: [client.allowInsecureRequests, ...execute],
  });

/** A person signs in and allows; where the browser ended, with the fragment. */
async function visit(url, look = () => {}) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(String(url));
  await look(page);
  await signIn(page, server.user);
  await page.waitForURL((at) => at.pathname === '/consent' || at.href.startsWith(app.callback));
  if (!page.url().startsWith(app.callback)) await page.click('#consent-allow');
  await page.waitForURL((at) => at.href.startsWith(app.callback));
  const end = new URL(page.url());
  await context.close();
  return end;
}

test('code id_token: both ID tokens are checked, and belong together', async () => {
  const registered = await register();
  const config = await discover(
    registered, client.ClientSecretBasic(registered.clientSecret), client.useCodeIdTokenResponseType,
  );
  const verifier = client.randomPKCECodeVerifier();
  const [state, nonce] = [client.randomState(), client.randomNonce()];
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: app.callback,
    scope: 'openid email',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  });
  const end = await visit(url);
  assert.equal(end.search, '', 'nothing is in the query');
  const tokens = await client.authorizationCodeGrant(config, end, {
    pkceCodeVerifier: verifier,
    expectedState: state,
    expectedNonce: nonce,
    idTokenExpected: true,
  });
  const person = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  assert.equal(person.email, server.user.email);
});

test('id_token: signing in without a back channel', async () => {
  const registered = await register({ clientType: 'public' });
  const config = await discover(registered, client.None(), client.useIdTokenResponseType);
  const [state, nonce] = [client.randomState(), client.randomNonce()];
  const parameters = { redirect_uri: app.callback, scope: 'openid email', state, nonce };
  const end = await visit(client.buildAuthorizationUrl(config, parameters));
  const claims = await client.implicitAuthentication(config, end, nonce, { expectedState: state });
  assert.equal(claims.email, server.user.email, 'there is no UserInfo to ask');
  const silent = client.buildAuthorizationUrl(config, { ...parameters, prompt: 'none' });
  const response = await fetch(silent, { redirect: 'manual' });
  const login = await fetch(new URL(response.headers.get('location'), server.issuer), { redirect: 'manual' });
  assert.match(login.headers.get('location'), /#error=login_required/);
});

test('a secret that signs, and people by a name of the application alone', async () => {
  const subjects = [];
  for (const subjectType of ['public', 'pairwise']) {
    const registered = await register({
      tokenEndpointAuthMethod: 'client_secret_jwt',
      redirectUris: [app.callback],
      subjectType,
    });
    const authentication = client.ClientSecretJwt(registered.clientSecret);
    const config = await discover(registered, authentication);
    const verifier = client.randomPKCECodeVerifier();
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: app.callback,
      scope: 'openid',
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    });
    const end = await visit(url);
    const tokens = await client.authorizationCodeGrant(config, end, { pkceCodeVerifier: verifier });
    const { sub } = tokens.claims();
    await client.fetchUserInfo(config, tokens.access_token, sub);
    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
    assert.equal(refreshed.claims().sub, sub);
    const told = await client.tokenIntrospection(config, refreshed.access_token);
    assert.deepEqual([told.active, told.sub], [true, sub]);
    await client.tokenRevocation(config, refreshed.refresh_token);
    subjects.push(sub);
    // Sent, the secret is worth nothing.
    const as = config.serverMetadata();
    const self = { client_id: registered.clientId };
    const sent = await oauth.clientCredentialsGrantRequest(
      as, self, oauth.ClientSecretPost(registered.clientSecret), {}, { [oauth.allowInsecureRequests]: true },
    );
    assert.equal(sent.status, 401);
  }
  assert.notEqual(subjects[0], subjects[1]);
  assert.match(subjects[1], /^[\w-]{43}$/);
});

test('the pages show the application in the language of the person', async () => {
  const { clientId } = await register({
    clientType: 'public',
    name: 'Reading room',
    localized: { de: { name: 'Lesesaal', policyUri: 'https://rp.example/datenschutz' } },
  });
  const url = new URL(`${server.issuer}/oauth2/authorize`);
  url.search = new URLSearchParams({
    client_id: clientId,
    redirect_uri: app.callback,
    response_type: 'id_token',
    nonce: 'n',
    scope: 'openid',
    ui_locales: 'de-AT en',
  });
  await visit(url, async (page) => {
    assert.match(await page.textContent('main'), /Lesesaal/);
    assert.equal(await page.getAttribute('.links a', 'href'), 'https://rp.example/datenschutz');
    await picture(page, 'login-in-german');
  });
});
