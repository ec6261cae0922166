// Friends, requests, blocks, sessions, watched strangers, presence and signals: frames, held records and events.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { MemoryStore, RosterdError } from '../../src/index.js';
import type { Presence, RosterdClient, Session } from '../../src/index.js';
import { block, friend, frozenTime, key, live, pass, request, rig, settle, summary, user } from './rig.js';
import type { Rig } from './rig.js';

frozenTime({ beforeEach, afterEach });

const bob = user('bob', 2);
const carol = user('carol', 3);

/** Observes a promise without waiting for it. */
function outcome<T>(promise: Promise<T>): { done: boolean; value?: T; error?: RosterdError } {
  const out: { done: boolean; value?: T; error?: RosterdError } = { done: false };
  promise.then((value) => Object.assign(out, { done: true, value }), (error: RosterdError) => Object.assign(out, { done: true, error }));
  return out;
}

const presence = (account: string, online: boolean, lastSeen = 100, more: Partial<Presence> = {}): Presence => ({ account, online, lastSeen, ...more });
const session = (name: string, current = false): Session => ({ session: name, device: { id: '', type: 'web', tag: '' }, connectedAt: 1, current });

/** Loses the connection and logs in again; the test sends the catch-up. */
async function reconnect(it: Rig, reply: object = { sync: 'current', because: undefined }): Promise<void> {
  it.socket.ends(1006);
  await pass(500);
  it.heard.length = 0;
  it.socket.login(reply);
}

/** Completes a login without changes. */
function nothingNew(it: Rig, users = [bob, carol], more: object[] = []): void {
  it.socket.gives({ changes: { me: user('alice', 1) } });
  for (const frame of more) it.socket.gives(frame);
  it.socket.gives({ synced: summary(users, 'e-9') });
}

// ---- friends and requests

const effects: [command: string, call: (client: RosterdClient) => Promise<void>, body: object, effect: object][] = [
  ['addFriend', (c) => c.addFriend('erin', 'hi'), { account: 'erin', message: 'hi' }, { friends: [friend('erin', 9)], users: [user('erin', 4)] }],
  ['requestFriend', (c) => c.requestFriend('erin', 'hi'), { account: 'erin', message: 'hi' }, { requests: [request('erin', 'out', 9)] }],
  ['requestFriend', (c) => c.requestFriend('zoe'), { account: 'zoe' }, { friends: [friend('zoe', 9)], users: [user('zoe', 4)], requests: [request('zoe', 'in', 9, 'accepted')] }],
  ['acceptFriend', (c) => c.acceptFriend('zoe'), { account: 'zoe' }, { friends: [friend('zoe', 9)], users: [user('zoe', 4)], requests: [request('zoe', 'in', 9, 'accepted')] }],
  ['rejectFriend', (c) => c.rejectFriend('zoe'), { account: 'zoe' }, { requests: [request('zoe', 'in', 9, 'rejected')] }],
  ['cancelRequest', (c) => c.cancelRequest('yan'), { account: 'yan' }, { requests: [request('yan', 'out', 9, 'cancelled')] }],
  ['deleteFriend', (c) => c.deleteFriend('bob'), { account: 'bob' }, { removed: ['bob'] }],
  ['updateFriend', (c) => c.updateFriend('bob', { alias: 'B.', custom: '' }), { account: 'bob', alias: 'B.', custom: '' }, { friends: [{ ...friend('bob', 9), alias: 'B.' }], users: [bob] }],
  ['block', (c) => c.block('mallory'), { account: 'mallory' }, { blocks: [block('mallory', 9)] }],
  ['unblock', (c) => c.unblock('trudy'), { account: 'trudy' }, { blocks: [block('trudy', 9, true)] }],
];

/** Returns a live rig with an open request from zoe, one to yan, and a block of trudy. */
async function acquainted(options = {}): Promise<Rig> {
  const it = await live([bob, carol], options);
  it.socket.gives({ changes: { requests: [request('zoe', 'in', 6), request('yan', 'out', 7)], blocks: [block('trudy', 8)], cursor: 'e-8' } });
  it.heard.length = 0;
  return it;
}

for (const [command, call, body, effect] of effects) {
  test(`${command}: is sent correctly, and resolves when its effect is visible (${Object.keys(effect).join()})`, async () => {
    const it = await acquainted();
    const called = outcome(call(it.client));
    const { id, ...sent } = it.socket.sent.at(-1);
    assert.deepEqual(sent, { [command]: body });
    it.socket.gives({ id, [`${command}Reply`]: {} });
    await settle();
    assert.equal(called.done, false, 'the reply comes before the change');
    it.socket.gives({ changes: { users: [user('carol', 8)] } });
    await settle();
    assert.equal(called.done, false, 'that was about somebody else');
    it.socket.gives({ changes: { ...effect, cursor: 'e-9' } });
    await settle();
    assert.deepEqual(called, { done: true, value: undefined });
    assert.deepEqual(it.of('error'), []);
  });
}

test('a call that changes nothing resolves with its reply', async () => {
  const it = await acquainted();
  const { client } = it;
  for (const call of [() => client.block('trudy'), () => client.unblock('mallory'), () => client.updateFriend('bob', { alias: '' }), () => client.setPresence({ invisible: false })]) {
    const called = outcome(call());
    const { id, ...command } = it.socket.sent.at(-1);
    it.socket.gives({ id, [`${Object.keys(command)[0]}Reply`]: {} });
    await settle();
    assert.deepEqual(called, { done: true, value: undefined });
  }
});

test('a change that is undone at the same moment does not block the call', async () => {
  const it = await acquainted();
  const call = outcome(it.client.addFriend('erin'));
  it.socket.gives({ id: it.socket.last('addFriend').id, addFriendReply: {} });
  it.socket.gives({ changes: { removed: ['erin'], cursor: 'e-10' } });
  await settle();
  assert.deepEqual(call, { done: true, value: undefined });
});

test('a change without a visible effect resolves anyway: in time, or when the connection ends', async () => {
  const it = await acquainted();
  const first = outcome(it.client.addFriend('erin'));
  it.socket.gives({ id: it.socket.last('addFriend').id, addFriendReply: {} });
  await pass(8_000);
  assert.deepEqual(first, { done: true, value: undefined });
  const second = outcome(it.client.block('erin'));
  it.socket.gives({ id: it.socket.last('block').id, blockReply: {} });
  it.socket.ends(1006);
  await settle();
  assert.deepEqual(second, { done: true, value: undefined });
});

test('errors name the problem, and change nothing', async () => {
  const it = await acquainted();
  const call = outcome(it.client.requestFriend('bob'));
  it.socket.gives({ id: it.socket.last('requestFriend').id, error: { code: 417, reason: 'ALREADY_EXISTS', message: 'bob is a friend already' } });
  await settle();
  assert.deepEqual([call.error?.code, call.error?.reason], [417, 'ALREADY_EXISTS']);
  assert.deepEqual(it.heard, []);
});

test('after a lost connection only calls that set nothing are repeated before the catch-up', async () => {
  const it = await acquainted();
  const calls = {
    addFriend: it.client.addFriend('erin'), requestFriend: it.client.requestFriend('erin'), acceptFriend: it.client.acceptFriend('zoe'),
    deleteFriend: it.client.deleteFriend('bob'), kick: it.client.kick(['s']), signal: it.client.signal('bob', 'x'),
    updateFriend: it.client.updateFriend('bob', { alias: 'B.' }), block: it.client.block('mallory'), unblock: it.client.unblock('trudy'),
    getSessions: it.client.getSessions(), setPresence: it.client.setPresence({ invisible: true }), watch: it.client.watch(['zoe']),
  };
  const outcomes = Object.entries(calls).map(([name, call]) => [name, outcome<unknown>(call)] as const);
  await reconnect(it);
  const lost = outcomes.filter(([, { error }]) => error?.reason === 'CONNECTION_LOST').map(([name]) => name);
  assert.deepEqual(lost, ['addFriend', 'requestFriend', 'acceptFriend', 'deleteFriend', 'kick', 'signal']);
  const again = it.socket.sent.map((frame) => Object.keys(frame)[1]);
  assert.deepEqual(again, ['login', 'getSessions', 'watch']);
});

test('a request, from its start to its acceptance, on both sides', async () => {
  const it = await live([bob]);
  it.heard.length = 0;
  const asked = request('erin', 'in', 8, 'open', 'We met at the lake');
  it.socket.gives({ changes: { requests: [asked], cursor: 'e-8' } });
  assert.deepEqual(it.client.requests, [asked]);
  const accepted = { ...asked, state: 'accepted' as const, version: 9 };
  it.socket.gives({ changes: { requests: [accepted], friends: [friend('erin', 9)], users: [user('erin', 4)], cursor: 'e-9' } });
  assert.deepEqual(it.client.requests, []);
  assert.deepEqual(it.heard.map(({ event, args }) => [event, args[0]]), [
    ['requests', [asked]], ['userUpdated', user('erin', 4)], ['friends', [friend('erin', 9)]], ['requests', [accepted]],
  ]);
  // Received twice, which may happen: emitted once.
  it.socket.gives({ changes: { requests: [accepted], cursor: 'e-10' } });
  assert.equal(it.of('requests').length, 2);
});

test("a friend's alias: the friendship is emitted, the unchanged profile is not", async () => {
  const it = await live([bob, carol]);
  it.heard.length = 0;
  const renamed = { ...friend('bob', 8), alias: 'B.' };
  it.socket.gives({ changes: { friends: [renamed], users: [bob], cursor: 'e-8' } });
  assert.deepEqual(it.heard, [{ event: 'friends', args: [[renamed], 'update'] }]);
  assert.equal(it.client.friends.get('bob')?.alias, 'B.');
});

test('from stranger to friend and back: each time the current view of the profile, whatever its version', async () => {
  const it = await live([bob]);
  const watched = it.client.watch(['erin']);
  it.socket.gives({ id: it.socket.last('watch').id, watchReply: { missing: [] } });
  await watched;
  it.socket.gives({ changes: { users: [user('erin', 30, 'Erin')] } });
  const asFriend = { ...user('erin', 30, 'Erin'), tel: '1' };
  it.socket.gives({ changes: { friends: [friend('erin', 31)], users: [asFriend], cursor: 'e-31' } });
  assert.deepEqual(it.client.users.get('erin'), asFriend, 'the same version, but more to see');
  const asStranger = user('erin', 4, 'Erin');
  it.socket.gives({ changes: { removed: ['erin'], users: [asStranger], cursor: 'e-32' } });
  assert.deepEqual(it.client.users.get('erin'), asStranger);
  assert.equal(it.client.friends.has('erin'), false);
});

test('requests and blocks: stored with their cursor, present at the next start, and removed when they end', async () => {
  const store = new MemoryStore();
  const first = await acquainted({ store });
  await first.client.disconnect();
  const stored = await store.load(key());
  assert.deepEqual([stored?.cursor, stored?.requests, stored?.blocks], ['e-8', [request('zoe', 'in', 6), request('yan', 'out', 7)], [block('trudy', 8)]]);

  const it = rig({ store });
  void it.client.connect();
  await settle();
  assert.deepEqual(it.of('requests'), [[stored?.requests, 'cache']]);
  assert.deepEqual(it.of('blocks'), [[stored?.blocks, 'cache']]);
  it.heard.length = 0;
  it.socket.login({ sync: 'delta', because: undefined });
  it.socket.gives({ changes: { me: user('alice', 1), requests: [request('yan', 'out', 10, 'rejected')], blocks: [block('trudy', 11, true), block('mallory', 12)] } });
  assert.equal(it.client.requests.length, 2, 'half of a catch-up is not shown');
  it.socket.gives({ synced: summary([bob, carol], 'e-12') });
  assert.deepEqual(it.of('requests'), [[[request('yan', 'out', 10, 'rejected')], 'sync']]);
  assert.deepEqual(it.of('blocks').map(([blocks]) => blocks.map(({ account, removed }: any) => [account, removed])), [[['mallory', false], ['trudy', true]]]);
  assert.deepEqual([...it.client.blocks.keys()], ['mallory']);
  await settle();
  const after = await store.load(key());
  assert.deepEqual([after?.requests, after?.blocks, after?.cursor], [[request('zoe', 'in', 6)], [block('mallory', 12)], 'e-12']);
});

test('a full sync replaces requests and blocks, on the screen and in the store', async () => {
  const store = new MemoryStore();
  const it = await acquainted({ store });
  await reconnect(it, { because: 'CURSOR_FOREIGN' });
  it.socket.gives({ changes: { me: user('alice', 1), users: [bob], friends: [friend('bob', 5)], requests: [request('erin', 'in', 3)] } });
  assert.deepEqual([it.client.requests.length, it.client.blocks.size], [2, 1]);
  it.socket.gives({ synced: summary([bob], 'f-3') });
  assert.deepEqual(it.client.requests, [request('erin', 'in', 3)]);
  assert.equal(it.client.blocks.size, 0);
  assert.deepEqual(it.of('requests'), [[[request('erin', 'in', 3)], 'sync']]);
  assert.deepEqual(it.of('blocks'), [[[{ ...block('trudy', 8), removed: true }], 'sync']]);
  await settle();
  const stored = await store.load(key());
  assert.deepEqual([stored?.requests, stored?.blocks], [[request('erin', 'in', 3)], []]);
});

// ---- presence

test('presence: complete at each login, replaced at synced, then updated, and never stored', async () => {
  const store = new MemoryStore();
  const it = rig({ store });
  void it.client.connect();
  await settle();
  it.socket.login();
  it.socket.gives({ changes: { me: user('alice', 1), users: [bob, carol], friends: [friend('bob', 5), friend('carol', 5)] } });
  it.socket.gives({ presence: { users: [presence('bob', true)] } });
  it.socket.gives({ presence: { users: [presence('carol', false, 50)] } });
  assert.equal(it.client.presence.size, 0);
  it.socket.gives({ synced: summary([bob, carol], 'e-1') });
  assert.deepEqual(it.of('presence'), [[[presence('bob', true), presence('carol', false, 50)], 'sync']]);
  it.socket.gives({ presence: { users: [presence('bob', false, 200)] } });
  assert.deepEqual(it.of('presence')[1], [[presence('bob', false, 200)], 'update']);
  assert.deepEqual(it.client.presence.get('bob'), presence('bob', false, 200));

  await reconnect(it);
  assert.equal(it.client.presence.get('bob')?.lastSeen, 200, 'what was known stays until the new state is whole');
  nothingNew(it, [bob, carol], [{ presence: { users: [presence('carol', true, 300)] } }]);
  assert.deepEqual([...it.client.presence.values()], [presence('carol', true, 300)], 'nobody says that bob was ever there');
  assert.deepEqual(it.of('presence'), [[[presence('carol', true, 300)], 'sync']]);

  await reconnect(it);
  nothingNew(it);
  assert.deepEqual(it.of('presence'), [[[], 'sync']]);
  await settle();
  assert.ok(!JSON.stringify(await store.load(key())).includes('lastSeen'));
});

test('presence of a removed friend is dropped, before and after synced', async () => {
  const it = await live([bob, carol]);
  it.socket.gives({ presence: { users: [presence('bob', true), presence('carol', true)] } });
  it.socket.gives({ changes: { removed: ['bob'], cursor: 'e-8' } });
  assert.deepEqual([...it.client.presence.keys()], ['carol']);
});

test('setPresence: a status, with and without an end', async () => {
  const it = await live();
  let call = outcome(it.client.setPresence({ status: 'lunch', until: 2000 }));
  let { id, setPresence } = it.socket.last('setPresence');
  assert.deepEqual(setPresence, { status: 'lunch', until: 2000 });
  it.socket.gives({ id, setPresenceReply: {} });
  await settle();
  assert.equal(call.done, false);
  it.socket.gives({ presence: { users: [presence('alice', true, 1, { invisible: false, version: 5, status: 'lunch', until: 2000 }), presence('bob', true, 1, { status: 'away' })] } });
  await settle();
  assert.ok(call.done);
  assert.deepEqual([it.client.presence.get('alice')?.status, it.client.presence.get('bob')?.status], ['lunch', 'away']);
  // Another device has set the next one already.
  call = outcome(it.client.setPresence({ status: 'back' }));
  ({ id, setPresence } = it.socket.last('setPresence'));
  assert.deepEqual(setPresence, { status: 'back' });
  it.socket.gives({ id, setPresenceReply: {} });
  it.socket.gives({ presence: { users: [presence('alice', true, 1, { invisible: false, version: 7 })] } });
  await settle();
  assert.ok(call.done);
  call = outcome(it.client.setPresence({ status: '' }));
  it.socket.gives({ id: it.socket.last('setPresence').id, setPresenceReply: {} });
  await settle();
  assert.ok(call.done, 'there is none');
});

test("setPresence: resolves when the account's own state shows it", async () => {
  const it = await live();
  const call = outcome(it.client.setPresence({ invisible: true }));
  const { id, setPresence } = it.socket.last('setPresence');
  assert.deepEqual(setPresence, { invisible: true });
  it.socket.gives({ id, setPresenceReply: {} });
  await settle();
  assert.equal(call.done, false);
  it.socket.gives({ presence: { users: [presence('alice', true, 1, { invisible: true })] } });
  await settle();
  assert.ok(call.done);
  assert.equal(it.client.presence.get('alice')?.invisible, true);
});

// ---- sessions

test('sessions come complete; a session that is alone after a login has none', async () => {
  const it = await live();
  const both = [session('a'), session('b', true)];
  it.socket.gives({ sessions: { sessions: both } });
  assert.deepEqual(it.client.sessions, both);
  assert.deepEqual(it.of('sessions'), [[both]]);
  await reconnect(it);
  nothingNew(it);
  assert.deepEqual(it.of('sessions'), [[[]]]);
  await reconnect(it);
  nothingNew(it);
  assert.deepEqual(it.of('sessions'), []);
});

test("getSessions and kick return the gateway's answer", async () => {
  const it = await live();
  const got = it.client.getSessions();
  it.socket.gives({ id: it.socket.last('getSessions').id, getSessionsReply: { sessions: [session('b', true)] } });
  assert.deepEqual(await got, [session('b', true)]);
  const kicked = it.client.kick(['a', 'gone']);
  assert.deepEqual(it.socket.last('kick').kick, { sessions: ['a', 'gone'] });
  it.socket.gives({ id: it.socket.last('kick').id, kickReply: { kicked: ['a'] } });
  assert.deepEqual(await kicked, ['a']);
});

for (const [code, reason] of [[3503, 'KICKED'], [3504, 'SESSION_LIMIT']] as const) {
  test(`${reason} is final`, async () => {
    const it = await live();
    it.socket.gives({ goodbye: { code, reason, reconnect: false } });
    it.socket.ends(code, reason);
    await pass(600_000);
    assert.equal(it.sockets.length, 1);
    assert.deepEqual(it.of('disconnected').map(([info]) => [info.code, info.reason, info.willReconnect]), [[code, reason, false]]);
  });
}

// ---- watched strangers

/** Watches these accounts; the gateway accepts the list. */
async function watching(it: Rig, accounts: string[], missing: string[] = []): Promise<void> {
  const call = it.client.watch(accounts);
  assert.deepEqual(it.socket.last('watch').watch, { accounts });
  it.socket.gives({ id: it.socket.last('watch').id, watchReply: { missing } });
  assert.deepEqual(await call, { missing });
}

test('watched: emitted when they change, not friends, not in count and digest, and not stored', async () => {
  const store = new MemoryStore();
  const it = await live([bob], { store });
  it.heard.length = 0;
  await watching(it, ['erin', 'zoe'], ['zoe']);
  it.socket.gives({ changes: { users: [user('erin', 4)] } });
  it.socket.gives({ changes: { users: [user('erin', 9, 'Er')], cursor: 'e-9' } });
  assert.deepEqual(it.heard.map(({ event, args }) => [event, args[0].version]), [['userUpdated', 4], ['userUpdated', 9]]);
  assert.deepEqual([[...it.client.watched], it.client.friends.has('erin')], [['erin', 'zoe'], false]);
  assert.deepEqual(await it.client.getUser('erin'), user('erin', 9, 'Er'), 'kept up to date, so there is no need to ask');
  await settle();
  assert.deepEqual((await store.load(key()))?.users, [bob]);
  assert.equal((await store.load(key()))?.cursor, 'e-9');
  await reconnect(it);
  nothingNew(it, [bob]);
  assert.deepEqual([it.client.state, it.of('error')], ['live', []], 'count and digest are about friends');
});

test('an account that leaves the list is dropped, unless it is a friend', async () => {
  const it = await live([bob]);
  await watching(it, ['erin', 'zoe', 'bob']);
  it.socket.gives({ changes: { users: [user('erin', 4), user('zoe', 5)] } });
  await watching(it, ['zoe']);
  assert.deepEqual([...it.client.users.keys()], ['bob', 'zoe']);
  await watching(it, []);
  assert.deepEqual([...it.client.users.keys()], ['bob']);
});

test('a refused list keeps the old one', async () => {
  const it = await live([bob]);
  await watching(it, ['erin']);
  it.socket.gives({ changes: { users: [user('erin', 4)] } });
  const call = outcome(it.client.watch(Array.from({ length: 501 }, (_, i) => `u${i}`)));
  it.socket.gives({ id: it.socket.last('watch').id, error: { code: 419, reason: 'LIMIT_EXCEEDED', message: 'at most 500' } });
  await settle();
  assert.equal(call.error?.code, 419);
  assert.deepEqual([[...it.client.watched], it.client.users.has('erin')], [['erin'], true]);
});

test('the list survives reconnects: it is sent again first, and missed changes are emitted', async () => {
  const it = await live([bob, carol]);
  await watching(it, ['erin', 'zoe']);
  it.socket.gives({ changes: { users: [user('erin', 4), user('zoe', 5)] } });
  const waiting = outcome(it.client.getUsers(['frank']));
  await reconnect(it);
  assert.deepEqual(it.socket.sent.map((frame) => Object.keys(frame)[1]), ['login', 'watch', 'getUsers']);
  assert.deepEqual(it.socket.last('watch').watch, { accounts: ['erin', 'zoe'] });
  nothingNew(it);
  it.socket.gives({ id: it.socket.last('watch').id, watchReply: { missing: ['zoe'] } });
  it.socket.gives({ changes: { users: [user('erin', 12, 'Er')] } });
  it.socket.gives({ id: it.socket.last('getUsers').id, getUsersReply: { users: [], missing: ['frank'] } });
  await settle();
  assert.deepEqual(it.of('userUpdated'), [[user('erin', 12, 'Er')]]);
  assert.equal(it.client.users.has('zoe'), false, 'the account was deleted meanwhile');
  assert.ok(waiting.value);
});

test('a full sync keeps watched strangers until they come again, with any version', async () => {
  const it = await live([bob, carol]);
  await watching(it, ['erin', 'carol']);
  it.socket.gives({ changes: { users: [user('erin', 400, 'Erin')] } });
  it.socket.gives({ signal: { from: 'frank', payload: '' } });
  it.socket.gives({ changes: { users: [user('frank', 7)] } });
  await reconnect(it, { because: 'CURSOR_FOREIGN' });
  it.socket.gives({ changes: { me: user('alice', 1), users: [bob], friends: [friend('bob', 5)] } });
  it.socket.gives({ synced: summary([bob], 'f-1') });
  assert.deepEqual([...it.client.users.values()].map(({ nick }) => nick), ['bob', 'Erin'], 'not the friend that carol was, and not who was not watched');
  assert.deepEqual(it.of('friendRemoved'), [['carol']]);
  it.socket.gives({ changes: { users: [user('erin', 3, 'Er'), user('carol', 2)] } });
  assert.deepEqual([...it.client.users.values()].map(({ nick }) => nick), ['bob', 'Er', 'carol']);
});

test('logout with forget also drops the list', async () => {
  const it = await live([bob]);
  await watching(it, ['erin']);
  it.socket.ends(1006);
  await it.client.logout({ forget: true });
  assert.equal(it.client.watched.size, 0);
  void it.client.connect();
  await settle();
  it.socket.login();
  assert.deepEqual(it.socket.sent.map((frame) => Object.keys(frame)[1]), ['login']);
});

// ---- signals

test("a signal comes after its sender's profile, and is not stored", async () => {
  const it = await live([bob]);
  it.heard.length = 0;
  it.socket.gives({ changes: { users: [user('erin', 9, 'Erin')] } });
  it.client.on('signal', ({ from }) => assert.equal(it.client.users.get(from)?.nick, 'Erin'));
  it.socket.gives({ signal: { from: 'erin', payload: '{"typing":true}' } });
  assert.deepEqual(it.heard.map(({ event }) => event), ['userUpdated', 'signal']);
  assert.deepEqual(it.of('signal'), [[{ from: 'erin', payload: '{"typing":true}' }]]);
  const sent = it.client.signal('erin', 'hello');
  assert.deepEqual(it.socket.last('signal').signal, { to: 'erin', payload: 'hello' });
  it.socket.gives({ id: it.socket.last('signal').id, signalReply: { delivered: 2, dropped: 1 } });
  assert.deepEqual(await sent, { delivered: 2, dropped: 1 });
});

test('an account that is neither friend nor watched is requested each time, as its changes do not come', async () => {
  const it = await live([bob]);
  it.socket.gives({ changes: { users: [user('erin', 9)] } });
  const call = it.client.getUser('erin');
  it.socket.gives({ id: it.socket.last('getUsers').id, getUsersReply: { users: [user('erin', 12)], missing: [] } });
  assert.equal((await call).version, 12);
  assert.equal(it.client.users.get('erin')?.version, 12, 'what is held follows');
});

// ---- bad input

for (const [what, text] of [
  ['requests that are none', '{"changes":{"requests":[null]}}'], ['blocks that are none', '{"changes":{"blocks":7}}'],
  ['presence that is none', '{"presence":{"users":[null]}}'], ['sessions that are none', '{"sessions":{"sessions":7}}'],
] as const) {
  test(`${what} cost the connection, not the client`, async () => {
    const it = await acquainted();
    it.socket.gives(text);
    assert.equal(it.client.state, 'disconnected');
    assert.equal(it.of('error')[0]?.[0].reason, 'BAD_FRAME');
    await pass(20_000);
    assert.equal(it.sockets.length, 2);
  });
}

test('unknown pushes, and unknown fields in known ones, change nothing', async () => {
  const it = await acquainted();
  it.socket.gives('{"weather":{"users":[{"account":"bob","sunny":true}]}}');
  it.socket.gives('{"presence":{}}');
  it.socket.gives('{"changes":{"requests":null,"blocks":null,"groups":[{"account":"bob"}]}}');
  assert.deepEqual(it.heard, []);
  assert.deepEqual([it.client.state, it.client.requests.length, it.client.blocks.size], ['live', 2, 1]);
});

test('a reply to another command is an error of the call', async () => {
  const it = await live();
  const { client } = it;
  for (const call of [() => client.getSessions(), () => client.kick([]), () => client.watch([]), () => client.signal('bob', '')]) {
    const called = outcome<unknown>(call());
    it.socket.gives({ id: it.socket.sent.at(-1).id, logoutReply: {} });
    await settle();
    assert.deepEqual([called.error?.code, called.error?.reason], [500, 'BAD_FRAME']);
  }
});

test('a listener that throws does not affect the others', async (t) => {
  t.mock.method(console, 'error', () => {});
  const it = await live([bob]);
  for (const event of ['requests', 'blocks', 'presence', 'sessions', 'signal'] as const) it.client.on(event, () => { throw new Error(event); });
  it.socket.gives({ changes: { requests: [request('erin', 'in', 8)], blocks: [block('trudy', 9)], cursor: 'e-9' } });
  it.socket.gives({ presence: { users: [presence('bob', true)] } });
  it.socket.gives({ sessions: { sessions: [session('a', true)] } });
  it.socket.gives({ signal: { from: 'bob', payload: '' } });
  assert.deepEqual([it.client.requests.length, it.client.blocks.size, it.client.presence.size, it.client.state], [1, 1, 1, 'live']);
});
