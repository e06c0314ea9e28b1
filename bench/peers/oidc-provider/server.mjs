// The peer oidc-provider, as a host would write it: people who are signed in, and grants that need no consent.
//   node server.mjs memory X            records in plain Maps
//   node server.mjs sqlite DB           each write is a durable commit of its own
//   node server.mjs sqlite-group DB     the writes of one turn of the event loop share a durable commit
// Prints one line, `127.0.0.1:PORT`, when it is ready.
process.env.NODE_ENV ??= 'production';
const http = await import('node:http');
const crypto = await import('node:crypto');
const { default: Provider } = await import('oidc-provider');
const { memoryAdapter, sqliteAdapter } = await import('./adapters.mjs');

const [mode, dbPath] = process.argv.slice(2);
if (!['memory', 'sqlite', 'sqlite-group'].includes(mode) || !dbPath) {
  console.error('usage: server.mjs memory | sqlite | sqlite-group  DB');
  process.exit(2);
}

// Made at each start.
function makeKeys() {
  const ed = crypto.generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const rsa = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  return {
    jwks: { keys: [
      { ...ed, kid: 'ed-1', use: 'sig', alg: 'EdDSA' },
      { ...rsa, kid: 'rsa-1', use: 'sig', alg: 'RS256' },
    ] },
    cookieKey: crypto.randomBytes(32).toString('base64url'),
  };
}
const keys = makeKeys();
await serve();

async function serve() {
  const sqlite = mode === 'memory' ? undefined : await sqliteAdapter(dbPath, mode === 'sqlite-group');
  const adapter = sqlite?.Adapter ?? memoryAdapter();

  let handler = (req, res) => { res.statusCode = 503; res.end(); };
  const server = http.createServer((req, res) => handler(req, res));
  server.keepAliveTimeout = 300_000;
  server.headersTimeout = 310_000;
  server.requestTimeout = 0;
  await new Promise((r) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, r));
  const addr = `127.0.0.1:${server.address().port}`;
  const issuer = `http://${addr}`;

  const RESOURCE = 'https://api.example';
  const user = { redirect_uris: ['https://app.example/cb'], grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'], token_endpoint_auth_method: 'client_secret_basic', scope: 'openid profile offline_access',
    client_secret: 'app-secret-app-secret-0123456789ab' };
  const provider = new Provider(issuer, {
    adapter,
    jwks: keys.jwks,
    clients: [
      { client_id: 'service', client_secret: 'service-secret-service-secret-0123', grant_types: ['client_credentials'],
        response_types: [], redirect_uris: [], token_endpoint_auth_method: 'client_secret_basic',
        id_token_signed_response_alg: 'EdDSA' },
      { client_id: 'app', ...user, id_token_signed_response_alg: 'EdDSA' },
      { client_id: 'app_rs256', ...user, id_token_signed_response_alg: 'RS256' },
      // the resource server that introspects
      { client_id: 'rs', client_secret: 'rs-secret-rs-secret-rs-secret-012345', grant_types: [], response_types: [],
        redirect_uris: [], token_endpoint_auth_method: 'client_secret_basic' },
    ],
    cookies: { keys: [keys.cookieKey] },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'] },
    scopes: ['openid', 'offline_access', 'profile'],
    responseTypes: ['code'],
    pkce: { required: () => true },
    rotateRefreshToken: () => true,
    // Without prompt=consent the library takes offline_access out of the request (OIDC Core 11), and
    // prompt=consent would ask a person each time; a refresh token is issued all the same, and it does
    // not end with the session.
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: async () => false,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: async () => true },
      revocation: { enabled: true },
      userinfo: { enabled: true },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      resourceIndicators: {
        enabled: true,
        // only the service client has a default resource: user tokens stay opaque, for userinfo
        defaultResource: async (ctx, client) => (client.clientId === 'service' ? RESOURCE : undefined),
        useGrantedResource: async () => false,
        getResourceServerInfo: async () => ({ scope: 'api:read api:write', audience: RESOURCE, accessTokenTTL: 3600,
          accessTokenFormat: 'jwt', jwt: { sign: { alg: 'EdDSA' } } }),
      },
    },
    ttl: { AccessToken: 3600, AuthorizationCode: 60, ClientCredentials: 3600, IdToken: 3600, RefreshToken: 14 * 86400,
      Interaction: 3600, Session: 14 * 86400, Grant: 14 * 86400 },
    findAccount: async (ctx, sub) => ({
      accountId: sub,
      claims: async () => ({ sub, name: `User ${sub}`, preferred_username: sub }),
    }),
    // consent is never asked: the session's grant for this client is used, or made
    async loadExistingGrant(ctx) {
      const { Grant } = ctx.oidc.provider;
      const clientId = ctx.oidc.client.clientId;
      const id = ctx.oidc.result?.consent?.grantId ?? ctx.oidc.session.grantIdFor(clientId);
      const old = id && await Grant.find(id);
      if (old) return old;
      const grant = new Grant({ clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid profile offline_access');
      await grant.save();
      return grant;
    },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    renderError: async (ctx, out) => { ctx.type = 'json'; ctx.body = out; },
  });
  provider.on('server_error', (ctx, err) => console.error(err));

  const callback = provider.callback();
  handler = (req, res) => {
    // the login page of this peer: signs in whoever login_hint names (alice without one), asking nothing
    if (req.url.startsWith('/interaction/')) {
      provider.interactionDetails(req, res)
        .then(({ params }) => provider.interactionFinished(req, res, { login: { accountId: params.login_hint ?? 'alice' } },
          { mergeWithLastSubmission: false }))
        .catch((e) => { res.statusCode = 400; res.end(String(e?.message)); });
      return;
    }
    callback(req, res);
  };
  console.log(addr);
}
