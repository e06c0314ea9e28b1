// The OpenAPI document, tried against the running server: every operation, every status that it
// names, and every answer against its schema.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

import { startServer } from '../lib/server.mjs';

let server, document, ajv, cookie;
const seen = new Set();

before(async () => {
  server = await startServer();
  document = await (await fetch(server.url('/v1/openapi.json'))).json();
  ajv = new Ajv({ strict: false, allErrors: true });
  addFormats(ajv);
  ajv.addSchema(document, 'document');
  cookie = await server.adminCookie();
});

after(() => server?.stop());

function schema(value) {
  const text = JSON.stringify(value).replaceAll('"#/', '"document#/');
  return ajv.compile(JSON.parse(text));
}

/** Calls an operation and holds request and answer against the document. */
async function call(id, status, { path = {}, query = '', body, headers = {}, broken = false } = {}) {
  let found;
  for (const [template, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (operation.operationId === id) found = { template, method, operation };
    }
  }
  assert.ok(found, `no operation ${id}`);
  const { template, method, operation } = found;
  const url = template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name]));
  const sent = { 'X-Org-Domain': server.org, Cookie: cookie, ...headers };
  if (body !== undefined) {
    sent['Content-Type'] ??= 'application/json';
    const request = schema(operation.requestBody.content['application/json'].schema);
    assert.equal(request(body), !broken, `${id}: ${ajv.errorsText(request.errors)}`);
  }
  for (const [name, value] of Object.entries(sent)) if (value === null) delete sent[name];
  const answer = await fetch(server.url(`${document.servers[0].url}${url}${query}`), {
    method: method.toUpperCase(),
    headers: sent,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  assert.equal(answer.status, status, `${id}: ${text}`);
  const promised = operation.responses[String(status)];
  assert.ok(promised, `${id} answers ${status}, which the document does not name: ${text}`);
  seen.add(`${id} ${status}`);
  if (!promised.content) {
    assert.equal(text, '', id);
    return null;
  }
  const type = answer.headers.get('content-type').split(';')[0];
  assert.ok(promised.content[type], `${id} ${status} answers ${type}`);
  const validate = schema(promised.content[type].schema);
  const json = JSON.parse(text);
  assert.ok(validate(json), `${id} ${status}: ${ajv.errorsText(validate.errors)} ${text}`);
  return json;
}

const SPA = {
  name: 'App',
  clientType: 'public',
  redirectUris: ['https://app.example/callback'],
  allowedOrigins: ['https://app.example'],
  grantTypes: ['authorization_code', 'refresh_token'],
  scopes: ['openid', 'profile', 'email'],
};
const FULL = {
  ...SPA,
  clientType: 'confidential',
  description: 'Everything that can be said',
  accessTokenLifetime: 900,
  refreshTokenLifetime: 86400,
  idTokenLifetime: 900,
  idTokenSignedResponseAlg: 'EdDSA',
  accessTokenSignedResponseAlg: 'RS256',
  tokenEndpointAuthMethod: 'client_secret_post',
  applicationType: 'web',
  claimsInIdToken: true,
  resources: ['https://api.example'],
  logoUri: 'https://app.example/logo.png',
  policyUri: 'https://app.example/privacy',
  tosUri: 'https://app.example/terms',
  postLogoutRedirectUris: ['https://app.example/bye'],
  requirePkce: true,
  requireConsent: true,
  isFirstParty: false,
  isActive: true,
};
const foreign = { headers: { Origin: 'https://evil.example' } };
const nobody = { headers: { Cookie: null } };

test('the document is OpenAPI', async () => {
  const result = await new Validator().validate(structuredClone(document));
  assert.ok(result.valid, JSON.stringify(result.errors));
});

test('clients', async () => {
  const spa = await call('createClient', 201, { body: SPA });
  assert.equal(spa.clientSecret, null);
  const full = await call('createClient', 201, { body: FULL });
  for (const [name, value] of Object.entries(FULL)) assert.deepEqual(full[name], value, name);
  await call('createClient', 400, { body: { ...SPA, redirectUris: ['http://app.example/'] } });
  await call('createClient', 400, { body: { ...SPA, redirectURIs: [] }, broken: true });
  await call('createClient', 415, { body: SPA, headers: { 'Content-Type': 'text/plain' } });
  await call('createClient', 401, { body: SPA, ...nobody });
  await call('createClient', 403, { body: SPA, ...foreign });
  await call('listClients', 200);
  const page = await call('listClients', 200, { query: '?limit=2' });
  assert.equal(page.data.length, 2);
  await call('listClients', 400, { query: '?limit=0' });
  await call('listClients', 404, { headers: { 'X-Org-Domain': 'nowhere' } });
  const path = { id: full.id };
  const stranger = { path: { id: 'client_nowhere' } };
  for (const id of [full.id, full.clientId]) await call('showClient', 200, { path: { id } });
  await call('showClient', 404, stranger);
  const changed = await call('changeClient', 200, { path, body: { name: 'Other', scopes: ['openid'] } });
  assert.deepEqual([changed.name, changed.scopes], ['Other', ['openid']]);
  await call('changeClient', 400, { path, body: { clientType: 'public' }, broken: true });
  await call('changeClient', 404, { ...stranger, body: {} });
  await call('changeClient', 415, { path, body: {}, headers: { 'Content-Type': 'text/plain' } });
  const rotated = await call('rotateSecret', 200, { path });
  assert.notEqual(rotated.clientSecret, full.clientSecret);
  await call('regenerateSecret', 200, { path });
  for (const id of ['rotateSecret', 'regenerateSecret']) {
    await call(id, 400, { path: { id: spa.id } });
    await call(id, 404, stranger);
  }
  await call('revokeClient', 200, { path });
  await call('revokeClient', 404, stranger);
  await call('removeClient', 204, { path });
  await call('removeClient', 404, { path });
  for (const id of ['listClients', 'showClient', 'rotateSecret', 'regenerateSecret', 'revokeClient', 'removeClient']) {
    await call(id, 401, { path: { id: spa.id }, ...nobody });
  }
  await call('changeClient', 401, { path: { id: spa.id }, body: {}, ...nobody });
  for (const id of ['rotateSecret', 'regenerateSecret', 'revokeClient', 'removeClient']) {
    await call(id, 403, { path: { id: spa.id }, ...foreign });
  }
  await call('changeClient', 403, { path: { id: spa.id }, body: {}, ...foreign });
});

/** Signs somebody in, in another browser, and says who that is. */
async function elsewhere({ email, password }) {
  const answer = await fetch(server.url('/v1/auth/login'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ email, password }),
  });
  return (await answer.json()).user.id;
}

test('people', async () => {
  const added = await call('createUser', 201, { body: { email: 'bo@example.com', name: 'Bo' } });
  assert.ok(added.password);
  const own = { email: 'cy@example.com', password: 'long enough', isAdmin: true };
  assert.equal((await call('createUser', 201, { body: own })).password, null);
  await call('createUser', 400, { body: { email: 'nobody' } });
  await call('createUser', 409, { body: { email: 'bo@example.com' } });
  await call('createUser', 415, { body: own, headers: { 'Content-Type': 'text/plain' } });
  const list = await call('listUsers', 200, { query: '?page=1&per_page=2&filter[email]=EXAMPLE' });
  assert.deepEqual([list.data.length, list.total], [2, 4]);
  await call('listUsers', 400, { query: '?page=0' });
  const path = { id: added.id };
  const stranger = { path: { id: '00000000-0000-4000-8000-000000000000' } };
  await call('showUser', 200, { path });
  await call('showUser', 404, stranger);
  const changed = await call('changeUser', 200, { path, body: { name: '', isAdmin: true, isActive: false } });
  assert.deepEqual([changed.name, changed.isAdmin, changed.isActive], [null, true, false]);
  await call('changeUser', 400, { path, body: { email: 'x@y' }, broken: true });
  await call('changeUser', 404, { ...stranger, body: {} });
  await call('changeUser', 415, { path, body: {}, headers: { 'Content-Type': 'text/plain' } });
  const me = await call('profile', 200);
  await call('changeUser', 409, { path: { id: me.id }, body: { isAdmin: false } });
  assert.ok((await call('resetPassword', 200, { path })).password);
  await call('resetPassword', 404, stranger);
  const [one] = (await call('userSessions', 200, { path: { id: me.id } })).data;
  assert.deepEqual([one.current, one.applications], [true, []]);
  await call('userSessions', 404, stranger);
  const there = await elsewhere(own);
  const other = (await call('userSessions', 200, { path: { id: there } })).data[0];
  const ending = { path: { id: there, session: other.id } };
  await call('endUserSession', 401, { ...ending, ...nobody });
  await call('endUserSession', 403, { ...ending, ...foreign });
  await call('endUserSession', 204, ending);
  await call('endUserSession', 404, ending);
  for (const [id, body] of [['listUsers'], ['showUser'], ['userSessions'], ['resetPassword'], ['createUser', own], ['changeUser', {}]]) {
    await call(id, 401, { path, body, ...nobody });
  }
  for (const [id, body] of [['resetPassword'], ['createUser', own], ['changeUser', {}]]) {
    await call(id, 403, { path, body, ...foreign });
  }
});

test('who is no administrator may nothing of it', async () => {
  const answer = await fetch(server.url('/v1/auth/login'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(server.user),
  });
  const headers = { Cookie: answer.headers.getSetCookie()[0].split(';')[0] };
  for (const id of ['listClients', 'showClient', 'listUsers', 'showUser', 'userSessions']) {
    await call(id, 403, { path: { id: 'any' }, headers });
  }
});

test('oneself', async () => {
  const body = server.user;
  await call('login', 200, { body: { ...body, client_id: 'ignored' }, headers: { Cookie: null } });
  await call('login', 400, { body: { email: 'x' }, broken: true });
  await call('login', 401, { body: { ...body, password: 'wrong' } });
  await call('login', 415, { body, headers: { 'Content-Type': 'text/plain' } });
  const sessions = await call('mySessions', 200);
  await call('mySessions', 401, nobody);
  await call('profile', 401, nobody);
  await call('profile', 401, { headers: { Cookie: null, Authorization: 'Bearer x' } });
  const other = sessions.data.find(({ current }) => !current) ?? sessions.data[0];
  await call('endMySession', 403, { path: { id: other.id }, ...foreign });
  await call('endMySession', 401, { path: { id: other.id }, ...nobody });
  await call('endMySession', 404, { path: { id: 'nowhere' } });
  await call('endMySession', 204, { path: { id: other.id } });
  await call('logout', 403, foreign);
  await call('endSession', 403, foreign);
  await call('logout', 200, nobody);
  await call('endSession', 204, nobody);
  let status;
  for (let n = 0; n < 20 && status !== 429; n += 1) {
    const answer = await fetch(server.url('/v1/auth/login'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...body, password: 'wrong' }),
    });
    status = answer.status;
  }
  await call('login', 429, { body: { ...body, password: 'wrong' } });
});

test('every status of every operation was seen', () => {
  const promised = Object.values(document.paths).flatMap((item) =>
    Object.values(item).flatMap(({ operationId, responses }) =>
      Object.keys(responses).map((status) => `${operationId} ${status}`),
    ),
  );
  assert.deepEqual(promised.filter((pair) => !seen.has(pair)), []);
});
