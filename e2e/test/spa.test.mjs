// The guide's single-page application in headless Chromium, on three hosts: the app, the server,
// and the API under a third name.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { launch, picture, signIn } from '../lib/browser.mjs';
import { freePort, startServer } from '../lib/server.mjs';
import { serveSpa } from '../spa/serve.mjs';

let server, spa, browser, origin, api, client;

before(async () => {
  server = await startServer({ host: 'auth.localhost' });
  const port = await freePort();
  origin = `http://app.localhost:${port}`;
  api = `http://api.localhost:${server.port}`;
  // As in the guide: first-party, without consent, and without offline_access.
  client = await server.register({
    name: 'My Application',
    clientType: 'public',
    redirectUris: [`${origin}/callback`],
    allowedOrigins: [origin],
    grantTypes: ['authorization_code', 'refresh_token'],
    scopes: ['openid', 'profile', 'email'],
    requirePkce: true,
    requireConsent: false,
    isFirstParty: true,
  });
  spa = await serveSpa({ port, issuer: server.issuer, clientId: client.clientId, api });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  spa?.close();
  await server?.stop();
});

async function loggedIn(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  await page.goto(origin);
  await page.click('#login-btn');
  await page.waitForSelector('#username');
  await picture(page, options?.colorScheme === 'dark' ? 'login-phone-dark' : 'login-spa');
  await signIn(page, server.user);
  await page.waitForURL(/\/callback/);
  await page.waitForFunction(() => document.getElementById('status').textContent !== '');
  assert.equal(await page.textContent('#status'), `Logged in as: ${server.user.email}`);
  return { context, page };
}

test('the whole flow: log in, call the API, refresh in parallel, log out', async () => {
  const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'dark' };
  const { context, page } = await loggedIn(phone);

  const callback = new URL(page.url());
  assert.deepEqual([...callback.searchParams.keys()], ['code', 'state', 'iss']);
  assert.equal(callback.searchParams.get('iss'), server.issuer);

  const profile = await page.evaluate(async () => {
    const response = await window.app.api.fetch('/v1/me/profile');
    return { status: response.status, body: await response.json() };
  });
  assert.equal(profile.status, 200);
  assert.equal(profile.body.email, server.user.email);
  assert.equal(profile.body.firstName, 'Dana');

  // Five calls get 401, refresh at once with one token, and all succeed.
  const refreshed = [];
  page.on('response', async (response) => {
    const request = response.request();
    if (request.url().endsWith('/oauth2/token') && request.method() === 'POST') {
      refreshed.push({ status: response.status(), body: await response.json() });
    }
  });
  const statuses = await page.evaluate(async () => {
    window.app.tokenManager.accessToken = 'not.a.token';
    const calls = Array.from({ length: 5 }, () => window.app.api.fetch('/v1/me/profile'));
    return (await Promise.all(calls)).map((response) => response.status);
  });
  assert.deepEqual(statuses, [200, 200, 200, 200, 200]);
  assert.equal(new URL(page.url()).pathname, '/callback', 'nobody was sent to log in');
  await page.waitForTimeout(100);
  assert.ok(refreshed.length >= 2, `the refreshes ran in parallel (${refreshed.length})`);
  // Whatever token each of them presented, and in whatever order the answers came: one successor.
  const successors = new Set(refreshed.map(({ body }) => body.refresh_token));
  assert.deepEqual([refreshed.every(({ status }) => status === 200), successors.size], [true, 1]);

  const token = await page.evaluate(() => window.app.tokenManager.getRefreshToken());
  assert.equal(token, [...successors][0]);
  await page.evaluate(() => window.app.logout());
  await page.waitForURL(`${origin}/login`);
  const failed = await page.evaluate(
    (token) => window.app.oauth2.refreshToken(token).catch((error) => error.message),
    token,
  );
  assert.match(failed, /^Token refresh failed: .*refresh token/);

  // The session at the server lives on: logging in again asks nothing.
  await page.click('#login-btn');
  await page.waitForURL(/\/callback/);
  await page.waitForFunction(() => document.getElementById('status').textContent !== '');
  assert.equal(await page.textContent('#status'), `Logged in as: ${server.user.email}`);
  await context.close();
});

test('bursts of refreshes never look like theft', async () => {
  for (let round = 0; round < 4; round += 1) {
    const { context, page } = await loggedIn();
    const statuses = await page.evaluate(async () => {
      const { api, tokenManager } = window.app;
      const call = async (delay) => {
        await new Promise((resolve) => setTimeout(resolve, delay));
        tokenManager.accessToken = 'not.a.token';
        return (await api.fetch('/v1/me/profile')).status;
      };
      return Promise.all([0, 0, 1, 2, 4, 8, 12, 16, 24, 32].map(call));
    });
    assert.deepEqual(new Set(statuses), new Set([200]));
    assert.equal(new URL(page.url()).pathname, '/callback');
    // The token that the application was left with is the live one.
    const refreshed = await page.evaluate(() =>
      window.app.oauth2.refreshToken(window.app.tokenManager.getRefreshToken()).then(() => 'ok'));
    assert.equal(refreshed, 'ok');
    await context.close();
  }
});

test('what goes wrong is named where a developer looks', async () => {
  const { context, page } = await loggedIn();
  const exchange = (body) =>
    page.evaluate(
      async ({ url, body }) => {
        const response = await fetch(url, { method: 'POST', body: new URLSearchParams(body) });
        return { status: response.status, body: await response.json() };
      },
      { url: `${server.issuer}/oauth2/token`, body },
    );
  const wrong = await exchange({ grant_type: 'authorization_code', client_id: client.clientId, code: 'x' });
  assert.deepEqual([wrong.status, wrong.body.error], [400, 'invalid_grant']);
  const unknown = await exchange({ grant_type: 'authorization_code', client_id: 'client_mistyped' });
  assert.deepEqual([unknown.status, unknown.body.error], [401, 'invalid_client']);
  // A second use of the code from the callback's URL.
  await page.evaluate(() => {
    const state = new URLSearchParams(location.search).get('state');
    sessionStorage.setItem('oauth_state', state);
    sessionStorage.setItem('oauth_code_verifier', 'x'.repeat(43));
  });
  await page.reload();
  await page.waitForFunction(() => document.getElementById('status').textContent !== '');
  assert.match(await page.textContent('#status'), /^Login failed: Token exchange failed: the authorization code/);
  await context.close();
});

test('a page of another site cannot read tokens or register clients', async () => {
  const port = await freePort();
  const evil = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<title>Evil</title>');
  });
  await new Promise((resolve) => evil.listen(port, '127.0.0.1', resolve));
  const context = await browser.newContext();
  const page = await context.newPage();
  // An administrator is signed in at the server in this browser.
  await page.goto(`${server.issuer}/login`);
  await signIn(page, server.admin);
  await page.waitForSelector('#logout');
  await picture(page, 'home');
  const count = async () => {
    const response = await fetch(server.url('/v1/admin/clients'), {
      headers: { Cookie: await server.adminCookie(), 'X-Org-Domain': server.org },
    });
    return (await response.json()).total;
  };
  const before = await count();

  await page.goto(`http://evil.localhost:${port}/`);
  const attempt = (init) =>
    page.evaluate(
      ({ url, init }) => fetch(url, init).then((r) => r.status, (error) => error.name),
      { url: `${server.issuer}/v1/admin/clients`, init },
    );
  const body = JSON.stringify({
    name: 'Evil', clientType: 'public', redirectUris: ['https://evil.example/cb'], scopes: ['openid'],
  });
  const headers = { 'Content-Type': 'application/json', 'X-Org-Domain': server.org };
  assert.equal(await attempt({ method: 'POST', credentials: 'include', headers, body }), 'TypeError');
  // Without the header that needs a preflight the request arrives, and is refused.
  await attempt({ method: 'POST', credentials: 'include', mode: 'no-cors', body });
  const token = await page.evaluate(
    (url) => fetch(url, { method: 'POST', body: new URLSearchParams({ client_id: 'x' }) }).then(
      (r) => r.status, (error) => error.name),
    `${server.issuer}/oauth2/token`,
  );
  assert.equal(token, 'TypeError');
  assert.equal(await count(), before);
  await context.close();
  evil.close();
});
