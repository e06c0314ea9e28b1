// A login page on a host of its own, with the habits of one that is written in React: it asks for the
// profile twice, looks for a token that nobody has, sends members of its own, and navigates twice.

import { createServer } from 'node:http';

const page = (server) => `<!doctype html><meta charset="utf-8"><title>Login</title>
<form id="form"><h1>The login page of the house</h1>
<input id="email" type="email"><input id="secret" type="password"><button>Go</button>
<p id="message"></p></form>
<script type="module">
const server = ${JSON.stringify(server)};
const target = new URLSearchParams(location.search).get('redirect_uri') ?? '';
const call = (path, options = {}) =>
  fetch(server + path, { credentials: 'include', headers: { Accept: 'application/json' }, ...options });
const say = (text) => (document.getElementById('message').textContent = text);
function go() {
  location.assign(target);
  setTimeout(() => location.assign(target), 0);
}
if (!target.startsWith(server + '/oauth2/authorize?')) say('Access denied');
else {
  const known = await Promise.all([call('/v1/me/profile'), call('/v1/me/profile')]);
  document.body.dataset.profile = known.map((answer) => answer.status).join(' ');
  // A page that does not know prompt=login sends people straight back.
  if (known[0].ok) go();
}
document.getElementById('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  await call('/sanctum/csrf-cookie').catch(() => {});
  const value = (id) => document.getElementById(id).value;
  const answer = await call('/v1/auth/login', {
    method: 'POST',
    headers: { Accept: 'application/json', 'Content-Type': 'application/json' },
    body: JSON.stringify({
      email: value('email'),
      password: value('secret'),
      client_id: new URL(target).searchParams.get('client_id'),
    }),
  });
  const body = await answer.json();
  if (!answer.ok) return say(body.message);
  if (!body.user.id || !body.user.email) return say('no user');
  go();
});
</script>`;

/** Serves it on the loopback address; resolves to its http.Server. */
export function serveLoginUi({ port, server }) {
  const ui = createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(page(server));
  });
  return new Promise((resolve) => ui.listen(port, '127.0.0.1', () => resolve(ui)));
}
