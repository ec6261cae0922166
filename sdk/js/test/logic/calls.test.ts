// Commands: each gets an answer or an error in time, also across connections.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { RosterdError } from '../../src/index.js';
import { frozenTime, live, pass, rig, settle, user } from './rig.js';

frozenTime({ beforeEach, afterEach });

/** Observes a promise without waiting for it. */
function outcome<T>(promise: Promise<T>): { value?: T; error?: RosterdError } {
  const out: { value?: T; error?: RosterdError } = {};
  promise.then((value) => (out.value = value), (error: RosterdError) => (out.error = error));
  return out;
}

test('updateMyInfo: the reply is applied before the promise resolves', async () => {
  const it = await live();
  const call = it.client.updateMyInfo({ sign: 'x' }).then((me) => assert.equal(it.client.me, me));
  const { id } = it.socket.last('updateMyInfo');
  it.socket.gives({ id, updateMyInfoReply: { user: { ...user('alice', 9), sign: 'x' } } });
  await call;
  assert.deepEqual(it.of('me').at(-1)?.[1], 'reply');
});

test('an older reply does not undo a newer push', async () => {
  const it = await live();
  const call = it.client.updateMyInfo({ sign: 'x' });
  it.socket.gives({ changes: { me: user('alice', 12, 'newer') } });
  it.socket.gives({ id: it.socket.last('updateMyInfo').id, updateMyInfoReply: { user: user('alice', 11) } });
  assert.equal((await call).version, 11);
  assert.equal(it.client.me?.nick, 'newer');
});

test("errors have the gateway's fields", async () => {
  const it = await live();
  const call = outcome(it.client.updateMyInfo({ birth: 'tomorrow' }));
  it.socket.gives({ id: it.socket.last('updateMyInfo').id, error: { code: 414, reason: 'INVALID_ARGUMENT', message: 'no', field: 'birth' } });
  await settle();
  assert.ok(call.error instanceof RosterdError && call.error instanceof Error);
  assert.deepEqual([call.error.code, call.error.reason, call.error.field, call.error.message], [414, 'INVALID_ARGUMENT', 'birth', 'no']);
  assert.deepEqual([call.error.detail, call.error.retryAfterMs, 'cause' in call.error], [undefined, undefined, false]);
});

test('a refusal by a hook has its word and its sentence', async () => {
  const it = await live();
  const call = outcome(it.client.updateMyInfo({ nick: 'N4zi' }));
  it.socket.gives({ id: it.socket.last('updateMyInfo').id, error: { code: 451, reason: 'REJECTED', message: 'Please choose another name', field: 'nick', detail: 'NICK_NOT_ALLOWED' } });
  await settle();
  const { code, reason, message, field, detail } = call.error as RosterdError;
  assert.deepEqual({ code, reason, message, field, detail }, { code: 451, reason: 'REJECTED', message: 'Please choose another name', field: 'nick', detail: 'NICK_NOT_ALLOWED' });
});

test('no answer in time is 408; an answer after that is still applied', async () => {
  const it = await live([], { requestTimeoutMs: 3_000 });
  const call = outcome(it.client.updateMyInfo({ sign: 'x' }));
  await pass(2_999);
  assert.deepEqual(call, {});
  await pass(1);
  assert.deepEqual([call.error?.code, call.error?.reason], [408, 'TIMEOUT']);
  it.socket.gives({ id: it.socket.last('updateMyInfo').id, updateMyInfoReply: { user: user('alice', 9, 'late') } });
  assert.equal(it.client.me?.nick, 'late');
});

test('a call before the first connect waits for it', async () => {
  const it = rig();
  const call = outcome(it.client.updateMyInfo({ sign: 'x' }));
  void it.client.connect();
  await settle();
  it.socket.login();
  const { id } = it.socket.last('updateMyInfo');
  it.socket.gives({ changes: { me: user('alice', 1) } });
  it.socket.gives({ synced: { cursor: 'c', count: 0, digest: 0 } });
  it.socket.gives({ id, updateMyInfoReply: { user: user('alice', 2) } });
  await settle();
  assert.equal(call.value?.version, 2);
});

test('calls without a connection fail in time, every one of them', async () => {
  const it = rig({ requestTimeoutMs: 5_000 });
  void it.client.connect();
  await settle();
  const calls = [it.client.updateMyInfo({ sign: 'x' }), it.client.getUsers(['zoe']), it.client.getUser('zoe')].map((call) => outcome<unknown>(call));
  it.socket.ends(1006);
  await pass(5_000);
  assert.deepEqual(calls.map(({ error }) => error?.code), [408, 408, 408]);
  it.socket.full([]);
  assert.deepEqual(it.socket.sent.length, 1, 'what has failed is not sent afterwards');
});

test('a lost connection: calls that only read are repeated in order, and answered once', async () => {
  const it = await live([]);
  const first = outcome(it.client.getUsers(['zoe']));
  const second = outcome(it.client.getSessions());
  const third = outcome(it.client.updateMyInfo({ sign: '3' }, { ifVersion: 1 }));
  it.socket.ends(1006);
  await settle();
  assert.deepEqual([third.error?.code, third.error?.reason], [408, 'CONNECTION_LOST'], 'a second time it would fail because of the first');
  const waiting = outcome(it.client.updateMyInfo({ sign: '4' }));
  await pass(500);
  it.socket.login({ sync: 'current', because: undefined });
  assert.deepEqual(it.socket.sent.map((frame) => Object.keys(frame)[1]), ['login', 'getUsers', 'getSessions', 'updateMyInfo']);
  const [, users, sessions, info] = it.socket.sent;
  it.socket.gives({ id: users.id, getUsersReply: { missing: ['zoe'] } });
  it.socket.gives({ id: sessions.id, getSessionsReply: {} });
  it.socket.gives({ id: info.id, updateMyInfoReply: { user: user('alice', 9) } });
  await settle();
  assert.deepEqual([first.value, second.value, waiting.value?.version], [{ users: [], missing: ['zoe'] }, [], 9]);
});

test('a final end rejects waiting calls with its reason', async () => {
  const it = await live();
  const call = outcome(it.client.updateMyInfo({ sign: 'x' }));
  it.socket.ends(3505, 'ACCOUNT_DISABLED');
  await settle();
  assert.equal(call.error?.reason, 'ACCOUNT_DISABLED');
});

test('disconnect rejects waiting calls', async () => {
  const it = await live();
  const call = outcome(it.client.updateMyInfo({ sign: 'x' }));
  await it.client.disconnect();
  assert.deepEqual([call.error?.code, call.error?.reason], [408, 'DISCONNECTED']);
});

test('getUsers: held profiles of friends and of the account; others are requested', async () => {
  const it = await live([user('bob', 2)]);
  assert.deepEqual(await it.client.getUsers(['bob', 'alice', 'bob']), { users: [user('bob', 2), user('alice', 1)], missing: [] });
  assert.equal(it.socket.last('getUsers'), undefined);
  const call = it.client.getUsers(['zoe', 'bob', 'erin']);
  const { id, getUsers } = it.socket.last('getUsers');
  assert.deepEqual(getUsers, { accounts: ['zoe', 'erin'] });
  it.socket.gives({ id, getUsersReply: { users: [user('erin', 5)], missing: ['zoe'] } });
  assert.deepEqual(await call, { users: [user('bob', 2), user('erin', 5)], missing: ['zoe'] });
  assert.equal(it.client.users.has('erin'), false, 'nobody keeps a stranger up to date');
});

test("getUsers fresh: all are requested, and a friend's newer profile is kept", async () => {
  const it = await live([user('bob', 2)]);
  const call = it.client.getUser('bob', { fresh: true });
  it.socket.gives({ id: it.socket.last('getUsers').id, getUsersReply: { users: [user('bob', 8)], missing: [] } });
  assert.equal((await call).version, 8);
  assert.equal(it.client.users.get('bob')?.version, 8);
  assert.deepEqual(it.of('userUpdated'), [[user('bob', 8)]]);
});

test('getUsers above the limit sends several commands', async () => {
  const it = await live([]);
  const accounts = Array.from({ length: 301 }, (_, i) => `u${i}`);
  const call = it.client.getUsers(accounts);
  const commands = it.socket.sent.filter((frame) => frame.getUsers);
  assert.deepEqual(commands.map(({ getUsers }) => getUsers.accounts.length), [150, 150, 1]);
  for (const { id, getUsers } of commands) it.socket.gives({ id, getUsersReply: { users: getUsers.accounts.map((a: string) => user(a, 1)), missing: [] } });
  assert.deepEqual((await call).users.map(({ account }) => account), accounts);
  assert.deepEqual(await it.client.getUsers([]), { users: [], missing: [] });
});

test('getUser of a missing account is 404', async () => {
  const it = await live([]);
  const call = outcome(it.client.getUser('zoe'));
  it.socket.gives({ id: it.socket.last('getUsers').id, getUsersReply: { users: [], missing: ['zoe'] } });
  await settle();
  assert.equal(call.error?.code, 404);
});

test('times beyond what timers support are waited for, and Infinity is never', async () => {
  const long = rig({ requestTimeoutMs: 2 ** 31 + 1_000 });
  const call = outcome(long.client.updateMyInfo({ sign: 'x' }));
  const endless = rig({ requestTimeoutMs: Infinity });
  const never = outcome(endless.client.updateMyInfo({ sign: 'x' }));
  await pass(60_000);
  assert.deepEqual([call, never], [{}, {}]);
  await pass(2 ** 31 - 1 - 60_000);
  assert.deepEqual(call, {});
  await pass(1_001);
  assert.equal(call.error?.reason, 'TIMEOUT');
  assert.deepEqual(never, {});
});

test('a wait without bound grows, and stays a time', async () => {
  const it = rig({ backoff: { minMs: 500, maxMs: Infinity } });
  void it.client.connect();
  for (let i = 0; i < 40; i++) {
    await settle();
    it.socket.ends(1006);
    void it.client.connect();
  }
  const waits = it.of('willReconnect').map(([{ delayMs }]) => delayMs);
  assert.deepEqual(waits.slice(0, 3), [250, 500, 1_000]);
  assert.ok(waits.every((ms) => Number.isFinite(ms)), String(waits));
});

test('times that are none are errors of the constructor', () => {
  for (const options of [{ requestTimeoutMs: NaN }, { requestTimeoutMs: -1 }, { backoff: { maxMs: 'x' as never } }]) {
    assert.throws(() => rig(options), /must be a number of milliseconds/);
  }
});
