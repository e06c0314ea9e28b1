// The shops of examples/embed-axum and examples/embed-actix: a partner's application signs people in
// with their account at the shop, and reads their orders. openid-client 6 in one browser.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as client from 'openid-client6';

import { launch, picture } from '../lib/browser.mjs';
import { startCallback } from '../lib/flow.mjs';
import { freePort } from '../lib/server.mjs';

let app, browser;

before(async () => {
  app = await startCallback();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
});

async function startShop(adapter) {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'grantor-shop-'));
  const program = `../../target/debug/grantor-example-embed-${adapter}`;
  const shop = spawn(fileURLToPath(new URL(program, import.meta.url)), [], {
    cwd: folder,
    env: {
      ...process.env,
      SHOP_LISTEN: `127.0.0.1:${port}`,
      MASTER_KEY: randomBytes(32).toString('base64'),
      PARTNER_URL: app.callback,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = await new Promise((resolve, reject) => {
    let output = '';
    shop.once('exit', (code) => reject(new Error(`the shop exited with ${code}`)));
    shop.stdout.on('data', (chunk) => {
      output += chunk;
      if (output.includes('is ready') && output.includes('\n')) resolve(output);
    });
  });
  const [, email, password] = said.match(/Sign in as (\S+) with the password (\S+)/);
  const stop = async () => {
    const exited = new Promise((resolve) => shop.once('exit', resolve));
    shop.kill('SIGTERM');
    assert.equal(await exited, 0, 'the shop ends by itself when it is told to');
    rmSync(folder, { recursive: true });
  };
  return { issuer: `http://localhost:${port}`, email, password, stop };
}

for (const adapter of ['axum', 'actix']) {
  test(`a partner of the shop on ${adapter} signs people in and reads their orders`, async () => {
    const shop = await startShop(adapter);
    const config = await client.discovery(
      new URL(shop.issuer),
      'client_partner',
      undefined,
      client.None(),
      { execute: [client.allowInsecureRequests] },
    );
    const pkceCodeVerifier = client.randomPKCECodeVerifier();
    const expectedState = client.randomState();
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: app.callback,
      scope: 'openid profile email orders:read',
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      state: expectedState,
    });

    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(String(url));
    assert.equal(await page.title(), 'Sign in');
    await page.fill('input[name=email]', shop.email);
    await page.fill('input[name=password]', 'wrong');
    await page.click('button');
    assert.match(await page.textContent('[role=alert]'), /not right/);
    await page.fill('input[name=email]', shop.email);
    await page.fill('input[name=password]', shop.password);
    await page.click('button');
    await page.waitForURL((at) => at.pathname === '/connect');
    assert.match(await page.textContent('main'), /May The partner see: .*orders:read/);
    await picture(page, `embed-${adapter}-consent`);
    await page.click('text=Allow');
    await page.waitForURL((at) => at.href.startsWith(app.callback));
    const back = new URL(page.url());

    const tokens = await client.authorizationCodeGrant(config, back, {
      pkceCodeVerifier,
      expectedState,
      idTokenExpected: true,
    });
    const person = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
    assert.equal(person.email, shop.email);
    const orders = await client.fetchProtectedResource(
      config,
      tokens.access_token,
      new URL('/api/orders', shop.issuer),
      'GET',
    );
    assert.deepEqual(
      (await orders.json()).map((order) => order.article),
      ['A lamp', 'A chair'],
    );
    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
    assert.notEqual(refreshed.refresh_token, tokens.refresh_token);

    // The shop itself knows the person too, and asks for no password a second time; for the consent it does, for whoever
    // has no secret and is answered on the person's own machine could be anybody there.
    await page.goto(shop.issuer);
    assert.match(await page.textContent('main'), /Hello Ann Example!.*A lamp/s);
    await page.goto(String(url));
    await page.waitForURL((at) => at.pathname === '/connect');
    await page.click('text=Allow');
    await page.waitForURL((at) => at.href.startsWith(app.callback));
    assert.ok(new URL(page.url()).searchParams.get('code'));
    // Whoever refuses goes back with that answer.
    await page.goto(`${url}&prompt=consent`);
    await page.click('text=Refuse');
    await page.waitForURL((at) => at.href.startsWith(app.callback));
    assert.equal(new URL(page.url()).searchParams.get('error'), 'access_denied');

    await client.tokenRevocation(config, refreshed.refresh_token);
    const dead = await fetch(new URL('/api/orders', shop.issuer), {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    });
    assert.equal(dead.status, 401);
    assert.match(dead.headers.get('www-authenticate'), /^Bearer .*invalid_token/);
    await context.close();
    await shop.stop();
  });
}
