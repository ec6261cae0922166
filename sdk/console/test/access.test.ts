// Who gets in, what a key that may only read is shown, and a gateway that goes away.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { ADMIN, Gateway, VIEWER, VIEWER_KEY } from './gateway.js';
import { axe, launch, open, settled, visit } from './rig.js';

let browser: Browser;
let gateway: Gateway;
before(async () => {
  browser = await launch();
  gateway = await Gateway.start();
  await gateway.import([{ user: { account: 'alice', nick: 'Alice', email: 'alice@example.com', tel: '+49 30 1234567', birth: '1990-05-04' } }, { user: { account: 'bob', nick: 'Bob' } }]);
  await gateway.befriend('alice', 'bob');
  await gateway.api('PATCH', '/v1/users/alice/friends/bob', { alias: 'Bobby', custom: 'owes me a book' });
  await gateway.api('PUT', '/v1/users/carol', {});
  await gateway.api('PUT', '/v1/users/carol/requests/alice', { message: 'We met at the lake' });
  await gateway.login('bob');
});
after(async () => {
  await browser.close();
  await gateway.close();
});

const SECRETS = ['alice@example.com', '+49 30 1234567', '1990-05-04', 'Bobby', 'owes me a book', 'We met at the lake'];

test('a wrong key is refused, the right one lets in, and is kept nowhere', async () => {
  const page = await open(browser, gateway);
  await page.getByLabel('API key').fill('not the key');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').getByText('not a key of this gateway').waitFor();
  await axe(page, 'a wrong key');
  await page.getByLabel('API key').fill(ADMIN);
  await page.keyboard.press('Enter');
  await page.locator('.bar', { hasText: 'key: default' }).waitFor();
  const kept = await page.evaluate(() => [JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie, location.href, document.documentElement.outerHTML].join());
  assert.ok(!kept.includes(ADMIN), kept);
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie!.httpOnly, cookie!.sameSite, cookie!.value.includes(ADMIN)], [true, 'Strict', false]);
  // Another page of this browser is in, and logging out ends both.
  const other = await page.context().newPage();
  await other.goto(gateway.console);
  await other.getByRole('navigation', { name: 'Pages' }).waitFor();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('API key').waitFor();
  await other.getByLabel('API key').waitFor();
  await page.context().close();
});

test('a key that may only read sees no action and no private field, and the API refuses both', async () => {
  const page = await open(browser, gateway, VIEWER);
  const pages = await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allTextContents();
  assert.deepEqual(pages, ['Overview', 'Sessions', 'Users', 'Why', 'Webhooks', 'Cluster']);
  const [{ session }] = (await gateway.api<{ sessions: [{ session: string }] }>('GET', '/v1/users/bob/sessions')).sessions;
  const places = ['overview', 'sessions', `sessions/${session}`, 'users', ...['profile', 'friends', 'requests', 'blocks', 'sessions', 'changes', 'tokens'].map((tab) => `users/alice/${tab}`),
    'why?account=carol&viewer=bob&field=nick', 'webhooks', 'cluster', 'feed', 'audit', 'settings'];
  const harmless = /^(Copy as curl|Filter|Search|Explain|Next page|Previous page)$/;
  for (const place of places) {
    await page.evaluate((hash) => { location.hash = hash; }, `#/${place}`);
    await settled(page);
    const buttons = await page.locator('main').getByRole('button').allTextContents();
    assert.deepEqual(buttons.filter((name) => !harmless.test(name)), [], place);
    const html = await page.content();
    for (const secret of SECRETS) assert.ok(!html.includes(secret), `${place} shows ${secret}`);
    await axe(page, place);
  }
  // The same through the API, with the cookie and what only the console sends.
  const refused = await page.evaluate(async () => {
    const ask = async (method: string, path: string, body?: string): Promise<[number, string]> => {
      const response = await fetch(path, { method, headers: { 'rosterd-console': 'private' }, ...(body && { body }) });
      return [response.status, await response.text()];
    };
    const actions = [['DELETE', '/v1/users/alice'], ['DELETE', '/v1/users/bob/sessions'], ['PATCH', '/v1/users/alice', '{"nick":"x"}'], ['PUT', '/v1/users/alice/presence', '{"invisible":true}'],
      ['POST', '/v1/users/alice/tokens:revoke'], ['PUT', '/v1/users/alice/token'], ['DELETE', '/v1/users/alice/friends/bob'], ['POST', '/v1/users/bob/hints', '{"accounts":["alice"]}'],
      ['GET', '/v1/users/alice/export'], ['GET', '/v1/feed?after=now'], ['GET', '/v1/audit'], ['GET', '/v1/settings']] as [string, string, string?][];
    const reads = ['/v1/users/alice', '/v1/users', '/v1/users/alice/friends', '/v1/users/alice/requests', '/v1/users/alice/changes'];
    return { actions: await Promise.all(actions.map((action) => ask(...action))), reads: await Promise.all(reads.map((path) => ask('GET', path))) };
  });
  assert.deepEqual(refused.actions.map(([status]) => status), Array(12).fill(403));
  for (const [status, text] of refused.reads) {
    assert.equal(status, 200);
    for (const secret of SECRETS) assert.ok(!text.includes(secret), text);
  }
  assert.equal((await gateway.api<{ nick: string }>('GET', '/v1/users/alice'))['nick'], 'Alice');
  assert.deepEqual([page.watched.errors, page.watched.foreign], [[], []]);
  await page.context().close();
});

test('private fields are covered until they are asked for', async () => {
  const page = await open(browser, gateway, ADMIN);
  const html = async (): Promise<string> => page.content();
  await visit(page, '#/users/alice/profile');
  const covered = await html();
  assert.deepEqual(SECRETS.filter((secret) => covered.includes(secret)), []);
  await page.getByRole('button', { name: 'Show private fields' }).click();
  await page.getByText('alice@example.com').first().waitFor();
  await page.getByRole('button', { name: 'Cover private fields' }).click();
  await page.getByText('alice@example.com').first().waitFor({ state: 'detached' });
  await visit(page, '#/users/alice/friends');
  assert.ok(!(await html()).includes('Bobby'));
  await page.getByRole('button', { name: 'Show aliases and notes' }).click();
  await page.getByText('Bobby').waitFor();
  await visit(page, '#/users/alice/requests');
  assert.ok(!(await html()).includes('We met at the lake'));
  await page.getByRole('button', { name: 'Show messages' }).click();
  await page.getByText('We met at the lake').waitFor();
  await visit(page, '#/audit?subject=alice');
  await page.getByRole('cell', { name: 'private.shown' }).nth(2).waitFor();
  assert.equal(await page.getByRole('cell', { name: 'private.shown' }).count(), 3);
  await page.context().close();
});

test('a key that is taken away ends the session at once', async () => {
  const page = await open(browser, gateway, VIEWER);
  await visit(page, '#/sessions');
  await gateway.reload('');
  await page.getByRole('alert').getByText('This session has ended').waitFor();
  await gateway.reload(VIEWER_KEY);
  await page.getByLabel('API key').fill(VIEWER);
  await page.keyboard.press('Enter');
  // Back where it was.
  await page.getByRole('heading', { name: 'Sessions' }).waitFor();
  await page.context().close();
});

test('a gateway that goes away and comes back', async () => {
  const other = await Gateway.start('', '');
  try {
    const page = await open(browser, other);
    await visit(page, '#/users/alice/profile');
    await page.getByRole('heading', { name: 'Alice' }).waitFor();
    const away = page.getByRole('alert').getByText('The gateway does not answer');
    await other.kill();
    await away.waitFor();
    // What was there stays, and is called old.
    await page.getByRole('heading', { name: 'Alice' }).waitFor();
    await axe(page, 'without a gateway');
    await other.start();
    await other.api('PATCH', '/v1/users/alice', { nick: 'Alice anew' });
    await away.waitFor({ state: 'detached' });
    await page.getByRole('heading', { name: 'Alice anew' }).waitFor();
    assert.deepEqual(page.watched.errors, []);
    await page.context().close();
  } finally {
    await other.close();
  }
});

test('the start line names the console in development mode without a key, and it opens', async () => {
  const other = await Gateway.start('', '');
  try {
    assert.match(other.said, /^ {2}console {2}http:\/\/127\.0\.0\.1:\d+\/console/m);
    const page = await open(browser, other);
    await page.locator('.bar', { hasText: 'no key needed here' }).waitFor();
    await page.context().close();
  } finally {
    await other.close();
  }
  assert.doesNotMatch(gateway.said, /\/console/);
});
