// The NIM interface as existing applications use it: a classic script from the gateway, on a page from elsewhere.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { NIM, NIMError, NIMGetInstanceOptions, NIMUser } from '../../src/nim.js';
import { Frames, launch, profile, uncaught } from './browser.js';
import { Gateway, token } from './gateway.js';

type Call = [name: string, value: unknown];

/** The globals of the test page. */
interface Application {
  NIM: typeof NIM;
  nim: NIM;
  calls: Call[];
  start(options: Partial<NIMGetInstanceOptions>): void;
  options(options: object): NIMGetInstanceOptions;
  done(name: string): (error: unknown, data: unknown) => void;
  friends: { account: string }[];
}

/** Records every callback. */
const PAGE = `<!doctype html><meta charset="utf-8"><title>an application</title>
<script src="GATEWAY/sdk/nim.js"></script>
<script>
var calls = [], nim, friends = [];
var names = ['onconnect', 'onwillreconnect', 'ondisconnect', 'onerror', 'onsyncdone', 'onmyinfo', 'onupdatemyinfo', 'onusers', 'onupdateuser', 'onfriends'];
function plain(data) {
  if (Array.isArray(data) && data.invalid) return { list: data.slice(), invalid: data.invalid };
  return data === undefined ? null : data;
}
function record(name, data) { calls.push([name, JSON.parse(JSON.stringify(plain(data)))]); }
function done(name) { return function (error, data) { record(name, error ? { error: error } : data); }; }
function options(more) {
  var all = { appKey: 'demo' };
  names.forEach(function (name) { all[name] = function (data) {
    record(name, data);
    if (name === 'onfriends') friends = nim.cutFriends(nim.mergeFriends(friends, data), data.invalid);
  }; });
  return Object.assign(all, more);
}
function start(more) { nim = NIM.getInstance(options(more)); }
</script>`;

let browser: Browser;
let gateway: Gateway;
let context: BrowserContext;
const server = createServer((_, response) => {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(PAGE.replace('GATEWAY', gateway.origin));
});

before(async () => {
  browser = await launch();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  await browser.close();
  server.close();
});
beforeEach(async () => {
  gateway = await Gateway.start();
  context = await profile(browser);
});
afterEach(async () => {
  await context.close();
  await gateway.close();
});

async function open(): Promise<{ page: Page; frames: Frames; errors: Error[]; warnings: string[] }> {
  const page = await context.newPage();
  const warnings: string[] = [];
  page.on('console', (message) => message.type() === 'warning' && warnings.push(message.text()));
  const [frames, errors] = [new Frames(page), uncaught(page)];
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return { page, frames, errors, warnings };
}

const start = (page: Page, options: Partial<NIMGetInstanceOptions>): Promise<void> =>
  page.evaluate((options) => (window as unknown as Application).start(options), options);

/** Waits for a call of `name`, and returns all calls since `from`. */
async function calls(page: Page, name: string, from = 0): Promise<Call[]> {
  await page.waitForFunction(
    ([name, from]) => (window as unknown as Application).calls.slice(from).some(([called]) => called === name),
    [name, from] as const,
  );
  return page.evaluate((from) => (window as unknown as Application).calls.slice(from), from);
}

const names = (all: Call[]): string[] => all.map(([name]) => name);
const what = <T>(all: Call[], name: string): T => all.find(([called]) => called === name)?.[1] as T;
const accounts = (all: unknown): string[] => (all as { account: string }[]).map(({ account }) => account).sort();

/** Signals that the network is back, and advances the clock by a minute. */
async function aMinuteLater(page: Page): Promise<void> {
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await page.clock.runFor(60_000);
}

test('callbacks come in the order connect, sync, syncdone; the address is that of the script', async () => {
  const { page, warnings } = await open();
  await start(page, { account: 'alice', token: 'alice', customTag: 'desk' });
  const first = await calls(page, 'onsyncdone');
  assert.deepEqual(names(first), ['onconnect', 'onmyinfo', 'onusers', 'onfriends', 'onsyncdone']);
  assert.equal(what<{ customTag: string }>(first, 'onconnect').customTag, 'desk');
  const me = what<NIMUser>(first, 'onmyinfo');
  assert.deepEqual(Object.keys(me).sort(), ['account', 'avatar', 'birth', 'createTime', 'custom', 'email', 'gender', 'nick', 'sign', 'tel', 'updateTime']);
  assert.deepEqual(accounts(what(first, 'onusers')), ['bob', 'carol', 'dave']);
  const { list, invalid } = what<{ list: { account: string; valid: boolean }[]; invalid: unknown[] }>(first, 'onfriends');
  assert.deepEqual([accounts(list), list.every((friend) => friend.valid), invalid], [['bob', 'carol', 'dave'], true, []]);
  assert.deepEqual(warnings, []);
});

test('added and removed friends: live, and while offline', async () => {
  const { page } = await open();
  await start(page, { account: 'alice' });
  let seen = (await calls(page, 'onsyncdone')).length;
  const held = () => page.evaluate(() => (window as unknown as Application).friends.map((friend) => friend.account).sort());

  await gateway.api('PUT', '/v1/users/alice/friends/erin');
  const came = await calls(page, 'onfriends', seen);
  assert.deepEqual(names(came), ['onupdateuser', 'onfriends']);
  assert.equal(what<NIMUser>(came, 'onupdateuser').nick, 'Erin');
  seen += came.length;
  await gateway.api('DELETE', '/v1/users/alice/friends/erin');
  const went = await calls(page, 'onfriends', seen);
  const { list, invalid } = what<{ list: []; invalid: [] }>(went, 'onfriends');
  assert.deepEqual([list, accounts(invalid)], [[], ['erin']]);
  assert.deepEqual(await held(), ['bob', 'carol', 'dave']);
  seen += went.length;

  gateway.cut();
  seen += (await calls(page, 'onwillreconnect', seen)).length;
  await gateway.api('DELETE', '/v1/users/alice/friends/carol');
  await gateway.api('PUT', '/v1/users/alice/friends/erin');
  gateway.mend();
  const again = (await calls(page, 'onsyncdone', seen)).filter(([name]) => name !== 'onwillreconnect');
  assert.deepEqual(names(again), ['onconnect', 'onmyinfo', 'onusers', 'onfriends', 'onsyncdone']);
  const difference = what<{ list: []; invalid: [] }>(again, 'onfriends');
  assert.deepEqual([accounts(difference.list), accounts(difference.invalid)], [['erin'], ['carol']]);
  assert.deepEqual(await held(), ['bob', 'dave', 'erin']);
});

/** Like `start`, with the callbacks for relations and devices as well. */
const startWithAll = (page: Page, account: string): Promise<void> =>
  page.evaluate((account) => {
    const app = window as unknown as Application & { record(name: string, data: unknown): void };
    const more = ['onsyncfriendaction', 'onblacklist', 'onsyncmarkinblacklist', 'onofflinesysmsgs', 'onsysmsg', 'onupdatesysmsg', 'onloginportschange'];
    app.start({ account, customTag: account, ...Object.fromEntries(more.map((name) => [name, (data: unknown) => app.record(name, data)])) });
  }, account);

/** Calls a method of the page's instance, and returns the arguments of `done`. */
async function call(page: Page, method: string, options: object): Promise<any> {
  return page.evaluate(
    ([method, options]) =>
      new Promise((resolve, reject) => {
        const done = (error: unknown, data: unknown) => (error ? reject(new Error(JSON.stringify(error))) : resolve(data));
        (window as any).nim[method as string]({ ...(options as object), done });
      }),
    [method, options] as const,
  );
}

test('friends, the blocklist and devices, with two people and three devices', async () => {
  const [{ page: dave }, { page: erin }, { page: phone }] = [await open(), await open(), await open()];
  const heard = (page: Page) => page.evaluate(() => (window as unknown as Application).calls.length);
  /** Returns the argument of the first such call after `from`. */
  const given = async (page: Page, name: string, from: number): Promise<any> => what(await calls(page, name, from), name);
  await startWithAll(dave, 'dave');
  await calls(dave, 'onsyncdone');
  await startWithAll(erin, 'erin');
  await calls(erin, 'onsyncdone');
  await startWithAll(phone, 'erin');
  assert.deepEqual(names(await calls(phone, 'onloginportschange')).slice(0, 4), ['onconnect', 'onmyinfo', 'onusers', 'onfriends']);
  const [port] = await given(erin, 'onloginportschange', 0);
  assert.deepEqual([port.type, port.account, port.online, port.customTag], ['Web', 'erin', true, 'erin']);

  let [atErin, atPhone, atDave] = [await heard(erin), await heard(phone), 0];
  assert.deepEqual(await call(dave, 'applyFriend', { account: 'erin', ps: 'We met at the lake' }), { account: 'erin', ps: 'We met at the lake' });
  const asked = await given(erin, 'onsysmsg', atErin);
  assert.deepEqual([asked.type, asked.from, asked.to, asked.ps], ['applyFriend', 'dave', 'erin', 'We met at the lake']);
  assert.equal((await given(phone, 'onsysmsg', atPhone)).idServer, asked.idServer);

  [atErin, atPhone, atDave] = [await heard(erin), await heard(phone), await heard(dave)];
  const { friend } = await call(erin, 'passFriendApply', { idServer: asked.idServer, account: 'dave' });
  assert.deepEqual([friend.account, friend.valid], ['dave', true]);
  assert.equal((await given(dave, 'onsysmsg', atDave)).type, 'passFriendApply');
  assert.deepEqual(accounts((await given(dave, 'onfriends', atDave)).list), ['erin']);
  const action = await given(phone, 'onsyncfriendaction', atPhone);
  assert.deepEqual([action.type, action.account, action.friend.account], ['passFriendApply', 'dave', 'dave']);
  assert.deepEqual(accounts(await call(erin, 'getFriends', {})), ['dave']);
  assert.ok(!names(await calls(erin, 'onupdatesysmsg', atErin)).includes('onsyncfriendaction'), 'it was this device');

  atPhone = await heard(phone);
  atDave = await heard(dave);
  assert.equal((await call(erin, 'updateFriend', { account: 'dave', alias: 'Swimmer' })).alias, 'Swimmer');
  const renamed = await given(phone, 'onsyncfriendaction', atPhone);
  assert.deepEqual([renamed.type, renamed.friend.alias, 'custom' in renamed.friend], ['updateFriend', 'Swimmer', false]);

  atPhone = await heard(phone);
  const mark = await call(erin, 'addToBlacklist', { account: 'dave' });
  assert.deepEqual([mark.account, mark.isAdd, mark.record.account], ['dave', true, 'dave']);
  assert.equal((await given(phone, 'onsyncmarkinblacklist', atPhone)).isAdd, true);
  assert.deepEqual(accounts((await call(phone, 'getRelations', {})).blacklist), ['dave']);
  await call(erin, 'removeFromBlacklist', { account: 'dave' });

  await call(erin, 'deleteFriend', { account: 'dave' });
  assert.deepEqual(accounts((await given(dave, 'onfriends', atDave)).invalid), ['erin']);

  const { deviceIds } = await call(erin, 'kick', { deviceIds: [port.deviceId] });
  assert.deepEqual(deviceIds, [port.deviceId]);
  assert.equal((await given(phone, 'ondisconnect', 0)).code, 'kicked');
});

test('after a reload the stored list comes first, then only the difference', async () => {
  const { page, frames } = await open();
  await start(page, { account: 'alice' });
  await calls(page, 'onsyncdone');
  await page.evaluate(() => new Promise((resolve) => (window as unknown as Application).nim.destroy({ done: resolve })));
  await gateway.api('PATCH', '/v1/users/bob', { nick: 'Robert' });
  await page.reload();
  await start(page, { account: 'alice' });
  const all = await calls(page, 'onsyncdone');
  assert.deepEqual(names(all), ['onconnect', 'onmyinfo', 'onusers', 'onfriends', 'onusers', 'onsyncdone']);
  const [stored, news] = all.filter(([name]) => name === 'onusers').map(([, users]) => (users as NIMUser[]).map((user) => user.nick).sort());
  assert.deepEqual([stored, news], [['Bob', 'Carol', 'Dave'], ['Robert']]);
  assert.equal(frames.sinceLogin()[0]?.loginReply?.sync, 'delta');
});

test('db: false stores nothing', async () => {
  const { page, frames } = await open();
  await start(page, { account: 'alice', db: false });
  await calls(page, 'onsyncdone');
  assert.deepEqual(await page.evaluate(() => indexedDB.databases()), []);
  await page.reload();
  await start(page, { account: 'alice', db: false });
  await calls(page, 'onsyncdone');
  assert.equal(frames.sinceLogin()[0]?.loginReply?.because, 'NO_CURSOR');
});

for (const [why, wrong] of [['a token that is none', { account: 'alice', token: 'not a token' }], ['an account that is none', { account: 'nobody' }]] as const) {
  test(`${why}: disconnected with 302, and no other attempt until a better one`, async () => {
    const { page, frames } = await open();
    await page.clock.install();
    await start(page, wrong);
    const refused = await calls(page, 'ondisconnect');
    assert.deepEqual(names(refused), ['ondisconnect']);
    assert.equal(what<NIMError>(refused, 'ondisconnect').code, 302);
    await aMinuteLater(page);
    assert.equal(frames.sockets, 1);

    if (wrong.account === 'nobody') return;
    await page.evaluate(() => (window as unknown as Application).start({ account: 'alice', token: 'alice' }));
    assert.deepEqual(names(await calls(page, 'onsyncdone', 1)).slice(0, 2), ['onconnect', 'onmyinfo']);
  });
}

test('an expired token is replaced by the one that onwillreconnect sets; without one, 302', async () => {
  await gateway.close();
  gateway = await Gateway.start('jwt');
  await gateway.import([{ user: { account: 'ann', nick: 'Ann' } }]);
  const { page, frames } = await open();
  await page.evaluate(
    ([first, second]) => {
      const app = window as unknown as Application;
      app.start({
        account: 'ann',
        token: first,
        onwillreconnect: (data) => {
          app.calls.push(['onwillreconnect', data]);
          app.nim.setOptions({ token: second });
        },
      });
    },
    [token('ann', 2), token('ann', 5)] as const,
  );
  const { length } = await calls(page, 'onsyncdone');
  await calls(page, 'onwillreconnect', length);
  const renewed = await calls(page, 'onsyncdone', length);
  assert.deepEqual(names(renewed), ['onwillreconnect', 'onconnect', 'onmyinfo', 'onsyncdone']);
  const ended = await calls(page, 'ondisconnect', length);
  assert.equal(what<NIMError>(ended, 'ondisconnect').code, 302);
  await page.evaluate(() => dispatchEvent(new Event('online')));
  assert.equal(frames.sockets, 2);
});

test('callbacks that throw have no other effect', async () => {
  const { page, errors } = await open();
  await page.evaluate(() => {
    const app = window as unknown as Application;
    const broken = () => {
      throw new Error('broken by the application');
    };
    app.start({ account: 'alice', onconnect: broken, onmyinfo: broken, onusers: broken });
  });
  const { length } = await calls(page, 'onsyncdone');
  await page.evaluate(() => {
    const { nim, done } = window as unknown as Application;
    const broken = () => {
      throw new Error('broken by the application');
    };
    nim.updateMyInfo({ nick: 'Ally', done: broken });
    nim.getUser({ account: 'nobody', done: broken });
    nim.getUser({ account: 'erin', done: done('erin') as never });
  });
  assert.equal(what<NIMUser>(await calls(page, 'erin', length), 'erin').nick, 'Erin');
  await gateway.api('PATCH', '/v1/users/bob', { nick: 'Robert' });
  await calls(page, 'onupdateuser', length);
  assert.deepEqual(errors.map((error) => error.message), Array(5).fill('broken by the application'), 'the page hears of each');
});

test('one instance for each account, until it is destroyed', async () => {
  const { page, warnings } = await open();
  await start(page, { account: 'alice' });
  await calls(page, 'onsyncdone');
  const same = await page.evaluate(() => {
    const { NIM, nim, options } = window as unknown as Application;
    const again = NIM.getInstance(options({ account: 'alice', autoMarkRead: true, onmsg: () => {}, appKey: 'other' }));
    NIM.getInstance(options({ account: 'alice', autoMarkRead: true }));
    const other = NIM.getInstance(options({ account: 'bob' }));
    return [again === nim, other === nim];
  });
  assert.deepEqual(same, [true, false]);
  assert.deepEqual(warnings, ['rosterd: these NIM options do nothing here: autoMarkRead, onmsg']);

  const { length } = await calls(page, 'onsyncdone', 1);
  await page.evaluate(() => {
    const { nim, done } = window as unknown as Application;
    nim.destroy({ done: done('destroyed') });
  });
  const destroyed = await calls(page, 'destroyed', length);
  assert.deepEqual(what<{ code: string; callFunc: string }>(destroyed, 'ondisconnect').callFunc, 'destroy');
  assert.equal(await page.evaluate(() => {
    const { NIM, nim, options } = window as unknown as Application;
    return NIM.getInstance(options({ account: 'alice' })) === nim;
  }), false);
});

test('disconnect and connect again', async () => {
  const { page } = await open();
  await start(page, { account: 'alice' });
  const { length } = await calls(page, 'onsyncdone');
  await page.evaluate(() => {
    const { nim, done } = window as unknown as Application;
    nim.disconnect({ done: done('disconnected') });
  });
  const left = await calls(page, 'disconnected', length);
  assert.deepEqual(names(left), ['ondisconnect', 'disconnected']);
  assert.equal(what<{ code: string }>(left, 'ondisconnect').code, 'alreadyDisconnected');
  await gateway.api('PATCH', '/v1/users/bob', { nick: 'Robert' });
  await page.evaluate(() => (window as unknown as Application).nim.connect());
  const again = await calls(page, 'onsyncdone', length + left.length);
  assert.deepEqual(names(again), ['onconnect', 'onmyinfo', 'onusers', 'onsyncdone']);
  assert.deepEqual(accounts(what(again, 'onusers')), ['bob']);
});

test('a killed gateway: reconnecting is announced, or given up as configured', async () => {
  const { page } = await open();
  await start(page, { account: 'alice', reconnectionAttempts: 2 });
  await page.evaluate(() => {
    const { NIM, options } = window as unknown as Application;
    NIM.getInstance(options({ account: 'bob', needReconnect: false, ondisconnect: (data: unknown) => (window as unknown as Application).calls.push(['bob out', data]) }));
  });
  await page.waitForFunction(() => (window as unknown as Application).calls.filter(([name]) => name === 'onsyncdone').length === 2);
  let { length } = await calls(page, 'onsyncdone');
  await gateway.kill();
  const retry = await calls(page, 'onwillreconnect', length);
  const { retryCount, duration } = what<{ retryCount: number; duration: number }>(retry, 'onwillreconnect');
  assert.ok(retryCount === 1 && duration >= 0);
  assert.equal(what<NIMError>(await calls(page, 'bob out', length), 'bob out').code, 415);
  const out = await calls(page, 'ondisconnect', length);
  assert.equal(what<{ code: string }>(out, 'ondisconnect').code, 'allAttemptsFailed');
  assert.equal(names(out).filter((name) => name === 'onwillreconnect').length, 2);

  await gateway.start();
  length = await page.evaluate(() => {
    const { nim, calls } = window as unknown as Application;
    nim.connect();
    return calls.length;
  });
  assert.equal(names(await calls(page, 'onsyncdone', length))[0], 'onconnect');
});

test('errors have NIM’s numbers', async () => {
  const { page } = await open();
  await start(page, { account: 'alice', cmdTimeout: 400 });
  const { length } = await calls(page, 'onsyncdone');
  await page.evaluate(() => {
    const { nim, done } = window as unknown as Application;
    nim.updateMyInfo({ birth: 'tomorrow', done: done('birth') as never });
    nim.updateMyInfo({ nick: 'x'.repeat(65), done: done('nick') as never });
    nim.getUser({ account: 'nobody', done: done('nobody') as never });
    nim.getUser({ account: 'not an account', done: done('none') as never });
    nim.getUsers({ accounts: Array.from({ length: 151 }, (_, i) => `u${i}`), done: done('many') as never });
    nim.getUsers({ accounts: undefined as never, done: done('no list') as never });
  });
  await calls(page, 'none', length);
  gateway.cut();
  await calls(page, 'onwillreconnect', length);
  await page.evaluate(() => {
    const { nim, done } = window as unknown as Application;
    nim.getUser({ account: 'erin', done: done('offline') as never });
    nim.getUser({ account: 'bob', done: done('held') as never });
  });
  const all = await calls(page, 'offline', length);
  const code = (name: string) => what<{ error: NIMError }>(all, name).error.code;
  assert.deepEqual(['birth', 'nick', 'nobody', 'none', 'many', 'no list', 'offline'].map(code), [414, 414, 404, 414, 419, 414, 408]);
  assert.deepEqual(what<{ error: NIMError }>(all, 'birth').error.event, { callFunc: 'updateMyInfo', reason: 'INVALID_ARGUMENT', field: 'birth' });
  assert.equal(what<NIMUser>(all, 'held').nick, 'Bob', 'a friend is known without asking');
});
