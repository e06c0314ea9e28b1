// The demonstration: a browser application that walks the authorization code flow with PKCE and
// shows every request beside its real answer. It keeps what it must remember across the redirect
// in sessionStorage, and tokens in memory alone.

const root = document.getElementById('demo');
const { issuer, clientId, redirectUri } = root.dataset;
const tokens = {};

const show = (name, text) => {
  const place = root.querySelector(`[data-show="${name}"]`);
  place.textContent = text;
  place.hidden = text === '';
};
const reach = (id) => {
  const step = document.getElementById(id);
  step.classList.add('reached');
  return step;
};
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const pretty = (value) => JSON.stringify(value, null, 2);
const shorten = (text) => (text.length > 60 ? `${text.slice(0, 40)}…${text.slice(-8)}` : text);

/** A request in the form in which it goes over the wire, long values shortened. */
function describe(method, url, headers, body) {
  const lines = [`${method} ${url}`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${shorten(value)}`);
  if (body) lines.push('', ...[...body].map(([name, value]) => `  ${name} = ${shorten(value)}`));
  return lines.join('\n');
}

/** Sends a request and shows it with its answer. */
async function send(place, method, path, { headers = {}, body } = {}) {
  const request = describe(method, path, headers, body);
  show(place, `${request}\n\n…`);
  let answer;
  try {
    const response = await fetch(`${issuer}${path}`, { method, headers, body });
    const text = await response.text();
    const json = text.startsWith('{') ? JSON.parse(text) : text;
    const challenge = response.headers.get('www-authenticate');
    answer = { ok: response.ok, json };
    const shortened = typeof json === 'object' ? JSON.parse(text, (_, v) => (typeof v === 'string' ? shorten(v) : v)) : json;
    show(place, [request, '', `${response.status} ${response.statusText}`, ...(challenge ? [`www-authenticate: ${challenge}`] : []), pretty(shortened)].join('\n'));
  } catch (error) {
    answer = { ok: false, json: {} };
    show(place, `${request}\n\nThe request failed: ${error.message}`);
  }
  return answer;
}

function decode(jwt) {
  const part = (n) => {
    const bytes = atob(jwt.split('.')[n].replaceAll('-', '+').replaceAll('_', '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0))));
  };
  return `header ${pretty(part(0))}\n\nclaims ${pretty(part(1))}`;
}

function keep(answer) {
  Object.assign(tokens, answer);
  show('id_token', decode(tokens.id_token));
  show('access_token', decode(tokens.access_token));
  for (const id of ['step-claims', 'step-use', 'step-refresh', 'step-revoke']) reach(id);
}

async function prepare() {
  const verifier = random();
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
  const request = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    scope: 'openid profile email',
    state: random(),
    nonce: random(),
    code_challenge: base64url(new Uint8Array(hash)),
    code_challenge_method: 'S256',
  };
  show('authorize', describe('GET', '/oauth2/authorize', {}, new URLSearchParams(request)));
  return { verifier, request };
}

const bearer = () => ({ Authorization: `Bearer ${tokens.access_token}` });
const form = (fields) => ({
  headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  body: new URLSearchParams({ ...fields, client_id: clientId }),
});

const prepared = prepare();
const actions = {
  async authorize() {
    const { verifier, request } = await prepared;
    sessionStorage.setItem('demo', JSON.stringify({ verifier, request }));
    location.href = `${issuer}/oauth2/authorize?${new URLSearchParams(request)}`;
  },
  async exchange(button) {
    button.disabled = true;
    const { verifier } = JSON.parse(sessionStorage.getItem('demo') ?? '{}');
    const fields = { grant_type: 'authorization_code', code: actions.code, redirect_uri: redirectUri, code_verifier: verifier ?? '' };
    const { ok, json } = await send('token', 'POST', '/oauth2/token', form(fields));
    sessionStorage.removeItem('demo');
    if (ok) keep(json);
  },
  userinfo: () => send('use', 'GET', '/oauth2/userinfo', { headers: bearer() }),
  profile: () => send('use', 'GET', '/v1/me/profile', { headers: bearer() }),
  'profile-again': () => send('revoke', 'GET', '/v1/me/profile', { headers: bearer() }),
  async refresh() {
    const fields = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
    const { ok, json } = await send('refresh', 'POST', '/oauth2/token', form(fields));
    if (ok) keep(json);
  },
  revoke: () => send('revoke', 'POST', '/oauth2/revoke', form({ token: tokens.refresh_token, token_type_hint: 'refresh_token' })),
  signout() {
    const request = { id_token_hint: tokens.id_token, post_logout_redirect_uri: redirectUri };
    location.href = `${issuer}/oauth2/logout?${new URLSearchParams(request)}`;
  },
};

root.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (button) actions[button.dataset.do](button);
});

for (const place of root.querySelectorAll('[data-show]')) place.hidden = place.textContent === '';
reach('step-authorize');

// Back from the provider?
const callback = new URLSearchParams(location.search);
if (callback.has('state')) {
  const sent = JSON.parse(sessionStorage.getItem('demo') ?? '{}').request;
  // The step before shows the request that this answers, not the next one.
  await prepared;
  if (sent) show('authorize', describe('GET', '/oauth2/authorize', {}, new URLSearchParams(sent)));
  const mine = callback.get('state') === sent?.state && callback.get('iss') === issuer;
  const step = reach('step-token');
  const said = [...callback].map(([name, value]) => `  ${name} = ${shorten(value)}`).join('\n');
  const verdict = mine ? 'state and iss are right: this is the answer to our request.' : 'state or iss is wrong: this is not the answer to our request.';
  show('callback', `${redirectUri}?\n${said}\n\n${verdict}`);
  const button = step.querySelector('[data-do="exchange"]');
  button.hidden = !mine || !callback.has('code');
  actions.code = callback.get('code');
  // A code does not stay in the address bar.
  history.replaceState(null, '', location.pathname);
  step.scrollIntoView({ behavior: 'instant', block: 'start' });
}
