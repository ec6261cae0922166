// One suite for all stores, and the client's reaction to failing ones.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import { IndexedDbStore, MemoryStore, RosterdClient } from '../../src/index.js';
import type { Change, Friend, RosterdError, Store, Stored, User } from '../../src/index.js';
import { block, friend, key, live, pass, request, rig, settle, user } from './rig.js';

const sorted = (stored: Stored | undefined): unknown => stored && {
  me: stored.me, cursor: stored.cursor,
  users: stored.users.map((u: User) => `${u.account} ${u.version}`).sort(),
  friends: stored.friends.map((f: Friend) => `${f.account} ${f.version}`).sort(),
  requests: stored.requests.map((r) => `${r.account} ${r.direction} ${r.version}`).sort(),
  blocks: stored.blocks.map((b) => `${b.account} ${b.version}`).sort(),
};

const none = { requests: [], blocks: [] };
const nothing = { me: undefined, cursor: undefined, users: [], friends: [], ...none };
let accounts = 0;

for (const [name, make] of [['memory', () => new MemoryStore()], ['IndexedDB', () => new IndexedDbStore()]] as const) {
  describe(name, () => {
    const fresh = (): [Store, string] => [make(), `account-${++accounts}`];
    const filled = async (): Promise<[Store, string]> => {
      const [store, account] = fresh();
      await store.save(account, { me: user('alice', 1), users: [user('bob', 2), user('carol', 3)], friends: [friend('bob', 5), friend('carol', 6)], cursor: 'c1' });
      return [store, account];
    };

    test('what is saved is loaded', async () => {
      const [store, account] = await filled();
      assert.deepEqual(sorted(await store.load(account)), { me: user('alice', 1), cursor: 'c1', users: ['bob 2', 'carol 3'], friends: ['bob 5', 'carol 6'], ...none });
    });

    test('a new store is empty', async () => {
      const [store, account] = fresh();
      assert.deepEqual(sorted(await store.load(account)) ?? nothing, nothing);
    });

    test('a change keeps records that it does not name', async () => {
      const [store, account] = await filled();
      await store.save(account, { users: [user('bob', 9)] });
      assert.deepEqual(sorted(await store.load(account)), { me: user('alice', 1), cursor: 'c1', users: ['bob 9', 'carol 3'], friends: ['bob 5', 'carol 6'], ...none });
      await store.save(account, { cursor: 'c2' });
      assert.equal((await store.load(account))?.cursor, 'c2');
      await store.save(account, { cursor: null });
      assert.equal((await store.load(account))?.cursor, undefined);
    });

    test('changes that wait are kept by id, in its order, until they wait no more, and not cleared with the rest', async () => {
      const [store, account] = await filled();
      const [first, second] = [{ id: 1.5, fields: { sign: 'x' }, version: 1 }, { id: 10.25, fields: { tel: '1' }, version: 1 }];
      await store.save(account, { kept: [first] });
      await store.save(account, { kept: [second], users: [user('bob', 9)] });
      assert.deepEqual((await store.load(account))?.kept, [first, second]);
      await store.save(account, { clear: true, cursor: 'c9' });
      assert.deepEqual(sorted(await store.load(account)), { ...nothing, cursor: 'c9' });
      await store.save(account, { kept: [{ id: 1.5 }, { ...second, version: 9 }] });
      assert.deepEqual((await store.load(account))?.kept, [{ ...second, version: 9 }]);
      await store.wipe(account);
      assert.deepEqual((await store.load(account))?.kept ?? [], []);
    });

    test('clear applies first, then removals, then additions', async () => {
      const [store, account] = await filled();
      await store.save(account, { removed: ['bob', 'carol', 'zoe'], users: [user('bob', 2)], friends: [friend('bob', 9)] });
      assert.deepEqual(sorted(await store.load(account)), { me: user('alice', 1), cursor: 'c1', users: ['bob 2'], friends: ['bob 9'], ...none });
      await store.save(account, { clear: true, users: [user('dave', 1)], cursor: 'c3' });
      assert.deepEqual(sorted(await store.load(account)), { me: undefined, cursor: 'c3', users: ['dave 1'], friends: [], ...none });
    });

    test('requests are kept by account and direction while open, blocks while in force', async () => {
      const [store, account] = await filled();
      const requests = [request('erin', 'in', 7), request('erin', 'out', 8), request('zoe', 'in', 9)];
      await store.save(account, { requests, blocks: [block('mallory', 10), block('trudy', 11)], cursor: 'c11' });
      const lists = async (): Promise<unknown> => {
        const { requests, blocks, cursor } = sorted(await store.load(account)) as any;
        return [requests, blocks, cursor];
      };
      assert.deepEqual(await lists(), [['erin in 7', 'erin out 8', 'zoe in 9'], ['mallory 10', 'trudy 11'], 'c11']);
      // The end of bob's friendship does not affect these.
      await store.save(account, { removed: ['erin', 'trudy'], requests: [request('erin', 'in', 12, 'accepted'), request('nobody', 'in', 13, 'expired')], blocks: [block('trudy', 14, true), block('nobody', 15, true)], cursor: 'c15' });
      assert.deepEqual(await lists(), [['erin out 8', 'zoe in 9'], ['mallory 10'], 'c15']);
      await store.save(account, { clear: true, requests: [request('zoe', 'in', 1)], cursor: 'd1' });
      assert.deepEqual(await lists(), [['zoe in 1'], [], 'd1']);
    });

    test('accounts are separate, also those that differ in case', async () => {
      const [store, account] = await filled();
      await store.save(account.toUpperCase(), { cursor: 'other' });
      assert.equal((await store.load(account))?.cursor, 'c1');
      await store.wipe(account.toUpperCase());
      assert.equal((await store.load(account))?.cursor, 'c1');
    });

    test('a wiped account is empty, and can be filled again', async () => {
      const [store, account] = await filled();
      await store.wipe(account);
      assert.deepEqual(sorted(await store.load(account)) ?? nothing, nothing);
      await store.save(account, { cursor: 'c4' });
      assert.equal((await store.load(account))?.cursor, 'c4');
    });

    test('three thousand friends', async () => {
      const [store, account] = fresh();
      const names = Array.from({ length: 3_000 }, (_, i) => `friend-${i}`);
      await store.save(account, { clear: true, users: names.map((n) => user(n, 1)), friends: names.map((n) => friend(n, 2)), cursor: 'big' });
      const loaded = await store.load(account);
      assert.deepEqual([loaded?.users.length, loaded?.friends.length, loaded?.cursor], [3_000, 3_000, 'big']);
    });
  });
}

describe('IndexedDB alone', () => {
  const answer = <T>(it: IDBRequest<T>): Promise<T> => new Promise((resolve, reject) => {
    it.onsuccess = () => resolve(it.result);
    it.onerror = () => reject(it.error);
  });

  test('a change that fails in the middle is not made at all', async () => {
    const store = new IndexedDbStore();
    await store.save('atomic', { users: [user('bob', 2)], cursor: 'c1' });
    const names = Array.from({ length: 600 }, (_, i) => user(`u${i}`, 1));
    // A value that is no JSON cannot be stored; this one is in the third text.
    await assert.rejects(store.save('atomic', { removed: ['bob'], users: [...names, { ...user('bad', 1), nick: 1n as never }], cursor: 'c2' }));
    assert.deepEqual(sorted(await store.load('atomic')), { me: undefined, cursor: 'c1', users: ['bob 2'], friends: [], ...none });
  });

  test('a database of a newer layout is replaced', async () => {
    const newer = indexedDB.open('rosterd:newer', 99);
    newer.onupgradeneeded = () => newer.result.createObjectStore('something');
    (await answer(newer)).close();
    const store = new IndexedDbStore();
    await store.save('newer', { cursor: 'c1' });
    assert.equal((await store.load('newer'))?.cursor, 'c1');
  });

  /** Creates a database of the first layout, with records and their cursor. */
  async function firstLayout(account: string): Promise<IDBDatabase> {
    const opening = indexedDB.open(`rosterd:${account}`, 1);
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore('users', { keyPath: 'account' }).put(user('bob', 2));
      opening.result.createObjectStore('friends', { keyPath: 'account' }).put(friend('bob', 5));
      opening.result.createObjectStore('meta').put('c1', 'cursor');
    };
    return answer(opening);
  }

  test('a database of the first layout is emptied: its cursor does not cover requests and blocks', async () => {
    (await firstLayout('older')).close();
    const store = new IndexedDbStore();
    assert.deepEqual(sorted(await store.load('older')), nothing);
    await store.save('older', { requests: [request('erin', 'in', 7)], blocks: [block('trudy', 8)], cursor: 'c8' });
    assert.deepEqual(sorted(await store.load('older')), { ...nothing, cursor: 'c8', requests: ['erin in 7'], blocks: ['trudy 8'] });
  });

  test('a database of the second layout is emptied, but what the user has changed offline waits on', async () => {
    const edit = { id: 1.5, fields: { sign: 'x' }, version: 1 };
    const opening = indexedDB.open('rosterd:second', 2);
    opening.onupgradeneeded = () => {
      for (const name of ['users', 'friends', 'blocks']) opening.result.createObjectStore(name, { keyPath: 'account' });
      opening.result.createObjectStore('requests', { keyPath: ['account', 'direction'] });
      const meta = opening.result.createObjectStore('meta');
      for (const [name, value] of [['me', user('second', 1)], ['cursor', 'c1'], [edit.id, edit]] as const) meta.put(value, name);
    };
    (await answer(opening)).close();
    const stored = await new IndexedDbStore().load('second');
    assert.deepEqual([sorted(stored), stored?.kept], [nothing, [edit]]);
  });

  /** Returns the texts of a database. */
  async function texts(account: string): Promise<string[]> {
    const database = await answer(indexedDB.open(`rosterd:${account}`));
    const all = await answer(database.transaction('changes').objectStore('changes').getAll());
    database.close();
    return all;
  }

  test('a long list is a few texts, and a change is one more until there are many', async () => {
    const store = new IndexedDbStore();
    const names = Array.from({ length: 1_000 }, (_, i) => `friend-${i}`);
    await store.save('texts', { clear: true, users: names.map((n) => user(n, 1)), friends: names.map((n) => friend(n, 2)), cursor: 'big' });
    assert.equal((await texts('texts')).length, 4);
    let most = 0;
    for (let i = 0; i < 300; i++) {
      await store.save('texts', { users: [user('friend-7', i + 2)], cursor: `c${i}` });
      most = Math.max(most, (await texts('texts')).length);
    }
    assert.equal(most, 256);
    assert.ok((await texts('texts')).length < 100, 'they became one change again');
    const loaded = await store.load('texts');
    assert.deepEqual([loaded?.users.map(({ account }) => account), loaded?.users[7]?.version, loaded?.friends.length, loaded?.cursor], [names, 301, 1_000, 'c299']);
  });

  test('whatever is saved, in any order: the same as in memory', async () => {
    let seed = 7;
    const any = <T>(of: readonly T[]): T => of[(seed = (seed * 48_271) % 2_147_483_647) % of.length] as T;
    const names = ['bob', 'carol', 'dave', 'erin', 'frank'];
    const [store, memory] = [new IndexedDbStore(), new MemoryStore()];
    for (let i = 1; i < 600; i++) {
      const change: Change = any<Change>([
        { users: [user(any(names), i)] }, { friends: [friend(any(names), i)], users: [user(any(names), i)] }, { removed: [any(names), any(names)] },
        { requests: [request(any(names), any(['in', 'out']), i, any(['open', 'rejected', 'accepted']))] }, { blocks: [block(any(names), i, any([true, false]))] },
        { me: user('random', i), cursor: any([`c${i}`, null]) }, { kept: [any([{ id: i, fields: { sign: 'x' }, version: i }, { id: i - 1 }])] },
        ...(i % 97 ? [] : [{ clear: true, users: [user('zoe', i)], cursor: 'new' }]),
      ]);
      for (const each of [store, memory]) await each.save('random', change);
      if (i % 20) continue;
      const [stored, expected] = [await store.load('random'), await memory.load('random')].map((stored) => {
        // One that ended and began anew may be in another place.
        const text = (record: object): string => JSON.stringify(record);
        return { ...JSON.parse(JSON.stringify(stored)), requests: stored?.requests.map(text).sort(), blocks: stored?.blocks.map(text).sort() };
      });
      assert.deepEqual(stored, expected);
    }
  });

  test('a text that is damaged is damage: nothing of it is used, and all is fetched again', async () => {
    await new IndexedDbStore().save(key('torn'), { users: [user('bob', 2)], cursor: 'c1' });
    const database = await answer(indexedDB.open(`rosterd:${key('torn')}`));
    const transaction = database.transaction('changes', 'readwrite');
    transaction.objectStore('changes').add('{"users":[');
    await new Promise((resolve) => (transaction.oncomplete = resolve));
    database.close();
    const it = rig({ account: 'torn', store: 'auto' });
    void it.client.connect();
    for (let i = 0; i < 50 && !it.sockets.length; i++) await settle();
    assert.deepEqual([it.of('error')[0]?.[0].reason, it.of('users')], ['STORE', []]);
    it.socket.open();
    assert.equal(it.socket.last('login').login.cursor, undefined);
    await it.client.logout({ forget: true });
  });

  test('a page with the first layout open closes it', async () => {
    const old = await firstLayout('both');
    old.onversionchange = () => old.close();
    assert.deepEqual(sorted(await new IndexedDbStore().load('both')), nothing);
  });

  test('requests and blocks go with the change that fails', async () => {
    const store = new IndexedDbStore();
    await store.save('whole', { requests: [request('erin', 'in', 7)], cursor: 'c7' });
    await assert.rejects(store.save('whole', { requests: [request('erin', 'in', 8, 'rejected')], blocks: [{ ...block('trudy', 9), createTime: 1n as never }], cursor: 'c9' }));
    assert.deepEqual(sorted(await store.load('whole')), { ...nothing, cursor: 'c7', requests: ['erin in 7'] });
  });

  test('another page that wipes the account does not wait, and nothing comes back', async () => {
    const here = new IndexedDbStore();
    await here.save('shared', { users: [user('bob', 2)], cursor: 'c1' });
    const there = new IndexedDbStore();
    await there.load('shared');
    await there.wipe('shared');
    await settle();
    await assert.rejects(here.save('shared', { users: [user('bob', 3)], cursor: 'c2' }));
    assert.deepEqual(sorted(await new IndexedDbStore().load('shared')), nothing);
  });

  test('an open without an answer is given up', async () => {
    const own = indexedDB.open;
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      indexedDB.open = () => ({}) as never;
      const loading = assert.rejects(new IndexedDbStore().load('silent'));
      mock.timers.tick(3_000);
      await loading;
    } finally {
      indexedDB.open = own;
      mock.timers.reset();
    }
  });
});

describe('the client and its store', () => {
  const auto = async (account: string, check: (it: ReturnType<typeof rig>) => Promise<void>): Promise<void> => {
    const it = rig({ account, store: 'auto' });
    void it.client.connect();
    for (let i = 0; i < 50 && !it.sockets.length; i++) await settle();
    await check(it);
    await it.client.disconnect();
  };

  test('auto is IndexedDB: records and cursor are there at the next start', async () => {
    await auto('auto', async (it) => {
      it.socket.full([user('bob', 2)], 'c7', { account: 'auto' });
    });
    await auto('auto', async (it) => {
      assert.deepEqual(it.of('users'), [[[user('bob', 2)], 'cache']]);
      it.socket.open();
      assert.equal(it.socket.last('login').login.cursor, 'c7');
      await it.client.logout({ forget: true });
    });
    assert.ok(!(await indexedDB.databases()).some(({ name }) => name?.startsWith('rosterd:auto')));
  });

  test('invalid records are dropped and fetched again', async () => {
    await new IndexedDbStore().save(key('damaged'), { users: [{ account: 'bob', version: 'x' } as never], cursor: 'c1' });
    await auto('damaged', async (it) => {
      assert.equal(it.of('error')[0]?.[0].reason, 'STORE');
      assert.deepEqual(it.of('users'), []);
      it.socket.open();
      assert.equal(it.socket.last('login').login.cursor, undefined);
      it.socket.full([user('bob', 2)], 'c2', { account: 'damaged' });
    });
    assert.equal((await new IndexedDbStore().load(key('damaged')))?.cursor, 'c2');
  });

  for (const [what, spoilt] of [['a request without a version', { requests: [{ account: 'erin', direction: 'in' }] }], ['a block without an account that is one', { blocks: [{ account: 7, version: 1 }] }]] as const) {
    test(`${what} also counts as damage`, async () => {
      const store = new MemoryStore();
      const whole = { load: async () => ({ users: [], friends: [], requests: [], blocks: [], cursor: 'c1', ...(spoilt as object) }), save: store.save.bind(store), wipe: store.wipe.bind(store) };
      const it = await live([user('bob', 2)], { store: whole });
      assert.deepEqual(it.of('error').map(([{ reason }]) => reason), ['STORE']);
      assert.equal(it.socket.last('login').login.cursor, undefined);
      assert.deepEqual([it.client.requests, it.client.blocks.size], [[], 0]);
      await it.client.disconnect();
    });
  }

  test('a store from before requests and blocks is filled again', async () => {
    const older = { load: async () => ({ users: [user('bob', 2)], friends: [friend('bob', 5)], cursor: 'c1' }) as never, save: async () => {}, wipe: async () => {} };
    const it = await live([user('bob', 2)], { store: older });
    assert.equal(it.socket.last('login').login.cursor, undefined);
    assert.equal(it.client.users.size, 1);
    await it.client.disconnect();
  });

  test('forbidden storage: memory', async () => {
    const own = Object.getOwnPropertyDescriptor(globalThis, 'indexedDB') as PropertyDescriptor;
    Object.defineProperty(globalThis, 'indexedDB', { configurable: true, get() { throw new DOMException('no', 'SecurityError'); } });
    try {
      const it = await live([user('bob', 2)], { store: 'auto' });
      assert.equal(it.client.users.size, 1);
      await it.client.disconnect();
    } finally {
      Object.defineProperty(globalThis, 'indexedDB', own);
    }
  });

  for (const broken of ['load', 'save', 'wipe', 'everything'] as const) {
    test(`a store whose ${broken} fails: reported once, and memory from then on`, async () => {
      const calls: string[] = [];
      const method = (name: string, result?: unknown) => async (): Promise<any> => {
        calls.push(name);
        if (broken === name || broken === 'everything') throw new DOMException('full', 'QuotaExceededError');
        return result;
      };
      const store = { load: method('load'), save: method('save'), wipe: method('wipe') };
      const it = await live([user('bob', 2)], { store });
      await settle();
      it.socket.gives({ changes: { users: [user('bob', 8)], cursor: 'e-8' } });
      await settle();
      assert.equal(it.client.users.get('bob')?.version, 8);
      assert.equal(it.client.state, 'live');
      it.socket.ends(1006);
      const leaving = it.client.logout({ forget: true }).then(() => undefined, (error: RosterdError) => `${error.code} ${error.reason}`);
      assert.equal(await leaving, broken === 'wipe' || broken === 'everything' ? '500 STORE' : undefined);
      const reported = broken !== 'wipe';
      const errors = it.of('error').map(([{ code, reason }]) => `${code} ${reason}`);
      assert.ok(errors.length >= (reported ? 1 : 0) && errors.every((e) => e === '500 STORE'), String(errors));
      if (broken === 'save') assert.equal(calls.filter((name) => name === 'save').length, 1, 'a store that failed is left alone');
    });
  }

  test('logout with forget wipes a store that failed before, and tries again when the wipe fails', async () => {
    const memory = new MemoryStore();
    let fails = 2;
    const store: Store = {
      load: (key) => memory.load(key),
      save: async (key, change) => {
        await memory.save(key, change);
        throw new DOMException('full', 'QuotaExceededError');
      },
      wipe: async (key) => {
        if (fails-- > 0) throw new DOMException('busy', 'AbortError');
        await memory.wipe(key);
      },
    };
    const it = await live([user('bob', 2)], { store });
    assert.equal(it.of('error')[0]?.[0].reason, 'STORE');
    assert.equal((await memory.load(key()))?.users.length, 1);
    it.socket.ends(1006);
    const leaving = it.client.logout({ forget: true });
    await leaving;
    assert.equal(fails, -1);
    assert.equal(await memory.load(key()), undefined);
  });

  test("another gateway's records of an account of that name are others", async () => {
    for (const store of [new MemoryStore(), new IndexedDbStore()]) {
      const here = await live([user('bob', 2)], { store });
      await settle();
      await here.client.disconnect();
      const there = rig({ store, url: 'ws://other/v1/ws' });
      void there.client.connect();
      for (let i = 0; i < 50 && !there.sockets.length; i++) await settle();
      assert.deepEqual([there.of('users'), there.client.me], [[], undefined]);
      there.socket.full([user('zoe', 9)], 'z-9');
      await settle();
      // Forgetting one leaves the other.
      await there.client.logout({ forget: true });
      assert.equal((await store.load(key()))?.cursor, 'e-1');
      await store.wipe(key());
    }
  });

  test('a listener cannot change a record in place: neither what is held nor what is stored', async () => {
    const store = new MemoryStore();
    const spoil = (record: object | undefined): void => assert.throws(() => Object.assign(record ?? {}, { nick: 'spoilt', alias: 'spoilt', message: 'spoilt', createTime: 7 }), TypeError);
    const check = async (): Promise<void> => {
      const it = rig({ store });
      let heard = 0;
      const each = (records: readonly object[]): void => records.forEach((record) => (heard++, spoil(record)));
      it.client.on('me', (me) => each([me]));
      it.client.on('userUpdated', (user) => each([user]));
      for (const event of ['users', 'friends', 'requests', 'blocks', 'presence'] as const) it.client.on(event, each as never);
      it.client.on('sessions', (sessions) => each([...sessions, ...sessions.map(({ device }) => device)]));
      void it.client.connect();
      await settle();
      it.socket.full([user('bob', 2)]);
      it.socket.gives({ changes: { me: user('alice', 3), users: [user('bob', 6)], requests: [request('erin', 'in', 7)], blocks: [block('trudy', 8)], cursor: 'c8' } });
      it.socket.gives({ presence: { users: [{ account: 'bob', online: true, lastSeen: 1 }] } });
      it.socket.gives({ sessions: { sessions: [{ session: 's', device: { id: '', type: '', tag: '' }, connectedAt: 1, current: true }] } });
      assert.ok(heard >= 10, String(heard));
      await it.client.disconnect();
      assert.deepEqual(await store.load(key()), { me: user('alice', 3), users: [user('bob', 6)], friends: [friend('bob', 5)], requests: [request('erin', 'in', 7)], blocks: [block('trudy', 8)], cursor: 'c8', kept: [] });
    };
    await check();
    // The second time the records also come from the store.
    await check();
  });

  test('a store may go on using the records it gave', async () => {
    const mine = { ...user('bob', 2) };
    const store = { load: async () => ({ users: [mine], friends: [friend('bob', 5)], requests: [], blocks: [], cursor: 'c1' }), save: async () => {}, wipe: async () => {} };
    const it = rig({ store });
    void it.client.connect();
    await settle();
    mine.nick = 'other';
    assert.equal(it.client.users.get('bob')?.nick, 'bob');
    await it.client.disconnect();
  });

  for (const broken of ['load', 'save', 'wipe'] as const) {
    test(`a store whose ${broken} never settles: everything else does`, async () => {
      mock.timers.enable({ apis: ['setTimeout', 'Date'] });
      try {
        const method = (name: string) => (): Promise<undefined> => (name === broken ? new Promise(() => {}) : Promise.resolve(undefined));
        const it = rig({ store: { load: method('load'), save: method('save'), wipe: method('wipe') } });
        const connected = it.client.connect();
        if (broken === 'load') await pass(10_000);
        await settle();
        it.socket.full([user('bob', 2)]);
        await connected;
        const disconnecting = it.client.disconnect();
        await pass(5_000);
        await disconnecting;
        await pass(25_000);
        assert.deepEqual(it.of('error').map(([{ reason }]) => reason), broken === 'wipe' ? [] : ['STORE']);
        const leaving = it.client.logout({ forget: true }).then(() => undefined, ({ reason }: RosterdError) => reason);
        for (let i = 0; i < 6; i++) await pass(10_000);
        assert.equal(await leaving, broken === 'wipe' ? 'STORE' : undefined);
      } finally {
        mock.timers.reset();
      }
    });
  }

  test('logout with forget in one page reaches the others', async () => {
    const [here, there] = [rig({ account: 'pages', store: 'auto' }), rig({ account: 'pages', store: 'auto' })];
    for (const it of [here, there]) {
      void it.client.connect();
      for (let i = 0; i < 50 && !it.sockets.length; i++) await settle();
      it.socket.full([user('bob', 2)], 'c7', { account: 'pages' });
    }
    await settle();
    here.socket.ends(1006);
    const leaving = here.client.logout({ forget: true });
    for (let i = 0; i < 50 && there.client.state !== 'disconnected'; i++) await settle();
    await leaving;
    assert.deepEqual(there.of('disconnected').map(([{ reason, willReconnect }]) => [reason, willReconnect]), [['FORGOTTEN', false]]);
    assert.deepEqual([there.client.me, there.client.users.size, there.client.friends.size], [undefined, 0, 0]);
    assert.ok(!(await indexedDB.databases()).some(({ name }) => name?.includes('pages')));
    // The other page can log in again, and keeps what it gets.
    void there.client.connect();
    for (let i = 0; i < 50 && there.sockets.length < 2; i++) await settle();
    there.socket.open();
    assert.equal(there.socket.last('login').login.cursor, undefined);
    there.socket.full([user('bob', 2)], 'c8', { account: 'pages' });
    await there.client.disconnect();
    assert.deepEqual(there.of('error'), []);
    await there.client.logout({ forget: true });
  });

  test('writes are merged while one is running, and nothing is lost or reordered', async () => {
    const memory = new MemoryStore();
    let release = (): void => {};
    let saves = 0;
    const store: Store = {
      load: (a) => memory.load(a),
      wipe: (a) => memory.wipe(a),
      save: async (account, change) => {
        saves++;
        await new Promise<void>((resolve) => (release = resolve));
        await memory.save(account, change);
      },
    };
    const it = await live([user('bob', 2), user('carol', 3)], { store });
    it.socket.gives({ changes: { users: [user('bob', 8)], cursor: 'e-8' } });
    it.socket.gives({ changes: { users: [user('carol', 9)], removed: ['bob'], cursor: 'e-9' } });
    it.socket.gives({ changes: { users: [user('bob', 8)], friends: [friend('bob', 10)], removed: ['carol'], cursor: 'e-10' } });
    release();
    await settle();
    assert.equal((await memory.load(key()))?.cursor, 'e-1');
    release();
    await settle();
    assert.equal(saves, 2);
    assert.deepEqual(sorted(await memory.load(key())), { me: user('alice', 1), cursor: 'e-10', users: ['bob 8'], friends: ['bob 10'], ...none });
    await it.client.disconnect();
  });

  test('a full sync replaces stored records and pending writes', async () => {
    const memory = new MemoryStore();
    let release = (): void => {};
    const store: Store = {
      load: (a) => memory.load(a), wipe: (a) => memory.wipe(a),
      save: async (account, change) => {
        await new Promise<void>((resolve) => (release = resolve));
        await memory.save(account, change);
      },
    };
    const it = await live([user('bob', 2), user('carol', 3)], { store });
    it.socket.gives({ changes: { users: [user('bob', 8)], cursor: 'e-8' } });
    it.client.cut();
    void it.client.connect(); // This ends the wait.
    await settle();
    it.socket.full([user('carol', 1)], 'f-1');
    for (let i = 0; i < 3; i++) {
      release();
      await settle();
    }
    assert.deepEqual(sorted(await memory.load(key())), { me: user('alice', 1), cursor: 'f-1', users: ['carol 1'], friends: ['carol 5'], ...none });
    await it.client.disconnect();
  });

  test('a page that ends during a write leaves consistent records and cursor', async () => {
    const memory = new MemoryStore();
    const cursors: (string | undefined)[] = [];
    const store: Store = {
      load: (a) => memory.load(a), wipe: (a) => memory.wipe(a),
      save: async (account, change) => {
        cursors.push(change.cursor ?? undefined);
        if (change.cursor) assert.ok(change.users || change.friends || change.removed);
        await memory.save(account, change);
      },
    };
    const it = await live([user('bob', 2)], { store });
    await settle();
    it.socket.gives({ changes: { users: [user('bob', 8)], cursor: 'e-8' } });
    await settle();
    assert.deepEqual(cursors, ['e-1', 'e-8']);
    await it.client.disconnect();
  });

  test('the default store of a client without options', () => {
    assert.doesNotThrow(() => new RosterdClient({ account: 'a', url: 'ws://gateway/v1/ws' }));
  });
});
