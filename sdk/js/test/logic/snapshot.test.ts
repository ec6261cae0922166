// Snapshots and the event `change`; listeners with limits; the end with `using`.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { IndexedDbStore, MemoryStore } from '../../src/index.js';
import type { Snapshot, Store } from '../../src/index.js';
import { block, friend, frozenTime, live, pass, request, rig, settle, user } from './rig.js';
import type { Rig } from './rig.js';

frozenTime({ beforeEach, afterEach });

const PARTS = ['connection', 'me', 'users', 'friends', 'requests', 'blocks', 'presence', 'sessions', 'watched'] as const;

/** Collects the snapshots that `change` brings. */
function changes(it: Rig): Snapshot[] {
  const all: Snapshot[] = [];
  it.client.on('change', (snapshot) => void all.push(snapshot));
  return all;
}

const differing = (a: Snapshot, b: Snapshot): string[] => PARTS.filter((part) => a[part] !== b[part]);

test('a snapshot does not change, and is the same object until something does', async () => {
  const it = await live([user('bob', 2), user('carol', 3)]);
  const before = it.client.snapshot;
  assert.equal(it.client.snapshot, before);
  it.socket.gives({});
  assert.equal(it.client.snapshot, before);
  it.socket.gives({ changes: { users: [user('bob', 8, 'Bobby')], cursor: 'e-8' } });
  const after = it.client.snapshot;
  assert.deepEqual([before.users.get('bob')?.nick, after.users.get('bob')?.nick], ['bob', 'Bobby']);
  assert.deepEqual(differing(before, after), ['users']);
  assert.equal(before.users.get('carol'), after.users.get('carol'));
  assert.ok(Object.isFrozen(after) && Object.isFrozen(after.requests) && Object.isFrozen(after.connection));
});

test('each frame changes only the parts that it changes', async () => {
  const it = await live([user('bob', 2)]);
  for (const [frame, parts] of [
    [{ changes: { me: user('alice', 9), cursor: 'e-9' } }, ['me']],
    [{ changes: { users: [user('zoe', 10)], friends: [friend('zoe', 10)], cursor: 'e-10' } }, ['users', 'friends']],
    [{ changes: { friends: [friend('bob', 11)], cursor: 'e-11' } }, ['friends']],
    [{ changes: { requests: [request('erin', 'in', 12)], cursor: 'e-12' } }, ['requests']],
    [{ changes: { blocks: [block('trudy', 13)], cursor: 'e-13' } }, ['blocks']],
    [{ presence: { users: [{ account: 'bob', online: true, lastSeen: 1 }] } }, ['presence']],
    [{ sessions: { sessions: [{ session: 's', device: { id: '', type: '', tag: '' }, connectedAt: 1, current: true }] } }, ['sessions']],
    [{ changes: { removed: ['bob'], cursor: 'e-14' } }, ['users', 'friends', 'presence']],
    [{ changes: { cursor: 'e-15' } }, []],
    [{ changes: { users: [user('zoe', 10)], cursor: 'e-16' } }, []],
  ] as const) {
    const before = it.client.snapshot;
    it.socket.gives(frame);
    assert.deepEqual(differing(before, it.client.snapshot), parts, JSON.stringify(frame));
  }
});

test('change comes once for a frame, after its other events, and not if nothing changed', async () => {
  const it = await live([user('bob', 2)]);
  const seen = changes(it);
  const order: string[] = [];
  for (const event of ['friendRemoved', 'me', 'userUpdated', 'friends', 'requests', 'change'] as const) it.client.on(event, (() => order.push(event)) as never);
  it.socket.gives({ changes: { me: user('alice', 9), users: [user('zoe', 10)], friends: [friend('zoe', 10)], removed: ['bob'], requests: [request('zoe', 'in', 11, 'accepted')], cursor: 'e-11' } });
  assert.deepEqual(order, ['friendRemoved', 'me', 'userUpdated', 'friends', 'requests', 'change']);
  it.socket.gives({ changes: { cursor: 'e-12' } });
  assert.equal(seen.length, 1);
  assert.equal(seen[0], it.client.snapshot);
});

test('a reconnect without news changes the connection alone', async () => {
  const it = await live([user('bob', 2)]);
  const before = it.client.snapshot;
  it.client.cut();
  await pass(20_000);
  it.socket.login({ sync: 'current', because: undefined });
  it.socket.gives({ synced: { cursor: 'e-1', count: 1, digest: it.of('synced')[0]?.[0].digest } });
  assert.equal(it.client.state, 'live');
  assert.deepEqual(differing(before, it.client.snapshot), ['connection']);
});

test('the connection: reconnecting, why, and when', async () => {
  const it = rig({ backoff: { minMs: 1_000, maxMs: 20_000 } });
  const seen = changes(it);
  void it.client.connect();
  await settle();
  it.socket.ends(1006, 'refused');
  const states = (): unknown[] => seen.map(({ connection }) => connection.state);
  assert.deepEqual(states(), ['connecting', 'reconnecting']);
  const { lastError, retryAt } = it.client.connection;
  assert.deepEqual([lastError?.reason, retryAt, it.client.state], ['CONNECTION_LOST', Date.now() + 500, 'disconnected']);
  await pass(500);
  assert.deepEqual([it.client.connection.state, it.client.connection.lastError?.reason, it.client.connection.retryAt], ['connecting', 'CONNECTION_LOST', undefined]);
  it.socket.full([]);
  assert.deepEqual(it.client.connection, { state: 'live' });
  assert.deepEqual(states(), ['connecting', 'reconnecting', 'connecting', 'syncing', 'live']);
  it.socket.gives({ goodbye: { code: 3505, reason: 'ACCOUNT_DISABLED', reconnect: false } });
  it.socket.ends(3505, 'ACCOUNT_DISABLED');
  assert.deepEqual([it.client.connection.state, it.client.connection.lastError?.reason], ['disconnected', 'ACCOUNT_DISABLED']);
});

test('what the store had, forget and watch are changes too', async () => {
  const store = new MemoryStore();
  const first = await live([user('bob', 2)], { store });
  await settle();
  await first.client.disconnect();
  const it = rig({ store });
  const seen = changes(it);
  void it.client.connect();
  await settle();
  assert.equal(seen.at(-1)?.friends.size, 1);
  it.socket.full([user('bob', 2)]);
  const watching = it.client.watch(['zoe']);
  it.socket.gives({ id: it.socket.last('watch').id, watchReply: { missing: [] } });
  await watching;
  assert.deepEqual([...(seen.at(-1)?.watched ?? [])], ['zoe']);
  it.socket.ends(1006);
  await it.client.logout({ forget: true });
  assert.deepEqual([seen.at(-1)?.friends.size, seen.at(-1)?.me, seen.at(-1)?.watched.size], [0, undefined, 0]);
});

test('once, and signals', async () => {
  const it = await live([]);
  const heard: string[] = [];
  const abort = new AbortController();
  it.client.once('me', () => heard.push('once'));
  it.client.once('me', () => heard.push('never'))();
  it.client.on('me', () => heard.push('on'), { signal: abort.signal });
  it.client.on('me', () => heard.push('aborted'), { signal: AbortSignal.abort() });
  it.socket.gives({ changes: { me: user('alice', 9) } });
  it.socket.gives({ changes: { me: user('alice', 10) } });
  abort.abort();
  it.socket.gives({ changes: { me: user('alice', 11) } });
  assert.deepEqual(heard, ['once', 'on', 'on']);
});

test('dispose disconnects, removes listeners and closes the store', async () => {
  const memory = new MemoryStore();
  let closed = 0;
  const store: Store = { load: (k) => memory.load(k), save: (k, c) => memory.save(k, c), wipe: (k) => memory.wipe(k), close: () => void closed++ };
  const it = await live([user('bob', 2)], { store });
  await it.client[Symbol.asyncDispose]();
  const { length } = it.heard;
  assert.equal(it.heard.at(-1)?.event, 'disconnected');
  assert.deepEqual([it.client.state, closed], ['disconnected', 1]);
  void it.client.connect();
  await settle();
  await it.client.disconnect();
  assert.equal(it.heard.length, length);
  const other = await live([], { store });
  other.client[Symbol.dispose]();
  assert.equal(other.client.state, 'disconnected');
  assert.ok(IndexedDbStore.prototype.close);
});
