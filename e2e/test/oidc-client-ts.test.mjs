// oidc-client-ts, the library of many browser applications: sign-in, renewal in a hidden frame and by
// refresh token, claims from UserInfo, revocation, and sign-out.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';

import { launch, signIn } from '../lib/browser.mjs';
import { freePort, startServer } from '../lib/server.mjs';

let server, app, browser, origin, client;

const PAGE = `<!doctype html><title>App</title><script type="module" src="/app.js"></script>`;
// The page of the hidden frame hands its address to the page around it.
const silentPage = () => `<!doctype html><script type="module">
import '/app.js';
await window.manager(${JSON.stringify(settings())}).signinSilentCallback();
</script>`;

const SCRIPT = `
import { UserManager, WebStorageStateStore } from 'oidc-client-ts';
window.manager = (settings) => new UserManager({
  ...settings,
  redirect_uri: location.origin + '/callback',
  silent_redirect_uri: location.origin + '/silent',
  post_logout_redirect_uri: location.origin + '/bye',
  scope: 'openid profile email',
  loadUserInfo: true,
  automaticSilentRenew: false,
  userStore: new WebStorageStateStore({ store: window.sessionStorage }),
});
window.ready = true;
`;

before(async () => {
  server = await startServer();
  const port = await freePort();
  origin = `http://localhost:${port}`;
  const bundle = await build({
    stdin: { contents: SCRIPT, resolveDir: new URL('..', import.meta.url).pathname },
    bundle: true,
    format: 'esm',
    write: false,
  });
  app = createServer((request, response) => {
    const isScript = request.url === '/app.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    const isSilent = request.url.startsWith('/silent');
    response.end(isScript ? bundle.outputFiles[0].text : isSilent ? silentPage() : PAGE);
  });
  await new Promise((resolve) => app.listen(port, '127.0.0.1', resolve));
  client = await server.register({
    name: 'Browser application',
    clientType: 'public',
    redirectUris: [`${origin}/callback`, `${origin}/silent`],
    postLogoutRedirectUris: [`${origin}/bye`],
    allowedOrigins: [origin],
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
  await server?.stop();
});

/** Runs a step of the library in the page. */
function run(page, settings, step, argument) {
  return page.evaluate(
    async ([settings, step, argument]) => {
      const manager = window.manager(settings);
      const user = await manager[step](argument);
      return user && JSON.parse(JSON.stringify({ ...user, expired: user.expired }));
    },
    [settings, step, argument],
  );
}

async function open(page, path = '/') {
  await page.goto(origin + path);
  await page.waitForFunction(() => window.ready);
}

async function signedIn(settings) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await open(page);
  await page.evaluate((settings) => void window.manager(settings).signinRedirect(), settings);
  await page.waitForSelector('#username');
  await signIn(page, server.user);
  await page.waitForURL(/\/callback\?/);
  await page.waitForFunction(() => window.ready);
  const user = await run(page, settings, 'signinCallback');
  assert.deepEqual(problems, []);
  return { context, page, user };
}

const settings = () => ({ authority: server.issuer, client_id: client.clientId });

test('sign-in brings the claims of the ID token and of UserInfo', async () => {
  const { context, user } = await signedIn(settings());
  assert.equal(user.profile.email, server.user.email);
  assert.equal(user.profile.name, 'Dana Demo');
  assert.equal(user.expired, false);
  assert.ok(user.refresh_token);
  await context.close();
});

test('renewal by refresh token replaces the token and keeps the person', async () => {
  const { context, page, user } = await signedIn(settings());
  const renewed = await run(page, settings(), 'signinSilent');
  assert.equal(renewed.profile.sub, user.profile.sub);
  assert.notEqual(renewed.refresh_token, user.refresh_token);
  assert.notEqual(renewed.access_token, user.access_token);
  await context.close();
});

test('renewal in a hidden frame works while the session lives, and says when it does not', async () => {
  const { context, page, user } = await signedIn(settings());
  // Without a refresh token the library asks with prompt=none in a frame.
  const forget = () =>
    page.evaluate(async (settings) => {
      const manager = window.manager(settings);
      const user = await manager.getUser();
      user.refresh_token = undefined;
      await manager.storeUser(user);
    }, settings());
  const inFrame = async () => {
    await open(page);
    await forget();
    return run(page, settings(), 'signinSilent');
  };
  const renewed = await inFrame();
  assert.equal(renewed.profile.sub, user.profile.sub);
  await context.clearCookies({ name: 'cerb_sid' });
  await assert.rejects(inFrame(), /login_required|the person must sign in/);
  await context.close();
});

test('revocation ends the tokens', async () => {
  const { context, page, user } = await signedIn(settings());
  await run(page, settings(), 'revokeTokens');
  const status = await page.evaluate(
    async ([url, token]) =>
      (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status,
    [`${server.issuer}/oauth2/userinfo`, user.access_token],
  );
  assert.equal(status, 401);
  await context.close();
});

test('sign-out ends the session without asking and comes back to the application', async () => {
  const { context, page } = await signedIn(settings());
  await page.evaluate(
    (settings) => void window.manager(settings).signoutRedirect({ state: { from: 'here' } }),
    settings(),
  );
  await page.waitForURL(/\/bye/);
  await page.waitForFunction(() => window.ready);
  const back = await run(page, settings(), 'signoutCallback');
  assert.deepEqual(back.userState, { from: 'here' });
  const cookies = await context.cookies();
  assert.deepEqual(cookies.filter(({ name }) => name === 'cerb_sid'), []);
  // The next sign-in asks for the password again.
  await page.evaluate((settings) => void window.manager(settings).signinRedirect(), settings());
  await page.waitForSelector('#password');
  await context.close();
});
