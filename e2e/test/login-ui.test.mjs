// A login page on another host of the site, in a real browser: cookies across hosts, CORS with
// credentials, and the authorize URL that is asked for twice.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { launch, signIn } from '../lib/browser.mjs';
import { startCallback } from '../lib/flow.mjs';
import { serveLoginUi } from '../lib/login-ui.mjs';
import { freePort, startServer } from '../lib/server.mjs';

let server, ui, uiOrigin, app, browser, client;

before(async () => {
  const port = await freePort();
  uiOrigin = `http://login.id.localhost:${port}`;
  server = await startServer({
    host: 'auth.id.localhost',
    env: { GRANTOR_LOGIN_UI: `${uiOrigin}/in` },
  });
  ui = await serveLoginUi({ port, server: server.issuer });
  app = await startCallback();
  client = await server.register({
    name: 'App',
    clientType: 'public',
    redirectUris: [app.callback],
    grantTypes: ['authorization_code', 'refresh_token'],
    scopes: ['openid', 'profile', 'email'],
    requireConsent: false,
    isFirstParty: true,
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  ui?.close();
  await server?.stop();
});

function authorizeUrl(more = {}) {
  const url = new URL(`${server.issuer}/oauth2/authorize`);
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: app.callback,
    scope: 'openid email',
    state: 'a state',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    ...more,
  });
  return url.href;
}

async function redeem(url) {
  const answer = await fetch(server.url('/oauth2/token'), {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code: new URL(url).searchParams.get('code'),
      redirect_uri: app.callback,
      client_id: client.clientId,
      code_verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
    }),
  });
  return answer.status;
}

/** Fills in the page of the house. */
async function enter(page, { email, password }) {
  await page.waitForURL((at) => at.origin === uiOrigin);
  await page.fill('#email', email);
  await page.fill('#secret', password);
  await page.click('button');
}

test('a person signs in on the page of the house, and the code works', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  const asked = [];
  page.on('request', (request) => {
    if (request.url().startsWith(`${server.issuer}/oauth2/authorize`)) asked.push(request.url());
  });
  await page.goto(authorizeUrl());
  await page.waitForFunction(() => document.body.dataset.profile);
  // The page could read both refusals.
  assert.equal(await page.evaluate(() => document.body.dataset.profile), '401 401');
  await enter(page, { email: server.user.email, password: 'wrong' });
  await page.waitForFunction(() => document.getElementById('message').textContent);
  assert.equal(await page.textContent('#message'), 'Invalid email or password');
  await enter(page, server.user);
  await page.waitForURL((at) => at.href.startsWith(app.callback));
  const back = new URL(page.url());
  assert.equal(back.searchParams.get('state'), 'a state');
  assert.equal(await redeem(back), 200);
  assert.ok(asked.length >= 2, 'the first visit and at least one from the page');
  assert.deepEqual(problems, []);
  // Signed in at the server: the next application asks nobody.
  await page.goto(authorizeUrl({ state: 'another' }));
  await page.waitForURL((at) => at.searchParams.get('state') === 'another');
  await context.close();
});

test('two visits that race both lead to codes that work', async () => {
  const context = await browser.newContext();
  const [page, other] = [await context.newPage(), await context.newPage()];
  await page.goto(authorizeUrl());
  await page.waitForURL((at) => at.origin === uiOrigin);
  const target = new URL(page.url()).searchParams.get('redirect_uri');
  await enter(page, server.user);
  await page.waitForURL((at) => at.href.startsWith(app.callback));
  assert.equal(await redeem(page.url()), 200);
  await other.goto(target);
  await other.waitForURL((at) => at.href.startsWith(app.callback));
  assert.equal(await redeem(other.url()), 200);
  await context.close();
});

test('prompt=login asks for the password though the page sends people straight back', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(authorizeUrl());
  await enter(page, server.user);
  await page.waitForURL((at) => at.href.startsWith(app.callback));
  // Signed in, with prompt=login: the page knows the person and returns; the server does not send
  // them round again, but asks itself.
  await page.goto(authorizeUrl({ prompt: 'login', state: 'fresh' }));
  await page.waitForSelector('#username');
  assert.ok(page.url().startsWith(server.issuer));
  await signIn(page, server.user);
  await page.waitForURL((at) => at.searchParams.get('state') === 'fresh');
  assert.equal(await redeem(page.url()), 200);
  // Not signed in, with prompt=login: one login on the page is enough.
  await context.clearCookies();
  await page.goto(authorizeUrl({ prompt: 'login', state: 'once' }));
  await enter(page, server.user);
  await page.waitForURL((at) => at.searchParams.get('state') === 'once');
  assert.equal(await redeem(page.url()), 200);
  await context.close();
});

test('a page of an origin that is not trusted reads nothing and signs nobody in', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(app.origin);
  const outcome = await page.evaluate(async (issuer) => {
    const tried = [];
    for (const [path, options] of [
      ['/v1/me/profile', {}],
      ['/v1/auth/login', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: '{"email":"a@b","password":"x"}',
      }],
    ]) {
      const answer = fetch(issuer + path, { credentials: 'include', ...options });
      tried.push(await answer.then(() => 'read', () => 'refused'));
    }
    return tried;
  }, server.issuer);
  assert.deepEqual(outcome, ['refused', 'refused']);
  await context.close();
});
