// "Why did bob not see alice's new name": each of nine reasons by real traffic. The page names it, and no other.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { ADMIN, Gateway, VIEWER_KEY, until } from './gateway.js';
import type { Client } from './gateway.js';
import { confirm, effect, launch, open, visit } from './rig.js';

let browser: Browser;
let gateway: Gateway;
let page: Page;
before(async () => {
  browser = await launch();
  gateway = await Gateway.start(`${VIEWER_KEY}[profile.visibility]\ntel = "self"\n[presence]\nlinger = "0s"\n`);
  page = await open(browser, gateway, ADMIN);
});
after(async () => {
  await browser.close();
  await gateway.close();
});

interface Pair { account: string; viewer: string; client?: Client }

/** Two accounts of their own. */
async function pair(name: string, { friends = true, connected = true } = {}): Promise<Pair> {
  const [account, viewer] = [`alice-${name}`, `bob-${name}`];
  await gateway.import([account, viewer].map((account) => ({ user: { account, nick: account } })));
  if (friends) await gateway.befriend(account, viewer);
  return { account, viewer, ...(connected && { client: await gateway.login(viewer) }) };
}

const rename = (account: string, nick: string): Promise<unknown> => gateway.api('PATCH', `/v1/users/${account}`, { nick });

/** Whether a client was sent this nick of an account. */
const saw = (client: Client, account: string, nick: string): boolean =>
  client.frames.some((frame) => ((frame['changes'] as { users?: { account: string; nick: string }[] } | undefined)?.users ?? []).some((user) => user.account === account && user.nick === nick));

/** The checks that fail, and the one that is the answer. */
async function asks({ account, viewer }: Pair, field = 'nick', on: Page = page): Promise<{ fails: string[]; answer: string; text: string }> {
  await visit(on, `#/why?${new URLSearchParams({ account, viewer, field })}`);
  await on.locator('.ladder li').nth(7).waitFor();
  const fails = await on.locator('.ladder [data-reason]').evaluateAll((rungs) => rungs.map((rung) => (rung as HTMLElement).dataset['reason']!));
  const answer = on.locator('.ladder [aria-current]');
  return { fails, answer: (await answer.getAttribute('data-reason'))!, text: (await answer.textContent())! };
}

async function isExplained(found: ReturnType<typeof asks>, reason: string, says: RegExp): Promise<void> {
  const { fails, answer, text } = await found;
  assert.deepEqual(fails, [reason]);
  assert.equal(answer, reason);
  assert.match(text, says);
}

test('a field that bob may not see', async () => {
  const two = await pair('hidden');
  await gateway.api('PATCH', `/v1/users/${two.account}`, { tel: '+49' });
  await isExplained(asks(two, 'tel'), 'HIDDEN_FIELDS', /tel is not among what it sees.*profile\.visibility\.tel = "self"/);
});

test('neither a friend nor watched', async () => {
  const two = await pair('strangers', { friends: false });
  await rename(two.account, 'Alice');
  await isExplained(asks(two), 'NOT_FOLLOWED', /neither lists alice-strangers as a friend nor watches it/);
  assert.ok(!saw(two.client!, two.account, 'Alice'));
  // The action beside the answer.
  assert.match(await effect(page, /Send bob-strangers what it may see now/), /Sends 1 profile to each session of bob-strangers/);
  await confirm(page, 'Send');
  await until(() => saw(two.client!, two.account, 'Alice'));
});

test('blocked', async () => {
  const two = await pair('blocked');
  await gateway.api('PUT', `/v1/users/${two.account}/blocks/${two.viewer}`);
  await rename(two.account, 'Alice');
  await isExplained(asks(two), 'BLOCKED', /alice-blocked blocks bob-blocked.*as it was/);
  assert.ok(!saw(two.client!, two.account, 'Alice'));
});

test('presence that is hidden', async () => {
  const two = await pair('invisible');
  await gateway.login(two.account);
  await gateway.api('PUT', `/v1/users/${two.account}/presence`, { invisible: true });
  await isExplained(asks(two, 'presence'), 'INVISIBLE', /shows as offline to everyone else/);
});

test('not connected', async () => {
  const two = await pair('offline', { connected: false });
  await rename(two.account, 'Alice');
  await isExplained(asks(two), 'OFFLINE', /no session.*at its next login/);
});

test('a socket that is full', async () => {
  const two = await pair('full');
  const many = Array.from({ length: 150 }, (_, i) => `friend${i}`);
  await gateway.import(many.map((account) => ({ user: { account, nick: account } })));
  await gateway.import(many.map((account) => ({ friendship: [two.viewer, account] })));
  two.client!.pause();
  // Until nothing goes into the socket any more, and so what is written now waits.
  const pending = async (): Promise<number> => {
    const { sessions } = await gateway.api<{ sessions: { pending: number }[] }>('GET', `/v1/sessions?prefix=${two.viewer}`);
    return sessions[0]!.pending;
  };
  for (let round = 0; (await pending()) < 100; round++) {
    assert.ok(round < 500, 'a session that reads nothing got everything');
    const custom = 'x'.repeat(1000) + round;
    await gateway.api('POST', '/v1/users:batchUpdate', { users: many.map((account) => ({ account, custom })) });
  }
  await rename(two.account, 'Alice');
  await isExplained(asks(two), 'PENDING', /does not take what waits for it.*the profile of this account waits/);
  two.client!.resume();
  await until(() => saw(two.client!, two.account, 'Alice'));
});

test('erased', async () => {
  const two = await pair('erased');
  await gateway.api('DELETE', `/v1/users/${two.account}`);
  await isExplained(asks(two), 'ERASED', /does not exist.*erased by key default/);
});

test('nothing changed for this view', async () => {
  const two = await pair('unchanged');
  await rename(two.account, 'Alice');
  await until(() => saw(two.client!, two.account, 'Alice'));
  // The same name once more, and a number that only alice sees.
  await rename(two.account, 'Alice');
  await gateway.api('PATCH', `/v1/users/${two.account}`, { tel: '+49' });
  await isExplained(asks(two), 'UNCHANGED', /the account itself saw a change at/);
});

// The last: nothing is applied after it.
test('not yet applied here', async () => {
  const other = await Gateway.start();
  try {
    await other.import(['alice', 'bob'].map((account) => ({ user: { account } })));
    await other.befriend('alice', 'bob');
    await other.login('bob');
    const lost = await open(browser, other, ADMIN);
    other.stall('feed');
    // Answered only once it is applied, so never; and the one that makes the task notice its fault may still be.
    for (const nick of ['Alice', 'Ally']) void other.api('PATCH', '/v1/users/alice', { nick }).catch(() => {});
    const committed = async (): Promise<boolean> => {
      const { nodes } = await other.api<{ nodes: { committed: number; applied: number }[] }>('GET', '/v1/nodes');
      if (nodes[0]!.committed > nodes[0]!.applied) return true;
      void other.api('PATCH', '/v1/users/alice', { nick: `Alice ${Date.now()}` }).catch(() => {});
      return false;
    };
    await until(committed);
    await isExplained(asks({ account: 'alice', viewer: 'bob' }, 'nick', lost), 'NOT_APPLIED', /not yet applied where the viewer is.*Committed up to \d+, applied up to \d+/);
    await lost.context().close();
  } finally {
    await other.close();
  }
});
