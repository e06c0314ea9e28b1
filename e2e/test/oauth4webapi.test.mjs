// oauth4webapi: the strictest library there is about what a server may answer. A public client, both
// well-known documents, and ID tokens of both algorithms.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as oauth from 'oauth4webapi';

import { launch } from '../lib/browser.mjs';
import { startCallback, visit } from '../lib/flow.mjs';
import { startServer } from '../lib/server.mjs';

const insecure = { [oauth.allowInsecureRequests]: true };
let server, app, browser;

before(async () => {
  server = await startServer();
  app = await startCallback();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  app?.close();
  await server?.stop();
});

for (const [algorithm, kind] of [['RS256', 'oidc'], ['EdDSA', 'oauth2']]) {
  test(`the code flow of a public client with ${algorithm}, discovered as ${kind}`, async () => {
    const registered = await server.register({
      name: `oauth4webapi ${algorithm}`,
      clientType: 'public',
      redirectUris: [app.callback],
      grantTypes: ['authorization_code', 'refresh_token'],
      scopes: ['openid', 'profile', 'email'],
      idTokenSignedResponseAlg: algorithm,
    });
    const issuer = new URL(server.issuer);
    const found = await oauth.discoveryRequest(issuer, { algorithm: kind, ...insecure });
    const as = await oauth.processDiscoveryResponse(issuer, found);
    const client = { client_id: registered.clientId, id_token_signed_response_alg: algorithm };
    const verifier = oauth.generateRandomCodeVerifier();
    const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
    const url = new URL(as.authorization_endpoint);
    url.search = new URLSearchParams({
      client_id: registered.clientId,
      redirect_uri: app.callback,
      response_type: 'code',
      scope: 'openid email',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    });
    const back = await visit(browser, url, server.user, app.callback);
    const parameters = oauth.validateAuthResponse(as, client, back, state);
    const answer = await oauth.authorizationCodeGrantRequest(
      as, client, oauth.None(), parameters, app.callback, verifier, insecure,
    );
    const tokens = await oauth.processAuthorizationCodeResponse(as, client, answer, {
      expectedNonce: nonce,
      requireIdToken: true,
    });
    await oauth.validateApplicationLevelSignature(as, answer, insecure);
    const { sub } = oauth.getValidatedIdTokenClaims(tokens);
    const info = await oauth.userInfoRequest(as, client, tokens.access_token, insecure);
    const person = await oauth.processUserInfoResponse(as, client, sub, info);
    assert.equal(person.email, server.user.email);

    const again = await oauth.refreshTokenGrantRequest(
      as, client, oauth.None(), tokens.refresh_token, insecure,
    );
    const refreshed = await oauth.processRefreshTokenResponse(as, client, again);
    assert.equal(oauth.getValidatedIdTokenClaims(refreshed).sub, sub);
    const revoked = await oauth.revocationRequest(
      as, client, oauth.None(), refreshed.refresh_token, insecure,
    );
    assert.equal(await oauth.processRevocationResponse(revoked), undefined);
    const dead = await oauth.userInfoRequest(as, client, refreshed.access_token, insecure);
    await assert.rejects(
      oauth.processUserInfoResponse(as, client, sub, dead),
      (error) => error.cause[0].parameters.error === 'invalid_token',
    );
  });
}

test('a resource server believes the access tokens by the published keys alone', async () => {
  const issuer = new URL(server.issuer);
  const found = await oauth.discoveryRequest(issuer, insecure);
  const as = await oauth.processDiscoveryResponse(issuer, found);
  const client = await server.register({
    name: 'App of the API',
    clientType: 'public',
    redirectUris: [app.callback],
    grantTypes: ['authorization_code'],
    scopes: ['openid'],
  });
  const verifier = oauth.generateRandomCodeVerifier();
  const url = new URL(as.authorization_endpoint);
  url.search = new URLSearchParams({
    client_id: client.clientId,
    redirect_uri: app.callback,
    response_type: 'code',
    scope: 'openid',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const back = await visit(browser, url, server.user, app.callback);
  const self = { client_id: client.clientId };
  const parameters = oauth.validateAuthResponse(as, self, back, oauth.expectNoState);
  const answer = await oauth.authorizationCodeGrantRequest(
    as, self, oauth.None(), parameters, app.callback, verifier, insecure,
  );
  const tokens = await oauth.processAuthorizationCodeResponse(as, self, answer);
  const request = new Request('http://api.example/orders', {
    headers: { authorization: `Bearer ${tokens.access_token}` },
  });
  const claims = await oauth.validateJwtAccessToken(as, request, server.issuer, insecure);
  assert.equal(claims.client_id, client.clientId);
  const idToken = new Request('http://api.example/orders', {
    headers: { authorization: `Bearer ${tokens.id_token}` },
  });
  await assert.rejects(oauth.validateJwtAccessToken(as, idToken, server.issuer, insecure));
});
