// Every page as people see it: on a phone and on a desktop, light and dark, without JavaScript. The
// pictures are kept in results/ for a person to look at.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';

import { launch, picture, signIn } from '../lib/browser.mjs';
import { startCallback } from '../lib/flow.mjs';
import { startServer } from '../lib/server.mjs';

/** What checks a page for people who hear it, or have no mouse. */
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server, app, browser, client;

before(async () => {
  server = await startServer();
  app = await startCallback();
  client = await server.register({
    name: 'Photo Album',
    clientType: 'confidential',
    redirectUris: [app.callback],
    grantTypes: ['authorization_code', 'refresh_token'],
    scopes: ['openid', 'profile', 'email', 'phone'],
    policyUri: 'https://album.example/privacy',
    tosUri: 'https://album.example/terms',
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  await server?.stop();
});

function authorizeUrl(more = {}) {
  const url = new URL(`${server.issuer}/oauth2/authorize`);
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: app.callback,
    scope: 'openid profile email phone',
    state: 'xyz',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    ...more,
  });
  return url.href;
}

/** Runs in the page: texts whose contrast is below 4.5 (WCAG 2, 1.4.3). */
function faint() {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.disabled || !element.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${element.textContent.trim().slice(0, 40)}: ${contrast.toFixed(1)}`);
  }
  return found;
}

const SIZES = {
  phone: { viewport: { width: 390, height: 844 }, isMobile: true },
  desktop: { viewport: { width: 1280, height: 900 } },
};

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const [colorScheme, scripts] of [['light', false], ['dark', false], ['light', true], ['dark', true]]) {
    // The pages have no script; the one that checks them for people who hear them, or see little, needs some.
    const how = scripts ? 'for everybody' : 'without JavaScript';
    test(`all pages ${how} (${size}, ${colorScheme})`, async () => {
      const context = await browser.newContext({
        ...viewport,
        colorScheme,
        javaScriptEnabled: scripts,
      });
      const page = await context.newPage();
      const keep = async (name) => {
        if (!scripts) await picture(page, `${name}-${size}-${colorScheme}`);
        const { width } = viewport.viewport;
        // Scripts of a test run in the page all the same.
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${name} scrolls sideways: ${wide} of ${width}`);
        const unnamed = await page.evaluate(
          () =>
            [...document.querySelectorAll('input:not([type=hidden]), textarea')].filter(
              (field) => field.labels.length === 0,
            ).length,
        );
        assert.equal(unnamed, 0, `${name} has fields without a label`);
        assert.deepEqual(await page.evaluate(faint), [], `${name} has text that is hard to read`);
        if (scripts) {
          const { violations } = await page.evaluate(`${AXE}; axe.run(document)`);
          const broken = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`);
          assert.deepEqual(broken, [], `${name} is hard to use for some`);
        }
        assert.equal(await page.locator('h1').count(), 1, name);
        assert.ok(await page.title(), name);
      };

      await page.goto(authorizeUrl());
      await keep('login');
      await signIn(page, { ...server.user, password: 'wrong' });
      assert.equal(await page.inputValue('#username'), server.user.email);
      await keep('login-wrong');
      await signIn(page, server.user);
      await page.waitForURL(/\/consent/);
      await keep('consent');
      await page.click('#consent-allow');
      await page.waitForURL(/\/callback/);
      await page.goto(authorizeUrl({ redirect_uri: 'https://elsewhere.example/' }));
      await keep('error');
      await page.goto(server.issuer);
      await keep('home');
      await page.click('a[href="/account"]');
      await keep('account');
      await page.locator('form:has(button[name="client_id"])').last().locator('button').click();
      await page.goto(`${server.issuer}/logout`);
      await keep('sign-out');
      await page.click('#logout-confirm');
      await keep('signed-out');

      await page.goto(`${server.issuer}/admin`);
      await signIn(page, server.admin);
      await page.waitForURL(/\/admin\/clients$/);
      await keep('admin-applications');
      await page.click('a[href="/admin/clients/new"]');
      await keep('admin-register');
      await page.fill('#name', `Bookshop ${size} ${colorScheme}`);
      await page.check('input[value="confidential"]');
      await page.fill('#redirect_uris', 'http://not-safe.example/callback');
      await page.click('#save');
      await keep('admin-register-wrong');
      await page.fill('#redirect_uris', 'https://bookshop.example/callback');
      await page.click('#save');
      await keep('admin-secret');
      await page.click('a.button');
      await keep('admin-application');
      await page.click('summary:has-text("Remove")');
      await page.click('#remove');
      await page.waitForURL(/\/admin\/clients$/);
      await page.click('a[href="/admin/users"]');
      await keep('admin-people');
      await page.click(`li:has-text("${server.user.email}") a`);
      await keep('admin-person');
      await page.goto(`${server.issuer}/admin/clients/client_nowhere`);
      await keep('admin-error');
      await context.close();
    });
  }
}

/** Goes on with the Tab key until something has the focus. */
async function tabTo(page, selector) {
  for (let n = 0; n < 30; n += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate((selector) => document.activeElement.matches(selector), selector)) return;
  }
  assert.fail(`${selector} cannot be reached by the keyboard`);
}

test('a person without a mouse signs in, allows an application and signs out', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(authorizeUrl({ prompt: 'consent' }));
  await page.locator('#username').waitFor();
  // The first field may have the focus already.
  await page.evaluate(() => document.activeElement.blur());
  await tabTo(page, '#username');
  await page.keyboard.type(server.user.email);
  await tabTo(page, '#password');
  await page.keyboard.type(server.user.password);
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/consent/);
  await tabTo(page, '#consent-allow');
  const outline = await page.evaluate(() => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(document.activeElement);
    return (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || boxShadow !== 'none';
  });
  assert.ok(outline, 'nobody sees where the focus is');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/callback\?code=/);
  await page.goto(`${server.issuer}/logout`);
  await tabTo(page, '#logout-confirm');
  await page.keyboard.press('Space');
  await page.waitForSelector('h1:has-text("signed out")');
  await context.close();
});

test('a page of another site can neither frame the pages nor run a script in them, and learns nothing from links', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  // What is slipped in does not run, and nothing is fetched for it.
  await page.goto(authorizeUrl());
  await page.waitForSelector('#username');
  const ran = await page.evaluate(async () => {
    const script = document.createElement('script');
    script.textContent = 'window.slipped = true';
    const handler = document.createElement('div');
    handler.innerHTML = '<img src="https://evil.invalid/x" onerror="window.slipped = true">';
    document.body.append(script, handler);
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return window.slipped === true;
  });
  assert.equal(ran, false);
  await signIn(page, server.user);
  await page.waitForURL(/\/consent|\/callback/);
  const consent = page.url().includes('/consent') ? page.url() : `${server.issuer}/account`;
  for (const url of [`${server.issuer}/login`, consent, `${server.issuer}/account`]) {
    await page.goto(app.callback);
    const shown = await page.evaluate(async (url) => {
      const frame = document.createElement('iframe');
      frame.src = url;
      const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
      document.body.append(frame);
      await loaded;
      try {
        return frame.contentDocument?.title ?? null;
      } catch {
        return null;
      }
    }, url);
    assert.equal(shown, null);
    const inside = page.frames().find((frame) => frame !== page.mainFrame());
    assert.equal(await inside.locator('form').count(), 0, `${url} is shown in a frame`);
  }
  // Going back after signing out shows nothing of the person.
  await page.goto(`${server.issuer}/account`);
  await page.waitForSelector(`text=${server.user.email}`);
  await page.goto(`${server.issuer}/logout`);
  await page.click('#logout-confirm');
  await page.waitForSelector('h1:has-text("signed out")');
  await page.goBack();
  await page.goBack();
  await page.waitForURL(/\/login/);
  await context.close();
});
