// Every page and every action against a real gateway, in both colors and by the keyboard alone.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import type { Browser, Locator, Page } from 'playwright-core';
import { ADMIN, Gateway, VIEWER_KEY, until } from './gateway.js';
import { axe, confirm, effect, launch, open, visit } from './rig.js';
import type { Watched } from './rig.js';

const MARKUP = '<img src=x onerror=alert(1)><b>bold</b>';
const BIDI = 'safe\u202Eexe.txt';
const NOTHING = 'a\u200Bd\u200Dmin';

let browser: Browser;
let gateway: Gateway;
let page: Page & { watched: Watched };
let receiver: Server;
const received: { type: string }[][] = [];
/** An endpoint refuses what is about this account. */
const POISON = 'poison';

before(async () => {
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (data) => (body += String(data)));
    request.on('end', () => {
      const events = JSON.parse(body || '[]') as { type: string }[];
      if (request.url === '/crm') received.push(events);
      response.statusCode = request.url === '/strict' && body.includes(POISON) ? 400 : 204;
      response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const port = (receiver.address() as AddressInfo).port;
  const secret = (fill: number): string => `whsec_${Buffer.alloc(24, fill).toString('base64')}`;
  const webhooks = `[webhooks.crm]\nurl = "http://127.0.0.1:${port}/crm"\nsecret = "${secret(1)}"\n[webhooks.strict]\nurl = "http://127.0.0.1:${port}/strict"\nsecret = "${secret(2)}"\n[webhooks.picky]\nurl = "http://127.0.0.1:${port}/strict"\nsecret = "${secret(4)}"\n`;
  const hook = `[hooks.profile]\nurl = "http://127.0.0.1:${port}/hook"\nsecret = "${secret(3)}"\non_failure = "allow"\n`;
  const fields = '[profile.fields.level]\ntype = "integer"\nmin = 1\nmax = 99\ndefault = "1"\nwrite = "backend"\nvisibility = "everyone"\n[profile.fields.pronouns]\ntype = "text"\nvisibility = "friends"\n[profile.fields.languages]\ntype = "list"\nvisibility = "everyone"\n[profile.fields.open]\ntype = "boolean"\nvisibility = "everyone"\n[profile.fields.role]\ntype = "text"\nvalues = ["tank", "healer"]\nvisibility = "everyone"\n';
  gateway = await Gateway.start(VIEWER_KEY + webhooks + hook + fields);
  const users = ['alice', 'bob', 'carol', 'dave', 'erin'].map((account) => ({ user: { account, nick: account, sign: 'hi' } }));
  await gateway.import([...users, { user: { account: 'markup', nick: MARKUP } }, { user: { account: 'bidi', nick: BIDI } }, { user: { account: 'nothing', nick: NOTHING } }, { user: { account: POISON } }]);
  await gateway.import(['bob', 'carol', 'dave', 'markup', 'bidi'].map((friend) => ({ friendship: ['alice', friend] })));
  await gateway.api('PUT', '/v1/users/alice/blocks/erin');
  await gateway.api('PUT', '/v1/users/erin/requests/bob', { message: 'hello' });
  browser = await launch();
  page = await open(browser, gateway, ADMIN);
});
after(async () => {
  await browser.close();
  await gateway.close();
  receiver.closeAllConnections();
  receiver.close();
});

const text = async (selector = 'main'): Promise<string> => (await page.locator(selector).textContent()) ?? '';

test('overview: numbers that move, and nothing to attend to', async () => {
  const client = await gateway.login('bob');
  await visit(page, '#/overview');
  const tile = (name: string) => page.getByRole('region', { name, exact: true }).locator('.value');
  await page.waitForFunction(() => document.querySelector('[aria-label="Sessions"] .value')?.textContent === '1');
  await until(async () => {
    await gateway.api('PATCH', '/v1/users/alice', { sign: `hello ${Date.now()}` });
    return (await tile('Writes').textContent()) !== '0/s' && (await tile('Pushes').textContent()) !== '0/s';
  });
  await until(async () => /ms$/.test((await tile('Commit to socket, p99').textContent()) ?? ''));
  await page.locator('.chart polyline').first().waitFor({ state: 'attached' });
  client.end();
  await page.waitForFunction(() => document.querySelector('[aria-label="Sessions"] .value')?.textContent === '0');
});

test('sessions: filters, and the end of one', async () => {
  const [bob, bobs, carol] = [await gateway.login('bob', 'web'), await gateway.login('bob', 'ios'), await gateway.login('carol', 'web')];
  await visit(page, '#/sessions?prefix=bob');
  await page.locator('tbody tr').nth(1).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 2);
  await page.getByLabel('Device type').fill('ios');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
  assert.ok((await text('tbody')).includes(bobs.session));
  assert.match(await effect(page, 'End'), /Ends 1 of the 2 sessions of bob/);
  await confirm(page, 'End session');
  await until(() => bobs.socket.readyState === 3);
  assert.deepEqual([bob.socket.readyState, carol.socket.readyState], [1, 1]);
  await page.getByText('No session passes this filter').waitFor();

  // One by itself. What is cancelled is not done, nor written down.
  await visit(page, '#/sessions?prefix=carol');
  // What is typed stays while numbers come in, which every age on the page shows.
  await page.getByLabel('Account begins with').fill('caroline');
  const age = page.locator('tbody time');
  for (let seconds = 0; seconds < 2; seconds++) {
    const shown = await age.textContent();
    await until(async () => (await age.textContent()) !== shown);
  }
  assert.equal(await page.getByLabel('Account begins with').inputValue(), 'caroline');
  await page.getByRole('link', { name: carol.session }).click();
  await page.locator('.card', { hasText: 'carol' }).waitFor();
  assert.equal(await page.evaluate(() => location.hash), `#/sessions/${carol.session}`);
  const ended = async (): Promise<object[]> => (await gateway.api<{ entries: { subject: string }[] }>('GET', '/v1/audit?subject=carol&order=desc'))['entries'];
  assert.match(await effect(page, 'End session'), /Ends 1 of the 1 sessions of carol/);
  await page.locator('dialog[open]').getByRole('button', { name: 'Cancel', exact: true }).click();
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.deepEqual([carol.socket.readyState, await ended()], [1, []]);
  await effect(page, 'End session');
  await confirm(page, 'End session');
  await until(() => carol.socket.readyState === 3);
  await page.getByRole('alert').getByText('no such session is connected').waitFor();
  assert.equal((await ended()).length, 1);
  for (const client of [bob, carol]) client.end();
});

test('users: by prefix, and names made of markup, of what turns text round, and of what cannot be seen', async () => {
  await visit(page, '#/users');
  await page.getByLabel('Account begins with').fill('b');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 2);
  for (const [account, shown] of [['markup', MARKUP], ['bidi', 'safeU+202Eexe.txt'], ['nothing', 'aU+200BdU+200Dmin']] as const) {
    await visit(page, `#/users/${account}/profile`);
    await page.getByRole('heading', { name: shown }).waitFor();
    assert.equal(await page.locator('main img, main h1 b').count(), 0);
    await visit(page, `#/users?prefix=${account}`);
    await page.getByRole('cell', { name: shown }).waitFor();
  }
  assert.deepEqual(page.watched.errors, []);
});

test('a user: what each audience sees, and an edit', async () => {
  await visit(page, '#/users/alice/profile');
  await page.getByRole('button', { name: 'Edit profile' }).click();
  await page.getByLabel('nick', { exact: true }).fill('Not Alice');
  await page.locator('.edit').getByRole('button', { name: 'Cancel', exact: true }).click();
  await page.locator('.edit').waitFor({ state: 'detached' });
  assert.equal((await gateway.api<{ nick: string }>('GET', '/v1/users/alice'))['nick'], 'alice');
  const cells = await page.locator('.profile tbody tr', { hasText: 'nick' }).locator('td').allTextContents();
  assert.deepEqual(cells, ['alice', 'alice', 'alice']);
  await page.getByRole('button', { name: 'Edit profile' }).click();
  await page.getByLabel('nick', { exact: true }).fill('Alice L.');
  await page.getByLabel('birth', { exact: true }).fill('tomorrow');
  await page.getByRole('button', { name: 'Save …' }).click();
  await page.getByText('Changes nick, birth. 5 friends').waitFor();
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('.edit .wrong [name="birth"]').waitFor();
  await page.getByLabel('birth', { exact: true }).fill('');
  await page.getByRole('button', { name: 'Save …' }).click();
  await page.getByText('Changes nick. 5 friends').waitFor();
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('heading', { name: 'Alice L.' }).waitFor();
  assert.equal((await gateway.api<{ nick: string }>('GET', '/v1/users/alice'))['nick'], 'Alice L.');
});

test('a user: own fields by their types, shown and changed', async () => {
  await visit(page, '#/users/alice/profile');
  const row = (name: string) => page.locator('.profile tbody tr', { hasText: `fields.${name}` }).locator('td');
  assert.deepEqual(await row('level').allTextContents(), ['1', '1', '1']);
  assert.deepEqual(await row('pronouns').allTextContents(), ['not shown', '••• covered', '••• covered']);
  await page.getByRole('button', { name: 'Edit profile' }).click();
  const form = page.locator('.edit');
  await form.getByLabel('fields.level', { exact: true }).fill('many');
  await form.getByRole('button', { name: 'Save …' }).click();
  await form.getByText('Changes fields.level. 5 friends').waitFor();
  await form.getByRole('button', { name: 'Save', exact: true }).click();
  await form.locator('.wrong [name="fields.level"]').waitFor();
  await form.getByLabel('fields.level', { exact: true }).fill('7');
  await form.getByLabel('fields.pronouns', { exact: true }).fill('she/her');
  await form.getByLabel('fields.languages', { exact: true }).fill('de\nfr');
  await form.locator('[name="fields.open"]').selectOption('false');
  await form.locator('[name="fields.role"]').selectOption('tank');
  await form.getByRole('button', { name: 'Save …' }).click();
  await form.getByRole('button', { name: 'Save', exact: true }).click();
  await form.waitFor({ state: 'detached' });
  const saved = await gateway.api<{ fields: Record<string, unknown> }>('GET', '/v1/users/alice');
  assert.deepEqual(saved.fields, { languages: ['de', 'fr'], level: 7, open: false, pronouns: 'she/her', role: 'tank' });
  await page.getByRole('button', { name: 'Show private fields' }).click();
  await page.getByRole('cell', { name: 'she/her' }).first().waitFor();
  assert.deepEqual(await row('languages').allTextContents(), ['de, fr', 'de, fr', 'de, fr']);
  // An empty field is cleared, and one with a default has that again.
  await page.getByRole('button', { name: 'Edit profile' }).click();
  await form.getByLabel('fields.level', { exact: true }).fill('');
  await form.locator('[name="fields.role"]').selectOption('');
  await form.getByRole('button', { name: 'Save …' }).click();
  await form.getByRole('button', { name: 'Save', exact: true }).click();
  await form.waitFor({ state: 'detached' });
  const cleared = await gateway.api<{ fields: Record<string, unknown> }>('GET', '/v1/users/alice');
  assert.deepEqual([cleared.fields['level'], cleared.fields['role']], [1, undefined]);
});

test('a user: lists, changes, presence, sessions, tokens', async () => {
  await visit(page, '#/users/alice/friends');
  assert.equal(await page.locator('tbody tr').count(), 5);
  await visit(page, '#/users/alice/blocks');
  await page.getByRole('link', { name: 'erin' }).waitFor();
  await visit(page, '#/users/bob/requests');
  await page.getByRole('link', { name: 'erin' }).waitFor();
  await visit(page, '#/users/alice/changes');
  await page.getByRole('cell', { name: 'nick', exact: true }).first().waitFor();
  await page.getByRole('row', { name: /user.updated nick key default/ }).getByRole('link', { name: 'who saw it?' }).click();
  await page.getByPlaceholder('viewer').fill('bob');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('.ladder [aria-current]').getByText('has no session').waitFor();

  await visit(page, '#/users/alice/profile');
  assert.match(await effect(page, 'Show as offline'), /5 friends will see it as offline/);
  await confirm(page, 'Hide');
  await page.locator('.head', { hasText: 'invisible' }).waitFor();
  await effect(page, 'Show as online');
  await confirm(page, 'Show');

  const [one, two] = [await gateway.login('alice', 'web'), await gateway.login('alice', 'ios')];
  await visit(page, '#/users/alice/sessions');
  await page.locator('tbody tr').nth(1).waitFor();
  assert.match(await effect(page, 'End sessions'), /Ends 2 sessions/);
  assert.match(await confirm(page, 'End sessions'), /2 sessions were ended/);
  await until(() => one.socket.readyState === 3 && two.socket.readyState === 3);

  await visit(page, '#/users/alice/tokens');
  await effect(page, 'Set static token');
  assert.match(await confirm(page, 'Set token'), /alice:\w+/);
  await effect(page, 'Withdraw static token');
  await confirm(page, 'Withdraw');
  assert.match(await effect(page, 'Revoke tokens'), /Up to 0 sessions/);
  await confirm(page, 'Revoke');
  for (const what of ['token.set', 'token.removed', 'tokens.revoked']) await page.getByRole('cell', { name: what }).waitFor();

  await visit(page, '#/users/alice/friends');
  await page.locator('tbody tr', { hasText: 'carol' }).getByRole('button', { name: 'End' }).click();
  await page.locator('dialog .effect', { hasText: 'Ends 1 friendship' }).waitFor();
  await confirm(page, 'End friendship');
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 4);
});

test('a user with 10,000 friends, a page at a time', async () => {
  const names = Array.from({ length: 10_000 }, (_, i) => `fan${String(i).padStart(4, '0')}`);
  await gateway.import([{ user: { account: 'star', nick: 'Star' } }, ...names.map((account) => ({ user: { account } }))]);
  await gateway.import(names.map((account) => ({ friendship: ['star', account] })));
  const shows = async (from: number): Promise<void> => {
    await page.locator('tbody tr').first().getByRole('link', { name: names[from]!, exact: true }).waitFor();
    assert.deepEqual(await page.locator('tbody td:first-child').allTextContents(), names.slice(from, from + 50));
  };
  await visit(page, '#/users/star/friends');
  await shows(0);
  const [previous, next] = ['Previous page', 'Next page'].map((name) => page.getByRole('button', { name })) as [Locator, Locator];
  assert.ok(await previous.isDisabled());
  for (let at = 50; at <= 500; at += 50) {
    await next.click();
    await shows(at);
  }
  await previous.click();
  await shows(450);
  // A place in the list has an address, and the last page is the last.
  await visit(page, `#/users/star/friends?after=${names[9_949]}`);
  await shows(9_950);
  assert.ok(await next.isDisabled());
  assert.match(await effect(page, 'Show as offline'), /more than 1,000 friends will see it as offline/);
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
});

for (const hours of [1, -1]) {
  test(`a browser whose clock is ${hours > 0 ? 'an hour ahead' : 'an hour behind'}: ages are by the gateway's`, async () => {
    const page = await open(browser, gateway);
    await page.addInitScript((ms) => {
      const Real = Date;
      globalThis.Date = class extends Real {
        constructor(...given: [number]) {
          super(...(given.length ? given : [Real.now() + ms] as [number]));
        }

        static override now(): number {
          return Real.now() + ms;
        }
      } as DateConstructor;
    }, hours * 3_600_000);
    await page.reload();
    await page.getByLabel('API key').fill(ADMIN);
    await page.keyboard.press('Enter');
    await page.getByRole('navigation', { name: 'Pages' }).waitFor();
    const client = await gateway.login('bob');
    const before = await page.evaluate(() => Date.now());
    assert.ok(Math.abs(before - Date.now() - hours * 3_600_000) < 600_000, 'the clock is not off');
    await visit(page, '#/cluster');
    await page.getByText(hours > 0 ? /(59 min|1 h) behind yours/ : /(59 min|1 h) ahead of yours/).waitFor();
    for (const place of ['#/sessions?prefix=bob', `#/sessions/${client.session}`, '#/users/bob/sessions']) {
      await visit(page, place);
      await page.locator('main time', { hasText: /^(now|\d+ s ago)$/ }).first().waitFor();
      assert.doesNotMatch(await page.locator('main').innerText(), /\d+ (h|min) ago|in \d+ (h|min)/, place);
    }
    client.end();
    await page.context().close();
  });
}

test('an account that is erased while it is looked at, and one that never was', async () => {
  await gateway.import([{ user: { account: 'gone', nick: 'Gone' } }, { friendship: ['gone', 'bob'] }]);
  await visit(page, '#/users/gone/profile');
  assert.match(await effect(page, 'Delete'), /ends 0 sessions and 1 friendships/);
  const sure = page.locator('dialog').getByRole('button', { name: 'Delete account' });
  assert.ok(await sure.isDisabled());
  await page.locator('dialog input').fill('gone');
  await sure.click();
  await page.getByText('There is no account gone').waitFor();
  await gateway.import([{ user: { account: 'gone2', nick: 'Gone' } }]);
  await visit(page, '#/users/gone2/friends');
  await gateway.api('DELETE', '/v1/users/gone2');
  await page.getByText('There is no account gone2').waitFor();
  await visit(page, '#/users/never');
  await page.getByText('There is no account never').waitFor();
  await visit(page, '#/users/not%20an%20account');
  await page.getByRole('alert').first().waitFor();
});

test('webhooks: pause, resume, test, replay; hooks', async () => {
  await visit(page, '#/webhooks');
  const card = page.getByRole('article', { name: /^crm/ });
  const act = async (button: string, verb: string, says: RegExp): Promise<string> => {
    await card.getByRole('button', { name: button, exact: true }).click();
    await page.locator('dialog .effect').waitFor();
    assert.match(await text('dialog'), says);
    return confirm(page, verb);
  };
  assert.match(await act('Test', 'Send', /Sends 1 event/), /answered 204/);
  await act('Pause', 'Pause', /No events are sent until/);
  await card.getByText('paused').waitFor();
  await gateway.api('PATCH', '/v1/users/alice', { sign: 'while it is paused' });
  await card.getByText(/1 changes/).waitFor();
  await act('Resume', 'Resume', /Sends the events of 1 changes/);
  await card.getByText('nothing waits').waitFor();
  const before = received.flat().length;
  await card.getByLabel('Changes to replay').fill('3');
  await act('Replay the last', 'Replay', /the events of 3 changes again/);
  await until(() => received.flat().length >= before + 3);
  const client = await gateway.login('dave');
  client.send({ id: 5, updateMyInfo: { sign: 'asked about' } });
  await page.getByRole('row', { name: /profile.*called.*1/ }).waitFor();
  client.end();
});

test('the feed: live, filtered, paused', async () => {
  await visit(page, '#/feed');
  const live = page.locator('.head').getByText('live');
  await live.waitFor();
  await gateway.api('PATCH', '/v1/users/dave', { sign: 'to the feed' });
  await page.getByRole('row', { name: /user.updated dave sign/ }).waitFor();
  await page.getByLabel('Types').selectOption('friend.*');
  await page.getByRole('button', { name: 'Filter' }).click();
  await live.waitFor();
  await page.getByText('No event yet').waitFor();
  await gateway.api('PATCH', '/v1/users/dave', { sign: 'not for this filter' });
  await gateway.befriend('dave', 'erin');
  await page.getByRole('row', { name: /friend.added dave and erin/ }).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 1);
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.locator('.head').getByText('paused').waitFor();
  await gateway.befriend('dave', 'bob');
  await page.getByRole('button', { name: 'Go on' }).click();
  await live.waitFor();
});

test('cluster, audit, settings', async () => {
  await visit(page, '#/cluster');
  await page.locator('.card', { hasText: 'ready' }).waitFor();
  await visit(page, '#/audit');
  for (const what of ['console.login', 'console.changed', 'sessions.ended', 'user.deleted', 'webhook.paused', 'webhook.replayed']) await page.getByRole('cell', { name: what }).first().waitFor();
  const numbers = await page.locator('tbody tr td:first-child').allTextContents();
  assert.deepEqual(numbers.map(Number), numbers.map(Number).sort((a, b) => b - a));
  await page.getByLabel('Account').last().fill('alice');
  await page.getByRole('button', { name: 'Filter' }).click();
  await page.getByRole('cell', { name: 'user.deleted' }).first().waitFor({ state: 'detached' });
  await visit(page, '#/settings');
  await page.getByLabel('Key or value').fill('api_key');
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
  const row = await text('tbody');
  assert.ok(row.includes('set') && row.includes('config.toml') && !row.includes(ADMIN), row);
});

test('an audit log longer than a page begins with the newest', async () => {
  for (let i = 0; i < 130; i++) await gateway.api('DELETE', '/v1/users/dave/sessions');
  await visit(page, '#/audit');
  await page.locator('tbody tr').nth(49).waitFor();
  const first = async (): Promise<number> => Number(await page.locator('tbody tr td').first().textContent());
  const newest = await first();
  const { entries } = await gateway.api<{ entries: { number: number }[] }>('GET', '/v1/audit?order=desc&limit=1');
  assert.equal(entries[0]!.number, newest);
  await page.getByRole('button', { name: 'Older' }).click();
  await until(async () => (await first()) === newest - 50);
  await page.getByRole('button', { name: 'Newest' }).click();
  await until(async () => (await first()) === newest);
});

test('a view as a command, which answers the same', async () => {
  await page.context().grantPermissions(['clipboard-write', 'clipboard-read']);
  await visit(page, '#/users/alice/profile');
  await page.getByRole('button', { name: 'Copy as curl' }).click();
  await page.getByText('copied').waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(command, `curl -H "Authorization: Bearer $ROSTERD_KEY" '${gateway.ops}/v1/users/alice'`);
  const { execFileSync } = await import('node:child_process');
  const answer = execFileSync('sh', ['-c', `${command} -sf`], { env: { ...process.env, ROSTERD_KEY: ADMIN } });
  assert.equal((JSON.parse(String(answer)) as { account: string }).account, 'alice');
});

const PLACES = ['overview', 'sessions', 'users', ...['profile', 'profile?edit=1', 'friends', 'requests', 'blocks', 'sessions', 'changes', 'tokens'].map((tab) => `users/alice/${tab}`), 'users/never',
  'why', 'why?account=alice&viewer=bob&field=nick', 'why?account=alice&viewer=never&field=nick', 'webhooks', 'feed', 'cluster', 'audit', 'settings'];

/** Each form of page once. */
const NARROW = ['overview', 'users/alice/profile', 'why?account=alice&viewer=bob&field=nick', 'webhooks', 'feed'];

for (const [colorScheme, width] of [['light', 1280], ['dark', 1280], ['light', 420]] as const) {
  test(`axe finds nothing: ${colorScheme}, ${width} pixels`, async () => {
    const page = await open(browser, gateway, ADMIN, { colorScheme, viewport: { width, height: 800 } });
    const bob = await gateway.login('bob');
    for (const place of width > 1000 ? PLACES : NARROW) {
      await visit(page, `#/${place}`);
      await axe(page, place);
    }
    for (const session of [bob.session, '0'.repeat(16)]) {
      await visit(page, `#/sessions/${session}`);
      await axe(page, `session ${session}`);
    }
    await visit(page, '#/users/alice/profile');
    await effect(page, 'Delete');
    await axe(page, 'a dialog');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Copy as curl' }).first().click();
    await axe(page, 'a command');
    await page.keyboard.press('?');
    await page.locator('dialog[open]').waitFor();
    await axe(page, 'the keys');
    bob.end();
    assert.deepEqual([page.watched.errors, page.watched.foreign], [[], []]);
    await page.context().close();
  });
}

test('a whole walk by the keyboard', async () => {
  const page = await open(browser, gateway);
  const press = async (...keys: string[]): Promise<void> => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const at = (name: string): Promise<void> => page.locator('main h1', { hasText: name }).waitFor();
  // The field has the focus already.
  await page.locator('input[name="key"]:focus').waitFor();
  await page.keyboard.type(ADMIN);
  await press('Enter');
  await at('Overview');
  for (const [key, name] of [['s', 'Sessions'], ['u', 'Users'], ['y', 'Why'], ['w', 'Webhooks'], ['f', 'Feed'], ['c', 'Cluster'], ['a', 'Audit'], ['t', 'Settings'], ['o', 'Overview'], ['u', 'Users']] as const) {
    await press('g', key);
    await at(name);
  }
  const focused = (): Promise<string> => page.evaluate(() => document.activeElement?.textContent ?? '');
  await page.locator('tbody tr').nth(2).waitFor();
  await press('j');
  assert.equal(await focused(), 'alice');
  await press('j', 'j', 'k');
  assert.equal(await focused(), 'bidi');
  await press('/');
  // Keys are letters while something is typed.
  await page.keyboard.type('erin');
  await press('Enter');
  await at('erin');
  const erin = await gateway.login('erin');
  await page.locator('.head', { hasText: 'online on 1 device' }).waitFor();
  // To an action, by Tab alone, and back from it by Escape; then in earnest.
  const tabTo = async (name: string): Promise<void> => {
    for (let i = 0; i < 80 && (await focused()) !== name; i++) await press('Tab');
    assert.equal(await focused(), name);
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle);
    assert.notEqual(outline, 'none', `${name} does not show that it has the focus`);
  };
  await tabTo('End sessions');
  await press('Enter');
  await page.locator('dialog .effect', { hasText: 'Ends 1 sessions' }).waitFor();
  await press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.equal(await focused(), 'End sessions');
  await press('Enter');
  await page.locator('dialog .effect', { hasText: 'Ends 1 sessions' }).waitFor();
  await tabTo('End sessions');
  await press('Enter');
  await page.locator('dialog', { hasText: '1 sessions were ended' }).waitFor();
  await press('Escape');
  await until(() => erin.socket.readyState === 3);
  await press('?');
  await page.locator('dialog', { hasText: 'look up an account' }).waitFor();
  await press('Escape');
  // The colors, and the way out.
  await tabTo('Log out');
  await press('Enter');
  await page.getByLabel('API key').waitFor();
  await page.context().close();
});

// The last, because an endpoint has half a minute until what it refuses is skipped.
test('events that an endpoint refused: listed, sent again, forgotten', async () => {
  await gateway.api('PATCH', `/v1/users/${POISON}`, { sign: 'refused' });
  const dead = async (name: string): Promise<number> => (await gateway.api<{ dead: number }>('GET', `/v1/webhooks/${name}`))['dead'];
  await until(async () => (await dead('strict')) > 0 && (await dead('picky')) > 0, 90_000);
  await visit(page, '#/webhooks?name=strict');
  const card = page.getByRole('article', { name: /^strict/ });
  await card.getByRole('button', { name: /Replay \d+ refused/ }).click();
  await page.locator('dialog .effect', { hasText: /Sends \d+ events again/ }).waitFor();
  await confirm(page, 'Replay');
  const audited = async (): Promise<string[]> => (await gateway.api<{ entries: { action: string }[] }>('GET', '/v1/audit?order=desc'))['entries'].map(({ action }) => action);
  assert.equal((await audited())[0], 'webhook.replayed');
  await card.getByRole('button', { expanded: true }).or(card.getByRole('button', { name: /^\d+$/ })).first().waitFor();

  await visit(page, '#/webhooks?name=picky');
  const { dead: [{ event }] } = await gateway.api<{ dead: [{ event: string }] }>('GET', '/v1/webhooks/picky/dead?limit=1');
  const row = page.getByRole('article', { name: /^picky/ }).locator('tbody tr', { hasText: event });
  await row.getByRole('button', { name: 'Forget' }).click();
  await page.locator('dialog .effect', { hasText: `picky will never get 1 event that it refused: ${event}` }).waitFor();
  await confirm(page, 'Forget');
  await row.waitFor({ state: 'detached' });
  const { dead: rest } = await gateway.api<{ dead: { event: string }[] }>('GET', '/v1/webhooks/picky/dead');
  assert.ok(rest.every((other) => other.event !== event));
  assert.equal((await audited())[0], 'webhook.dead_removed');
  assert.deepEqual([page.watched.errors, page.watched.foreign], [[], []]);
});
