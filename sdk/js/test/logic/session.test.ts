// From the first connect to the last close: frames, events, and reconnects.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { MemoryStore, RosterdClient, RosterdError } from '../../src/index.js';
import { gatewayOf } from '../../src/options.js';
import { friend, frozenTime, key, live, pass, rig, settle, summary, user } from './rig.js';

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
  assert.ok(await store.load(key()));
  it.socket.ends(1006);
  await it.client.logout({ forget: true });
  assert.equal(await store.load(key()), undefined);
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
  await it.client.disconnect();
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
    listeners.get('online')?.();
    await settle();
    it.socket.full([]);
    // Offline: what is here may still be reached, so an answer decides.
    listeners.get('offline')?.();
    it.socket.gives({ id: it.socket.last('getUsers').id, getUsersReply: {} });
    await pass(2_000);
    assert.equal(it.client.state, 'live');
    listeners.get('offline')?.();
    await pass(2_000);
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

test('an unanswered call asks whether the connection lives', async () => {
  const it = await live([]);
  it.client.updateMyInfo({ sign: 'x' }).catch(() => {});
  await pass(3_000);
  assert.deepEqual(it.socket.sent.slice(1).map((frame) => Object.keys(frame)[1]), ['updateMyInfo', 'getUsers']);
  // A slow gateway is not a dead one.
  it.socket.gives({ id: it.socket.last('getUsers').id, getUsersReply: {} });
  await pass(5_000);
  assert.equal(it.client.state, 'live');
  // A hung one is.
  it.client.updateMyInfo({ sign: 'y' }).catch(() => {});
  await pass(3_000);
  await pass(4_999);
  assert.equal(it.client.state, 'live');
  await pass(1);
  assert.equal(it.client.state, 'disconnected');
});

test('an invalid login is reported at once: the gateway would wait for a better one', async () => {
  const it = rig();
  const connecting = it.client.connect();
  await settle();
  it.socket.open();
  it.socket.gives({ id: 1, error: { code: 414, reason: 'INVALID_ARGUMENT', message: 'too long', field: 'device.tag' } });
  await pass(0);
  await assert.rejects(connecting, { code: 414, field: 'device.tag' });
  assert.equal(it.client.state, 'disconnected');
});

test('a refused login whose goodbye does not come is reported soon', async () => {
  const it = rig();
  const connecting = it.client.connect();
  await settle();
  it.socket.open();
  it.socket.gives({ id: 1, error: { code: 302, reason: 'UNAUTHENTICATED', message: 'no' } });
  await pass(2_000);
  await assert.rejects(connecting, { code: 302 });
});

test('a device is checked by the constructor', () => {
  for (const device of [{ tag: 'x'.repeat(65) }, { id: 7 as never }, { type: null as never }]) assert.throws(() => rig({ device }), /options\.device\.(tag|id|type) must be a text of at most 64/);
  assert.doesNotThrow(() => rig({ device: { id: '🙂'.repeat(64), type: '', tag: 'x'.repeat(64) } }));
});

test('the address is that of the gateway that served the script, with its prefix', () => {
  for (const [script, url] of [
    ['https://example.com/sdk/rosterd.js', 'wss://example.com/v1/ws'],
    ['http://127.0.0.1:7678/sdk/nim.js?v=2', 'ws://127.0.0.1:7678/v1/ws'],
    ['https://example.com/rosterd/sdk/rosterd.abc123.js', 'wss://example.com/rosterd/v1/ws'],
    ['https://example.com:8443/a/sdk/b/sdk/nim.js#x', 'wss://example.com:8443/a/sdk/b/v1/ws'],
    ['https://example.com/assets/index-B2c.js', undefined],
    ['https://example.com/sdk/app.js', undefined],
    ['http://localhost:5173/node_modules/.vite/deps/rosterd.js?v=1', undefined],
    ['file:///app/node_modules/rosterd/dist/rosterd.js', undefined],
    [undefined, undefined],
  ] as const) assert.equal(gatewayOf(script), url, script);
});

test('without an address, the constructor says what to do', () => {
  assert.throws(() => new RosterdClient({ account: 'alice' }), /options\.url is missing.*wss:/);
});
