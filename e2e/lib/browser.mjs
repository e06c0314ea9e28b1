// Debian's Chromium, driven by playwright-core, without a flag that weakens it. (`--no-sandbox` is
// about its own processes, and needed as root; the background services it switches off would only
// look for hosts outside.)

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const RESULTS = fileURLToPath(new URL('../results/', import.meta.url));

const OPTIONS = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
};

/** Its contexts are private windows, which keep cookies from frames in pages of other sites. */
export function launch() {
  return chromium.launch(OPTIONS);
}

/** A window that does not, with its profile in a folder. */
export function launchOpen(folder, options) {
  const preferences = { profile: { cookie_controls_mode: 0 } };
  mkdirSync(join(folder, 'Default'), { recursive: true });
  writeFileSync(join(folder, 'Default', 'Preferences'), JSON.stringify(preferences));
  return chromium.launchPersistentContext(folder, { ...OPTIONS, ...options });
}

/** Keeps a picture of the page for a person to look at. */
export async function picture(page, name) {
  mkdirSync(RESULTS, { recursive: true });
  await page.screenshot({ path: `${RESULTS}${name}.png`, fullPage: true });
}

/** Signs in on the server's own page. */
export async function signIn(page, { email, password }) {
  await page.fill('#username', email);
  await page.fill('#password', password);
  await page.click('#login-submit');
}
