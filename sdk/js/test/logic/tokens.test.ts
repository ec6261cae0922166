// Tokens and refused logins: errors, renewals, and when the client requests another token.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { RosterdError, UnauthorizedError } from '../../src/index.js';
import { FakeSocket, frozenTime, live, pass, rig, settle } from './rig.js';

frozenTime({ beforeEach, afterEach });

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

/** Never settles, as a request on a network that swallows packets. */
const never = <T>(): Promise<T> => new Promise<T>(() => {});

test('a getToken that never settles is a failed attempt', async () => {
  let calls = 0;
  const it = rig({ getToken: () => (++calls === 1 ? never<string>() : 't') });
  void it.client.connect();
  await pass(14_999);
  assert.deepEqual([it.of('error'), it.of('willReconnect')], [[], []]);
  await pass(1);
  assert.equal(it.of('error')[0]?.[0].reason, 'NO_TOKEN');
  assert.equal(it.of('willReconnect').length, 1);
  await pass(500);
  it.socket.full([]);
  assert.equal(it.client.state, 'live');
});

test('connect() starts anew while getToken hangs, but not twice at once', async () => {
  let calls = 0;
  const it = rig({ getToken: () => (++calls === 1 ? never<string>() : 't') });
  void it.client.connect();
  void it.client.connect();
  await settle();
  assert.equal(calls, 1);
  await pass(1_000);
  const connected = it.client.connect();
  await settle();
  it.socket.full([]);
  await connected;
  assert.equal(calls, 2);
  await pass(20_000);
  assert.deepEqual(it.of('error'), [], 'the first attempt is over');
});

test('disconnect settles while getToken hangs', async () => {
  const it = rig({ getToken: () => never<string>() });
  const connecting = it.client.connect();
  await settle();
  await it.client.disconnect();
  await assert.rejects(connecting, { reason: 'DISCONNECTED' });
});

test('a renewal that never settles is reported and retried', async () => {
  let calls = 0;
  const it = await live([], { getToken: () => (++calls === 2 ? never<string>() : 't') }, { expiresAt: Date.now() + 100_000 });
  await pass(40_000);
  it.socket.gives({});
  await pass(40_000);
  assert.equal(calls, 2);
  await pass(15_000);
  assert.equal(it.of('error')[0]?.[0].reason, 'REFRESH_FAILED');
  await pass(4_000);
  assert.ok(it.socket.last('refresh'));
});

for (const [what, value] of [['undefined', undefined], ['an empty text', ''], ['null', null], ['an object', { token: 't' }]] as const) {
  test(`a getToken that gives ${what} is a failed attempt, and nothing is sent`, async () => {
    let calls = 0;
    const it = rig({ getToken: (() => (++calls === 1 ? value : 't')) as () => string });
    void it.client.connect();
    await settle();
    assert.equal(it.sockets.length, 0);
    assert.equal(it.of('error')[0]?.[0].reason, 'NO_TOKEN');
    assert.equal(it.of('disconnected')[0]?.[0].willReconnect, true);
    await pass(20_000);
    it.socket.open();
    assert.equal(it.socket.last('login').login.token, 't');
  });
}

class TheirError extends Error {
  override name = 'UnauthorizedError';
}

for (const error of [new UnauthorizedError(), new UnauthorizedError('logged out'), new TheirError('of another copy')]) {
  test(`an UnauthorizedError of getToken ends the client for good (${error.message})`, async () => {
    let calls = 0;
    const it = rig({ getToken: async () => (calls++ ? 't' : Promise.reject(error)) });
    const connecting = it.client.connect();
    await assert.rejects(connecting, { code: 302, reason: 'UNAUTHORIZED', message: error.message });
    await pass(600_000);
    assert.equal(it.sockets.length, 0);
    const [ended] = it.of('disconnected').map(([info]) => info);
    assert.deepEqual([ended.willReconnect, ended.reason, ended.error instanceof RosterdError], [false, 'UNAUTHORIZED', true]);
    // A new login of the user is a new start.
    void it.client.connect();
    await settle();
    it.socket.open();
    assert.equal(it.socket.last('login').login.token, 't');
  });
}

test('an UnauthorizedError at a renewal ends the session', async () => {
  let calls = 0;
  const it = await live([], { getToken: async () => { if (calls++) throw new UnauthorizedError(); return 't'; } }, { expiresAt: Date.now() + 50_000 });
  await pass(40_000);
  assert.equal(it.client.state, 'disconnected');
  assert.deepEqual(it.of('disconnected').map(([{ reason, willReconnect }]) => [reason, willReconnect]), [['UNAUTHORIZED', false]]);
});

test('a token that is no text is an error of the constructor', () => {
  for (const token of ['', null, 7] as unknown as string[]) assert.throws(() => rig({ token }), /options\.token/);
});
