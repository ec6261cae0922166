// The vectors in docs/conformance, which all clients share.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { bucket, digest, digests, share } from '../../src/digest.js';
import { RosterdError } from '../../src/index.js';
import type { RosterdClient } from '../../src/index.js';
import { Replica } from '../../src/replica.js';
import type { Difference } from '../../src/replica.js';
import { friend, frozenTime, live, pass, rig, settle, summary, user } from './rig.js';

frozenTime({ beforeEach, afterEach });

const vectors = (name: string): any => JSON.parse(readFileSync(new URL(`../../../../docs/conformance/${name}.json`, import.meta.url), 'utf8'));

test('digest vectors', () => {
  const all = vectors('digest');
  assert.ok(all.length > 5);
  for (const { friends, leaves: each, digest: sum, repair } of all) {
    const versions = (key: string): Map<string, { version: number }> => new Map(friends.map((f: any) => [f.account, { version: f[key] }]));
    assert.deepEqual(friends.map((f: any) => share(f.account, f.friendVersion, f.userVersion)), each);
    assert.equal(digest(versions('friendVersion'), versions('userVersion')), sum);
    assert.deepEqual(digests(versions('friendVersion'), versions('userVersion')), repair);
  }
});

/** Checks that `actual` has the fields of `expected`; it may have more. */
function includes(actual: any, expected: any, where: string): void {
  for (const [key, value] of Object.entries(expected)) assert.deepEqual(actual?.[key], value, `${where}.${key}`);
}

for (const { kind, name, initial, steps } of ['merge', 'repair'].flatMap((kind) => vectors(kind).cases.map((one: object) => ({ kind, ...one })))) {
  test(`${kind}: ${name}`, () => {
    const replica = new Replica();
    const { me, users, friends, requests = [], blocks = [], cursor } = initial;
    replica.load({ me: me ?? undefined, users, friends, requests, blocks, cursor: cursor ?? undefined });
    let inStep: boolean | undefined;
    let expected = 0;
    for (const step of steps) {
      if (step.take) {
        const difference: Difference | undefined = replica.take(step.take);
        if (difference?.how === 'sync') inStep = difference.mismatch === undefined;
      } else if (step.lost) {
        replica.interrupted();
      } else if (step.send) {
        assert.deepEqual({ leaves: replica.digests }, step.send.repair);
      } else {
        expected++;
        const { me, cursor } = step.expect;
        if (me !== undefined) includes(replica.me, me, 'me');
        const key = ({ session, account, direction = '' }: any): string => session ?? account + direction;
        for (const list of ['users', 'friends', 'requests', 'blocks', 'presence', 'sessions'] as const) {
          const expected: any[] | undefined = step.expect[list];
          if (!expected) continue;
          const held = new Map([...replica[list].values()].map((record) => [key(record), record]));
          assert.deepEqual([...held.keys()].sort(), expected.map(key).sort(), list);
          for (const record of expected) includes(held.get(key(record)), record, `${list} ${key(record)}`);
        }
        if (cursor !== undefined) assert.equal(replica.cursor ?? null, cursor);
        if (step.expect.inStep !== undefined) assert.equal(inStep, step.expect.inStep);
      }
    }
    assert.ok(expected > 0, 'the case expects something');
  });
}

const frames = vectors('frames');

/** Makes the call that sends this command. */
function send(client: RosterdClient, command: string, body: any): Promise<unknown> {
  const { account, message, ifVersion, ...fields } = body;
  switch (command) {
    case 'updateMyInfo': return client.updateMyInfo(fields, { ifVersion });
    case 'getUsers': return client.getUsers(body.accounts, { fresh: true });
    case 'logout': return client.logout();
    case 'addFriend': case 'requestFriend': return client[command](account, message);
    case 'acceptFriend': case 'rejectFriend': case 'cancelRequest': case 'deleteFriend': case 'block': case 'unblock': return client[command](account);
    case 'updateFriend': return client.updateFriend(account, fields);
    case 'getSessions': return client.getSessions();
    case 'kick': return client.kick(body.sessions);
    case 'watch': return client.watch(body.accounts);
    case 'signal': return client.signal(body.to, body.payload);
    case 'setPresence': return client.setPresence(body);
    case 'getSchema': return client.getSchema();
    case 'setMuted': return client.setMuted(body.account, body.muted);
    default: throw new Error(`no call sends ${command}`);
  }
}

for (const { name, text, meaning } of frames.client) {
  // This client never sends invalid or unusual frames; the gateway's tests read those.
  if (meaning.kind !== 'command' && meaning.kind !== 'heartbeat') continue;
  // No call sends a repair: it follows from the held records, as in the cases above.
  if (meaning.command === 'repair') continue;
  // Nor do calls but one take a version: it follows from a lost answer, as in doubt.test.ts.
  if (meaning.body?.ifVersion !== undefined && meaning.command !== 'updateMyInfo') continue;
  test(`frame of a client: ${name}`, async () => {
    const { command, body } = meaning;
    if (command === 'login') {
      const store = { load: async () => ({ users: [], friends: [], requests: [], blocks: [], cursor: body.cursor }), save: async () => {}, wipe: async () => {} };
      const it = rig({ token: body.token, device: body.device, store });
      void it.client.connect();
      await settle();
      it.socket.open();
      assert.deepEqual(it.socket.sent[0].login, body);
      await it.client.disconnect().catch(() => {});
      return;
    }
    const it = await live([], command === 'refresh' ? { getToken: () => body.token } : {}, command === 'refresh' ? { expiresAt: Date.now() + 10_000 } : {});
    if (meaning.kind === 'heartbeat') {
      it.socket.gives('{}');
      assert.deepEqual(it.socket.sent.at(-1), JSON.parse(text));
      return;
    }
    if (command === 'refresh') await pass(8_000);
    else void send(it.client, command, body);
    const sent = it.socket.last(command);
    assert.ok(Number.isSafeInteger(sent.id) && sent.id > 0);
    assert.deepEqual(sent, { id: sent.id, [command]: body });
  });
}

for (const { name, text, meaning } of frames.server) {
  test(`frame of the gateway: ${name}`, async () => {
    const { kind, body, value } = meaning;
    if (body === 'loginReply') {
      const it = rig({ account: value.account });
      void it.client.connect().catch(() => {});
      await settle();
      it.socket.open();
      assert.equal(it.socket.sent[0].id, meaning.id);
      it.socket.gives(text);
      assert.equal(it.client.state, 'syncing');
      it.socket.gives({ synced: { cursor: 'c', count: 0, digest: 0 } });
      assert.equal(it.client.state, 'live');
      const { sync, because } = it.of('synced')[0]?.[0];
      assert.deepEqual({ sync, because }, { sync: value.sync, because: value.because });
      return;
    }
    const it = await live([user('bob', 2)]);
    const before = it.heard.length;
    /** Sends the text as the answer to the pending call. */
    const answer = (): void => it.socket.gives({ ...JSON.parse(text), id: it.socket.sent.at(-1).id });
    if (body === 'updateMyInfoReply') {
      const call = it.client.updateMyInfo({ sign: 'x' });
      answer();
      assert.deepEqual(await call, value.user);
      assert.deepEqual(it.client.me, value.user);
    } else if (body === 'setMutedReply') {
      const call = it.client.setMuted('erin', true);
      answer();
      await call;
      assert.deepEqual(it.client.me, value.user);
    } else if (body === 'getUsersReply') {
      const call = it.client.getUsers(['alice', 'zoe'], { fresh: true });
      answer();
      assert.deepEqual(await call, { users: value.users, missing: value.users.length ? value.missing : ['alice', 'zoe'] });
    } else if (body === 'logoutReply') {
      const call = it.client.logout();
      answer();
      await call;
      assert.equal(it.client.state, 'disconnected');
    } else if (body === 'refreshReply') {
      const renewing = await live([], { token: 'old', getToken: () => 'new' }, { expiresAt: Date.now() + 10_000 });
      await pass(8_000);
      const { id } = renewing.socket.last('refresh');
      renewing.socket.gives({ ...JSON.parse(text), id });
      await settle();
      assert.deepEqual(renewing.of('error'), []);
    } else if (body === 'error' && meaning.id) {
      const call = it.client.updateMyInfo({ sign: 'x' });
      answer();
      await assert.rejects(call, (error: unknown) => {
        assert.ok(error instanceof RosterdError);
        includes(error, value, 'error');
        return true;
      });
    } else if (body === 'error') {
      it.socket.gives(text);
      includes(it.of('error')[0]?.[0], value, 'error');
    } else if (body === 'changes') {
      it.socket.gives(text);
      if (value.me) assert.deepEqual(it.client.me, value.me);
      for (const held of value.users ?? []) assert.deepEqual(it.client.users.get(held.account), held);
      for (const relation of value.friends ?? []) assert.deepEqual(it.client.friends.get(relation.account), relation);
      for (const account of value.removed ?? []) assert.equal(it.client.friends.has(account), false);
      if (value.requests) assert.deepEqual(it.of('requests'), [[[], 'sync'], [value.requests, 'update']]);
      for (const request of value.requests ?? []) {
        const open = it.client.requests.find(({ account, direction }) => account === request.account && direction === request.direction);
        assert.deepEqual(open, request.state === 'open' ? request : undefined);
      }
      for (const block of value.blocks ?? []) assert.deepEqual(it.client.blocks.get(block.account), block.removed ? undefined : block);
      assert.ok(it.heard.length > before);
    } else if (body === 'synced') {
      const replica = new Replica();
      if (value.count === 0) {
        replica.take({ loginReply: { sync: 'full' } } as never);
        assert.equal(replica.take(JSON.parse(text))?.mismatch, undefined);
        assert.equal(replica.cursor, value.cursor);
      } else {
        replica.load({ users: [user('erin', 5)], friends: [friend('erin', 12)], requests: [], blocks: [] });
        replica.take({ loginReply: { sync: 'current' } } as never);
        assert.equal(replica.take(JSON.parse(text))?.mismatch, undefined);
        assert.equal(replica.cursor, value.cursor);
      }
    } else if (body === 'getSchemaReply') {
      const call = it.client.getSchema();
      answer();
      assert.deepEqual(await call, value);
    } else if (body === 'getSessionsReply') {
      const call = it.client.getSessions();
      answer();
      assert.deepEqual(await call, value.sessions);
    } else if (body === 'kickReply') {
      const call = it.client.kick(['525488d581304639']);
      answer();
      assert.deepEqual(await call, value.kicked);
    } else if (body === 'watchReply') {
      const call = it.client.watch(['erin', 'zoe']);
      answer();
      assert.deepEqual(await call, value);
    } else if (body === 'signalReply') {
      const call = it.client.signal('erin', 'x');
      answer();
      assert.deepEqual(await call, value);
    } else if (body === 'repairReply') {
      it.socket.ends(1006);
      await pass(20_000);
      it.socket.login({ sync: 'current', because: undefined });
      it.socket.gives({ synced: { cursor: 'e-2', count: 0, digest: 0 } });
      const { id } = it.socket.last('repair');
      it.socket.gives({ ...JSON.parse(text), id });
      it.socket.gives({ synced: { ...summary(value.parts.includes(bucket('bob')) ? [] : [user('bob', 2)], 'e-2') } });
      assert.equal(it.client.state, 'live');
      assert.equal(it.client.friends.has('bob'), !value.parts.includes(bucket('bob')));
    } else if (kind === 'reply') {
      // Other replies are empty, and their changes come afterwards.
      const call = send(it.client, body.replace(/Reply$/, ''), { account: 'erin', alias: 'E', invisible: true });
      answer();
      it.socket.gives({ changes: { cursor: 'e-2' } });
      await call;
    } else if (body === 'presence') {
      it.socket.gives(text);
      assert.deepEqual([...it.client.presence.values()], value.users);
      assert.deepEqual(it.of('presence'), [[value.users, 'update']]);
    } else if (body === 'sessions') {
      it.socket.gives(text);
      assert.deepEqual(it.client.sessions, value.sessions);
      assert.deepEqual(it.of('sessions'), [[value.sessions]]);
    } else if (body === 'signal') {
      it.socket.gives(text);
      assert.deepEqual(it.of('signal'), [[value]]);
    } else if (body === 'goodbye') {
      it.socket.gives(text);
      it.socket.ends(value.code, value.reason);
      const { code, reason, willReconnect } = it.of('disconnected')[0]?.[0];
      assert.deepEqual({ code, reason, willReconnect }, { code: value.code, reason: value.reason, willReconnect: value.reconnect });
      if (value.retryAfterMs) assert.equal(it.of('willReconnect')[0]?.[0].delayMs, value.retryAfterMs);
    } else {
      assert.ok(kind === 'heartbeat' || kind === 'ignored', `${kind} is tested above`);
      it.socket.gives(text);
      assert.equal(it.heard.length, before);
      assert.equal(it.client.state, 'live');
    }
  });
}
