// The vectors in docs/conformance that every client shares, run on this one.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { digest, leaf } from '../../src/digest.js';
import { RosterdError } from '../../src/index.js';
import { Replica } from '../../src/replica.js';
import type { Difference } from '../../src/replica.js';
import { frozenTime, live, pass, rig, settle, user } from './rig.js';

frozenTime({ beforeEach, afterEach });

const vectors = (name: string): any => JSON.parse(readFileSync(new URL(`../../../../docs/conformance/${name}.json`, import.meta.url), 'utf8'));

test('digest vectors', () => {
  const all = vectors('digest');
  assert.ok(all.length > 5);
  for (const { friends, leaves, digest: sum } of all) {
    const versions = (key: string): Map<string, { version: number }> => new Map(friends.map((f: any) => [f.account, { version: f[key] }]));
    assert.deepEqual(friends.map((f: any) => leaf(f.account, f.friendVersion, f.userVersion)), leaves);
    assert.equal(digest(versions('friendVersion'), versions('userVersion')), sum);
  }
});

/** The fields of `expected` are those of `actual`; more may be there. */
function includes(actual: any, expected: any, where: string): void {
  for (const [key, value] of Object.entries(expected)) assert.deepEqual(actual?.[key], value, `${where}.${key}`);
}

for (const { name, initial, steps } of vectors('merge').cases) {
  test(`merge: ${name}`, () => {
    const replica = new Replica();
    replica.load({ me: initial.me ?? undefined, users: initial.users, friends: initial.friends, cursor: initial.cursor ?? undefined });
    let inStep: boolean | undefined;
    let expected = 0;
    for (const step of steps) {
      if (step.take) {
        const difference: Difference | undefined = replica.take(step.take);
        if (difference?.how === 'sync') inStep = difference.mismatch === undefined;
      } else if (step.lost) {
        replica.interrupted();
      } else {
        expected++;
        const { me, users, friends, cursor } = step.expect;
        if (me !== undefined) includes(replica.me, me, 'me');
        for (const [records, held, what] of [[users, replica.users, 'user'], [friends, replica.friends, 'friend']]) {
          if (!records) continue;
          assert.deepEqual([...held.keys()].sort(), records.map((r: any) => r.account).sort(), `${what}s`);
          for (const record of records) includes(held.get(record.account), record, `${what} ${record.account}`);
        }
        if (cursor !== undefined) assert.equal(replica.cursor ?? null, cursor);
        if (step.expect.inStep !== undefined) assert.equal(inStep, step.expect.inStep);
      }
    }
    assert.ok(expected > 0, 'the case expects something');
  });
}

const frames = vectors('frames');

for (const { name, text, meaning } of frames.client) {
  // What is wrong or odd on purpose this client never sends; tests of the gateway read those.
  if (meaning.kind !== 'command' && meaning.kind !== 'heartbeat') continue;
  test(`frame of a client: ${name}`, async () => {
    const { command, body } = meaning;
    if (command === 'login') {
      const store = { load: async () => ({ users: [], friends: [], cursor: body.cursor }), save: async () => {}, wipe: async () => {} };
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
    const { ifVersion, ...fields } = body;
    if (command === 'updateMyInfo') void it.client.updateMyInfo(fields, { ifVersion });
    if (command === 'getUsers') void it.client.getUsers(body.accounts, { fresh: true });
    if (command === 'logout') void it.client.logout();
    if (command === 'refresh') await pass(8_000);
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
    /** The text as the answer to a call that is under way. */
    const answer = (): void => it.socket.gives({ ...JSON.parse(text), id: it.socket.sent.at(-1).id });
    if (body === 'updateMyInfoReply') {
      const call = it.client.updateMyInfo({ sign: 'x' });
      answer();
      assert.deepEqual(await call, value.user);
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
      for (const card of value.users ?? []) assert.deepEqual(it.client.users.get(card.account), card);
      for (const relation of value.friends ?? []) assert.deepEqual(it.client.friends.get(relation.account), relation);
      for (const account of value.removed ?? []) assert.equal(it.client.friends.has(account), false);
      assert.ok(it.heard.length > before);
    } else if (body === 'synced') {
      const replica = new Replica();
      if (value.count === 0) {
        replica.take({ loginReply: { sync: 'full' } } as never);
        assert.equal(replica.take(JSON.parse(text))?.mismatch, undefined);
        assert.equal(replica.cursor, value.cursor);
      } else {
        replica.load({ users: [{ ...user('erin', 5) }], friends: [{ account: 'erin', alias: '', custom: '', createTime: 0, updateTime: 0, version: 12 }] });
        replica.take({ loginReply: { sync: 'current' } } as never);
        assert.equal(replica.take(JSON.parse(text))?.mismatch, undefined);
        assert.equal(replica.cursor, value.cursor);
      }
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
