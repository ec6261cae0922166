// Changes of the own profile that show before they are answered, and those that wait for a connection in the store.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { MemoryStore } from '../../src/index.js';
import type { RosterdError, Snapshot, User } from '../../src/index.js';
import { frozenTime, key, live, pass, rig, settle, user } from './rig.js';
import type { Rig } from './rig.js';

frozenTime({ beforeEach, afterEach });

/** Names how a call ended: `done`, the reason of its error, or nothing yet. */
function ending(call: Promise<unknown>): { how?: string } {
  const out: { how?: string } = {};
  call.then(() => (out.how = 'done'), ({ reason }: RosterdError) => (out.how = reason));
  return out;
}

const mine = (version: number, fields: Partial<User> = {}): User => ({ ...user('alice', version), ...fields });

/** Answers the last `updateMyInfo`. */
async function answer(it: Rig, how: User | number): Promise<void> {
  const { id } = it.socket.last('updateMyInfo');
  it.socket.gives(typeof how === 'number' ? { id, error: { code: how, reason: how === 412 ? 'VERSION_MISMATCH' : 'INVALID_ARGUMENT', message: 'no' } } : { id, updateMyInfoReply: { user: how } });
  await settle();
}

/** Logs in on the newest socket, where the own profile is this one. */
async function login(it: Rig, me: User, sync = 'current'): Promise<void> {
  for (let i = 0; i < 50 && !it.socket.last('login'); i++) {
    if (it.socket.readyState === 0) it.socket.open();
    await settle();
  }
  it.socket.gives({ id: it.socket.last('login').id, loginReply: { account: 'alice', session: 's', epoch: 'e', serverTime: Date.now(), heartbeatMs: 25_000, sync } });
  it.socket.gives({ changes: { me } });
  it.socket.gives({ synced: { cursor: 'e-99', count: 0, digest: 0 } });
  await settle();
}

/** Waits for the next attempt to connect. */
async function again(it: Rig): Promise<Rig> {
  await pass(20_000);
  return it;
}

/** Loses the connection and waits for the next attempt. */
async function lose(it: Rig): Promise<void> {
  it.socket.ends(1006);
  await pass(20_000);
}

/** What the store keeps, without ids. */
const kept = async (store: MemoryStore): Promise<object[] | undefined> => (await store.load(key()))?.kept?.map(({ fields, version }) => ({ fields, version }));

const updates = (it: Rig): any[] => it.socket.sent.flatMap(({ updateMyInfo }) => updateMyInfo ?? []);
const heard = (it: Rig): string[] => it.of('me').map(([me, how]) => `${me.sign} ${how}`);

test('own fields show one by one, and a cleared one is null until that is answered', async () => {
  const it = await live([]);
  const has = { level: 1, mood: 'fine', tags: ['a'] };
  it.socket.gives({ changes: { me: mine(8, { fields: has }) } });
  await settle();
  const first = it.client.updateMyInfo({ fields: { mood: null, pronouns: 'they' } }, { optimistic: true });
  const second = it.client.updateMyInfo({ fields: { level: 2 } }, { optimistic: true });
  assert.deepEqual(it.client.me?.fields, { level: 2, mood: null, pronouns: 'they', tags: ['a'] });
  assert.deepEqual(it.client.pending, { fields: { mood: null, pronouns: 'they', level: 2 } });
  assert.ok(Object.isFrozen(it.client.me));
  assert.deepEqual(updates(it)[0].fields, { mood: null, pronouns: 'they' });
  const { id } = it.socket.sent.find(({ updateMyInfo }) => updateMyInfo);
  it.socket.gives({ id, updateMyInfoReply: { user: mine(9, { fields: { level: 1, pronouns: 'they', tags: ['a'] } }) } });
  await first;
  assert.deepEqual(it.client.me?.fields, { level: 2, pronouns: 'they', tags: ['a'] });
  const ends = ending(second);
  await answer(it, 414);
  assert.equal(ends.how, 'INVALID_ARGUMENT');
  assert.deepEqual(it.client.me?.fields, { level: 1, pronouns: 'they', tags: ['a'] });
});

test('a change of own fields whose answer was lost is recognized by what they hold', async () => {
  const it = await live([]);
  const ends = ending(it.client.updateMyInfo({ fields: { tags: ['a'], mood: null } }));
  it.socket.ends(1006);
  await pass(2_000);
  await login(it, mine(9, { fields: { tags: ['a'] } }));
  assert.deepEqual([ends.how, updates(it).length], ['done', 0]);
});

test('an optimistic change shows at once, with what is pending, and stays', async () => {
  const it = await live([]);
  const snapshots: Snapshot[] = [];
  it.client.on('change', (snapshot) => void snapshots.push(snapshot));
  const before = it.client.me;
  const call = it.client.updateMyInfo({ sign: 'x', tel: undefined }, { optimistic: true });
  assert.deepEqual([it.client.me, it.client.pending], [{ ...before, sign: 'x' }, { sign: 'x' }]);
  assert.deepEqual([it.client.me, it.client.snapshot.me, it.client.snapshot.pending], [it.client.me, it.client.me, it.client.pending]);
  assert.equal(it.client.me, it.client.snapshot.me, 'the same object until something changes');
  assert.ok(Object.isFrozen(it.client.me) && Object.isFrozen(it.client.pending));
  assert.equal(before?.sign, '');
  await answer(it, mine(9, { sign: 'x' }));
  assert.equal(await call, it.client.me);
  assert.deepEqual([it.client.me?.version, it.client.pending, it.client.snapshot.pending], [9, undefined, undefined]);
  assert.deepEqual(heard(it).slice(1), ['x pending', 'x reply']);
  assert.deepEqual(snapshots.map(({ me, pending }) => [me?.version, me?.sign, !!pending]), [[1, 'x', true], [9, 'x', false]], 'one change for each');
});

test('a refused one is taken back, and the profile is the object that it was', async () => {
  const it = await live([]);
  const before = it.client.me;
  const call = ending(it.client.updateMyInfo({ birth: 'tomorrow', sign: 'x' }, { optimistic: true }));
  assert.equal(it.client.me?.birth, 'tomorrow');
  await answer(it, 414);
  assert.deepEqual([call.how, it.client.pending], ['INVALID_ARGUMENT', undefined]);
  assert.equal(it.client.me, before);
  assert.deepEqual(heard(it).slice(1), ['x pending', ' rollback']);
});

test('without being asked for, nothing shows before the answer', async () => {
  const it = await live([]);
  void it.client.updateMyInfo({ sign: 'x' });
  assert.deepEqual([it.client.me?.sign, it.client.pending, heard(it).length], ['', undefined, 1]);
});

test('two at once: the later one covers the earlier, and stays if that is refused', async () => {
  const it = await live([]);
  const first = ending(it.client.updateMyInfo({ sign: '1', tel: '1' }, { optimistic: true }));
  const { id } = it.socket.last('updateMyInfo');
  const second = ending(it.client.updateMyInfo({ sign: '2' }, { optimistic: true }));
  assert.deepEqual(it.client.pending, { sign: '2', tel: '1' });
  it.socket.gives({ id, error: { code: 414, reason: 'INVALID_ARGUMENT', message: 'no' } });
  await settle();
  assert.deepEqual([first.how, second.how, it.client.me?.sign, it.client.me?.tel, it.client.pending], ['INVALID_ARGUMENT', undefined, '2', '', { sign: '2' }]);
});

test('what another device writes meanwhile shows beneath it', async () => {
  const it = await live([]);
  const call = ending(it.client.updateMyInfo({ sign: 'x' }, { optimistic: true }));
  it.socket.gives({ changes: { me: mine(7, { sign: 'theirs', nick: 'Ally' }), cursor: 'e-7' } });
  assert.deepEqual([it.client.me?.sign, it.client.me?.nick, it.client.me?.version], ['x', 'Ally', 7]);
  assert.deepEqual(heard(it).slice(1), ['x pending', 'x update']);
  await answer(it, 414);
  assert.deepEqual([call.how, it.client.me?.sign, it.client.me?.nick], ['INVALID_ARGUMENT', 'theirs', 'Ally']);
});

test('one that is not answered in time, or whose answer was lost and that is superseded, is taken back', async () => {
  const it = await live([], { requestTimeoutMs: 30_000 });
  const call = ending(it.client.updateMyInfo({ sign: 'x' }, { optimistic: true }));
  await lose(it);
  assert.equal(it.client.me?.sign, 'x', 'nobody knows yet');
  await login(it, mine(9, { sign: 'theirs' }));
  assert.deepEqual([call.how, it.client.me?.sign, it.client.pending], ['SUPERSEDED', 'theirs', undefined]);
  const late = ending(it.client.updateMyInfo({ sign: 'y' }, { optimistic: true }));
  let changes = 0;
  it.client.on('change', () => void changes++);
  for (let i = 0; i < 30 && !late.how; i++) {
    it.socket.gives({});
    await pass(1_000);
  }
  assert.deepEqual([late.how, it.client.me?.sign, changes], ['TIMEOUT', 'theirs', 1]);
});

test('what the store keeps is what the gateway has confirmed', async () => {
  const store = new MemoryStore();
  const it = await live([], { store });
  void it.client.updateMyInfo({ sign: 'x' }, { optimistic: true }).catch(() => {});
  it.socket.gives({ changes: { me: mine(7, { nick: 'Ally' }), cursor: 'e-7' } });
  await settle();
  const stored = await store.load(key());
  assert.deepEqual([stored?.me?.sign, stored?.me?.nick, stored?.kept], ['', 'Ally', []]);
});

test('a kept change waits for a connection as long as that takes, and is sent for its version only', async () => {
  const it = await live([]);
  it.socket.ends(1006);
  const call = ending(it.client.updateMyInfo({ sign: 'offline' }, { keep: true }));
  assert.deepEqual([it.client.me?.sign, it.client.pending], ['offline', { sign: 'offline' }]);
  await pass(20_000);
  await lose(it);
  await login(it, mine(1));
  assert.deepEqual(updates(it), [{ sign: 'offline', ifVersion: 1 }]);
  await answer(it, mine(9, { sign: 'offline' }));
  assert.deepEqual([call.how, it.client.me?.version, it.client.pending], ['done', 9, undefined]);
});

test('while live a kept change is sent at once, and another device that was faster wins', async () => {
  const it = await live([]);
  const call = ending(it.client.updateMyInfo({ sign: 'x' }, { keep: true }));
  assert.deepEqual(updates(it), [{ sign: 'x', ifVersion: 1 }]);
  await answer(it, 412);
  assert.deepEqual([call.how, it.client.me?.sign], [undefined, 'x'], 'what was faster has not come yet');
  it.socket.gives({ changes: { me: mine(9, { sign: 'newer' }), cursor: 'e-9' } });
  await settle();
  assert.deepEqual([call.how, it.client.me?.sign], ['SUPERSEDED', 'newer']);
});

/** Makes changes without a connection and ends, as a page that is closed. */
async function leaves(store: MemoryStore, ...signs: string[]): Promise<void> {
  const it = await live([], { store });
  it.socket.ends(1006);
  for (const sign of signs) it.client.updateMyInfo({ sign }, { keep: true }).catch(() => {});
  await settle();
  assert.deepEqual(await kept(store), signs.map((sign) => ({ fields: { sign }, version: 1 })));
}

/** A client that begins with what the store has. */
async function returns(store: MemoryStore): Promise<Rig> {
  const it = rig({ store });
  void it.client.connect();
  for (let i = 0; i < 50 && !it.sockets.length; i++) await settle();
  return it;
}

test('over a restart: it shows from the cache on, is sent once, and leaves the store', async () => {
  const store = new MemoryStore();
  await leaves(store, 'offline');
  const it = await returns(store);
  assert.deepEqual([heard(it), it.client.pending], [['offline cache'], { sign: 'offline' }]);
  await login(it, mine(1));
  assert.deepEqual(updates(it), [{ sign: 'offline', ifVersion: 1 }]);
  await answer(it, mine(9, { sign: 'offline' }));
  assert.deepEqual([it.client.me?.version, it.client.pending, it.of('error')], [9, undefined, []]);
  assert.deepEqual(await kept(store), []);
});

test('over a restart: superseded if another device has written meanwhile, and done if it is in effect', async () => {
  const store = new MemoryStore();
  await leaves(store, 'offline');
  let it = await returns(store);
  await login(it, mine(9, { sign: 'theirs' }));
  assert.deepEqual([updates(it), it.client.me?.sign, it.client.pending], [[], 'theirs', undefined]);
  assert.deepEqual(it.of('error').map(([error]) => error.reason), ['SUPERSEDED']);
  assert.deepEqual(await kept(store), []);
  const other = new MemoryStore();
  await leaves(other, 'offline');
  it = await returns(other);
  await login(it, mine(9, { sign: 'offline' }));
  assert.deepEqual([updates(it), it.client.me?.version, it.client.pending, it.of('error')], [[], 9, undefined, []]);
});

test('over a restart: several go one after the other, each for the version that the one before made', async () => {
  const store = new MemoryStore();
  await leaves(store, '1', '2');
  let it = await returns(store);
  assert.equal(it.client.me?.sign, '2');
  await login(it, mine(1));
  await answer(it, mine(9, { sign: '1' }));
  assert.deepEqual([it.client.me?.sign, it.client.pending], ['2', { sign: '2' }]);
  assert.deepEqual(updates(it), [{ sign: '1', ifVersion: 1 }, { sign: '2', ifVersion: 9 }]);
  // The page ends before the second is answered.
  assert.deepEqual(await kept(store), [{ fields: { sign: '2' }, version: 9 }]);
  it = await returns(store);
  await login(it, mine(9, { sign: '1' }));
  assert.deepEqual(updates(it), [{ sign: '2', ifVersion: 9 }]);
});

test('a full sync clears the store, but not of what is kept', async () => {
  const store = new MemoryStore();
  await leaves(store, 'offline');
  const it = await returns(store);
  await login(it, mine(1), 'full');
  assert.deepEqual(await kept(store), [{ fields: { sign: 'offline' }, version: 1 }]);
  await answer(it, mine(9, { sign: 'offline' }));
  assert.deepEqual(await kept(store), []);
});

test('the end of the client does not end a kept change, but a refusal does', async () => {
  const it = await live([]);
  const call = ending(it.client.updateMyInfo({ birth: 'tomorrow' }, { keep: true }));
  const gone = it.client.disconnect();
  void it.client.connect();
  await gone;
  await settle();
  assert.deepEqual([call.how, it.client.me?.birth], ['DISCONNECTED', 'tomorrow']);
  await login(it, mine(1));
  assert.deepEqual(updates(it), [{ birth: 'tomorrow', ifVersion: 1 }]);
  await answer(it, 414);
  assert.deepEqual([it.of('error').at(-1)?.[0].reason, it.client.me?.birth, it.client.pending], ['INVALID_ARGUMENT', '', undefined]);
});

test('made before anything is known, it rests on the first catch-up, and what the store has comes first', async () => {
  const store = new MemoryStore();
  await leaves(store, 'older');
  mock.timers.tick(1);
  const it = rig({ store });
  const call = ending(it.client.updateMyInfo({ tel: '7' }, { keep: true }));
  void it.client.connect();
  for (let i = 0; i < 50 && !it.sockets.length; i++) await settle();
  assert.deepEqual([it.client.me?.sign, it.client.me?.tel], ['older', '7']);
  assert.deepEqual(await kept(store), [{ fields: { sign: 'older' }, version: 1 }, { fields: { tel: '7' }, version: undefined }]);
  await login(it, mine(1));
  await answer(it, mine(9, updates(it).at(-1)));
  await answer(it, mine(10, { sign: 'older', tel: '7' }));
  assert.deepEqual([call.how, it.client.me?.sign, it.client.me?.tel, it.client.pending], ['done', 'older', '7', undefined]);
});

test('a kept change waits for one of this client that is under way', async () => {
  const it = await live([]);
  const first = ending(it.client.updateMyInfo({ tel: '1' }));
  const second = ending(it.client.updateMyInfo({ sign: 'x' }, { keep: true }));
  assert.deepEqual(updates(it), [{ tel: '1' }]);
  await answer(it, mine(5, { tel: '1' }));
  assert.deepEqual(updates(it), [{ tel: '1' }, { sign: 'x', ifVersion: 5 }]);
  await answer(it, mine(6, { tel: '1', sign: 'x' }));
  assert.deepEqual([first.how, second.how], ['done', 'done']);
});

test('pages that share a store keep their changes side by side', async () => {
  const store = new MemoryStore();
  const pages = [await live([], { store }), await live([], { store })];
  for (const [n, it] of pages.entries()) {
    it.socket.ends(1006);
    it.client.updateMyInfo({ [n ? 'sign' : 'tel']: '7' }, { keep: true }).catch(() => {});
    mock.timers.tick(1);
  }
  await settle();
  assert.deepEqual(await kept(store), [{ fields: { tel: '7' }, version: 1 }, { fields: { sign: '7' }, version: 1 }]);
  await login(await again(pages[0] as Rig), mine(1));
  await answer(pages[0] as Rig, mine(9, { tel: '7' }));
  assert.deepEqual(await kept(store), [{ fields: { sign: '7' }, version: 1 }]);
});

test('logout with forget drops it', async () => {
  const store = new MemoryStore();
  await leaves(store, 'offline');
  const it = await returns(store);
  await it.client.logout({ forget: true });
  assert.deepEqual([it.client.me, it.client.pending, await store.load(key())], [undefined, undefined, undefined]);
});
