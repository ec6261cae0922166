// Tabs that share one connection, against a scripted gateway.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { MemoryStore } from '../../src/index.js';
import type { Change, Events } from '../../src/index.js';
import { shareTabs } from '../../src/tabs.js';
import { block, friend, frozenTime, key, pass, request, rig, summary, user } from './rig.js';
import type { FakeSocket, Rig } from './rig.js';
import { join, Origin, settled, tab } from './tabs-rig.js';
import type { TabRig } from './tabs-rig.js';

frozenTime({ beforeEach, afterEach });

const FRIENDS = [user('bob', 2), user('carol', 3)];

/** Makes tabs, of which the first leads and is live. */
async function tabs(count: number, options: Parameters<typeof tab>[1] = {}): Promise<{ origin: Origin; all: TabRig[]; socket: FakeSocket }> {
  const origin = new Origin();
  const first = await join(origin, options);
  first.socket.full(FRIENDS);
  await settled();
  const all = [first];
  while (all.length < count) all.push(await join(origin, options));
  return { origin, all, socket: first.socket };
}

const view = ({ client }: Rig): unknown => {
  const { me, users, friends, requests, blocks, presence } = client.snapshot;
  return structuredClone({ me, users, friends, requests, blocks, presence });
};

/** Answers the last command of that name, which another tab may have sent. */
const answer = (socket: FakeSocket, command: string, reply: object): void => socket.gives({ id: socket.last(command).id, ...reply });

test('tabs have one connection, one token, and the same view', async () => {
  let asked = 0;
  const { all, socket } = await tabs(5, { getToken: () => `token ${++asked}` });
  assert.deepEqual(all.map(({ client, sockets }) => [client.state, sockets.length]), [['live', 1], ['live', 0], ['live', 0], ['live', 0], ['live', 0]]);
  assert.deepEqual([asked, socket.sent.filter(({ login }) => login).length, socket.last('login').login.token], [1, 1, 'token 1']);
  socket.gives({ changes: { users: [user('bob', 7, 'Bobby')], requests: [request('erin', 'in', 8)], blocks: [block('mallory', 9)], cursor: 'e-9' } });
  socket.gives({ presence: { users: [{ account: 'bob', online: true, lastSeen: 4 }] } });
  socket.gives({ sessions: { sessions: [{ session: 's', device: { id: '', type: '', tag: '' }, connectedAt: 1, current: true }] } });
  socket.gives({ signal: { from: 'bob', payload: 'hello' } });
  await settled();
  all.push(await join(all[0]?.origin as Origin));
  for (const it of all) assert.deepEqual(view(it), view(all[0] as Rig));
  for (const it of all) assert.equal(it.client.sessions.length, 1);
  assert.deepEqual(all.map((it) => it.of('signal').length), [1, 1, 1, 1, 1, 0]);
  assert.equal(all[3]?.client.users.get('bob')?.nick, 'Bobby');
});

test('a command of any tab is answered to that tab, and its effect reaches all', async () => {
  const { all, socket } = await tabs(3);
  const [first, second, third] = all as [TabRig, TabRig, TabRig];
  const done = second.client.updateMyInfo({ nick: 'Alice' });
  await settled();
  answer(socket, 'updateMyInfo', { updateMyInfoReply: { user: user('alice', 20, 'Alice') } });
  assert.equal((await done).nick, 'Alice');
  await settled();
  assert.deepEqual(all.map(({ client }) => client.me?.nick), ['Alice', 'Alice', 'Alice']);
  assert.deepEqual([first.of('me').at(-1)?.[1], second.of('me').at(-1)?.[1], third.of('me').at(-1)?.[1]], ['update', 'reply', 'update']);

  // The gateway sends the leader's own change to other sessions only.
  const own = first.client.updateMyInfo({ nick: 'Al' });
  await settled();
  answer(socket, 'updateMyInfo', { updateMyInfoReply: { user: user('alice', 21, 'Al') } });
  await own;
  await settled();
  assert.deepEqual(all.map(({ client }) => client.me?.nick), ['Al', 'Al', 'Al']);

  // Two tabs use the same ids at the same time.
  const calls = [second.client.getUsers(['x']), third.client.getUsers(['y'])];
  await settled();
  const [x, y] = socket.sent.filter(({ getUsers }) => getUsers);
  socket.gives({ id: y.id, getUsersReply: { users: [user('y', 1)] } });
  socket.gives({ id: x.id, getUsersReply: { missing: ['x'] } });
  assert.deepEqual((await Promise.all(calls)).map(({ users, missing }) => [users.length, missing.length]), [[0, 1], [1, 0]]);

  const refused = third.client.kick(['?']);
  await settled();
  answer(socket, 'kick', { error: { code: 414, reason: 'INVALID_ARGUMENT', message: 'no', field: 'sessions[0]' } });
  await assert.rejects(refused, { code: 414, field: 'sessions[0]' });
});

test('a killed leader is replaced, and the others catch up through the next', async () => {
  const { all } = await tabs(4);
  const [first, second, third] = all as [TabRig, TabRig, TabRig];
  first.kill();
  await pass(0);
  await settled();
  second.socket.login({ session: 't', sync: 'delta' });
  assert.deepEqual(second.socket.last('login').login.cursor, 'e-1');
  second.socket.gives({ changes: { me: user('alice', 1), users: [user('bob', 9, 'later')], cursor: 'e-2' } });
  second.socket.gives({ synced: summary([user('bob', 9), user('carol', 3)], 'e-2') });
  await settled();
  assert.deepEqual(all.slice(1).map(({ client }) => [client.state, client.users.get('bob')?.nick]), [['live', 'later'], ['live', 'later'], ['live', 'later']]);
  // The changes were enough.
  assert.deepEqual(third.of('synced').map(([{ sync }]) => sync), ['full', 'delta']);
  assert.deepEqual(third.sockets.length, 0);
  assert.deepEqual(third.of('disconnected').map(([{ code, willReconnect }]) => [code, willReconnect]), [[1006, true]]);
});

test('commands that were in flight when the leader died end as done, superseded or lost, or are sent for their version only', async () => {
  const { all, socket } = await tabs(2);
  const [first, second] = all as [TabRig, TabRig];
  const [nick, alias, other, signal] = [
    second.client.updateMyInfo({ nick: 'mine' }),
    second.client.updateFriend('bob', { alias: 'Robert' }),
    second.client.updateFriend('carol', { alias: 'Caroline' }),
    second.client.signal('bob', 'once'),
  ];
  const outcomes = Promise.allSettled([nick, alias, other, signal]);
  await settled();
  assert.ok(socket.last('signal'));
  first.kill();
  await pass(0);
  second.socket.login({ sync: 'delta' });
  // Carried out; overwritten by another device; not carried out.
  second.socket.gives({ changes: { me: user('alice', 30, 'theirs'), users: [user('bob', 2)], friends: [{ ...friend('bob', 31), alias: 'Robert' }], cursor: 'e-31' } });
  const synced = { ...summary(FRIENDS, 'e-31') };
  const { digest } = await import('../../src/index.js');
  synced.digest = digest(new Map([['bob', friend('bob', 31)], ['carol', friend('carol', 5)]]), new Map(FRIENDS.map((user) => [user.account, user])));
  second.socket.gives({ synced });
  await settled();
  assert.deepEqual(second.socket.last('updateFriend').updateFriend, { account: 'carol', alias: 'Caroline', ifVersion: 5 });
  assert.deepEqual([second.socket.last('updateMyInfo'), second.socket.last('signal')], [undefined, undefined]);
  second.socket.gives({ id: second.socket.last('updateFriend').id, updateFriendReply: {} });
  second.socket.gives({ changes: { friends: [{ ...friend('carol', 32), alias: 'Caroline' }], users: [user('carol', 3)], cursor: 'e-32' } });
  const reasons = (await outcomes).map((outcome) => (outcome.status === 'fulfilled' ? 'done' : outcome.reason.reason));
  assert.deepEqual(reasons, ['SUPERSEDED', 'done', 'done', 'CONNECTION_LOST']);
});

/** Records who writes. */
class Watched extends MemoryStore {
  writes: Change[] = [];
  fails = false;

  override async save(key: string, change: Change): Promise<void> {
    if (this.fails) await new Promise(() => {});
    this.writes.push(change);
    await super.save(key, change);
  }
}

test('only the leader writes the cache, and the next one writes what it had not', async () => {
  const shared = new MemoryStore();
  const stores: Watched[] = [];
  const store = (): Watched => {
    const one = new Watched();
    one.load = (key) => shared.load(key);
    const { save } = one;
    one.save = async (key, change) => {
      await save.call(one, key, change);
      await shared.save(key, change);
    };
    stores.push(one);
    return one;
  };
  const origin = new Origin();
  const first = await join(origin, { store: store() });
  first.socket.full(FRIENDS);
  await settled();
  const second = await join(origin, { store: store() });
  const third = await join(origin, { store: store() });
  first.socket.gives({ changes: { users: [user('bob', 6, 'written')], cursor: 'e-6' } });
  await settled();
  assert.deepEqual(stores.map(({ writes }) => writes.length), [2, 0, 0]);
  // The next write does not come to an end.
  (stores[0] as Watched).fails = true;
  first.socket.gives({ changes: { users: [user('bob', 7, 'not written')], cursor: 'e-7' } });
  await settled();
  assert.equal(second.client.users.get('bob')?.nick, 'not written');
  first.kill();
  await settled();
  // Only that: what the first had written is known to be there.
  assert.deepEqual(stores.map(({ writes }) => writes.length), [2, 1, 0]);
  assert.deepEqual(stores[1]?.writes[0]?.users?.map(({ nick }) => nick), ['not written']);
  const stored = await shared.load(key());
  assert.deepEqual([stored?.users.find(({ account }) => account === 'bob')?.nick, stored?.cursor], ['not written', 'e-7']);
  await pass(0);
  second.socket.login({ sync: 'current' });
  second.socket.gives({ synced: summary([user('bob', 7), user('carol', 3)], 'e-7') });
  await settled();
  assert.equal(third.client.state, 'live');
  assert.equal(stores[2]?.writes.length, 0);
  // A tab that begins with the cache needs no records.
  const fourth = await join(origin, { store: store() });
  assert.deepEqual([fourth.client.state, fourth.of('synced').map(([{ sync }]) => sync)], ['live', ['current']]);
});

test('a change that waits is stored at once by the tab that made it, whoever writes the cache', async () => {
  const store = new MemoryStore();
  const { all, socket } = await tabs(2, { store });
  const [first, second] = all as [TabRig, TabRig];
  socket.ends(1006);
  await settled();
  second.client.updateMyInfo({ nick: 'later' }, { keep: true }).catch(() => {});
  await settled();
  assert.deepEqual((await store.load(key()))?.kept?.map(({ fields }) => fields), [{ nick: 'later' }]);
  await pass(250);
  first.socket.login({ sync: 'current' });
  first.socket.gives({ synced: summary(FRIENDS, 'e-1') });
  await settled();
  await pass(500);
  answer(first.socket, 'updateMyInfo', { updateMyInfoReply: { user: user('alice', 20, 'later') } });
  await settled();
  assert.deepEqual([(await store.load(key()))?.kept, all.map(({ client }) => client.me?.nick)], [[], ['later', 'later']]);
});

test('what one tab shows before the gateway has answered is no record of the others', async () => {
  const { origin, all, socket } = await tabs(1);
  const [first] = all as [TabRig];
  const refused = first.client.updateMyInfo({ nick: 'too soon' }, { optimistic: true });
  await settled();
  assert.equal(first.client.me?.nick, 'too soon');
  const second = await join(origin);
  assert.equal(second.client.me?.nick, 'alice');
  answer(socket, 'updateMyInfo', { error: { code: 414, reason: 'INVALID_ARGUMENT', message: 'no', field: 'nick' } });
  await assert.rejects(refused, { code: 414 });
  await settled();
  assert.deepEqual([first.client.me?.nick, second.client.me?.nick], ['alice', 'alice']);
});

test('what the user has changed in a tab that follows is in the store before it is answered', async () => {
  const store = new MemoryStore();
  const { all, socket } = await tabs(2, { store });
  const [first, second] = all as [TabRig, TabRig];
  const call = second.client.updateMyInfo({ sign: 'x' }, { keep: true });
  await settled();
  assert.deepEqual((await store.load(key()))?.kept?.map(({ fields, version }) => [fields, version]), [[{ sign: 'x' }, 1]]);
  assert.deepEqual([second.client.me?.sign, first.client.me?.sign], ['x', '']);
  assert.deepEqual(socket.last('updateMyInfo').updateMyInfo, { sign: 'x', ifVersion: 1 });
  answer(socket, 'updateMyInfo', { updateMyInfoReply: { user: { ...user('alice', 20), sign: 'x' } } });
  assert.equal((await call).sign, 'x');
  await settled();
  assert.deepEqual([second.client.pending, first.client.me?.sign, (await store.load(key()))?.kept], [undefined, 'x', []]);
});

test('one tab logs out and forgets: all do, and nobody connects again', async () => {
  const { all, socket } = await tabs(3);
  const third = all[2] as TabRig;
  await third.client.logout({ forget: true });
  await pass(200);
  assert.deepEqual(all.map(({ client }) => [client.state, client.friends.size, client.me]), [['disconnected', 0, undefined], ['disconnected', 0, undefined], ['disconnected', 0, undefined]]);
  assert.deepEqual(all.slice(0, 2).map((it) => it.of('disconnected').at(-1)?.[0].reason), ['FORGOTTEN', 'FORGOTTEN']);
  assert.deepEqual([socket.readyState, all.flatMap(({ sockets }) => sockets).length], [2, 1]);
});

test('a tab that logs out or disconnects leaves the session to the others', async () => {
  const { all, socket } = await tabs(3);
  const [first, second, third] = all as [TabRig, TabRig, TabRig];
  await second.client.logout();
  assert.equal(socket.last('logout'), undefined);
  assert.deepEqual([first.client.state, third.client.state], ['live', 'live']);
  await first.client.logout();
  await pass(200);
  assert.equal(socket.last('logout'), undefined);
  assert.equal(socket.readyState, 2);
  third.socket.login({ sync: 'current' });
  third.socket.gives({ synced: summary(FRIENDS, 'e-1') });
  await settled();
  assert.deepEqual(all.map(({ client }) => client.state), ['disconnected', 'disconnected', 'live']);
  // The last one says it to the gateway.
  const out = third.client.logout();
  await settled();
  answer(third.socket, 'logout', { logoutReply: {} });
  await out;
  // And a tab that left comes back.
  first.client.connect().catch(() => {});
  await pass(200);
  await settled();
  first.socket.login({ sync: 'current' });
  first.socket.gives({ synced: summary(FRIENDS, 'e-1') });
  assert.equal(first.client.state, 'live');
});

test('a kick ends all tabs, and none logs in again', async () => {
  const { all, socket } = await tabs(3);
  socket.gives({ goodbye: { code: 3503, reason: 'KICKED', reconnect: false } });
  socket.ends(3503, 'KICKED');
  await settled();
  await pass(5_000);
  const ends = all.map((it) => it.of('disconnected').map(([{ code, willReconnect }]) => [code, willReconnect]));
  assert.deepEqual(ends, [[[3503, false]], [[3503, false]], [[3503, false]]]);
  assert.equal(all.flatMap(({ sockets }) => sockets).length, 1);
});

test('a lost connection is lost for all tabs, which say so, and come back together', async () => {
  const { all, socket } = await tabs(3);
  const [first, second] = all as [TabRig, TabRig];
  socket.ends(1006);
  await settled();
  assert.deepEqual(all.map(({ client }) => client.connection.state), ['reconnecting', 'reconnecting', 'reconnecting']);
  await pass(250);
  // The next attempt fails as well, and all know.
  first.socket.ends(1006);
  await settled();
  assert.deepEqual(all.map(({ client }) => [client.connection.state, client.connection.lastError?.reason]), Array(3).fill(['reconnecting', 'CONNECTION_LOST']));
  await pass(500);
  first.socket.login({ sync: 'current' });
  first.socket.gives({ synced: summary(FRIENDS, 'e-1') });
  await settled();
  assert.deepEqual(all.map(({ client }) => client.state), ['live', 'live', 'live']);
  assert.equal(second.sockets.length, 0);
});

test('the lists of all tabs are one watch, as long as one of them needs it', async () => {
  const { all, socket } = await tabs(3);
  const [first, second, third] = all as [TabRig, TabRig, TabRig];
  const watching = (): string[] => [...socket.last('watch').watch.accounts].sort();
  const accept = async (users: string[], missing: string[] = []): Promise<void> => {
    await settled();
    answer(socket, 'watch', { watchReply: missing.length ? { missing } : {} });
    if (users.length) socket.gives({ changes: { users: users.map((account) => user(account, 50)) } });
    await settled();
  };
  const a = first.client.watch(['x', 'y']);
  await accept(['x', 'y']);
  assert.deepEqual(await a, { missing: [] });
  const b = second.client.watch(['y', 'z', 'nobody']);
  await accept(['z'], ['nobody']);
  assert.deepEqual(await b, { missing: ['nobody'] });
  assert.deepEqual(watching(), ['nobody', 'x', 'y', 'z']);
  // The gateway sent y before, to the first tab.
  assert.deepEqual(['y', 'z'].map((account) => second.client.users.get(account)?.version), [50, 50]);
  const release = third.client.hold(['y']);
  await pass(20);
  await accept([]);
  assert.equal(third.client.users.get('y')?.version, 50);

  // The first does not need y any more; the others do.
  const c = first.client.watch(['x']);
  await accept([]);
  await c;
  assert.deepEqual(watching(), ['nobody', 'x', 'y', 'z']);
  assert.equal(first.client.users.has('y'), false);
  const again = first.client.watch(['x', 'y']);
  await accept([]);
  await again;
  assert.equal(first.client.users.get('y')?.version, 50);

  // Too many: the tab that asked hears it, and the list stays.
  const refused = third.client.watch(['one too many']);
  await settled();
  answer(socket, 'watch', { error: { code: 419, reason: 'LIMIT_EXCEEDED', message: 'no' } });
  await assert.rejects(refused, { code: 419 });
  const after = first.client.watch(['x']);
  await accept([]);
  await after;
  assert.deepEqual(watching(), ['nobody', 'x', 'y', 'z']);
  release();
  await pass(20);
  await settled();
  assert.deepEqual(watching(), ['nobody', 'x', 'y', 'z']);
  await accept([]);
  await second.client.disconnect();
  await settled();
  assert.deepEqual(watching(), ['x']);
});

test('a leader that hangs is replaced, and follows when it is back', async () => {
  const { origin, all, socket } = await tabs(2);
  const [first, second] = all as [TabRig, TabRig];
  first.place.deaf = true;
  const late = tab(origin);
  late.client.connect().catch(() => {});
  await settled();
  await pass(3_000);
  assert.equal(late.sockets.length, 0);
  await pass(500);
  await settled();
  late.socket.full(FRIENDS, 'e-2');
  // The gateway allows the device one session. The tab that hung hears of that first, and of its place afterwards.
  socket.gives({ goodbye: { code: 3503, reason: 'KICKED', reconnect: false } });
  socket.ends(3503, 'KICKED');
  await settled();
  origin.hears(first.place);
  await settled();
  await pass(300);
  await settled();
  assert.deepEqual([first, second, late].map(({ client, sockets }) => [client.state, sockets.length]), [['live', 1], ['live', 0], ['live', 1]]);
});

test('a large list comes in parts, and what happens meanwhile follows it', async () => {
  const many = Array.from({ length: 1234 }, (_, n) => user(`friend${n}`, n + 2));
  const origin = new Origin();
  const first = await join(origin);
  first.socket.full(many);
  await settled();
  const second = tab(origin);
  second.client.connect().catch(() => {});
  // As soon as it has begun.
  const parts: number[] = [];
  second.client.on('frame', ({ frame }) => {
    const { changes } = frame as { changes?: { friends?: unknown[]; removed?: string[] } };
    if (changes?.friends && parts.push(changes.friends.length) === 1) first.socket.gives({ changes: { removed: ['friend0', 'friend1200'], cursor: 'e-9' } });
  });
  for (let i = 0; i < 5; i++) await settled();
  assert.deepEqual(parts, [500, 500, 234]);
  assert.deepEqual([second.client.state, second.client.friends.size, second.client.friends.has('friend1200'), second.of('error').length], ['live', 1232, false, 0]);
  assert.deepEqual(view(second), view(first));
});

test('a tab that does not answer the heartbeat is forgotten, with what it watched', async () => {
  const { all, socket } = await tabs(3);
  const second = all[1] as TabRig;
  const watch = second.client.watch(['x']);
  await settled();
  answer(socket, 'watch', { watchReply: {} });
  await watch;
  second.kill();
  for (let i = 0; i < 4; i++) {
    socket.gives('{}');
    await pass(25_000);
  }
  assert.deepEqual(socket.last('watch').watch.accounts, []);
  assert.equal(all[2]?.client.state, 'live');
});

test('a tab whose login meets a leader that has just gone finds the next', async () => {
  const { origin, all } = await tabs(2);
  const [first, second] = all as [TabRig, TabRig];
  const third = tab(origin);
  third.client.connect().catch(() => {});
  first.kill();
  await pass(0);
  await settled();
  second.socket.login({ sync: 'current' });
  second.socket.gives({ synced: summary(FRIENDS, 'e-1') });
  await settled();
  assert.equal(third.client.state, 'live');
});

test('a refused token ends the leader, and the next tab asks for its own', async () => {
  const origin = new Origin();
  const first = await join(origin, { getToken: () => 'bad' });
  const second = await join(origin, { getToken: () => 'good' });
  first.socket.open();
  first.socket.gives({ id: first.socket.last('login').id, error: { code: 302, reason: 'UNAUTHENTICATED', message: 'no' } });
  first.socket.ends(3500, 'BAD_TOKEN');
  await pass(200);
  assert.equal(first.of('disconnected').at(-1)?.[0].willReconnect, false);
  // It was refused as well: the tabs are of one account.
  assert.equal(second.of('disconnected').at(-1)?.[0].code, 3500);
  const events: (keyof Events)[] = second.heard.map(({ event }) => event);
  assert.ok(events.includes('error'));
});

test('without locks or channels each tab connects for itself', async () => {
  const it = rig({ tabs: shareTabs });
  it.client.connect().catch(() => {});
  await settled();
  it.socket.full(FRIENDS);
  assert.equal(it.client.state, 'live');
});

test('where locks are forbidden, a tab connects for itself', async () => {
  const origin = new Origin();
  origin.locks = () => ({ request: () => Promise.reject(new DOMException('an opaque origin', 'SecurityError')) }) as unknown as LockManager;
  const it = await join(origin);
  it.socket.full(FRIENDS);
  assert.equal(it.client.state, 'live');
});
