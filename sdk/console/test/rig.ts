// A browser on the console of a gateway.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Gateway } from './gateway.js';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'];
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** The limit for every wait; generous, for a busy machine. */
export const PATIENCE_MS = 20_000;

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: FLAGS });

/** What a page did that it must not. */
export interface Watched {
  errors: string[];
  /** Requests that left the gateway's origin. */
  foreign: string[];
}

/** Opens a page in a browser of its own, which is logged in if a key is given. */
export async function open(browser: Browser, gateway: Gateway, key?: string, options: BrowserContextOptions = {}): Promise<Page & { watched: Watched }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const watched: Watched = { errors: [], foreign: [] };
  page.on('pageerror', (error) => watched.errors.push(String(error)));
  page.on('dialog', (dialog) => {
    watched.errors.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  context.on('request', (request) => {
    if (!request.url().startsWith(gateway.ops) && !request.url().startsWith('data:')) watched.foreign.push(request.url());
  });
  await page.goto(gateway.console);
  if (key !== undefined) {
    await page.getByLabel('API key').fill(key);
    await page.keyboard.press('Enter');
    await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  }
  return Object.assign(page, { watched });
}

/** Goes to a place in the console, and waits until it shows what it has. */
export async function visit(page: Page, place: string): Promise<void> {
  await page.evaluate((hash) => { location.hash = hash; }, place);
  await settled(page);
}

/** Waits until the page shows the place that it is at, and nothing is still loading. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const main = document.querySelector('main');
    return main?.dataset['place'] === location.hash && main.querySelector('h1') && !main.querySelector('[aria-busy="true"]');
  });
}

/** Opens an action, and returns what it says that it will do. */
export async function effect(page: Page, button: string | RegExp): Promise<string> {
  await page.locator('main').getByRole('button', { name: button }).first().click();
  const effect = page.locator('dialog[open] .effect');
  await effect.waitFor();
  await effect.locator('[aria-busy]').waitFor({ state: 'detached' });
  return (await effect.textContent()) ?? '';
}

/** Does what an open dialog asks about, and waits until it is closed, or says what came of it. */
export async function confirm(page: Page, verb: string): Promise<string> {
  const dialog = page.locator('dialog[open]');
  await dialog.getByRole('button', { name: verb, exact: true }).click();
  await page.waitForFunction(() => !document.querySelector('dialog[open] [type="submit"]') || document.querySelector('dialog[open] .problem'));
  assert.deepEqual(await dialog.locator('.problem').allTextContents(), []);
  const said = (await dialog.count()) ? ((await dialog.textContent()) ?? '') : '';
  if (said) await dialog.getByRole('button', { name: 'Close', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  return said;
}

/** Fails if axe finds anything on the page as it is. */
export async function axe(page: Page, state: string): Promise<void> {
  // The page's policy lets no script in but its own; the debugger may.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(await (await import('node:fs/promises')).readFile(AXE, 'utf8'));
  const { violations, passes } = await page.evaluate(() => (window as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run());
  assert.ok(passes.length > 8, `axe looked at nothing: ${state}`);
  assert.deepEqual(violations.map(({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]), [], state);
}
