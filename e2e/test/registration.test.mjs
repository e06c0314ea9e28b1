// Applications that register themselves, and manage what they registered: openid-client 6 and oauth4webapi, with an
// initial access token.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client6';

import { launch } from '../lib/browser.mjs';
import { startCallback, visit } from '../lib/flow.mjs';
import { startServer } from '../lib/server.mjs';

const insecure = { [oauth.allowInsecureRequests]: true };
const token = 'an initial access token of some length';
let server, app, browser;

before(async () => {
  server = await startServer({
    env: {
      GRANTOR_REGISTRATION__MODE: 'token',
      GRANTOR_REGISTRATION__TOKENS: JSON.stringify([token]),
      GRANTOR_REGISTRATION__ORGANISATION: 'your-org',
    },
  });
  app = await startCallback();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  await server?.stop();
});

test('openid-client 6 registers an application, and signs a person in with it', async () => {
  const metadata = {
    redirect_uris: [app.callback],
    client_name: 'Registered by itself',
    grant_types: ['authorization_code', 'refresh_token'],
    scope: 'openid profile email unheard-of',
    logo_uri: 'https://app.example/logo.png',
    policy_uri: 'https://app.example/policy',
    tos_uri: 'https://app.example/terms',
  };
  const config = await client.dynamicClientRegistration(
    new URL(server.issuer), metadata, client.ClientSecretBasic(),
    { initialAccessToken: token, execute: [client.allowInsecureRequests] },
  );
  const registered = config.clientMetadata();
  assert.equal(registered.scope, 'openid profile email');
  assert.ok(registered.client_secret.length > 30);
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: app.callback,
    scope: 'openid email',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  });
  const back = await visit(browser, url, server.user, app.callback);
  const tokens = await client.authorizationCodeGrant(config, back, { pkceCodeVerifier });
  const person = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  assert.equal(person.email, server.user.email);

  // The administrators of its organisation see it.
  const listed = await fetch(server.url('/v1/admin/clients'), {
    headers: { cookie: await server.adminCookie(), 'x-org-domain': server.org },
  });
  assert.match(await listed.text(), /Registered by itself/);

  // It manages itself (RFC 7592).
  const manage = (method, body) =>
    fetch(registered.registration_client_uri, {
      method,
      headers: {
        authorization: `Bearer ${registered.registration_access_token}`,
        ...(body && { 'content-type': 'application/json' }),
      },
      body: body && JSON.stringify(body),
    });
  const read = await (await manage('GET')).json();
  assert.equal(read.tos_uri, metadata.tos_uri);
  const renamed = await manage('PUT', {
    ...metadata,
    client_id: registered.client_id,
    client_name: 'Renamed by itself',
  });
  assert.equal((await renamed.json()).client_name, 'Renamed by itself');
  await client.refreshTokenGrant(config, tokens.refresh_token);
  assert.equal((await manage('DELETE')).status, 204);
  assert.equal((await manage('GET')).status, 401);
  await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token));
});

test('oauth4webapi registers strictly, and nobody does without the token', async () => {
  const issuer = new URL(server.issuer);
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  const register = (initialAccessToken, more) =>
    oauth.dynamicClientRegistrationRequest(
      as, { redirect_uris: [app.callback], ...more }, { initialAccessToken, ...insecure },
    );
  const made = await oauth.processDynamicClientRegistrationResponse(
    await register(token, { token_endpoint_auth_method: 'none' }),
  );
  assert.equal(made.client_secret, undefined);
  for (const wrong of [undefined, 'wrong']) assert.equal((await register(wrong)).status, 401);
  const refused = await register(token, { redirect_uris: ['https://app.example/cb#fragment'] });
  await assert.rejects(
    oauth.processDynamicClientRegistrationResponse(refused),
    (error) => error.error === 'invalid_redirect_uri' && error.status === 400,
  );
});
