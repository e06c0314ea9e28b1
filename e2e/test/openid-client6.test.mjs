// openid-client 6: a confidential application with everything that the library offers for it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as client from 'openid-client6';

import { launch } from '../lib/browser.mjs';
import { startCallback, visit } from '../lib/flow.mjs';
import { startServer } from '../lib/server.mjs';

let server, app, browser, registered;

before(async () => {
  server = await startServer({ env: { GRANTOR_SCOPES: '["orders:read"]' } });
  app = await startCallback();
  registered = await server.register({
    name: 'openid-client 6',
    clientType: 'confidential',
    redirectUris: [app.callback],
    grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
    scopes: ['openid', 'profile', 'email', 'orders:read'],
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  await server?.stop();
});

/** Both ways of sending the secret, by the library's own names. */
const methods = { ClientSecretBasic: client.ClientSecretBasic, ClientSecretPost: client.ClientSecretPost };

for (const [name, method] of Object.entries(methods)) {
  test(`the code flow, refresh, introspection and revocation with ${name}`, async () => {
    const { clientId, clientSecret } = registered;
    const config = await client.discovery(
      new URL(server.issuer),
      clientId,
      undefined,
      method(clientSecret),
      { execute: [client.allowInsecureRequests] },
    );
    assert.equal(config.serverMetadata().issuer, server.issuer);
    const pkceCodeVerifier = client.randomPKCECodeVerifier();
    const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()];
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: app.callback,
      scope: 'openid profile email',
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      state: expectedState,
      nonce: expectedNonce,
      max_age: '300',
    });
    const back = await visit(browser, url, server.user, app.callback);
    const tokens = await client.authorizationCodeGrant(config, back, {
      pkceCodeVerifier,
      expectedState,
      expectedNonce,
      maxAge: 300,
      idTokenExpected: true,
    });
    const claims = tokens.claims();
    assert.equal(claims.aud, clientId);
    const person = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(person.email, server.user.email);

    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
    assert.notEqual(refreshed.refresh_token, tokens.refresh_token);
    assert.equal(refreshed.claims().sub, claims.sub);
    const seen = await client.tokenIntrospection(config, refreshed.access_token);
    assert.equal(seen.active, true);
    assert.equal(seen.sub, claims.sub);

    await client.tokenRevocation(config, refreshed.refresh_token);
    const dead = await client.tokenIntrospection(config, refreshed.access_token);
    assert.deepEqual(dead, { active: false });
    await assert.rejects(
      client.refreshTokenGrant(config, refreshed.refresh_token),
      (error) => error instanceof client.ResponseBodyError && error.error === 'invalid_grant',
    );
    // The same code again: it was spent, and its grant has ended.
    await assert.rejects(
      client.authorizationCodeGrant(config, back, { pkceCodeVerifier, expectedState, expectedNonce }),
      { error: 'invalid_grant' },
    );

    const own = await client.clientCredentialsGrant(config, { scope: 'orders:read' });
    assert.equal(own.scope, 'orders:read');
    assert.equal(own.refresh_token, undefined);
  });
}

test('a wrong secret and a wrong verifier are named as the specifications say', async () => {
  const discover = (secret) =>
    client.discovery(new URL(server.issuer), registered.clientId, undefined, secret, {
      execute: [client.allowInsecureRequests],
    });
  const wrong = await discover(client.ClientSecretBasic('wrong'));
  await assert.rejects(client.clientCredentialsGrant(wrong), (error) => {
    // The library reads the challenge of a 401.
    assert.equal(error.status, 401);
    assert.equal(error.cause[0].scheme, 'basic');
    return true;
  });
  const right = await discover(client.ClientSecretBasic(registered.clientSecret));
  const url = client.buildAuthorizationUrl(right, {
    redirect_uri: app.callback,
    scope: 'openid',
    code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()),
    code_challenge_method: 'S256',
  });
  const back = await visit(browser, url, server.user, app.callback);
  await assert.rejects(
    client.authorizationCodeGrant(right, back, { pkceCodeVerifier: client.randomPKCECodeVerifier() }),
    (error) => error.error === 'invalid_grant' && /^invalid_code_verifier/.test(error.error_description),
  );
});

test('a person who refuses is reported to the application', async () => {
  const config = await client.discovery(new URL(server.issuer), registered.clientId, undefined,
    client.ClientSecretBasic(registered.clientSecret), { execute: [client.allowInsecureRequests] });
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: app.callback,
    scope: 'openid email',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
  });
  const page = await browser.newPage();
  await page.goto(url.href);
  await page.click('#login-cancel');
  await page.waitForURL((at) => at.href.startsWith(app.callback));
  await assert.rejects(
    client.authorizationCodeGrant(config, new URL(page.url()), { pkceCodeVerifier, expectedState }),
    (error) => error instanceof client.AuthorizationResponseError && error.error === 'access_denied',
  );
  await page.close();
});
