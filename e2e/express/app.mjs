// The guide's server-side application: Express with openid-client 5.

import express from 'express';
import session from 'express-session';
import { Issuer, generators } from 'openid-client';

/** Starts the application; resolves to its http.Server. */
export async function startApp({ issuerUrl, clientId, clientSecret, port, seen }) {
  const callbackUrl = `http://localhost:${port}/callback`;
  const app = express();

  app.use(
    session({
      secret: 'a secret of this test',
      resave: false,
      saveUninitialized: false,
      cookie: { httpOnly: true, maxAge: 24 * 60 * 60 * 1000 },
    }),
  );

  const issuer = await Issuer.discover(issuerUrl);
  const client = new issuer.Client({
    client_id: clientId,
    client_secret: clientSecret,
    redirect_uris: [callbackUrl],
    response_types: ['code'],
  });

  app.get('/login', (req, res) => {
    if (req.query.error) return res.status(500).send(`failed: ${req.query.error}`);
    const codeVerifier = generators.codeVerifier();
    const codeChallenge = generators.codeChallenge(codeVerifier);
    const state = generators.state();
    req.session.codeVerifier = codeVerifier;
    req.session.state = state;
    const authUrl = client.authorizationUrl({
      scope: 'openid profile email',
      code_challenge: codeChallenge,
      code_challenge_method: 'S256',
      state,
    });
    res.redirect(authUrl);
  });

  app.get('/callback', async (req, res) => {
    const params = client.callbackParams(req);
    try {
      const tokenSet = await client.callback(callbackUrl, params, {
        code_verifier: req.session.codeVerifier,
        state: req.session.state,
      });
      req.session.accessToken = tokenSet.access_token;
      req.session.refreshToken = tokenSet.refresh_token;
      req.session.idToken = tokenSet.id_token;
      seen.tokenSet = tokenSet;
      res.redirect('/dashboard');
    } catch (error) {
      seen.error = error;
      res.redirect('/login?error=callback_failed');
    }
  });

  app.get('/dashboard', async (req, res) => {
    if (!req.session.accessToken) return res.redirect('/login');
    try {
      const userinfo = await client.userinfo(req.session.accessToken);
      seen.userinfo = userinfo;
      res.send(`Welcome, ${userinfo.name}! <form method="post" action="/logout"><button id="logout">Log out</button></form>`);
    } catch (error) {
      seen.error = error;
      res.redirect('/login?error=userinfo_failed');
    }
  });

  app.post('/logout', async (req, res) => {
    if (req.session.refreshToken) {
      await client.revoke(req.session.refreshToken, 'refresh_token');
    }
    req.session.destroy(() => res.redirect('/'));
  });

  app.get('/', (req, res) => res.send('Logged out'));
  seen.client = client;
  return new Promise((resolve) => {
    const server = app.listen(port, '127.0.0.1', () => resolve(server));
  });
}
