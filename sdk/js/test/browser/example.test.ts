// examples/react in Chromium: what one user changes, the other sees.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launch, profile } from './browser.js';
import { Example } from './example.js';
import { Gateway } from './gateway.js';

let browser: Browser;
let gateway: Gateway;
let example: Example;
before(async () => {
  [browser, gateway, example] = await Promise.all([launch(), Gateway.start(), Example.serve()]);
});
after(async () => {
  await browser.close();
  await gateway.close();
  example.close();
});

const errors: Error[] = [];

async function open(account: string): Promise<Page> {
  const page = await (await profile(browser)).newPage();
  page.on('pageerror', (error) => errors.push(error));
  await page.goto(example.page(account, gateway.url));
  await page.getByRole('status').filter({ hasText: 'live' }).waitFor();
  return page;
}

test('two users: sign, presence, a request, a stranger, and a time without the gateway', async () => {
  const [alice, bob] = [await open('alice'), await open('bob')];
  const row = (page: Page, text: string) => page.getByRole('listitem').filter({ hasText: text });
  const save = async (page: Page, sign: string): Promise<void> => {
    await page.getByLabel('Sign').fill(sign);
    await page.getByRole('button', { name: 'Save' }).click();
  };
  await row(alice, '● Bob').waitFor();
  await row(bob, '● Alice').waitFor();

  await save(bob, 'Yes we can!');
  await row(alice, 'Bob: Yes we can!').waitFor();
  await save(alice, 'Through the looking-glass');
  await row(bob, 'Alice: Through the looking-glass').waitFor();
  await save(alice, 'x'.repeat(300));
  await alice.getByRole('alert').filter({ hasText: 'sign' }).waitFor();

  // Erin, a stranger: she asks, is looked at, changes, and becomes a friend.
  const erin = await gateway.client('erin');
  await erin.requestFriend('alice', 'We met at the lake');
  await alice.getByText('erin asks: We met at the lake').waitFor();
  await bob.getByLabel('Look at').fill('erin');
  await bob.locator('output', { hasText: 'Erin' }).waitFor();
  await erin.updateMyInfo({ sign: 'At the lake' });
  await bob.locator('output', { hasText: 'Erin: At the lake' }).waitFor();
  await alice.getByRole('button', { name: 'Accept' }).click();
  await row(alice, '● Erin: At the lake').waitFor();

  gateway.cut();
  await alice.getByRole('status').filter({ hasText: 'reconnecting, next attempt at' }).waitFor();
  await gateway.api('PATCH', '/v1/users/bob', { sign: 'Meanwhile' });
  assert.equal(await row(alice, 'Yes we can!').count(), 1, 'the list stays');
  gateway.mend();
  await row(alice, 'Bob: Meanwhile').waitFor();
  assert.deepEqual(errors, []);
  await Promise.all([alice.context().close(), bob.context().close()]);
});
