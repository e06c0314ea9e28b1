// The guide's Express application with openid-client 5, its pages visited by a real browser.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startApp } from '../express/app.mjs';
import { launch, picture, signIn } from '../lib/browser.mjs';
import { freePort, startServer } from '../lib/server.mjs';

let server, app, browser, port, seen;

before(async () => {
  server = await startServer();
  port = await freePort();
  const client = await server.register({
    name: 'Express app',
    clientType: 'confidential',
    redirectUris: [`http://localhost:${port}/callback`],
    grantTypes: ['authorization_code', 'refresh_token'],
    scopes: ['openid', 'profile', 'email'],
  });
  assert.match(client.clientId, /^client_/);
  assert.equal(typeof client.clientSecret, 'string');
  seen = {};
  app = await startApp({
    issuerUrl: server.issuer,
    clientId: client.clientId,
    clientSecret: client.clientSecret,
    port,
    seen,
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  await server?.stop();
});

test('log in, consent, see the dashboard, log out', async () => {
  const page = await browser.newPage();
  await page.goto(`http://localhost:${port}/login`);
  assert.match(page.url(), /\/login\?ticket=/);
  await picture(page, 'login');

  // A wrong password is refused without leaving the page.
  await signIn(page, { ...server.user, password: 'wrong' });
  await page.waitForSelector('[role=alert]');
  await picture(page, 'login-wrong');

  // This application is not first-party: the person is asked, and the browser lets the form lead
  // back to it.
  await signIn(page, server.user);
  await page.waitForURL(/\/consent\?ticket=/);
  await picture(page, 'consent');
  await page.click('#consent-allow');
  await page.waitForURL(`http://localhost:${port}/dashboard`);
  assert.match(await page.textContent('body'), /Welcome, Dana Demo!/);
  assert.equal(seen.error, undefined);
  assert.equal(seen.userinfo.email, server.user.email);
  assert.equal(seen.tokenSet.token_type, 'Bearer');
  assert.equal(seen.tokenSet.scope, 'openid profile email');
  assert.ok(seen.tokenSet.refresh_token && seen.tokenSet.id_token);

  const { refresh_token: refreshToken, access_token: accessToken } = seen.tokenSet;
  await page.click('#logout');
  await page.waitForURL(`http://localhost:${port}/`);
  await assert.rejects(seen.client.refresh(refreshToken), /invalid_grant/);
  await assert.rejects(seen.client.userinfo(accessToken), /invalid_token/);

  // The server's own session lives on: the next login is silent.
  await page.goto(`http://localhost:${port}/login`);
  await page.waitForURL(`http://localhost:${port}/dashboard`);
  const refreshed = await seen.client.refresh(seen.tokenSet.refresh_token);
  assert.equal(refreshed.claims().sub, seen.tokenSet.claims().sub);
  await page.close();
});

test('refusing goes back to the application with access_denied', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://localhost:${port}/login`);
  await page.click('#login-cancel');
  await page.waitForURL(/error=callback_failed/);
  assert.equal(seen.error.error, 'access_denied');
  await context.close();
});

test('a redirect URI that is not registered ends on a page of the server', async () => {
  const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
  const url = new URL(seen.client.authorizationUrl({ scope: 'openid' }));
  url.searchParams.set('redirect_uri', 'https://evil.example/callback');
  await page.goto(url.href);
  assert.ok(page.url().startsWith(server.issuer));
  assert.match(await page.textContent('body'), /redirect_uri_mismatch/);
  await picture(page, 'error-phone');
  await page.close();
});
