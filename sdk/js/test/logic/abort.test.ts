// Calls and waits that the application gives up, with an AbortSignal.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { frozenTime, live, pass, rig, settle, user } from './rig.js';

frozenTime({ beforeEach, afterEach });

const REASON = new Error('the user has left the page');

test('a command that waits for a connection is not sent any more', async () => {
  const it = rig();
  void it.client.connect();
  await settle();
  const leave = new AbortController();
  const [left, kept] = [it.client.requestFriend('bob', 'Hi', leave), it.client.requestFriend('carol', 'Hi')];
  kept.catch(() => {});
  leave.abort(REASON);
  await assert.rejects(left, REASON);
  it.socket.full([]);
  await settle();
  assert.deepEqual(it.socket.sent.flatMap(({ requestFriend }) => requestFriend?.account ?? []), ['carol']);
});

test('a command that was sent ends for its caller; a late answer does no harm', async () => {
  const it = await live();
  const leave = new AbortController();
  const call = it.client.updateMyInfo({ sign: 'x' }, leave);
  const { id } = it.socket.last('updateMyInfo');
  leave.abort(REASON);
  await assert.rejects(call, REASON);
  it.socket.gives({ id, updateMyInfoReply: { user: { ...user('alice', 9), sign: 'x' } } });
  await settle();
  assert.equal(it.client.me?.sign, 'x');
  assert.deepEqual(it.of('error'), []);
});

test('a signal that is aborted already sends nothing', async () => {
  const it = await live();
  const sent = it.socket.sent.length;
  const signal = AbortSignal.abort(REASON);
  for (const call of [it.client.getUsers(['zoe'], { signal }), it.client.signal('bob', 'x', { signal }), it.client.kick(['s'], { signal }), it.client.getSessions({ signal })]) {
    await assert.rejects(call, REASON);
  }
  assert.equal(it.socket.sent.length, sent);
});

test('an optimistic change that is given up is taken back', async () => {
  const it = await live();
  const leave = new AbortController();
  const call = it.client.updateMyInfo({ nick: 'Ally' }, { optimistic: true, signal: leave.signal });
  assert.equal(it.client.me?.nick, 'Ally');
  leave.abort(REASON);
  await assert.rejects(call, REASON);
  assert.equal(it.client.me?.nick, 'alice');
});

test('the wait for a connection ends, and the client goes on', async () => {
  const it = rig();
  const leave = new AbortController();
  const connected = it.client.connect(leave);
  await settle();
  leave.abort(REASON);
  await assert.rejects(connected, REASON);
  it.socket.full([]);
  await settle();
  assert.equal(it.client.state, 'live');
});

test('what has ended listens to no signal', async () => {
  const it = await live();
  let listeners = 0;
  const { signal } = new AbortController();
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = ((...args: Parameters<typeof add>) => (listeners++, add(...args))) as typeof add;
  signal.removeEventListener = ((...args: Parameters<typeof remove>) => (listeners--, remove(...args))) as typeof remove;
  const [answered, timed] = [it.client.getSessions({ signal }), it.client.kick(['s'], { signal })];
  const [watched, connected] = [it.client.watch(['zoe'], { signal }), it.client.connect({ signal })];
  assert.ok(listeners >= 3, String(listeners));
  it.socket.gives({ id: it.socket.last('getSessions').id, getSessionsReply: { sessions: [] } });
  it.socket.gives({ id: it.socket.last('watch').id, watchReply: {} });
  await Promise.all([answered, watched, connected]);
  const late = assert.rejects(timed, { reason: 'TIMEOUT' });
  for (let i = 0; i < 4; i++) {
    it.socket.gives({});
    await pass(2_500);
  }
  await late;
  assert.equal(listeners, 0);
});
