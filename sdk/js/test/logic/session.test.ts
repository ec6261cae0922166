// From the first connect to the last close: frames, events, and reconnects.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { bucket, digests } from '../../src/digest.js';
import { MemoryStore, RosterdClient, RosterdError } from '../../src/index.js';
import type { User } from '../../src/index.js';
import { FakeSocket, friend, frozenTime, live, pass, rig, settle, summary, user } from './rig.js';
import type { Rig } from './rig.js';

frozenTime({ beforeEach, afterEach });

const bob = user('bob', 2);
const carol = user('carol', 3);

test('a first connect: states and events in order, and the promise at the end', async () => {
  const it = rig({ token: 't', device: { type: 'web' } });
  let connected = false;
  void it.client.connect().then(() => (connected = true));
  await settle();
  assert.equal(it.client.state, 'connecting');
  assert.deepEqual(it.socket.protocols, ['rosterd.v1.json']);
  it.socket.open();
  assert.deepEqual(it.socket.sent, [{ id: 1, login: { token: 't', device: { type: 'web' } } }]);
  it.socket.full([bob, carol]);
  await settle();
  assert.ok(connected);
  assert.deepEqual(it.heard.map(({ event, args }) => (event === 'state' ? args[0] : event)), [
    'connecting', 'syncing', 'me', 'users', 'friends', 'requests', 'blocks', 'live', 'synced',
  ]);
  assert.deepEqual(it.of('users')[0], [[bob, carol], 'sync']);
  assert.equal(it.of('synced')[0]?.[0].because, 'NO_CURSOR');
  assert.equal(it.client.me?.account, 'alice');
});

test('without a token the account is the token', async () => {
  const it = rig();
  void it.client.connect();
  await settle();
  it.socket.open();
  assert.equal(it.socket.last('login').login.token, 'alice');
});

test('connect returns one promise while pending, and resolves when live', async () => {
  const it = rig();
  assert.equal(it.client.connect(), it.client.connect());
  await settle();
  it.socket.full([]);
  await it.client.connect();
  assert.equal(it.sockets.length, 1);
});

test('news: the maps are up to date before the first listener runs', async () => {
  const it = await live([bob, carol]);
  const dave = user('dave', 9);
  it.client.on('friendRemoved', () => assert.ok(it.client.friends.has('dave')));
  it.heard.length = 0;
  it.socket.gives({ changes: { users: [user('bob', 8, 'Bo'), dave], friends: [friend('dave', 9)], removed: ['carol'], cursor: 'e-9' } });
  assert.deepEqual(it.heard.map(({ event, args }) => [event, args[0].account ?? args[0][0].account ?? args[0]]), [
    ['friendRemoved', 'carol'], ['userUpdated', 'bob'], ['userUpdated', 'dave'], ['friends', 'dave'],
  ]);
  assert.deepEqual(it.of('friends')[0]?.[1], 'update');
  assert.deepEqual([...it.client.users.keys()], ['bob', 'dave']);
  it.heard.length = 0;
  it.socket.gives({ changes: { users: [user('bob', 8, 'again')] } });
  assert.deepEqual(it.heard, []);
  it.socket.gives({ changes: { me: user('alice', 10, 'Al') } });
  assert.deepEqual(it.of('me'), [[user('alice', 10, 'Al'), 'update']]);
});

test('a reconnect sends the cursor and emits only the difference', async () => {
  const it = await live([bob, carol]);
  it.socket.gives({ changes: { users: [user('bob', 8)], cursor: 'e-8' } });
  it.socket.ends(1006);
  await pass(20_000);
  it.heard.length = 0;
  it.socket.login({ sync: 'delta', because: undefined });
  assert.equal(it.socket.last('login').login.cursor, 'e-8');
  const dave = user('dave', 9);
  it.socket.gives({ changes: { me: user('alice', 1), users: [dave], friends: [friend('dave', 5)], removed: ['carol'] } });
  assert.ok(it.client.users.has('carol'), 'half of a catch-up is not shown');
  it.socket.gives({ synced: summary([user('bob', 8), dave], 'e-10') });
  assert.deepEqual(it.of('users'), [[[dave], 'sync']]);
  assert.deepEqual(it.of('friendRemoved'), [['carol']]);
  assert.equal(it.of('me').length, 1);
  it.socket.ends(1006);
  await pass(20_000);
  it.heard.length = 0;
  it.socket.login({ sync: 'current', because: undefined });
  it.socket.gives({ changes: { me: user('alice', 1) } });
  it.socket.gives({ synced: summary([user('bob', 8), dave], 'e-10') });
  assert.deepEqual([it.of('users'), it.of('friends')], [[], []]);
});

test('a full sync never empties the list, and an interrupted one has no effect', async () => {
  const it = await live([bob, carol]);
  const sizes: number[] = [];
  for (const event of ['users', 'friends', 'me', 'state'] as const) it.client.on(event, () => sizes.push(it.client.users.size));
  it.socket.ends(1006);
  await pass(20_000);
  it.socket.login({ because: 'CURSOR_EXPIRED' });
  it.socket.gives({ changes: { me: user('alice', 1), users: [user('dave', 1)], friends: [friend('dave', 5)] } });
  assert.equal(it.client.users.size, 2);
  it.socket.ends(1006);
  await pass(20_000);
  it.socket.open();
  assert.equal(it.socket.last('login').login.cursor, 'e-1');
  it.socket.full([carol, user('dave', 1)], 'f-1');
  assert.deepEqual([...it.client.users.keys()], ['carol', 'dave']);
  assert.deepEqual(it.of('friendRemoved'), [['bob']]);
  assert.ok(sizes.every((size) => size === 2), String(sizes));
});

test('the cache is emitted before the socket opens, and then only the difference', async () => {
  const store = new MemoryStore();
  const first = await live([bob, carol], { store });
  await first.client.disconnect();
  const it = rig({ store });
  void it.client.connect();
  await settle();
  assert.deepEqual(it.heard.map(({ event, args }) => [event, args[1]]), [
    ['state', 'disconnected'], ['me', 'cache'], ['users', 'cache'], ['friends', 'cache'],
  ]);
  assert.equal(it.socket.readyState, 0);
  it.socket.login({ sync: 'delta', because: undefined });
  assert.equal(it.socket.last('login').login.cursor, 'e-1');
  it.socket.gives({ changes: { me: user('alice', 1), users: [user('bob', 7)] } });
  it.socket.gives({ synced: summary([user('bob', 7), carol], 'e-7') });
  assert.deepEqual(it.of('users')[1], [[user('bob', 7)], 'sync']);
});

/** Returns a client that has reconnected with other records than the gateway's. */
async function outOfStep(held: User[], has: User[], store = new MemoryStore()): Promise<Rig> {
  const it = await live(held, { store });
  it.socket.ends(1006);
  await pass(20_000);
  it.socket.login({ sync: 'current', because: undefined });
  it.socket.gives({ changes: { me: user('alice', 1) } });
  it.socket.gives({ synced: summary(has, 'e-9') });
  return it;
}

/** Answers a repair with every friend in these buckets. */
function repairs(it: Rig, has: User[], parts: number[], digestOf = has): void {
  const sent = has.filter(({ account }) => parts.includes(bucket(account)));
  it.socket.gives({ id: it.socket.last('repair').id, repairReply: { parts } });
  it.socket.gives({ changes: { users: sent, friends: sent.map(({ account }) => friend(account, 5)) } });
  it.socket.gives({ synced: summary(digestOf, 'e-9') });
}

test('out of step: a repair on the same connection, while the old list stays', async () => {
  const store = new MemoryStore();
  const it = await outOfStep([bob, carol, user('dave', 4)], [user('bob', 7), carol], store);
  assert.equal(it.of('error')[0]?.[0].reason, 'OUT_OF_STEP');
  const held = new Map([bob, carol, user('dave', 4)].map((user) => [user.account, user]));
  assert.deepEqual(it.socket.last('repair').repair, { leaves: digests(new Map([...held].map(([account]) => [account, friend(account, 5)])), held) });
  assert.equal(it.client.state, 'syncing');
  assert.deepEqual(it.client.users, held);
  await settle();
  assert.equal((await store.load('alice'))?.cursor, undefined, 'who mistrusts the records drops the cursor');
  const before = it.heard.length;
  repairs(it, [user('bob', 7), carol], [bucket('bob'), bucket('dave')]);
  assert.deepEqual([...it.client.users.values()].map(({ account, version }) => [account, version]).sort(), [['bob', 7], ['carol', 3]]);
  assert.equal(it.client.state, 'live');
  assert.equal(it.sockets.length, 2);
  assert.deepEqual(it.heard.slice(before).map(({ event }) => event), ['me', 'users', 'friends', 'friendRemoved', 'state', 'synced']);
  assert.deepEqual(it.of('users').at(-1), [[user('bob', 7)], 'sync']);
  await settle();
  const stored = await store.load('alice');
  assert.deepEqual([stored?.cursor, stored?.users.map(({ account, version }) => `${account} ${version}`).sort()], ['e-9', ['bob 7', 'carol 3']]);
  it.socket.gives({ changes: { users: [user('bob', 20)], cursor: 'e-20' } });
  assert.deepEqual([it.client.users.get('bob')?.version, it.of('userUpdated').length], [20, 1]);
});

test("out of step: changes before the repair's reply are emitted at once, and the reply does not undo them", async () => {
  const it = await outOfStep([bob, carol], [user('bob', 7), carol]);
  const called = it.client.updateMyInfo({ sign: 'mine' });
  it.socket.gives({ changes: { users: [user('carol', 30)], cursor: 'e-30' } });
  it.socket.gives({ id: it.socket.last('updateMyInfo').id, updateMyInfoReply: { user: user('alice', 31) } });
  it.socket.gives({ sessions: { sessions: [{ session: 's', device: { id: '', type: '', tag: '' }, connectedAt: 1, current: true }] } });
  assert.equal((await called).version, 31);
  assert.deepEqual([it.client.users.get('carol')?.version, it.client.me?.version, it.of('userUpdated').length], [30, 31, 1]);
  repairs(it, [user('bob', 7), user('carol', 30)], [bucket('bob')]);
  assert.deepEqual([it.client.users.get('carol')?.version, it.client.me?.version, it.client.sessions.length], [30, 31, 1]);
  assert.deepEqual([it.client.users.get('bob')?.version, it.client.state], [7, 'live']);
});

for (const [why, after] of [
  ['a repair does not help', (it: Rig) => repairs(it, [bob], [], [bob])],
  ['a repair is refused', (it: Rig) => it.socket.gives({ id: it.socket.last('repair').id, error: { code: 414, reason: 'INVALID_ARGUMENT', message: '' } })],
  ['the connection is lost under a repair', (it: Rig) => it.socket.ends(1006)],
] as const) {
  test(`out of step, and ${why}: one full sync on a new connection, while the old list stays`, async () => {
    const store = new MemoryStore();
    const it = await outOfStep([bob, carol], [bob], store);
    after(it);
    assert.equal(it.client.users.size, 2);
    await pass(20_000);
    it.socket.open();
    assert.deepEqual([it.sockets.length, it.socket.last('login').login.cursor], [3, undefined]);
    it.socket.full([bob], 'e-9');
    assert.deepEqual([...it.client.users.keys()], ['bob']);
    assert.equal(it.client.state, 'live');
    await settle();
    assert.equal((await store.load('alice'))?.cursor, 'e-9');
  });
}

test('permanently out of step: the records are shown, no cursor is kept, and there is no loop', async () => {
  const it = rig();
  void it.client.connect();
  await settle();
  const wrong = (): void => {
    it.socket.login();
    it.socket.gives({ changes: { me: user('alice', 1), users: [bob], friends: [friend('bob', 5)] } });
    it.socket.gives({ synced: { ...summary([bob], 'e-9'), digest: 1 } });
  };
  wrong();
  it.socket.gives({ id: it.socket.last('repair').id, repairReply: { parts: [] } });
  it.socket.gives({ synced: { ...summary([bob], 'e-9'), digest: 1 } });
  await pass(1);
  assert.equal(it.sockets.length, 2);
  wrong();
  assert.equal(it.socket.last('repair'), undefined, 'a second repair would bring nothing else');
  await pass(60_000);
  assert.equal(it.client.state, 'live');
  assert.equal(it.sockets.length, 2);
  assert.equal(it.of('error').length, 3);
  it.socket.gives({ changes: { users: [user('bob', 20)], cursor: 'e-20' } });
  it.socket.ends(1006);
  await pass(20_000);
  it.socket.open();
  assert.equal(it.socket.last('login').login.cursor, undefined);
});

test('the heartbeat is answered, and its absence ends the connection after two and a half intervals', async () => {
  const it = await live([], {}, { heartbeatMs: 10_000 });
  await pass(24_999);
  it.socket.gives({});
  assert.deepEqual(it.socket.sent.at(-1), {});
  await pass(24_999);
  assert.equal(it.client.state, 'live');
  await pass(1);
  assert.equal(it.client.state, 'disconnected');
  assert.equal(it.socket.readyState, 2, 'the dead socket is closed, and its close event not waited for');
  assert.equal(it.of('disconnected')[0]?.[0].code, 1006);
});

test('a connection that never opens is retried', async () => {
  const it = rig();
  void it.client.connect();
  await pass(12_000);
  assert.equal(it.of('willReconnect').length, 1);
  await pass(20_000);
  assert.equal(it.sockets.length, 2);
});

test('backoff: full jitter that doubles up to its limit and starts anew after a sync', async () => {
  const it = rig({ backoff: { minMs: 1_000, maxMs: 6_000 } });
  void it.client.connect();
  await settle();
  for (let i = 0; i < 5; i++) {
    it.socket.ends(1006);
    assert.equal(it.client.state, 'disconnected');
    await pass(6_000);
  }
  it.socket.full([]);
  it.socket.ends(1006);
  // Math.random returns 0.5 here.
  assert.deepEqual(it.of('willReconnect').map(([{ delayMs }]) => delayMs), [500, 1_000, 2_000, 3_000, 3_000, 500]);
  assert.deepEqual(it.of('willReconnect').map(([{ attempt }]) => attempt), [1, 2, 3, 4, 5, 1]);
  (Math.random as any).mock.mockImplementation(() => 0);
  await pass(500);
  it.socket.ends(1006);
  assert.equal(it.of('willReconnect').at(-1)?.[0].delayMs, 0);
});

test('the client waits as long as the goodbye says, to the millisecond', async () => {
  const it = await live();
  it.socket.gives({ goodbye: { code: 3000, reason: 'SHUTDOWN', reconnect: true, retryAfterMs: 4_967 } });
  it.socket.ends(3000, 'SHUTDOWN');
  await pass(4_966);
  assert.equal(it.sockets.length, 1);
  await pass(1);
  assert.equal(it.sockets.length, 2);
});

test('a goodbye counts even if the close after it is lost', async () => {
  const it = await live();
  it.socket.gives({ goodbye: { code: 3505, reason: 'ACCOUNT_DISABLED', reconnect: false } });
  await pass(2_000);
  assert.deepEqual(it.of('disconnected').map(([info]) => [info.code, info.willReconnect]), [[3505, false]]);
});

for (const [code, back] of [[1000, true], [1001, true], [1005, true], [1006, true], [3000, true], [3001, true], [3002, true], [3499, true], [4000, true],
  [3500, false], [3501, false], [3502, false], [3505, false], [3506, false], [3999, false]] as const) {
  test(`close code ${code}: ${back ? 'comes back' : 'stays away'}`, async () => {
    const it = await live();
    it.socket.ends(code, 'X');
    assert.equal(it.of('disconnected')[0]?.[0].willReconnect, back);
    await pass(120_000);
    assert.equal(it.sockets.length > 1, back);
    if (!back) assert.ok(it.of('disconnected')[0]?.[0].error instanceof RosterdError);
  });
}

test('reconnect: false never reconnects, whatever the code', async () => {
  const it = await live([], { reconnect: false });
  it.socket.ends(1006);
  await pass(60_000);
  assert.equal(it.sockets.length, 1);
  assert.equal(it.of('disconnected')[0]?.[0].error.code, 408);
});

function refuse(socket: FakeSocket, error: object, close: number, reason: string): void {
  socket.open();
  socket.gives({ id: socket.last('login').id, error });
  socket.gives({ goodbye: { code: close, reason, reconnect: close < 3500 } });
  socket.ends(close, reason);
}

const UNAUTHENTICATED = { code: 302, reason: 'UNAUTHENTICATED', message: 'no' };

test('a wrong token: 302, once, and no retry', async () => {
  let asked = 0;
  const it = rig({ token: 'bad', getToken: () => `better ${++asked}` });
  const connecting = it.client.connect();
  await settle();
  refuse(it.socket, UNAUTHENTICATED, 3500, 'BAD_TOKEN');
  await assert.rejects(connecting, { name: 'RosterdError', code: 302 });
  await pass(600_000);
  assert.equal(it.sockets.length, 1);
  assert.equal(it.client.state, 'disconnected');
  assert.deepEqual(it.of('disconnected').map(([{ code, willReconnect, error }]) => [code, willReconnect, error.code]), [[3500, false, 302]]);
  assert.equal(it.of('error')[0]?.[0].code, 302);
  assert.equal(asked, 0);
  // The application retries, so it may have a better token now.
  void it.client.connect();
  await settle();
  it.socket.open();
  assert.equal(it.socket.last('login').login.token, 'better 1');
});

test('a refused login is final even if the goodbye is lost', async () => {
  const it = rig({ token: 'bad' });
  const connecting = it.client.connect();
  await settle();
  it.socket.open();
  it.socket.gives({ id: 1, error: UNAUTHENTICATED });
  it.socket.ends(1006);
  await assert.rejects(connecting, { code: 302 });
});

test('a store that cannot be read now: the client reconnects after the given time', async () => {
  const it = rig();
  void it.client.connect();
  await settle();
  refuse(it.socket, { code: 503, reason: 'UNAVAILABLE', message: 'later', retryAfterMs: 700 }, 3002, 'INTERNAL');
  assert.deepEqual(it.of('willReconnect'), [[{ attempt: 1, delayMs: 700 }]]);
});

test("another account's token is refused before records are mixed", async () => {
  const it = rig();
  const connecting = it.client.connect();
  await settle();
  it.socket.login({ account: 'mallory' });
  await assert.rejects(connecting, { code: 403, reason: 'OTHER_ACCOUNT' });
  assert.equal(it.client.state, 'disconnected');
});

test('an expired token: a new one is fetched, at once the first time', async () => {
  const asked: string[] = [];
  const it = rig({ getToken: (why) => (asked.push(why), `t${asked.length}`) });
  void it.client.connect();
  await settle();
  it.socket.full([]);
  it.socket.ends(3506, 'TOKEN_EXPIRED');
  await pass(0);
  it.socket.open();
  assert.equal(it.socket.last('login').login.token, 't2');
  assert.deepEqual(asked, ['connect', 'expired']);
  // The new one has expired too: the next attempt waits.
  refuse(it.socket, UNAUTHENTICATED, 3506, 'TOKEN_EXPIRED');
  assert.ok(it.of('willReconnect').at(-1)?.[0].delayMs > 0);
  await pass(20_000);
  assert.deepEqual(asked, ['connect', 'expired', 'expired']);
  it.socket.full([]);
  assert.equal(it.client.state, 'live');
  // A lost connection requires no other token.
  it.socket.ends(1006);
  await pass(20_000);
  it.socket.open();
  assert.equal(it.socket.last('login').login.token, 't3');
  // A token that worked and expires later is replaced at once again.
  it.socket.full([]);
  it.socket.ends(3506, 'TOKEN_EXPIRED');
  assert.equal(it.of('willReconnect').at(-1)?.[0].delayMs, 0);
});

test('a failing getToken is a failed attempt', async () => {
  let fail = true;
  const it = rig({ getToken: async () => (fail ? Promise.reject(new Error('backend down')) : 't') });
  void it.client.connect();
  await settle();
  assert.equal(it.sockets.length, 0);
  assert.equal(it.of('error')[0]?.[0].reason, 'NO_TOKEN');
  assert.equal(it.of('willReconnect').length, 1);
  fail = false;
  await pass(20_000);
  it.socket.full([]);
  assert.equal(it.client.state, 'live');
});

test('the token is renewed on the connection before it ends', async () => {
  const asked: string[] = [];
  const ends = Date.now() + 100_000;
  const it = await live([], { getToken: async (why) => (asked.push(why), `t${asked.length}`) }, { expiresAt: ends });
  await pass(40_000);
  it.socket.gives({});
  await pass(39_000);
  assert.deepEqual(asked, ['connect']);
  await pass(1_000);
  const { id, refresh } = it.socket.last('refresh');
  assert.deepEqual(refresh, { token: 't2' });
  it.socket.gives({ id, refreshReply: { expiresAt: ends + 100_000 } });
  await pass(50_000);
  it.socket.gives({});
  await pass(45_999);
  assert.deepEqual(asked, ['connect', 'refresh']);
  await pass(1);
  assert.deepEqual(asked, ['connect', 'refresh', 'refresh']);
  assert.equal(it.sockets.length, 1);
});

test("the token's end is measured by the gateway's clock", async () => {
  const asked: string[] = [];
  const serverTime = Date.now() + 3_600_000;
  await live([], { getToken: (why) => (asked.push(why), 't') }, { serverTime, expiresAt: serverTime + 10_000 });
  await pass(8_000);
  assert.deepEqual(asked, ['connect', 'refresh']);
});

test('a failed renewal is reported and retried, and the connection stays', async () => {
  let calls = 0;
  const it = await live([], { getToken: () => { if (calls++ === 1) throw new Error('backend down'); return 't'; } }, { expiresAt: Date.now() + 50_000 });
  await pass(40_000);
  assert.equal(it.of('error')[0]?.[0].reason, 'REFRESH_FAILED');
  assert.equal(it.client.state, 'live');
  await pass(8_000);
  assert.ok(it.socket.last('refresh'));
});

test('a token that lasts longer than timers support', async () => {
  const asked: string[] = [];
  const it = await live([], { getToken: (why) => (asked.push(why), 't') }, { expiresAt: Date.now() + 2 ** 33 });
  it.client.pause(); // No watchdog: this is about the token's timer.
  await pass(1_000);
  assert.deepEqual(asked, ['connect']);
});

test('disconnect: state, events, a rejected connect, and quiet afterwards', async () => {
  const it = rig();
  const connecting = it.client.connect();
  await settle();
  await it.client.disconnect();
  await assert.rejects(connecting, { code: 408, reason: 'DISCONNECTED' });
  assert.deepEqual(it.of('disconnected'), [[{ code: 1000, reason: 'CLIENT', willReconnect: false }]]);
  it.socket.open();
  it.socket.gives({ changes: { users: [bob] } });
  await pass(600_000);
  assert.deepEqual(it.socket.sent, []);
  assert.equal(it.client.users.size, 0, 'what a closed connection says is not heard');
  assert.equal(it.sockets.length, 1);
  await it.client.disconnect();
  assert.equal(it.of('disconnected').length, 1);
});

test('disconnect during the wait for the next attempt', async () => {
  const it = await live();
  it.socket.ends(1006);
  await it.client.disconnect();
  await pass(600_000);
  assert.equal(it.sockets.length, 1);
  void it.client.connect();
  await settle();
  assert.equal(it.sockets.length, 2);
  it.socket.open();
  assert.equal(it.socket.last('login').login.cursor, 'e-1', 'what is held stays');
});

test('logout waits for the reply, and does not reconnect', async () => {
  const it = await live();
  let left = false;
  const leaving = it.client.logout().then(() => (left = true));
  await settle();
  assert.equal(left, false);
  it.socket.gives({ id: it.socket.last('logout').id, logoutReply: {} });
  it.socket.ends(1005);
  await leaving;
  await pass(600_000);
  assert.equal(it.sockets.length, 1);
  assert.equal(it.client.users.size, 2);
  assert.deepEqual(it.of('disconnected').map(([{ willReconnect }]) => willReconnect), [false]);
});

test('logout on a dead network does not hang', async () => {
  const it = await live();
  const leaving = it.client.logout();
  await pass(2_000);
  await leaving;
  assert.equal(it.client.state, 'disconnected');
});

test('logout with forget leaves nothing', async () => {
  const store = new MemoryStore();
  const it = await live([bob], { store });
  await settle();
  assert.ok(await store.load('alice'));
  it.socket.ends(1006);
  await it.client.logout({ forget: true });
  assert.equal(await store.load('alice'), undefined);
  assert.equal(it.client.me, undefined);
  assert.equal(it.client.users.size, 0);
  void it.client.connect();
  await settle();
  it.socket.open();
  assert.equal(it.socket.last('login').login.cursor, undefined);
});

test('cut acts like a lost connection', async () => {
  const it = await live();
  it.client.cut();
  assert.deepEqual(it.of('disconnected').map(([{ code, willReconnect }]) => [code, willReconnect]), [[1006, true]]);
  await pass(20_000);
  it.socket.open();
  assert.equal(it.socket.last('login').login.cursor, 'e-1');
});

test('paused: frames are held back in order, heartbeats answered, and the watchdog waits', async () => {
  const it = await live([bob]);
  it.client.pause();
  assert.ok(it.client.paused);
  it.socket.gives({ changes: { users: [user('bob', 8)] } });
  it.socket.gives('{}');
  it.socket.gives({ changes: { users: [user('bob', 9)] } });
  assert.equal(it.client.users.get('bob')?.version, 2);
  assert.deepEqual(it.socket.sent.at(-1), {});
  await pass(600_000);
  assert.equal(it.client.state, 'live');
  it.client.resume();
  assert.deepEqual(it.of('userUpdated').map(([{ version }]) => version), [8, 9]);
});

test('a listener that throws, now or later, breaks nothing', async () => {
  const reported = mock.method(console, 'error', () => {});
  const it = rig();
  for (const event of ['state', 'me', 'users', 'friends', 'synced', 'userUpdated', 'disconnected', 'willReconnect', 'error'] as const) {
    it.client.on(event, () => { throw new Error(`from ${event}`); });
  }
  it.client.on('users', (async () => { throw new Error('later'); }) as never);
  const connecting = it.client.connect();
  await settle();
  it.socket.full([bob]);
  await connecting;
  it.socket.gives({ changes: { users: [user('bob', 8)] } });
  assert.equal(it.client.users.get('bob')?.version, 8);
  it.socket.ends(1006);
  await pass(20_000);
  assert.equal(it.sockets.length, 2);
  assert.ok(reported.mock.callCount() >= 8);
});

test('a listener may disconnect the client', async () => {
  const it = rig();
  it.client.on('users', () => void it.client.disconnect());
  void it.client.connect();
  await settle();
  it.socket.full([bob]);
  await settle();
  assert.equal(it.client.state, 'disconnected');
  assert.deepEqual(it.of('synced'), []);
});

test('off and the function that on gives', async () => {
  const it = rig();
  const heard: string[] = [];
  const listener = (state: string): void => void heard.push(state);
  const off = it.client.on('state', listener);
  off();
  it.client.on('state', listener);
  it.client.off('state', listener);
  void it.client.connect();
  assert.deepEqual(heard, []);
});

for (const [what, text] of [['no JSON', '{"changes":'], ['no object', '7'], ['null', 'null'], ['lists that are none', '{"changes":{"users":7}}'], ['a record that is none', '{"changes":{"friends":[null]}}']] as const) {
  test(`an unreadable frame (${what}) costs the connection, not the client`, async () => {
    const it = await live();
    it.socket.gives(text);
    assert.equal(it.client.state, 'disconnected');
    await pass(20_000);
    assert.equal(it.sockets.length, 2);
  });
}

test('the trace has every frame of both directions and no token', async () => {
  const it = rig({ token: 'secret' });
  const frames: any[] = [];
  it.client.on('frame', (entry) => frames.push(entry));
  void it.client.connect();
  await settle();
  it.socket.full([]);
  it.socket.gives({});
  assert.deepEqual(frames.map(({ direction, frame }) => `${direction} ${Object.keys(frame).at(-1) ?? 'heartbeat'}`), [
    'out login', 'in loginReply', 'in changes', 'in synced', 'in heartbeat', 'out heartbeat',
  ]);
  assert.ok(!JSON.stringify(frames).includes('secret'));
});

test('no WebSocket, or an invalid address: reported once', async () => {
  const without = rig({ WebSocket: undefined });
  const own = globalThis.WebSocket;
  delete (globalThis as any).WebSocket;
  try {
    await assert.rejects(without.client.connect(), { reason: 'NO_CONNECTION' });
  } finally {
    if (own) globalThis.WebSocket = own;
  }
  const Refusing = class { constructor() { throw new SyntaxError('bad address'); } } as never;
  await assert.rejects(rig({ WebSocket: Refusing }).client.connect(), { reason: 'NO_CONNECTION' });
  assert.throws(() => new RosterdClient({} as never), TypeError);
});

test('the network or the user is back: the next attempt is immediate', async () => {
  const listeners = new Map<string, () => void>();
  const page: any = { visibilityState: 'visible', addEventListener: (name: string, f: () => void) => listeners.set(name, f), removeEventListener: (name: string) => listeners.delete(name) };
  const own = { add: globalThis.addEventListener, remove: globalThis.removeEventListener };
  Object.assign(globalThis, { document: page, addEventListener: page.addEventListener, removeEventListener: page.removeEventListener });
  try {
    const it = await live([], { backoff: { minMs: 20_000, maxMs: 20_000 } });
    it.socket.ends(1006);
    listeners.get('online')?.();
    await settle();
    assert.equal(it.sockets.length, 2);
    it.socket.ends(1006);
    page.visibilityState = 'hidden';
    listeners.get('visibilitychange')?.();
    await settle();
    assert.equal(it.sockets.length, 2);
    page.visibilityState = 'visible';
    listeners.get('visibilitychange')?.();
    await settle();
    assert.equal(it.sockets.length, 3);
    it.socket.full([]);
    // It seems live; an answer proves it.
    listeners.get('online')?.();
    it.socket.gives({ id: it.socket.last('getUsers').id, getUsersReply: {} });
    await pass(5_000);
    assert.equal(it.client.state, 'live');
    listeners.get('online')?.();
    await pass(5_000);
    assert.equal(it.client.state, 'disconnected');
    // If the gateway set the time, it did so for all clients: none reconnects earlier.
    listeners.get('online')?.();
    await settle();
    it.socket.full([]);
    const made = it.sockets.length;
    it.socket.gives({ goodbye: { code: 3000, reason: 'SHUTDOWN', reconnect: true, retryAfterMs: 3_000 } });
    it.socket.ends(3000, 'SHUTDOWN');
    listeners.get('online')?.();
    await settle();
    assert.equal(it.sockets.length, made);
    await pass(3_000);
    assert.equal(it.sockets.length, made + 1);
    await it.client.disconnect();
    assert.equal(listeners.size, 0);
  } finally {
    delete (globalThis as any).document;
    Object.assign(globalThis, { addEventListener: own.add, removeEventListener: own.remove });
  }
});
