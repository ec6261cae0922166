// Friends, requests, blocks, presence, sessions, watched strangers and signals, with a real gateway.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import WebSocket from 'ws';
import { MemoryStore } from '../../src/index.js';
import type { RosterdClient } from '../../src/index.js';
import { NIM } from '../../src/nim.js';
import { Gateway, next, reaches, until } from './gateway.js';

/** Makes accounts appear offline soon after their last session. */
const LINGER = 'presence.linger=100ms';
/** Lets clients become friends in both ways. */
const BOTH = 'friends.policy=both';

let gateway: Gateway;
afterEach(() => gateway.end());

const online = (client: RosterdClient, account: string): boolean | undefined => client.presence.get(account)?.online;
const alias = (client: RosterdClient, account: string): string | undefined => client.friends.get(account)?.alias;

/** Waits until all pending changes have reached `client`. */
async function caughtUp(client: RosterdClient): Promise<void> {
  const other = await gateway.connected(client.account);
  // The gateway flushes pending changes at once, in no defined order, so the second change comes after all that were
  // pending at the first.
  for (const tel of ['1', '2']) {
    const seen = next(client, 'me', (me) => me.tel === tel);
    await other.updateMyInfo({ tel });
    await seen;
  }
  await other.disconnect();
}

describe('with default settings', () => {
  beforeEach(async () => (gateway = await Gateway.start(LINGER, BOTH)));

  test('an accepted request: both are friends on every device, and see each other online', async () => {
    const [dave, erin, desk] = await Promise.all([gateway.connected('dave'), gateway.connected('erin'), gateway.connected('erin')]);
    await dave.requestFriend('erin', 'We met at the lake');
    assert.deepEqual(dave.requests.map(({ account, direction }) => [account, direction]), [['erin', 'out']]);
    await until(erin, () => erin.requests.length === 1);
    await until(desk, () => desk.requests.length === 1);
    const { account, direction, message, state } = erin.requests[0]!;
    assert.deepEqual([account, direction, message, state], ['dave', 'in', 'We met at the lake', 'open']);

    await erin.acceptFriend('dave');
    assert.equal(erin.users.get('dave')?.nick, 'Dave');
    assert.deepEqual(erin.requests, []);
    for (const client of [dave, desk]) await until(client, () => client.requests.length === 0 && client.friends.size > (client === dave ? 1 : 0));
    assert.equal(dave.users.get('erin')?.nick, 'Erin');
    await until(dave, () => online(dave, 'erin') === true);
    await until(erin, () => online(erin, 'dave') === true);
    await Promise.all([next(dave, 'userUpdated'), erin.updateMyInfo({ sign: 'A friend now' })]);
    assert.equal(dave.users.get('erin')?.sign, 'A friend now');
  });

  test('two mutual requests make friends', async () => {
    const [dave, erin] = await Promise.all([gateway.connected('dave'), gateway.connected('erin')]);
    await Promise.all([dave.requestFriend('erin'), erin.requestFriend('dave')]);
    await until(dave, () => dave.friends.has('erin'));
    await until(erin, () => erin.friends.has('dave'));
    await until(dave, () => dave.requests.length === 0);
    await until(erin, () => erin.requests.length === 0);
  });

  test('requests: rejected, withdrawn, and sent to an offline account', async () => {
    const [dave, erin] = await Promise.all([gateway.connected('dave'), gateway.connected('erin')]);
    const fate = async (account: string, client: RosterdClient): Promise<string> =>
      (await next(client, 'requests', (requests) => requests.some((r: any) => r.account === account && r.state !== 'open')))[0][0].state;
    await dave.requestFriend('erin');
    await until(erin, () => erin.requests.length === 1);
    const rejected = fate('erin', dave);
    await erin.rejectFriend('dave');
    assert.equal(await rejected, 'rejected');
    await dave.requestFriend('erin');
    await until(erin, () => erin.requests.length === 1);
    const cancelled = fate('dave', erin);
    await dave.cancelRequest('erin');
    assert.equal(await cancelled, 'cancelled');
    assert.deepEqual([dave.requests, erin.requests], [[], []]);

    await erin.disconnect();
    await dave.requestFriend('erin', 'Are you there?');
    const received = next(erin, 'requests');
    await erin.connect();
    assert.deepEqual([(await received)[1], erin.requests[0]?.message], ['sync', 'Are you there?']);
  });

  test('a refusal names its reason', async () => {
    const alice = await gateway.connected('alice');
    await assert.rejects(alice.requestFriend('alice'), { code: 414 });
    await assert.rejects(alice.requestFriend('nobody'), { code: 404 });
    await assert.rejects(alice.requestFriend('bob'), { code: 417 });
    await assert.rejects(alice.acceptFriend('erin'), { code: 404 });
    await assert.rejects(alice.deleteFriend('erin'), { code: 404 });
    await assert.rejects(alice.updateFriend('erin', { alias: 'x' }), { code: 404 });
    await assert.rejects(alice.updateFriend('bob', { alias: 'x'.repeat(129) }), { code: 414, field: 'alias' });
    await assert.rejects(alice.requestFriend('erin', 'x'.repeat(257)), { code: 414, field: 'message' });
    await alice.requestFriend('erin');
    await assert.rejects(alice.requestFriend('erin'), { code: 417 });
    await assert.rejects(alice.watch(Array.from({ length: 501 }, (_, i) => `u${i}`)), { code: 419 });
    await assert.rejects(alice.watch(['not an account']), { code: 414, field: 'accounts[0]' });
    await assert.rejects(alice.signal('nobody', ''), { code: 404 });
    await assert.rejects(alice.signal('bob', 'x'.repeat(4097)), { code: 414, field: 'payload' });
    await alice.block('mallory').then(() => assert.fail('mallory does not exist'), (error) => assert.equal(error.code, 404));
    assert.equal(alice.state, 'live');
  });

  test('addFriend with a message, and deleteFriend', async () => {
    const [dave, erin] = await Promise.all([gateway.connected('dave'), gateway.connected('erin')]);
    const received = next(erin, 'requests');
    await dave.addFriend('erin', 'Hello');
    assert.equal(dave.users.get('erin')?.nick, 'Erin');
    const [[request]] = await received;
    assert.deepEqual([request.account, request.state, request.message], ['dave', 'accepted', 'Hello']);
    assert.deepEqual(erin.requests, []);
    const removed = next(erin, 'friendRemoved');
    await dave.deleteFriend('erin');
    assert.equal(dave.users.has('erin'), false);
    assert.deepEqual(await removed, ['dave']);
    assert.equal(erin.presence.has('dave'), false);
  });

  test("alias and custom of a friend: on the account's own devices only, also after a reconnect", async () => {
    const store = new MemoryStore();
    const [alice, phone, bob] = await Promise.all([gateway.connected('alice', { store }), gateway.connected('alice'), gateway.connected('bob')]);
    const heard: string[] = [];
    for (const event of ['friends', 'userUpdated'] as const) bob.on(event, () => heard.push(event));
    await alice.updateFriend('bob', { alias: 'The builder', custom: 'c' });
    assert.deepEqual([alias(alice, 'bob'), alice.friends.get('bob')?.custom], ['The builder', 'c']);
    await until(phone, () => alias(phone, 'bob') === 'The builder');
    await alice.updateFriend('bob', { custom: '' });
    assert.deepEqual([alias(alice, 'bob'), alice.friends.get('bob')?.custom], ['The builder', '']);
    await caughtUp(bob);
    assert.deepEqual(heard, []);
    await alice.disconnect();
    await phone.updateFriend('bob', { alias: 'Bob the builder' });
    await alice.connect();
    assert.equal(alias(alice, 'bob'), 'Bob the builder');
    await alice.disconnect();
    assert.equal((await store.load(gateway.key('alice')))?.friends.find(({ account }) => account === 'bob')?.alias, 'Bob the builder');
  });

  test('a blocked account receives nothing until it is unblocked', async () => {
    const [alice, phone, bob] = await Promise.all([gateway.connected('alice'), gateway.connected('alice'), gateway.connected('bob')]);
    await until(bob, () => online(bob, 'alice') === true);
    await alice.block('bob');
    assert.deepEqual([...alice.blocks.keys()], ['bob']);
    await until(phone, () => phone.blocks.has('bob'));
    await until(bob, () => online(bob, 'alice') === false);
    await alice.updateMyInfo({ sign: 'Not for bob' });
    assert.deepEqual(await alice.signal('bob', 'psst'), { delivered: 0, dropped: 0 });
    await caughtUp(bob);
    assert.equal(bob.users.get('alice')?.sign, 'Down the rabbit hole');
    assert.equal((await bob.getUser('alice', { fresh: true })).sign, 'Down the rabbit hole');
    assert.ok(bob.friends.has('alice'), 'he is not notified');

    const again = await gateway.connected('bob');
    assert.equal(again.users.get('alice')?.sign, 'Down the rabbit hole', 'on every device');
    await alice.unblock('bob');
    assert.equal(alice.blocks.size, 0);
    for (const client of [bob, again]) await until(client, () => client.users.get('alice')?.sign === 'Not for bob' && online(client, 'alice') === true);
  });

  test('presence: changes, and the whole state at each login', async () => {
    const alice = await gateway.connected('alice');
    const bob = await gateway.connected('bob');
    await until(alice, () => online(alice, 'bob') === true);
    await bob.disconnect();
    await until(alice, () => online(alice, 'bob') === false);
    assert.ok(alice.presence.get('bob')!.lastSeen > 0);
    const received = next(alice, 'presence', (_, how) => how === 'sync');
    alice.cut();
    const [users] = await received;
    assert.deepEqual(users.map(({ account, online }: any) => [account, online]), [['bob', false]]);
  });

  test('invisible: offline for friends on every device, also after a login, until changed', async () => {
    const [alice, phone, bob] = await Promise.all([gateway.connected('alice'), gateway.connected('alice'), gateway.connected('bob')]);
    await until(bob, () => online(bob, 'alice') === true);
    await phone.setPresence({ invisible: true });
    await until(bob, () => online(bob, 'alice') === false);
    await until(alice, () => alice.presence.get('alice')?.invisible === true);
    assert.equal((await gateway.connected('alice')).presence.get('alice')?.invisible, true);
    await alice.setPresence({ invisible: false });
    await until(bob, () => online(bob, 'alice') === true);
  });

  test('sessions: reported when they start and end, listed, and kicked', async () => {
    const desk = await gateway.connected('erin', { device: { id: '1', type: 'web', tag: 'desk' } });
    assert.equal(desk.sessions.length, 0);
    assert.deepEqual((await desk.getSessions()).map(({ device, current }) => [device.tag, current]), [['desk', true]]);
    const phone = await gateway.connected('erin', { device: { id: '2', type: 'ios', tag: 'phone' } });
    for (const client of [desk, phone]) await until(client, () => client.sessions.length === 2);
    await assert.rejects(desk.kick(['none']), { code: 414 });
    assert.deepEqual(phone.sessions.map(({ device, current }) => [device.type, current]), [['web', false], ['ios', true]]);

    const other = desk.sessions.find(({ current }) => !current)!;
    const ended = next(phone, 'disconnected');
    assert.deepEqual(await desk.kick([other.session, '0123456789abcdef']), [other.session]);
    const [{ code, willReconnect }] = await ended;
    assert.deepEqual([code, willReconnect], [3503, false]);
    await until(desk, () => desk.sessions.length === 1);

    // A session's end is reported too; after a reconnect without others there is nothing to report.
    await phone.connect();
    await until(desk, () => desk.sessions.length === 2);
    desk.cut();
    await reaches(desk, 'live');
    await until(desk, () => desk.sessions.length === 2);
    await phone.disconnect();
    await until(desk, () => desk.sessions.length === 1);
  });

  test('watched strangers: at once, live, across reconnects, and dropped with the list', async () => {
    const dave = await gateway.connected('dave');
    assert.deepEqual(await dave.watch(['erin', 'bob', 'nobody']), { missing: ['nobody'] });
    await until(dave, () => dave.users.has('erin') && dave.users.has('bob'));
    assert.deepEqual([...dave.friends.keys()], ['alice']);
    await gateway.api('PATCH', 'users/erin', { nick: 'Erin II' });
    await until(dave, () => dave.users.get('erin')?.nick === 'Erin II');

    dave.cut();
    await gateway.api('PATCH', 'users/erin', { nick: 'Erin III' });
    await reaches(dave, 'live');
    await until(dave, () => dave.users.get('erin')?.nick === 'Erin III');
    await gateway.api('PATCH', 'users/erin', { nick: 'Erin IV' });
    await until(dave, () => dave.users.get('erin')?.nick === 'Erin IV');

    // A missing account comes once it exists.
    await gateway.api('PUT', 'users/nobody', { nick: 'Somebody' });
    await until(dave, () => dave.users.get('nobody')?.nick === 'Somebody');

    await dave.watch(['bob']);
    assert.deepEqual([...dave.users.keys()].sort(), ['alice', 'bob']);
    const received: string[] = [];
    dave.on('userUpdated', ({ account }) => void received.push(account));
    await gateway.api('PATCH', 'users/erin', { nick: 'Erin V' });
    await caughtUp(dave);
    assert.deepEqual(received, []);
  });

  test('a watched stranger becomes a friend, and a stranger again', async () => {
    const [dave, erin] = await Promise.all([gateway.connected('dave'), gateway.connected('erin')]);
    await dave.watch(['erin']);
    await until(dave, () => dave.users.has('erin'));
    await dave.addFriend('erin');
    await dave.deleteFriend('erin');
    await until(dave, () => dave.users.has('erin'));
    await erin.updateMyInfo({ sign: 'Still watched' });
    await until(dave, () => dave.users.get('erin')?.sign === 'Still watched');
    dave.cut();
    await reaches(dave, 'live');
    assert.equal(dave.state, 'live');
  });

  test("a signal reaches all sessions of a stranger, after the sender's profile", async () => {
    const [erin, desk, carol] = await Promise.all([gateway.connected('erin'), gateway.connected('erin'), gateway.connected('carol')]);
    await carol.updateMyInfo({ nick: 'Caroline' });
    const nicks = [erin, desk].map(async (client) => {
      const [signal] = await next(client, 'signal');
      return [signal, client.users.get('carol')?.nick];
    });
    // A stranger does not learn who is there.
    assert.deepEqual(await carol.signal('erin', '{"typing":true}'), { delivered: 0, dropped: 0 });
    for (const nick of await Promise.all(nicks)) assert.deepEqual(nick, [{ from: 'carol', payload: '{"typing":true}' }, 'Caroline']);
    // The profile changes between two signals; the held one follows.
    await carol.updateMyInfo({ nick: 'C.' });
    const second = next(erin, 'signal');
    await carol.signal('erin', '');
    await second;
    assert.equal(erin.users.get('carol')?.nick, 'C.');
    assert.deepEqual(await carol.signal('dave', 'nobody is there'), { delivered: 0, dropped: 0 });
  });

  test('killed and restarted: requests, blocks and aliases persist, and presence is sent again', async () => {
    const [alice, bob, erin] = await Promise.all([gateway.connected('alice'), gateway.connected('bob'), gateway.connected('erin')]);
    await erin.requestFriend('alice', 'Hello');
    await alice.block('carol');
    await alice.updateFriend('bob', { alias: 'B.' });
    await until(alice, () => alice.requests.length === 1);
    const down = next(alice, 'disconnected');
    await gateway.signal('SIGKILL');
    await down;
    await gateway.start();
    await Promise.all([alice, bob, erin].map((client) => reaches(client, 'live')));
    const fresh = await gateway.connected('alice');
    for (const client of [alice, fresh]) {
      await until(client, () => online(client, 'bob') === true);
      assert.deepEqual([client.requests.map(({ account }) => account), [...client.blocks.keys()], alias(client, 'bob')], [['erin'], ['carol'], 'B.']);
    }
    assert.deepEqual(fresh.requests, alice.requests);
    assert.deepEqual([...fresh.blocks], [...alice.blocks]);
  });
});

describe('under NIM’s names', () => {
  test('events: a friend publishes a status, ends it and goes, and a stranger cannot be subscribed to', async (context) => {
    gateway = await Gateway.start(LINGER);
    const own = globalThis.WebSocket;
    globalThis.WebSocket = WebSocket as never;
    context.after(() => (globalThis.WebSocket = own));
    const heard: string[] = [];
    const [alice, bob, desk] = await Promise.all(['alice', 'bob', 'bob'].map(async (account, at) => {
      if (at === 2) return gateway.connected(account);
      const nim = await new Promise<NIM>((resolve) => {
        const nim: NIM = NIM.getInstance({
          account, token: account, url: gateway.url, db: false, onsyncdone: () => resolve(nim),
          onpushevents: ({ msgEvents }) => void (account === 'alice' && heard.push(...msgEvents.map(({ account, value, custom }) => `${account} ${value} ${custom[16] ?? ''}`))),
        });
      });
      context.after(() => nim.destroy());
      return nim;
    })) as [NIM, NIM, RosterdClient];
    const hears = (events: string[]): Promise<void> => until(alice.client, () => events.every((event) => heard.includes(event)));
    await until(alice.client, () => online(alice.client, 'bob') === true);
    const subscribed = await new Promise((resolve) => alice.subscribeEvent({ type: 1, accounts: ['bob', 'erin'], done: (error, data) => resolve(error ?? data) }));
    assert.deepEqual(subscribed, { failedAccounts: ['erin'] });
    await hears(['bob 1 ']);
    const published = await new Promise<any>((resolve) => bob.publishEvent({ type: 1, value: 10001, custom: '{"online_state":1}', done: (error, data) => resolve(error ?? data) }));
    assert.equal(typeof published.time, 'number', published.message);
    await hears(['bob 10001 {"online_state":1}']);
    await until(desk, () => desk.presence.get('bob')?.status === '{"online_state":1}');
    const long = await new Promise<any>((resolve) => bob.publishEvent({ type: 1, value: 10001, custom: 'x'.repeat(257), done: resolve }));
    assert.deepEqual([long.code, long.event.field], [414, 'status']);
    bob.publishEvent({ type: 1, value: 10001 });
    await hears(['bob 10001 ']);
    bob.destroy();
    await desk.disconnect();
    await hears(['bob 2 ']);
    assert.deepEqual(heard, ['bob 1 ', 'bob 10001 {"online_state":1}', 'bob 10001 ', 'bob 2 ']);
  });
});

describe('with other settings', () => {
  test('friends.policy: only requests, or only addFriend', async () => {
    gateway = await Gateway.start('friends.policy=request');
    const dave = await gateway.connected('dave');
    await assert.rejects(dave.addFriend('erin'), { code: 403, reason: 'PERMISSION_DENIED' });
    await dave.requestFriend('erin');
    await gateway.end();
    gateway = await Gateway.start('friends.policy=direct');
    const carol = await gateway.connected('carol');
    await assert.rejects(carol.requestFriend('erin'), { code: 403 });
    await carol.addFriend('erin');
    assert.ok(carol.friends.has('erin'));
  });

  test('an unanswered request expires', async () => {
    gateway = await Gateway.start('friends.request_expiry=1s');
    const [dave, erin] = await Promise.all([gateway.connected('dave'), gateway.connected('erin')]);
    const over = next(erin, 'requests', ([request]) => request.state === 'expired');
    await dave.requestFriend('erin');
    await over;
    await until(dave, () => dave.requests.length === 0);
    assert.deepEqual(erin.requests, []);
  });

  test('one session of each type: the newer one wins', async () => {
    gateway = await Gateway.start('sessions.policy=one_per_device_type');
    const old = await gateway.connected('erin', { device: { type: 'web' } });
    const phone = await gateway.connected('erin', { device: { type: 'ios' } });
    const ended = next(old, 'disconnected');
    const newer = await gateway.connected('erin', { device: { type: 'web' } });
    const [{ code, willReconnect }] = await ended;
    assert.deepEqual([code, willReconnect, old.state, phone.state, newer.state], [3503, false, 'disconnected', 'live', 'live']);
  });

  test('too many sessions: the oldest ends', async () => {
    gateway = await Gateway.start('sessions.max=2');
    const oldest = await gateway.connected('erin');
    const ended = next(oldest, 'disconnected');
    await gateway.connected('erin');
    await gateway.connected('erin');
    const [{ code, error }] = await ended;
    assert.deepEqual([code, error.reason], [3504, 'SESSION_LIMIT']);
  });

  test('fields for friends only appear and disappear with the friendship', async () => {
    gateway = await Gateway.start(BOTH, 'profile.visibility.tel=friends', 'profile.visibility.birth=self');
    const [dave, erin] = await Promise.all([gateway.connected('dave'), gateway.connected('erin')]);
    await erin.updateMyInfo({ tel: '123', birth: '1990-01-01' });
    await dave.watch(['erin']);
    await until(dave, () => dave.users.has('erin'));
    const seen = (): unknown => [dave.users.get('erin')?.nick, dave.users.get('erin')?.tel, dave.users.get('erin')?.birth];
    assert.deepEqual(seen(), ['Erin', '', '']);
    await dave.addFriend('erin');
    assert.deepEqual(seen(), ['Erin', '123', '']);
    await dave.deleteFriend('erin');
    await until(dave, () => dave.users.has('erin'));
    assert.deepEqual(seen(), ['Erin', '', '']);
    assert.equal(erin.me?.birth, '1990-01-01');
  });

  test('without presence: none is sent, and invisible is refused', async () => {
    gateway = await Gateway.start('presence.enabled=false');
    const alice = await gateway.connected('alice');
    await gateway.connected('bob');
    await assert.rejects(alice.setPresence({ invisible: true }), { code: 403 });
    await caughtUp(alice);
    assert.equal(alice.presence.size, 0);
  });
});
