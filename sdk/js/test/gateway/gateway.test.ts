// The client against a real gateway, over real sockets.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { bucket } from '../../src/digest.js';
import { MemoryStore } from '../../src/index.js';
import type { RosterdClient, Store, WebSocketConstructor } from '../../src/index.js';
import { NIM } from '../../src/nim.js';
import { API_KEY, Gateway, next, reaches, SECRET, token, until } from './gateway.js';

/** Records all events of a client. */
function hear(client: RosterdClient): string[] {
  const heard: string[] = [];
  client.on('me', (user, how) => heard.push(`me ${user.account} ${how}`));
  client.on('users', (users, how) => heard.push(`users ${users.map((u) => u.account).sort().join()} ${how}`));
  client.on('userUpdated', (user) => heard.push(`userUpdated ${user.account}`));
  client.on('friends', (friends, how) => heard.push(`friends ${friends.map((f) => f.account).sort().join()} ${how}`));
  client.on('friendRemoved', (account) => heard.push(`friendRemoved ${account}`));
  client.on('synced', ({ sync }) => heard.push(`synced ${sync}`));
  client.on('error', (error) => heard.push(`error ${error.code} ${error.reason}`));
  return heard;
}

/** The error codes that a valid command may get, by command. */
const REFUSALS: Record<string, number[]> = {
  refresh: [403], updateMyInfo: [412], addFriend: [417], requestFriend: [417], acceptFriend: [404, 417], rejectFriend: [404], cancelRequest: [404],
  deleteFriend: [404], updateFriend: [404], block: [404], unblock: [404], setPresence: [412],
};

/** The own fields that frames of the conformance vectors name. */
const ownFields = Object.entries({ level: 'integer', pronouns: 'text', mood: 'text', tags: 'list', score: 'number', vip: 'boolean' })
  .map(([name, type]) => `profile.fields.${name}.type=${type}`);

describe('a gateway with its demo users', () => {
  let gateway: Gateway;
  before(async () => (gateway = await Gateway.start('clients.heartbeat=1s', 'friends.policy=both', ...ownFields)));
  after(() => gateway.end());

  test('the first login brings everything, in order', async () => {
    const alice = gateway.client('alice');
    const heard = hear(alice);
    await alice.connect();
    assert.deepEqual(heard, ['me alice sync', 'users bob,carol,dave sync', 'friends bob,carol,dave sync', 'synced full']);
    assert.equal(alice.me?.nick, 'Alice');
  });

  test("changes by a friend, by the backend, and by another session of the account", async () => {
    const [alice, elsewhere, bob] = await Promise.all([gateway.connected('alice'), gateway.connected('alice'), gateway.connected('bob')]);
    const heard = hear(alice);
    const seen = next(alice, 'userUpdated');
    const changed = await bob.updateMyInfo({ sign: 'Yes we can' });
    assert.deepEqual(await seen, [changed]);
    const patched = next(alice, 'userUpdated');
    await gateway.api('PATCH', 'users/carol', { nick: 'Caro' });
    assert.equal((await patched)[0].nick, 'Caro');
    const own = next(elsewhere, 'me');
    const me = await alice.updateMyInfo({ sign: 'A rabbit!' });
    assert.deepEqual(await own, [me, 'update']);
    assert.deepEqual(heard, ['userUpdated bob', 'userUpdated carol', 'me alice reply']);
  });

  test('friends come and go', async () => {
    const dave = await gateway.connected('dave');
    const heard = hear(dave);
    const entered = next(dave, 'friends');
    await gateway.api('PUT', 'users/dave/friends/erin');
    await entered;
    const left = next(dave, 'friendRemoved');
    await gateway.api('DELETE', 'users/dave/friends/erin');
    await left;
    assert.deepEqual(heard, ['userUpdated erin', 'friends erin update', 'friendRemoved erin']);
  });

  test('missed changes come as a difference, also to a later client with the same store', async () => {
    const store = new MemoryStore();
    const first = await gateway.connected('alice', { store });
    await first.disconnect();
    await gateway.api('PATCH', 'users/bob', { nick: 'Bobby' });
    await gateway.api('DELETE', 'users/alice/friends/dave');
    const second = gateway.client('alice', { store });
    const heard = hear(second);
    await second.connect();
    assert.deepEqual(heard, ['me alice cache', 'users bob,carol,dave cache', 'friends bob,carol,dave cache', 'me alice sync', 'users bob sync', 'friendRemoved dave', 'synced delta']);
    await second.disconnect();
    heard.length = 0;
    await second.connect();
    assert.deepEqual(heard, ['me alice sync', 'synced current']);
    await gateway.api('PUT', 'users/alice/friends/dave');
  });

  test('a lost connection is restored automatically, and calls wait for it', async () => {
    const bob = await gateway.connected('bob');
    bob.cut();
    assert.equal(bob.state, 'disconnected');
    const me = await bob.updateMyInfo({ tel: '123' });
    assert.equal(me.tel, '123');
    await reaches(bob, 'live');
    assert.equal(bob.me?.tel, '123');
  });

  test('errors of the gateway', async () => {
    const carol = await gateway.connected('carol');
    await assert.rejects(carol.updateMyInfo({ birth: 'tomorrow' }), { code: 414, field: 'birth' });
    await assert.rejects(carol.updateMyInfo({ nick: 'x' }, { ifVersion: 1 }), { code: 412, reason: 'VERSION_MISMATCH' });
    await assert.rejects(carol.getUser('nobody'), { code: 404 });
    const { users, missing } = await carol.getUsers(['erin', 'nobody', 'carol']);
    assert.deepEqual([users.map((u) => u.account), missing], [['erin', 'carol'], ['nobody']]);
    const many = await carol.getUsers(Array.from({ length: 400 }, (_, i) => `nobody-${i}`));
    assert.equal(many.missing.length, 400);
  });

  test('an account that does not exist is refused, without a loop', async () => {
    const zoe = gateway.client('zoe');
    let attempts = 0;
    zoe.on('state', (state) => { if (state === 'connecting') attempts++; });
    await assert.rejects(zoe.connect(), { code: 404 });
    assert.equal(zoe.state, 'disconnected');
    assert.equal(attempts, 1);
  });

  test('heartbeats keep an idle client connected', async () => {
    const erin = await gateway.connected('erin');
    let beats = 0;
    await next(erin, 'frame', ({ direction, frame }) => direction === 'in' && Object.keys(frame).length === 0 && ++beats === 3);
    assert.equal(erin.state, 'live');
  });

  test('the client leaves a silent gateway after two and a half intervals, and reconnects', async () => {
    const own = await Gateway.start('clients.heartbeat=1s');
    try {
      const erin = await own.connected('erin');
      await own.signal('SIGSTOP');
      await reaches(erin, 'disconnected');
      await own.signal('SIGCONT');
      await reaches(erin, 'live');
    } finally {
      await own.end();
    }
  });

  test('a client that stops reading gets the newest state when it reads again', async () => {
    const alice = await gateway.connected('alice');
    alice.pause();
    for (let i = 1; i <= 50; i++) await gateway.api('PATCH', 'users/bob', { sign: `step ${i}` });
    assert.notEqual(alice.users.get('bob')?.sign, 'step 50');
    alice.resume();
    await until(alice, () => alice.users.get('bob')?.sign === 'step 50');
    assert.equal(alice.state, 'live');
  });

  test('an account that is deleted: the session ends for good', async () => {
    await gateway.api('PUT', 'users/mallory', { nick: 'M' });
    const mallory = await gateway.connected('mallory');
    const ended = next(mallory, 'disconnected');
    await gateway.api('DELETE', 'users/mallory');
    const [{ code, willReconnect, error }] = await ended;
    assert.deepEqual([code, willReconnect, error.reason], [3505, false, 'ACCOUNT_DISABLED']);
  });

  test('logout', async () => {
    const store = new MemoryStore();
    const erin = await gateway.connected('erin', { store });
    await erin.logout({ forget: true });
    assert.equal(await store.load(gateway.key('erin')), undefined);
    assert.equal(erin.me, undefined);
  });

  test('three thousand friends', async (t) => {
    const lines = [{ user: { account: 'popular' } }, ...Array.from({ length: 3_000 }, (_, i) => [
      { user: { account: `f${i}`, nick: `Friend ${i}`, sign: 'x'.repeat(100) } }, { friendship: ['popular', `f${i}`] },
    ]).flat()];
    await gateway.api('POST', 'import', lines.map((line) => JSON.stringify(line)).join('\n'));
    const popular = gateway.client('popular');
    const started = performance.now();
    await popular.connect();
    t.diagnostic(`full sync in ${Math.round(performance.now() - started)} ms`);
    assert.equal(popular.users.size, 3_000);
    assert.equal(popular.friends.size, 3_000);
  });

  const { client: frames } = JSON.parse(readFileSync(new URL('../../../../docs/conformance/frames.json', import.meta.url), 'utf8'));
  for (const { name, text, meaning } of frames) {
    test(`frame of a client, as the gateway reads it: ${name}`, async () => {
      const socket = gateway.raw();
      await once(socket, 'open');
      const answers: any[] = [];
      const closed = once(socket, 'close');
      const answered = new Promise<void>((resolve) => {
        socket.on('message', (data) => {
          const frame = JSON.parse(String(data));
          if (frame.synced && meaning.command !== 'login') {
            socket.send(text);
            // The gateway answers commands in order, so no earlier answer follows this one.
            if (meaning.kind !== 'malformed') socket.send('{"id":77,"getUsers":{"accounts":[]}}');
          }
          if ((frame.id !== undefined && frame.id !== 1) || frame.error || frame.goodbye || meaning.command === 'login') answers.push(frame);
          if (frame.id === 77 || frame.goodbye || frame.logoutReply || (meaning.command === 'login' && frame.id)) resolve();
        });
      });
      if (meaning.command === 'login') socket.send(text);
      else socket.send('{"id":1,"login":{"token":"bob"}}');
      await answered;
      const [answer] = answers;
      if (meaning.kind === 'malformed') {
        assert.equal(answer.goodbye.code, meaning.close);
        assert.equal((await closed)[0], meaning.close);
        return;
      }
      if (meaning.kind === 'heartbeat') assert.equal(answer.id, 77);
      else assert.equal(answer.id, meaning.id);
      if (meaning.kind === 'wrong') assert.equal(answer.error.code, meaning.code);
      // A refusal concerns the request, such as a missing account; the gateway could read the frame.
      const refused = answer.error !== undefined;
      if (meaning.kind === 'command' && !refused) assert.ok(answer[`${meaning.command}Reply`], JSON.stringify(answer));
      // Times in the vectors are those of when they were written.
      if (meaning.body?.until !== undefined) assert.equal(answer.error?.field, 'until');
      else if (meaning.kind === 'command' && refused) assert.ok(REFUSALS[meaning.command]?.includes(answer.error.code), JSON.stringify(answer));
      if (meaning.body?.ifVersion !== undefined && /Info|Presence/.test(meaning.command)) assert.equal(answer.error.code, 412);
      if (meaning.command === 'updateMyInfo' && !refused) {
        const { user } = answer.updateMyInfoReply;
        const { fields = {}, ...rest } = meaning.body;
        for (const [field, value] of Object.entries(rest)) assert.equal(user[field], value);
        for (const [name, value] of Object.entries(fields)) assert.deepEqual(user.fields[name] ?? null, value);
      }
      socket.terminate();
    });
  }
});

describe('a gateway that goes away', () => {
  test('killed and restarted: all clients reconnect and miss nothing', async () => {
    const gateway = await Gateway.start();
    try {
      const [alice, bob] = await Promise.all([gateway.connected('alice'), gateway.connected('bob')]);
      const down = next(alice, 'disconnected');
      await gateway.signal('SIGKILL');
      assert.equal((await down)[0].willReconnect, true);
      const call = bob.updateMyInfo({ sign: 'sent while nobody was there' });
      await next(alice, 'willReconnect', ({ attempt }) => attempt >= 3);
      await gateway.start();
      const me = await call;
      await until(alice, () => alice.users.get('bob')?.version === me.version);
      assert.equal(alice.state, 'live');
    } finally {
      await gateway.end();
    }
  });

  test('graceful stop: clients reconnect at the time that the gateway set', async () => {
    const gateway = await Gateway.start();
    try {
      const alice = await gateway.connected('alice');
      let delay: number | undefined;
      alice.on('frame', ({ frame }) => (delay = (frame as any).goodbye?.retryAfterMs ?? delay));
      const will = next(alice, 'willReconnect');
      await gateway.signal('SIGTERM');
      assert.equal((await will)[0].delayMs, delay);
      await gateway.start();
      await reaches(alice, 'live');
    } finally {
      await gateway.end();
    }
  });

  test('unreachable at first: the state shows it, calls fail in time, and the client connects once the gateway is up', async () => {
    const gateway = await Gateway.start();
    try {
      await gateway.signal('SIGKILL');
      const alice = gateway.client('alice', { requestTimeoutMs: 300 });
      const connecting = alice.connect();
      await next(alice, 'willReconnect', ({ attempt }) => attempt === 2);
      assert.equal(alice.state, 'disconnected');
      await Promise.all([1, 2, 3].map((i) => assert.rejects(alice.updateMyInfo({ sign: `${i}` }), { code: 408, reason: 'TIMEOUT' })));
      await gateway.start();
      await connecting;
      assert.equal(alice.me?.sign, 'Down the rabbit hole', 'what failed was not sent later');
    } finally {
      await gateway.end();
    }
  });

  /** A client whose first connection loses what it sends after the login, and then ends. */
  async function lossy(gateway: Gateway, account: string): Promise<{ client: RosterdClient; swallowed: () => number }> {
    const sockets: WebSocket[] = [];
    let swallowed = 0;
    class Lossy extends WebSocket {
      constructor(url: string, protocols?: string | string[]) {
        super(url, protocols);
        sockets.push(this);
      }
      override send(data: string): void {
        if (sockets.length === 1 && /update|block|setPresence/.test(data)) swallowed++;
        else super.send(data);
      }
    }
    const client = await gateway.connected(account, { requestTimeoutMs: 60_000, WebSocket: Lossy as unknown as WebSocketConstructor });
    return { client, swallowed: () => swallowed };
  }

  const ends = async (calls: Promise<unknown>[]): Promise<string[]> =>
    (await Promise.allSettled(calls)).map((outcome) => (outcome.status === 'rejected' ? outcome.reason.reason : 'done'));

  test('a stale repeat does not undo a newer write', async () => {
    const gateway = await Gateway.start();
    try {
      const laptop = await gateway.connected('alice');
      await laptop.block('erin');
      const { client: phone, swallowed } = await lossy(gateway, 'alice');
      const outcomes = ends([
        phone.updateMyInfo({ sign: 'stale' }), phone.updateFriend('bob', { alias: 'stale' }), phone.unblock('erin'), phone.updateMyInfo({ tel: '1' }),
        phone.block('dave'), phone.setPresence({ invisible: true }),
      ]);
      assert.equal(swallowed(), 6);
      await laptop.updateMyInfo({ sign: 'newer' });
      await laptop.updateFriend('bob', { alias: 'newer' });
      await laptop.unblock('erin');
      await laptop.block('erin');
      await laptop.block('dave');
      await laptop.unblock('dave');
      await laptop.setPresence({ invisible: true });
      await laptop.setPresence({ invisible: false });
      phone.cut();
      assert.deepEqual(await outcomes, Array(6).fill('SUPERSEDED'));
      for (const client of [phone, laptop]) {
        assert.deepEqual([client.me?.sign, client.friends.get('bob')?.alias], ['newer', 'newer']);
        assert.deepEqual([...client.blocks.keys()], ['erin']);
        assert.equal(client.presence.get('alice')?.invisible, false);
      }
    } finally {
      await gateway.end();
    }
  });

  test('a repeat that nothing came before is carried out', async () => {
    const gateway = await Gateway.start();
    try {
      const laptop = await gateway.connected('alice');
      await laptop.block('erin');
      const { client: phone, swallowed } = await lossy(gateway, 'alice');
      const outcomes = ends([
        phone.updateMyInfo({ sign: 'mine' }), phone.updateFriend('bob', { alias: 'mine' }), phone.unblock('erin'), phone.block('dave'),
        phone.setPresence({ invisible: true }),
      ]);
      assert.equal(swallowed(), 5);
      phone.cut();
      assert.deepEqual(await outcomes, Array(5).fill('done'));
      await until(laptop, () => laptop.me?.sign === 'mine' && laptop.friends.get('bob')?.alias === 'mine' && laptop.presence.get('alice')?.invisible === true);
      await until(laptop, () => [...laptop.blocks.keys()].join() === 'dave');
    } finally {
      await gateway.end();
    }
  });

  /** A block that was ended before the phone came, of which it cannot know. */
  test('a block whose answer was lost, where an earlier one had ended: the user decides', async () => {
    const gateway = await Gateway.start();
    try {
      const laptop = await gateway.connected('alice');
      await laptop.block('erin');
      await laptop.unblock('erin');
      const { client: phone } = await lossy(gateway, 'alice');
      const outcomes = ends([phone.block('erin')]);
      phone.cut();
      assert.deepEqual(await outcomes, ['CONNECTION_LOST']);
      await phone.block('erin');
      await until(laptop, () => laptop.blocks.has('erin'));
    } finally {
      await gateway.end();
    }
  });

  test('a store that was replaced: one full sync, no mixture of two histories', async () => {
    const memory = new MemoryStore();
    // The same address, as far as the store knows.
    const store: Store = { load: () => memory.load('alice'), save: (_, change) => memory.save('alice', change), wipe: () => memory.wipe('alice') };
    const before = await Gateway.start();
    const after = await Gateway.start();
    try {
      await before.api('PATCH', 'users/bob', { nick: 'Old Bob' });
      await (await before.connected('alice', { store })).disconnect();
      const alice = after.client('alice', { store });
      const synced = next(alice, 'synced');
      await alice.connect();
      assert.deepEqual([(await synced)[0].sync, (await synced)[0].because], ['full', 'CURSOR_FOREIGN']);
      assert.equal(alice.users.get('bob')?.nick, 'Bob');
    } finally {
      await before.end();
      await after.end();
    }
  });

  test('a damaged stored list: the gateway sends only what differs, and logs it', async () => {
    const gateway = await Gateway.start();
    try {
      const names = Array.from({ length: 300 }, (_, i) => `f${i}`);
      const lines = [{ user: { account: 'popular' } }, ...names.flatMap((account) => [{ user: { account, nick: account } }, { friendship: ['popular', account] }])];
      await gateway.api('POST', 'import', lines.map((line) => JSON.stringify(line)).join('\n'));
      const store = new MemoryStore();
      const before = await gateway.connected('popular', { store });
      const fresh = { users: new Map(before.users), friends: new Map(before.friends) };
      await before.disconnect();
      // One is missing, one was never a friend, one profile is old, one friendship is newer than possible.
      const old = { ...fresh.users.get('f2')!, nick: 'of another time', version: 1 };
      const stranger = { account: 'nobody', version: 5 };
      await store.save(gateway.key('popular'), {
        removed: ['f1'], users: [old, { ...old, ...stranger }],
        friends: [{ ...fresh.friends.get('f3')!, version: 2 ** 40 }, { ...fresh.friends.get('f3')!, ...stranger }],
      });
      const popular = gateway.client('popular', { store });
      const heard = hear(popular);
      const received: string[] = [];
      const sent: string[] = [];
      popular.on('frame', ({ direction, frame }) => {
        if (direction === 'out') sent.push(...Object.keys(frame).filter((key) => key !== 'id'));
        else received.push(...((frame as any).changes?.friends ?? []).map(({ account }: { account: string }) => account));
      });
      await popular.connect();
      assert.deepEqual(sent, ['login', 'repair']);
      assert.ok(heard.includes('error 500 OUT_OF_STEP') && heard.at(-1) === 'synced current', heard.join('\n'));
      const buckets = new Set(['f1', 'f2', 'f3', 'nobody'].map(bucket));
      assert.deepEqual(received.sort(), names.filter((account) => buckets.has(bucket(account))).sort());
      const sorted = <T>(map: ReadonlyMap<string, T>): Map<string, T> => new Map([...map].sort());
      assert.deepEqual(sorted(popular.users), sorted(fresh.users));
      assert.deepEqual(sorted(popular.friends), sorted(fresh.friends));
      assert.equal(await gateway.metric('rosterd_repairs_total{kind="DIFFERENT"}'), 1);
      assert.equal(await gateway.metric('rosterd_repair_records_total'), received.length);
      assert.ok(gateway.log.includes('was told again what differs'), gateway.log);
      // The repaired list is stored, and complete at the next login.
      await popular.disconnect();
      const after = gateway.client('popular', { store });
      const synced = next(after, 'synced');
      await after.connect();
      assert.equal((await synced)[0].sync, 'current');
      assert.deepEqual(sorted(after.users), sorted(fresh.users));
      assert.equal(await gateway.metric('rosterd_repairs_total'), 1);
    } finally {
      await gateway.end();
    }
  });

  test('all clients end with the same state after changes and lost connections', async () => {
    const gateway = await Gateway.start();
    try {
      const stores = new MemoryStore();
      const names = ['alice', 'bob', 'carol', 'dave'];
      const clients = await Promise.all(names.map((name) => gateway.connected(name, { store: stores })));
      const complaints = clients.map(hear);
      // A fixed sequence, so that failures are reproducible.
      let seed = 7;
      const random = (n: number): number => (seed = (seed * 48_271) % 2_147_483_647) % n;
      let cuts = 0;
      for (let i = 0; i < 300; i++) {
        const client = clients[random(4)] as RosterdClient;
        const [a, b] = [names[random(4)], names[random(4)]];
        const dice = random(10);
        if (dice < 5) await client.updateMyInfo({ sign: `step ${i}` });
        else if (dice < 7) {
          if (client.state === 'live') cuts++;
          client.cut();
        }
        else if (a !== b) await gateway.api(dice === 7 ? 'DELETE' : 'PUT', `users/${a}/friends/${b}`);
      }
      assert.ok(cuts > 20, `${cuts} connections were cut while live`);
      for (const name of names) await gateway.api('PATCH', `users/${name}`, { tel: '999' });
      await Promise.all(clients.map((client) => until(client, () => client.state === 'live' && client.me?.tel === '999' && [...client.users.values()].every((u) => u.tel === '999'))));
      for (const [i, client] of clients.entries()) {
        await client.disconnect();
        const fresh = await gateway.connected(names[i] as string);
        assert.deepEqual(client.me, fresh.me);
        assert.deepEqual(new Map([...client.users].sort()), new Map([...fresh.users].sort()));
        assert.deepEqual(new Map([...client.friends].sort()), new Map([...fresh.friends].sort()));
        const stored = await stores.load(gateway.key(names[i] as string));
        assert.deepEqual(new Map(stored?.users.map((u) => [u.account, u] as const).sort()), new Map([...fresh.users].sort()));
        assert.deepEqual(complaints[i]?.filter((line) => line.startsWith('error')), []);
      }
    } finally {
      await gateway.end();
    }
  });
});

describe('a gateway that verifies tokens', () => {
  let gateway: Gateway;
  before(async () => (gateway = await Gateway.start('auth.mode=jwt', `auth.hs256_secret=${SECRET}`, 'auth.create_accounts=true', `ops.api_key=${API_KEY}`)));
  after(() => gateway.end());

  test('a wrong token is refused once, with 302', async () => {
    const alice = gateway.client('alice', { token: `${token('alice', 60_000)}x` });
    let attempts = 0;
    alice.on('state', (state) => { if (state === 'connecting') attempts++; });
    await assert.rejects(alice.connect(), { code: 302 });
    assert.deepEqual([alice.state, attempts], ['disconnected', 1]);
  });

  test('NIM’s account and secret are a static token, and what a backend signed goes as it is', async (context) => {
    const own = globalThis.WebSocket;
    globalThis.WebSocket = WebSocket as never;
    context.after(() => (globalThis.WebSocket = own));
    const secret = 'what-NIM-had-for-alice';
    await gateway.api('POST', 'import', JSON.stringify({ user: { account: 'alice' } }));
    await gateway.api('PUT', 'users/alice/token', { secret });
    for (const [shown, end] of [[secret, 'synced'], [token('alice', 60_000), 'synced'], ['not the secret of alice', 302]] as const) {
      const [ended, nim] = await new Promise<[unknown, NIM]>((resolve) => {
        const nim = NIM.getInstance({
          account: 'alice', token: shown, url: gateway.url, db: false,
          onsyncdone: () => resolve(['synced', nim]), ondisconnect: ({ code }) => resolve([code, nim]),
        });
      });
      nim.destroy();
      assert.equal(ended, end);
    }
  });

  test("another account's token", async () => {
    await assert.rejects(gateway.client('alice', { token: token('bob', 60_000) }).connect(), { code: 403 });
  });

  test('an expired token without getToken', async () => {
    await assert.rejects(gateway.client('alice', { token: token('alice', -1_000) }).connect(), { code: 302 });
  });

  test('an expired token is replaced by a new one', async () => {
    const asked: string[] = [];
    const alice = gateway.client('alice', { token: token('alice', -1_000), getToken: (why) => (asked.push(why), token('alice', 60_000)) });
    await alice.connect();
    assert.deepEqual(asked, ['expired']);
  });

  test('tokens are renewed on the connection before they expire', async () => {
    const asked: string[] = [];
    const alice = await gateway.connected('alice', { getToken: async (why) => (asked.push(why), token('alice', 4_000)) });
    const states: string[] = [];
    alice.on('state', (state) => states.push(state));
    let renewed = 0;
    await next(alice, 'frame', ({ frame }) => frame.refreshReply && ++renewed === 2);
    assert.deepEqual([asked, states], [['connect', 'refresh', 'refresh'], []]);
  });

  test('a token that expires on the connection, with a slow backend', async () => {
    const asked: string[] = [];
    const alice = await gateway.connected('alice', {
      getToken: async (why) => {
        asked.push(why);
        if (why === 'refresh') throw new Error('not now');
        return token('alice', why === 'connect' ? 2_500 : 60_000);
      },
    });
    await reaches(alice, 'disconnected');
    await reaches(alice, 'live');
    assert.deepEqual([asked[0], asked[1], asked.at(-1)], ['connect', 'refresh', 'expired']);
  });
});
