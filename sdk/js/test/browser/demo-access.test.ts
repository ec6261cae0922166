// The demo page for everybody: what axe finds, in light and dark, on a desktop and a phone, in every state of the page; and
// what it does before it deletes, and where it shows errors.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { launch } from './browser.js';
import { Gateway } from './gateway.js';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const PATIENCE_MS = 20_000;

let browser: Browser;
let gateway: Gateway;
before(async () => {
  browser = await launch();
  gateway = await Gateway.start();
});
after(async () => {
  await browser.close();
  await gateway.close();
});

async function open(colorScheme: 'light' | 'dark', width: number, path: string): Promise<Page> {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme, reducedMotion: 'reduce' });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  await page.goto(gateway.origin + path);
  await page.addScriptTag({ path: AXE });
  return page;
}

/** Fails if axe finds anything on the page as it is. */
async function check(page: Page, state: string): Promise<void> {
  // A change that still fades is no color of the page.
  await page.evaluate(() => {
    const ends = document.getAnimations().filter(({ effect }) => Number.isFinite(Number(effect?.getComputedTiming().endTime)));
    return Promise.all(ends.map((animation) => animation.finished.catch(() => {})));
  });
  const { violations, passes } = await page.evaluate(() => (window as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run());
  assert.ok(passes.length > 10, 'axe looked at nothing');
  assert.deepEqual(violations.map(({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]), [], state);
}

const live = (page: Page): Promise<void> => page.locator('#state[data-state="live"]').waitFor();

for (const [colorScheme, width] of [['light', 1280], ['dark', 1280], ['light', 400], ['dark', 400]] as const) {
  test(`axe finds nothing: ${colorScheme}, ${width} pixels`, async () => {
    const page = await open(colorScheme, width, '/');
    await check(page, 'who');
    await page.goto(`${gateway.origin}/?as=alice`);
    await page.addScriptTag({ path: AXE });
    await live(page);
    const bob = await gateway.client('bob');
    const erin = await gateway.client('erin');
    await page.locator('#friends [data-account="bob"][data-online="true"]').waitFor();
    await check(page, 'live');

    await erin.requestFriend('alice', 'We met at the lake');
    await page.locator('#people-near [data-account="erin"]').waitFor();
    await page.locator('#friends [data-account="carol"]').getByRole('button', { name: 'Block' }).click();
    await page.locator('#friends .blocked[data-account="carol"]').waitFor();
    await page.fill('#ask [name="account"]', 'nobody');
    await page.click('#ask button');
    await page.locator('#ask .wrong .problem', { hasText: 'nobody' }).waitFor();
    await page.locator('#edit summary').click();
    await page.fill('#edit [name="birth"]', 'tomorrow');
    await page.click('#edit > button');
    await page.locator('#edit .wrong [name="birth"]').waitFor();
    await page.locator('#trace summary').first().click();
    await check(page, 'a request, a block, and errors');

    for (const name of ['Alias', 'Delete']) {
      await page.locator('#friends [data-account="bob"]').getByRole('button', { name, exact: true }).click();
      await page.locator('dialog[open]').waitFor();
      await check(page, name);
      await page.keyboard.press('Escape');
      await page.locator('dialog[open]').waitFor({ state: 'detached' });
    }

    gateway.cut();
    await page.locator('#notice', { hasText: 'Attempt' }).waitFor();
    await check(page, 'offline');
    gateway.mend();
    await live(page);
    await page.locator('#friends [data-account="carol"]').getByRole('button', { name: 'Unblock' }).click();
    await page.locator('#people-near [data-account="erin"]').getByRole('button', { name: 'Reject' }).click();
    await page.locator('#near').waitFor({ state: 'hidden' });
    await Promise.all([bob.disconnect(), erin.disconnect()]);
    await page.context().close();
  });
}

test('deleting a friend is quieter than the rest, and asks first', async () => {
  const page = await open('light', 1280, '/?as=dave');
  await live(page);
  const card = page.locator('#friends [data-account="alice"]');
  const button = (name: string) => card.getByRole('button', { name, exact: true });
  const border = (name: string): Promise<string> => button(name).evaluate((element) => getComputedStyle(element).borderTopColor);
  assert.equal(await border('Delete'), 'rgba(0, 0, 0, 0)');
  assert.notEqual(await border('Alias'), 'rgba(0, 0, 0, 0)');

  // The safe answer has the focus.
  await button('Delete').click();
  await page.locator('#sure', { hasText: 'Delete Alice' }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Keep');
  await page.keyboard.press('Enter');
  await page.locator('#sure').waitFor({ state: 'hidden' });
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Delete', 'the focus returns');
  await page.evaluate(() => (window as unknown as { client: { getSessions(): Promise<unknown> } }).client.getSessions());
  assert.equal(await card.count(), 1);

  await button('Delete').click();
  await page.locator('#sure').getByRole('button', { name: 'Delete' }).click();
  await card.waitFor({ state: 'detached' });
  await gateway.api('PUT', '/v1/users/alice/friends/dave');
  await page.context().close();
});

test('an error stands at its field, in words, and goes when the field is corrected', async () => {
  const page = await open('light', 1280, '/?as=dave');
  await live(page);
  await page.locator('#edit summary').click();
  await page.fill('#edit [name="email"]', 'nowhere');
  await page.click('#edit > button');
  const field = page.locator('#edit [name="email"]');
  await page.locator('#edit .field.wrong [name="email"]').waitFor();
  const described = await field.evaluate((element) => document.getElementById(element.getAttribute('aria-describedby') ?? '')?.textContent ?? '');
  assert.match(described, /e-?mail/i);
  assert.doesNotMatch(described, /414/);
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  await field.fill('dave@example.com');
  assert.equal(await page.locator('#edit .wrong').count(), 0);
  assert.equal(await field.getAttribute('aria-describedby'), null);

  // Of a button, in the card that it is in.
  await page.locator('#friends [data-account="alice"]').getByRole('button', { name: 'Alias', exact: true }).click();
  await page.evaluate(() => document.querySelector('#alias input')?.removeAttribute('maxlength'));
  await page.fill('#alias input', 'x'.repeat(200));
  await page.locator('#alias').getByRole('button', { name: 'Save' }).click();
  await page.locator('#friends [data-account="alice"] .problem', { hasText: 'alias' }).waitFor();
  await page.context().close();
});

test('who is offline is quieter than who is online', async () => {
  const page = await open('light', 1280, '/?as=bob');
  await live(page);
  const alice = await gateway.client('alice');
  await page.locator('#friends [data-account="alice"][data-online="true"]').waitFor();
  const dot = (account: string): Promise<string> =>
    page.locator(`#friends [data-account="${account}"] .face`).evaluate((face) => getComputedStyle(face, '::after').content);
  assert.equal(await dot('alice'), '""');
  assert.equal(await dot('carol'), 'none');
  await alice.disconnect();
  await page.context().close();
});
