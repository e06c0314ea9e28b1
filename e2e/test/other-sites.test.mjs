// What pages of other sites can and cannot make of a person who is signed in, in a real browser.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { launch, signIn } from '../lib/browser.mjs';
import { freePort, startServer } from '../lib/server.mjs';

const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';

let server, app, port, here, browser, client;
/** The requests that the application got: their paths, and where browsers said they came from. */
const seen = [];

before(async () => {
  server = await startServer({ env: { GRANTOR_SESSION_MANAGEMENT: 'true' } });
  port = await freePort();
  app = createServer(({ url, headers }, response) => {
    seen.push({ url, referer: headers.referer, origin: headers.origin });
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>Application</title><body>');
  });
  await new Promise((resolve) => app.listen(port, resolve));
  // The server is at localhost, which to a browser is another site.
  here = `http://127.0.0.1:${port}`;
  client = await server.register({
    name: 'Application of another site',
    clientType: 'public',
    redirectUris: [`${here}/callback`],
    scopes: ['openid'],
    requireConsent: false,
    isFirstParty: true,
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  await server?.stop();
});

const parameters = (more = {}) => ({
  response_type: 'code',
  client_id: client.clientId,
  redirect_uri: `${here}/callback`,
  scope: 'openid',
  state: 'the state of the application',
  code_challenge: CHALLENGE,
  code_challenge_method: 'S256',
  ...more,
});

const authorizeUrl = (more) => `${server.issuer}/oauth2/authorize?${new URLSearchParams(parameters(more))}`;

/** A window in which the person has signed in. */
async function signedIn() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(authorizeUrl());
  await signIn(page, server.user);
  await page.waitForURL(/\/callback\?code=/);
  return { context, page };
}

test('a silent request in a frame of another site finds no session, and one in the window does', async () => {
  const { context, page } = await signedIn();
  await page.goto(authorizeUrl({ prompt: 'none' }));
  await page.waitForURL(/\/callback\?/);
  assert.ok(new URL(page.url()).searchParams.get('code'), page.url());
  await page.goto(here);
  const error = await page.evaluate(async (url) => {
    const frame = document.createElement('iframe');
    frame.src = url;
    document.body.append(frame);
    // The last page in it is the application's own, which may be looked at.
    for (;;) {
      await new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
      try {
        const at = frame.contentWindow.location.href;
        if (at.includes('/callback')) return new URL(at).searchParams.get('error');
      } catch {
        // It is still elsewhere.
      }
    }
  }, authorizeUrl({ prompt: 'none' }));
  assert.equal(error, 'login_required');
  await context.close();
});

test('a request that a page of another site posts is answered like one that is visited', async () => {
  const { context, page } = await signedIn();
  await page.goto(here);
  await page.evaluate(
    ({ action, fields }) => {
      const form = document.createElement('form');
      Object.assign(form, { method: 'post', action });
      for (const [name, value] of Object.entries(fields)) {
        const input = document.createElement('input');
        Object.assign(input, { type: 'hidden', name, value });
        form.append(input);
      }
      document.body.append(form);
      form.submit();
    },
    { action: `${server.issuer}/oauth2/authorize`, fields: parameters() },
  );
  await page.waitForURL(/\/callback\?code=/);
  assert.equal(new URL(page.url()).searchParams.get('state'), 'the state of the application');
  await context.close();
});

test('neither the decision nor the sign-out can be posted from another site', async () => {
  const { context, page: first } = await signedIn();
  for (const path of ['/consent', '/logout', '/account', '/admin/clients/new', '/v1/auth/logout']) {
    const page = await context.newPage();
    await page.goto(here);
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.url().endsWith(path)),
      page.evaluate((action) => {
        const form = document.createElement('form');
        Object.assign(form, { method: 'post', action });
        form.innerHTML = '<input name="ticket" value="x"><input name="csrf" value="x"><input name="decision" value="allow">';
        document.body.append(form);
        form.submit();
      }, server.issuer + path),
    ]);
    assert.ok([303, 401, 403].includes(answer.status()), `${path}: ${answer.status()}`);
    await page.close();
  }
  await first.goto(`${server.issuer}/account`);
  await first.waitForSelector(`text=${server.user.email}`);
  await context.close();
});

test('the application does not learn from which page a person comes, nor anybody else the code', async () => {
  seen.length = 0;
  const { context, page } = await signedIn();
  const back = seen.filter(({ url }) => url.startsWith('/callback?code='));
  assert.equal(back.length, 1);
  assert.equal(back[0].referer, undefined);
  // From the pages of the server no link tells where it stood, with its ticket.
  await page.goto(authorizeUrl({ prompt: 'login' }));
  await page.waitForSelector('#username');
  await page.evaluate((url) => {
    const link = document.createElement('a');
    link.href = url;
    link.textContent = 'away';
    link.id = 'away';
    document.body.append(link);
  }, `${here}/elsewhere`);
  await page.click('#away');
  await page.waitForURL(`${here}/elsewhere`);
  const away = seen.filter(({ url }) => url === '/elsewhere');
  assert.equal(away.length, 1);
  assert.equal(away[0].referer, undefined);
  await context.close();
});

test('the page about the session answers the application and no other frame in it', async () => {
  const { context, page } = await signedIn();
  await page.goto(authorizeUrl());
  await page.waitForURL(/\/callback\?/);
  const state = new URL(page.url()).searchParams.get('session_state');
  assert.ok(state);
  await page.goto(here);
  const heard = await page.evaluate(
    async ({ issuer, stranger, word }) => {
      const load = (src) => {
        const frame = document.createElement('iframe');
        frame.src = src;
        const loaded = new Promise((resolve) => frame.addEventListener('load', () => resolve(frame)));
        document.body.append(frame);
        return loaded;
      };
      const provider = await load(`${issuer}/oauth2/check_session`);
      await load(stranger);
      const answers = [];
      addEventListener('message', ({ data, origin }) => origin === issuer && answers.push(data));
      provider.contentWindow.postMessage(word, issuer);
      while (answers.length === 0) await new Promise((resolve) => requestAnimationFrame(resolve));
      return answers;
    },
    { issuer: new URL(server.issuer).origin, stranger: `http://[::1]:${port}/stranger`, word: `${client.clientId} ${state}` },
  );
  assert.equal(heard.length, 1);
  const stranger = page.frames().find((frame) => frame.url().includes('/stranger'));
  const answers = await stranger.evaluate(
    async ({ issuer, word }) => {
      const answers = [];
      addEventListener('message', ({ data, origin }) => answers.push({ data, origin }));
      for (let n = 0; n < 20; n += 1) {
        parent.frames[0].postMessage(word, issuer);
        parent.frames[0].postMessage('nonsense', issuer);
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
      return answers;
    },
    { issuer: new URL(server.issuer).origin, word: `${client.clientId} ${state}` },
  );
  assert.deepEqual(answers, []);
  await context.close();
});
