// The demonstration page, walked as a newcomer does.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { launch, picture, signIn } from '../lib/browser.mjs';
import { startServer } from '../lib/server.mjs';

let server, browser;

before(async () => {
  server = await startServer();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

for (const [name, options] of [
  ['desktop', { viewport: { width: 1100, height: 900 } }],
  ['phone-dark', { viewport: { width: 390, height: 844 }, colorScheme: 'dark' }],
]) {
  test(`the whole flow on the demonstration page (${name})`, async () => {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const problems = [];
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(error.message));
    const shows = async (place, pattern) => {
      const locator = page.locator(`[data-show="${place}"]`);
      await page.waitForFunction(
        ({ place, source }) =>
          new RegExp(source).test(document.querySelector(`[data-show="${place}"]`).textContent),
        { place, source: pattern.source },
      );
      return locator.textContent();
    };

    await page.goto(server.issuer);
    await page.click('a[href="/demo"]');
    await shows('authorize', /code_challenge_method = S256/);
    await page.click('[data-do="authorize"]');
    await signIn(page, server.user);
    // Each time: whoever has no secret and is answered on the person's own machine could be anybody there.
    await page.click('#consent-allow');
    await shows('callback', /state and iss are right/);
    assert.equal(new URL(page.url()).search, '', 'the code is not in the address bar');
    await page.click('[data-do="exchange"]');
    await shows('token', /200/);
    assert.match(await shows('id_token', /RS256/), /"nonce"/);
    await shows('access_token', /at\+jwt/);
    await page.click('[data-do="userinfo"]');
    await shows('use', /"email": "dana@example.com"/);
    await page.click('[data-do="profile"]');
    await shows('use', /"firstName": "Dana"/);
    await page.click('[data-do="refresh"]');
    await shows('refresh', /200/);
    await picture(page, `demo-${name}`);
    assert.deepEqual(problems, []);
    await page.click('[data-do="revoke"]');
    await shows('revoke', /POST [\s\S]*200/);
    await page.click('[data-do="profile-again"]');
    await shows('revoke', /401[\s\S]*invalid_token/);
    await page.click('[data-do="signout"]');
    await page.waitForURL(`${server.issuer}/demo`);
    const cookies = await context.cookies();
    assert.deepEqual(cookies.filter(({ name }) => name === 'cerb_sid'), []);
    await context.close();
  });
}

test('without JavaScript the page says what it needs', async () => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(`${server.issuer}/demo`);
  assert.match(await page.textContent('noscript'), /needs JavaScript/);
  await context.close();
});
