// Bundles the single-page application and serves it: every path is its one page.

import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Serves the app on the loopback address; resolves to its http.Server. */
export async function serveSpa({ port, issuer, clientId, api }) {
  const bundle = await build({
    entryPoints: [here('main.ts')],
    bundle: true,
    write: false,
    format: 'iife',
    alias: { crypto: here('random-bytes.ts') },
  });
  const script = bundle.outputFiles[0].text;
  const config = JSON.stringify({ issuer, clientId, api });
  const page = `<!doctype html><meta charset="utf-8"><title>App</title><link rel="icon" href="data:,">
    <h1>App</h1><p id="status"></p><button id="login-btn">Log in</button>
    <script>window.CONFIG = ${config};</script><script src="/app.js"></script>`;
  const server = createServer((request, response) => {
    const isScript = request.url === '/app.js';
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : page);
  });
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
}
