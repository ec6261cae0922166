// Counted holds of watched strangers.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { friend, frozenTime, live, pass, user } from './rig.js';
import type { Rig } from './rig.js';

frozenTime({ beforeEach, afterEach });

/** Answers the last watch, and returns its accounts. */
async function accept(it: Rig): Promise<string[]> {
  const { id, watch } = it.socket.last('watch');
  it.socket.gives({ id, watchReply: { missing: [] } });
  await pass(0);
  return watch.accounts.sort();
}

const watches = (it: Rig): number => it.socket.sent.filter((frame) => frame.watch).length;

test('holds are counted, gathered, and added to the list of watch', async () => {
  const it = await live([user('bob', 2)]);
  const offs = [it.client.hold(['zoe']), it.client.hold(['zoe', 'yan'])];
  await pass(20);
  assert.deepEqual(await accept(it), ['yan', 'zoe']);
  const listing = it.client.watch(['xia']);
  assert.deepEqual(await accept(it), ['xia', 'yan', 'zoe']);
  await listing;
  offs[0]?.();
  offs[0]?.();
  await pass(20);
  assert.equal(watches(it), 2, 'zoe is still held once');
  offs[1]?.();
  await pass(20);
  assert.deepEqual(await accept(it), ['xia']);
});

test('a component that is mounted twice at once costs one command, or none', async () => {
  const it = await live([]);
  it.client.hold(['zoe'])();
  const off = it.client.hold(['zoe']);
  await pass(20);
  await accept(it);
  off();
  it.client.hold(['zoe']);
  await pass(1_000);
  assert.equal(watches(it), 1);
});

test('friends need no watch, until they are none', async () => {
  const it = await live([user('bob', 2)]);
  it.client.hold(['bob', 'alice']);
  await pass(20);
  assert.equal(watches(it), 0);
  it.socket.gives({ changes: { removed: ['bob'], cursor: 'e-8' } });
  await pass(20);
  assert.deepEqual(await accept(it), ['bob']);
  it.socket.gives({ changes: { users: [user('bob', 9)], friends: [friend('bob', 9)], cursor: 'e-9' } });
  await pass(20);
  assert.deepEqual(await accept(it), []);
});

test('holds survive a lost connection, and one that was made without a connection', async () => {
  const it = await live([]);
  it.client.hold(['zoe']);
  await pass(20);
  await accept(it);
  it.client.cut();
  it.client.hold(['yan']);
  await pass(20_000);
  it.socket.full([]);
  await pass(20);
  assert.deepEqual(await accept(it), ['yan', 'zoe']);
});

test('a list that the gateway refuses is an error event', async () => {
  const it = await live([]);
  it.client.hold(['zoe']);
  await pass(20);
  it.socket.gives({ id: it.socket.last('watch').id, error: { code: 419, reason: 'LIMIT_EXCEEDED', message: 'too many' } });
  await pass(0);
  assert.deepEqual(it.of('error').map(([{ code }]) => code), [419]);
});
