// What the tests of client libraries share: a place for callbacks, and a person with a browser.

import { createServer } from 'node:http';

import { signIn } from './browser.mjs';
import { freePort } from './server.mjs';

/** An application's host that only receives callbacks. */
export async function startCallback({ host = 'localhost' } = {}) {
  const port = await freePort();
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>The application</title><h1>Back at the application</h1>');
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const origin = `http://${host}:${port}`;
  return { origin, callback: `${origin}/callback`, close: () => server.close() };
}

/** Visits an authorize URL as a person who signs in and allows; the URL of the callback. */
export async function visit(browser, url, user, callback) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(String(url));
  await signIn(page, user);
  await page.waitForURL((at) => at.pathname === '/consent' || at.href.startsWith(callback));
  if (!page.url().startsWith(callback)) {
    await page.click('#consent-allow');
    await page.waitForURL((at) => at.href.startsWith(callback));
  }
  const back = new URL(page.url());
  await context.close();
  return back;
}
