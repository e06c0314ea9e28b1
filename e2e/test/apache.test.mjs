// Apache with Debian's mod_auth_openidc, a certified relying party in C: it protects a page, signs people in, and signs
// them out at the provider.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { launch, signIn } from '../lib/browser.mjs';
import { freePort, startServer } from '../lib/server.mjs';

const APACHE = '/usr/sbin/apache2';
const MODULES = '/usr/lib/apache2/modules';
let server, browser;

before(async () => {
  server = await startServer({ env: { GRANTOR_OUTGOING__ALLOW: '["127.0.0.0/8", "::1/128"]' } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Starts Apache before a page for people who are signed in; `more` are lines for the module. */
async function startApache(port, more) {
  const folder = mkdtempSync(join(tmpdir(), 'grantor-apache-'));
  mkdirSync(join(folder, 'www/members'), { recursive: true });
  writeFileSync(join(folder, 'www/index.html'), '<title>Everybody</title><h1>For everybody</h1>');
  writeFileSync(join(folder, 'www/members/index.html'), '<title>Members</title><h1>For members</h1>');
  const modules = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'dir', 'mime', 'headers', 'auth_openidc'];
  const config = `
    ${modules.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`).join('\n')}
    ServerName localhost
    Listen 127.0.0.1:${port}
    ${process.getuid() === 0 ? 'User www-data\nGroup www-data' : ''}
    PidFile ${folder}/pid
    ErrorLog ${folder}/error.log
    TypesConfig /etc/mime.types
    DocumentRoot ${folder}/www
    DirectoryIndex index.html
    OIDCProviderMetadataURL ${server.issuer}/.well-known/openid-configuration
    OIDCRedirectURI http://localhost:${port}/members/callback
    OIDCCryptoPassphrase ${'secret'.repeat(5)}
    OIDCScope "openid profile email"
    OIDCPKCEMethod S256
    OIDCRemoteUserClaim email
    OIDCDefaultLoggedOutURL http://localhost:${port}/
    ${more}
    <Location /members>
      AuthType openid-connect
      Require valid-user
      Header set X-Member "expr=%{REMOTE_USER}"
      Header set X-Name "expr=%{HTTP:OIDC_CLAIM_name}"
    </Location>`;
  writeFileSync(join(folder, 'apache.conf'), config);
  if (process.getuid() === 0) execFileSync('chmod', ['-R', 'a+rX', folder]);
  const apache = spawn(APACHE, ['-d', folder, '-f', join(folder, 'apache.conf'), '-DFOREGROUND'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const log = () => readFileSync(join(folder, 'error.log'), 'utf8');
  for (let tries = 0; ; tries += 1) {
    try {
      await fetch(`http://localhost:${port}/`);
      break;
    } catch (error) {
      if (tries > 100 || apache.exitCode !== null) throw new Error(`Apache does not answer: ${error}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  const stop = async () => {
    const exited = new Promise((resolve) => apache.once('exit', resolve));
    apache.kill('SIGTERM');
    await exited;
    rmSync(folder, { recursive: true });
  };
  return { log, stop };
}

async function walk(port, apache) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://localhost:${port}/members/`);
  await signIn(page, server.user);
  await page.waitForURL((at) => at.pathname === '/consent' || at.port === String(port));
  if (page.url().includes('/consent')) await page.click('#consent-allow');
  await page.waitForURL(`http://localhost:${port}/members/`);
  assert.equal(await page.title(), 'Members', apache.log());
  const headers = (await page.goto(`http://localhost:${port}/members/`)).headers();
  assert.equal(headers['x-member'], server.user.email);
  assert.ok(headers['x-name'].length > 2, 'a claim of UserInfo');

  // Signing out there signs out here: the provider asks again, since it was told so by an ID token of this session.
  const out = `http://localhost:${port}/members/callback?logout=${encodeURIComponent(`http://localhost:${port}/`)}`;
  await page.goto(out);
  await page.waitForURL(`http://localhost:${port}/`);
  assert.equal(await page.title(), 'Everybody');
  await page.goto(`http://localhost:${port}/members/`);
  await page.waitForSelector('#login-submit');
  await context.close();
  assert.doesNotMatch(apache.log(), /\[auth_openidc:error\]/);
}

const register = (port, more) =>
  server.register({
    name: 'Apache',
    clientType: 'confidential',
    redirectUris: [`http://localhost:${port}/members/callback`],
    postLogoutRedirectUris: [`http://localhost:${port}/`],
    grantTypes: ['authorization_code', 'refresh_token'],
    scopes: ['openid', 'profile', 'email'],
    ...more,
  });

test('mod_auth_openidc signs people in and out with a secret', async () => {
  const port = await freePort();
  const { clientId, clientSecret } = await register(port);
  const apache = await startApache(port, `
    OIDCClientID ${clientId}
    OIDCClientSecret ${clientSecret}`);
  await walk(port, apache);
  await apache.stop();
});

// With a key of its own, this release of the module (2.4.12) ends in a segmentation fault of its own.
test('mod_auth_openidc reads signed UserInfo, and sends its secret in the body', async () => {
  const port = await freePort();
  const { clientId, clientSecret } = await register(port, {
    tokenEndpointAuthMethod: 'client_secret_post',
    userinfoSignedResponseAlg: 'RS256',
    idTokenSignedResponseAlg: 'ES256',
  });
  const apache = await startApache(port, `
    OIDCClientID ${clientId}
    OIDCClientSecret ${clientSecret}
    OIDCProviderTokenEndpointAuth client_secret_post
    OIDCIDTokenSignedResponseAlg ES256
    OIDCUserInfoSignedResponseAlg RS256`);
  await walk(port, apache);
  await apache.stop();
});

test('mod_auth_openidc learns behind the scenes that the person has signed out', async () => {
  const port = await freePort();
  const { clientId, clientSecret } = await register(port, {
    backchannelLogoutUri: `http://localhost:${port}/members/callback?logout=backchannel`,
  });
  const apache = await startApache(port, `
    OIDCClientID ${clientId}
    OIDCClientSecret ${clientSecret}`);
  const context = await browser.newContext();
  const page = await context.newPage();
  const members = `http://localhost:${port}/members/`;
  await page.goto(members);
  await signIn(page, server.user);
  await page.waitForURL((at) => at.pathname === '/consent' || at.port === String(port));
  if (page.url().includes('/consent')) await page.click('#consent-allow');
  await page.waitForURL(members);
  assert.equal(await page.title(), 'Members', apache.log());
  // At the provider itself, without a word to the application.
  await page.goto(`${server.issuer}/account`);
  assert.match(await page.textContent('main'), /Signed in to Apache/);
  await page.goto(`${server.issuer}/logout`);
  await page.click('#logout-confirm');
  await page.waitForSelector('text=You have been signed out');
  for (let tries = 0; ; tries += 1) {
    await page.goto(members);
    if (await page.$('#login-submit')) break;
    assert.ok(tries < 40, `Apache was never told: ${apache.log()}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  await context.close();
  await apache.stop();
});
