// OpenID Connect Session Management in a real browser: the page that applications have in a frame, asked by hand and
// by oidc-client-ts, which watches the session with it.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';

import { launch, launchOpen, signIn } from '../lib/browser.mjs';
import { freePort, startServer } from '../lib/server.mjs';

let server, app, browser, origin, client;

const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';

const SCRIPT = `
import { UserManager, WebStorageStateStore } from 'oidc-client-ts';
window.said = [];
window.events = [];
addEventListener('message', ({ data, origin }) => window.said.push({ data, origin }));
window.manager = (settings) => {
  const manager = new UserManager({
    ...settings,
    redirect_uri: location.origin + '/callback',
    silent_redirect_uri: location.origin + '/silent',
    scope: 'openid profile',
    automaticSilentRenew: false,
    monitorSession: true,
    checkSessionIntervalInSeconds: 1,
    userStore: new WebStorageStateStore({ store: window.sessionStorage }),
  });
  manager.events.addUserSignedOut(() => window.events.push('signed out'));
  manager.events.addUserSessionChanged(() => window.events.push('changed'));
  return manager;
};
window.ready = true;
`;

const settings = () => ({ authority: server.issuer, client_id: client.clientId });
const page = (path) =>
  path.startsWith('/silent')
    ? `<!doctype html><script type="module">import '/app.js';
       await window.manager(${JSON.stringify({ ...settings(), monitorSession: false })}).signinSilentCallback();</script>`
    : `<!doctype html><title>App</title><body><script type="module" src="/app.js"></script>`;

before(async () => {
  server = await startServer({ env: { GRANTOR_SESSION_MANAGEMENT: 'true' } });
  const port = await freePort();
  origin = `http://localhost:${port}`;
  const bundle = await build({
    stdin: { contents: SCRIPT, resolveDir: new URL('..', import.meta.url).pathname },
    bundle: true,
    format: 'esm',
    write: false,
  });
  app = createServer(({ url }, response) => {
    const isScript = url === '/app.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? bundle.outputFiles[0].text : page(url));
  });
  await new Promise((resolve) => app.listen(port, '127.0.0.1', resolve));
  client = await server.register({
    name: 'Watching application',
    clientType: 'public',
    redirectUris: [`${origin}/callback`, `${origin}/silent`],
    allowedOrigins: [origin],
    grantTypes: ['authorization_code', 'refresh_token'],
    scopes: ['openid', 'profile'],
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

/** A person who has signed in to the application, whose page watches the session. */
async function watching() {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => {
    if (/Content.Security.Policy/i.test(message.text())) problems.push(message.text());
  });
  await page.goto(origin);
  await page.waitForFunction(() => window.ready);
  await page.evaluate((settings) => void window.manager(settings).signinRedirect(), settings());
  await page.waitForSelector('#username');
  await signIn(page, server.user);
  await page.waitForURL(/\/callback\?/);
  await page.waitForFunction(() => window.ready);
  const state = await page.evaluate(async (settings) => {
    window.monitor = window.manager(settings);
    return (await window.monitor.signinCallback()).session_state;
  }, settings());
  assert.match(state, /^[\w-]{43}\.[\w-]{22}$/);
  return { context, page, state, problems };
}

const hears = (page, word) =>
  page.waitForFunction((word) => window.said.some(({ data }) => data === word), word);
const forget = (page) => page.evaluate(() => void (window.said.length = 0));
const events = (page) => page.evaluate(() => window.events);

async function signOut(context, from = server) {
  const other = await context.newPage();
  await other.goto(`${from.issuer}/logout`);
  await other.click('#logout-confirm');
  await other.waitForSelector('h1:has-text("signed out")');
  await other.close();
}

async function signInElsewhere(context, person) {
  const other = await context.newPage();
  await other.goto(`${server.issuer}/login`);
  await signIn(other, person);
  await other.waitForURL((url) => url.pathname !== '/login');
  await other.close();
}

test('an application hears that nothing has changed, and notices a sign-out in another tab', async () => {
  const { context, page, problems } = await watching();
  await hears(page, 'unchanged');
  const origins = await page.evaluate(() => window.said.map(({ origin }) => origin));
  assert.ok(origins.includes(new URL(server.issuer).origin));
  assert.deepEqual(await events(page), []);
  await signOut(context);
  await page.waitForFunction(() => window.events.length > 0);
  assert.deepEqual(await events(page), ['signed out']);
  assert.deepEqual(problems, []);
  await context.close();
});

test('somebody else who signs in is noticed, and the person who signs in again is not', async () => {
  const { context, page } = await watching();
  await hears(page, 'unchanged');
  // The session goes on.
  const other = await context.newPage();
  await other.goto(`${server.issuer}/oauth2/authorize?${new URLSearchParams({
    response_type: 'code', client_id: client.clientId, redirect_uri: `${origin}/callback`,
    scope: 'openid', prompt: 'login', code_challenge_method: 'S256',
    code_challenge: CHALLENGE,
  })}`);
  await signIn(other, server.user);
  await other.waitForURL(/\/callback\?/);
  await other.close();
  await forget(page);
  await hears(page, 'unchanged');
  assert.deepEqual(await events(page), []);
  await signOut(context);
  await signInElsewhere(context, server.admin);
  await page.waitForFunction(() => window.events.length > 0);
  assert.deepEqual(await events(page), ['signed out']);
  await context.close();
});

/** Asks the page in the frame by hand, and gives its answer. */
const ask = (page, message, issuer = server.issuer) =>
  page.evaluate(
    async ([url, message]) => {
      const frame = document.createElement('iframe');
      frame.src = url;
      const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
      document.body.append(frame);
      await loaded;
      const answered = new Promise((resolve) =>
        addEventListener('message', ({ source, data }) => source === frame.contentWindow && resolve(data)),
      );
      frame.contentWindow.postMessage(message, new URL(url).origin);
      const silence = new Promise((resolve) => setTimeout(() => resolve('no answer'), 10_000));
      return Promise.race([answered, silence]);
    },
    [`${issuer}/oauth2/check_session`, message],
  );

test('the page answers what the specification says', async () => {
  const { context, page, state } = await watching();
  const [hash, salt] = state.split('.');
  assert.equal(await ask(page, `${client.clientId} ${state}`), 'unchanged');
  assert.equal(await ask(page, `client_other ${state}`), 'changed');
  assert.equal(await ask(page, `${client.clientId} ${hash}.another`), 'changed');
  for (const bad of ['', 'nonsense', `${client.clientId} ${hash}`, ` ${state}`, `${client.clientId}  ${state}`]) {
    assert.equal(await ask(page, bad), 'error', bad);
  }
  assert.equal(await ask(page, { client: client.clientId }), 'error');
  // A state that somebody else has got hold of is of no use to them: it was made for the application's origin.
  const stranger = await context.newPage();
  await stranger.goto(`http://127.0.0.1:${new URL(origin).port}/`);
  assert.notEqual(await ask(stranger, `${client.clientId} ${state}`), 'unchanged');
  await signOut(context);
  assert.equal(await ask(page, `${client.clientId} ${state}`), 'changed');
  await context.close();
});

test('a browser that shows no cookie signs nobody out', async () => {
  const { context, page } = await watching();
  await hears(page, 'unchanged');
  // As browsers do that keep the cookies of frames from pages of other sites.
  await context.clearCookies({ name: 'grantor_browser_state' });
  await hears(page, 'error');
  assert.deepEqual(await events(page), []);
  await context.close();
});

test('an application on another site hears the truth, or that the browser keeps it', async () => {
  // Its own certificate is nobody's.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  const env = { GRANTOR_SESSION_MANAGEMENT: 'true' };
  const far = await startServer({ host: 'id.localhost', tls: true, env });
  try {
    const there = origin.replace('//localhost', '//app.localhost');
    const { clientId } = await far.register({
      name: 'Application of another site',
      clientType: 'public',
      redirectUris: [`${there}/callback`],
      scopes: ['openid'],
      isFirstParty: true,
      requireConsent: false,
    });
    const signedIn = async (context) => {
      const page = await context.newPage();
      await page.goto(`${far.issuer}/oauth2/authorize?${new URLSearchParams({
        response_type: 'code', client_id: clientId, redirect_uri: `${there}/callback`, scope: 'openid',
        code_challenge_method: 'S256', code_challenge: CHALLENGE,
      })}`);
      await signIn(page, far.user);
      await page.waitForURL(/\/callback\?/);
      const state = new URL(page.url()).searchParams.get('session_state');
      return (word = state) => ask(page, `${clientId} ${word}`, far.issuer);
    };
    const ignoreHTTPSErrors = true;
    const windows = [
      [await launchOpen(join(far.folder, 'profile'), { ignoreHTTPSErrors }), 'unchanged', 'changed'],
      [await browser.newContext({ ignoreHTTPSErrors }), 'error', 'error'],
    ];
    const heard = [];
    for (const [context, ...expected] of windows) {
      try {
        const state = await signedIn(context);
        const before = await state();
        await signOut(context, far);
        heard.push([[before, await state()], expected]);
      } finally {
        await context.close();
      }
    }
    for (const [answers, expected] of heard) assert.deepEqual(answers, expected);
  } finally {
    await far.stop();
  }
});
