// A list that differs from the gateway's: repairs, full syncs, and what the client shows meanwhile.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { bucket, digests } from '../../src/digest.js';
import { MemoryStore } from '../../src/index.js';
import type { User } from '../../src/index.js';
import { friend, frozenTime, key, live, pass, rig, settle, summary, user } from './rig.js';
import type { Rig } from './rig.js';

frozenTime({ beforeEach, afterEach });

const bob = user('bob', 2);
const carol = user('carol', 3);

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
  assert.equal((await store.load(key()))?.cursor, undefined, 'who mistrusts the records drops the cursor');
  const before = it.heard.length;
  repairs(it, [user('bob', 7), carol], [bucket('bob'), bucket('dave')]);
  assert.deepEqual([...it.client.users.values()].map(({ account, version }) => [account, version]).sort(), [['bob', 7], ['carol', 3]]);
  assert.equal(it.client.state, 'live');
  assert.equal(it.sockets.length, 2);
  assert.deepEqual(it.heard.slice(before).map(({ event }) => event), ['me', 'users', 'friends', 'friendRemoved', 'state', 'synced']);
  assert.deepEqual(it.of('users').at(-1), [[user('bob', 7)], 'sync']);
  await settle();
  const stored = await store.load(key());
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
    assert.equal((await store.load(key()))?.cursor, 'e-9');
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
