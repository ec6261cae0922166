// Commands whose answers were lost: nothing that sets state is repeated blindly, so that a stale command does not undo what
// another device wrote in between.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Block, Friend, Presence, RosterdError, User } from '../../src/index.js';
import { block, friend, frozenTime, live, pass, rig, settle, user } from './rig.js';
import type { Rig } from './rig.js';

frozenTime({ beforeEach, afterEach });

const bob = user('bob', 2);

/** Names how a call ended: `done`, the reason of its error, or nothing yet. */
function ending(call: Promise<unknown>): { how?: string; value?: unknown } {
  const out: { how?: string; value?: unknown } = {};
  call.then((value) => Object.assign(out, { how: 'done', value }), ({ reason }: RosterdError) => (out.how = reason));
  return out;
}

/** Loses the connection and logs in again, where this has changed meanwhile. */
async function back(it: Rig, changes: { me?: User; friends?: Friend[]; blocks?: Block[]; removed?: string[] } = {}, presence?: Presence[]): Promise<void> {
  it.socket.ends(1006);
  await pass(20_000);
  it.socket.login({ sync: 'delta', because: undefined });
  assert.deepEqual(commands(it), ['login'], 'nothing is sent before the catch-up');
  it.socket.gives({ changes });
  if (presence) it.socket.gives({ presence: { users: presence } });
  // The friend list's sum does not matter here: what is held is accepted.
  const { digest } = await import('../../src/index.js');
  const users = new Map(it.client.users);
  const friends = new Map(it.client.friends);
  for (const account of changes.removed ?? []) [users, friends].forEach((map) => map.delete(account));
  for (const record of changes.friends ?? []) friends.set(record.account, record);
  it.socket.gives({ synced: { cursor: 'e-99', count: friends.size, digest: digest(friends, users) } });
  await settle();
}

const commands = (it: Rig): string[] => it.socket.sent.map((frame) => Object.keys(frame)[1] as string);

/** A client whose calls may take long, with a friend and a block. */
async function start(): Promise<Rig> {
  const it = await live([bob], { requestTimeoutMs: 600_000 });
  it.socket.gives({ changes: { blocks: [block('trudy', 6)], cursor: 'e-6' } });
  return it;
}

test('updateMyInfo: in effect, and only the answer was lost', async () => {
  const it = await start();
  const call = ending(it.client.updateMyInfo({ sign: 'x' }));
  await back(it, { me: { ...user('alice', 9), sign: 'x' } });
  assert.equal(call.how, 'done');
  assert.equal(call.value, it.client.me);
  assert.deepEqual(commands(it), ['login']);
});

test('updateMyInfo: not carried out, and nobody wrote since: sent again, for that version only', async () => {
  const it = await start();
  const call = ending(it.client.updateMyInfo({ sign: 'x' }));
  await back(it);
  const { id, updateMyInfo } = it.socket.last('updateMyInfo');
  assert.deepEqual(updateMyInfo, { sign: 'x', ifVersion: 1 });
  it.socket.gives({ id, updateMyInfoReply: { user: { ...user('alice', 9), sign: 'x' } } });
  await settle();
  assert.equal(call.how, 'done');
});

test('updateMyInfo: another device wrote in between, before the login or after it', async () => {
  const it = await start();
  const before = ending(it.client.updateMyInfo({ sign: 'x' }));
  await back(it, { me: { ...user('alice', 9), sign: 'newer' } });
  assert.deepEqual([before.how, commands(it)], ['SUPERSEDED', ['login']]);
  const after = ending(it.client.updateMyInfo({ sign: 'y' }));
  await back(it);
  it.socket.gives({ changes: { me: { ...user('alice', 12), sign: 'newest' }, cursor: 'e-12' } });
  await mismatch(it, 'updateMyInfo');
  assert.equal(after.how, 'SUPERSEDED');
  assert.equal(it.client.me?.sign, 'newest');
});

test('commands about one record keep their order: the second rests on the first, and a new one waits', async () => {
  const it = await start();
  const first = ending(it.client.updateMyInfo({ sign: '1' }));
  const second = ending(it.client.updateMyInfo({ sign: '2' }));
  it.socket.ends(1006);
  const third = ending(it.client.updateMyInfo({ sign: '3' }));
  await back(it);
  for (const [sign, version, ifVersion] of [['1', 9, 1], ['2', 10, 9], ['3', 11, undefined]] as const) {
    const { id, updateMyInfo } = it.socket.last('updateMyInfo');
    assert.deepEqual([updateMyInfo.sign, updateMyInfo.ifVersion], [sign, ifVersion]);
    it.socket.gives({ id, updateMyInfoReply: { user: { ...user('alice', version), sign } } });
    await settle();
  }
  assert.deepEqual([first.how, second.how, third.how], ['done', 'done', 'done']);
  assert.equal(commands(it).length, 4);
});

test('the first is answered and the second is not: its own write does not supersede it', async () => {
  const it = await start();
  const first = ending(it.client.updateMyInfo({ sign: '1' }));
  const { id } = it.socket.last('updateMyInfo');
  const second = ending(it.client.updateMyInfo({ sign: '2' }));
  it.socket.gives({ id, updateMyInfoReply: { user: { ...user('alice', 9), sign: '1' } } });
  await back(it, { me: { ...user('alice', 9), sign: '1' } });
  assert.deepEqual([first.how, second.how, it.socket.last('updateMyInfo').updateMyInfo], ['done', undefined, { sign: '2', ifVersion: 9 }]);
});

test('the first in effect and the second not: only the second is sent', async () => {
  const it = await start();
  const calls = ['1', '2'].map((sign) => ending(it.client.updateMyInfo({ sign })));
  await back(it, { me: { ...user('alice', 9), sign: '1' } });
  assert.equal(calls[0]?.how, 'done');
  assert.deepEqual(it.socket.last('updateMyInfo').updateMyInfo, { sign: '2', ifVersion: 9 });
});

test('updateFriend: done, sent again, superseded, or no friend any more', async () => {
  const it = await start();
  let call = ending(it.client.updateFriend('bob', { alias: 'B' }));
  await back(it, { friends: [{ ...friend('bob', 9), alias: 'B' }] });
  assert.deepEqual([call.how, commands(it)], ['done', ['login']]);
  call = ending(it.client.updateFriend('bob', { alias: 'C' }));
  await back(it);
  assert.deepEqual(it.socket.last('updateFriend').updateFriend, { account: 'bob', alias: 'C', ifVersion: 9 });
  await back(it, { friends: [{ ...friend('bob', 12), alias: 'newer' }] });
  assert.deepEqual([call.how, commands(it)], ['SUPERSEDED', ['login']]);
  call = ending(it.client.updateFriend('bob', { alias: 'D' }));
  await back(it, { removed: ['bob'] });
  assert.deepEqual([call.how, commands(it)], ['SUPERSEDED', ['login']]);
});

test('unblock: done, sent again, or superseded by a newer block', async () => {
  const it = await start();
  let call = ending(it.client.unblock('trudy'));
  await back(it);
  assert.deepEqual(it.socket.last('unblock').unblock, { account: 'trudy', ifVersion: 6 });
  await back(it, { blocks: [block('trudy', 12)] });
  assert.deepEqual([call.how, commands(it)], ['SUPERSEDED', ['login']]);
  call = ending(it.client.unblock('trudy'));
  await back(it, { blocks: [block('trudy', 13, true)] });
  assert.deepEqual([call.how, commands(it)], ['done', ['login']]);
});

/** Refuses the last command of that name, because the record has another version. */
async function mismatch(it: Rig, command: string): Promise<void> {
  it.socket.gives({ id: it.socket.last(command).id, error: { code: 412, reason: 'VERSION_MISMATCH', message: 'no', field: 'ifVersion' } });
  await settle();
}

test('block: done, sent again for the end of the last block, or superseded', async () => {
  const it = await start();
  // Of trudy's block it has seen the end.
  it.socket.gives({ changes: { blocks: [block('trudy', 8, true)], cursor: 'e-8' } });
  let call = ending(it.client.block('trudy'));
  await back(it);
  assert.deepEqual(it.socket.last('block').block, { account: 'trudy', ifVersion: 8 });
  await mismatch(it, 'block');
  // The tablet has made a block and ended it, which comes after the answer.
  assert.equal(call.how, undefined);
  it.socket.gives({ changes: { blocks: [block('trudy', 10, true)], cursor: 'e-10' } });
  await settle();
  assert.equal(call.how, 'SUPERSEDED');
  call = ending(it.client.block('trudy'));
  // The tablet has made a block and ended it.
  await back(it, { blocks: [block('trudy', 12, true)] });
  assert.deepEqual([call.how, commands(it)], ['SUPERSEDED', ['login']]);
  call = ending(it.client.block('trudy'));
  await back(it, { blocks: [block('trudy', 14)] });
  assert.deepEqual([call.how, commands(it)], ['done', ['login']]);
});

test('block: who knows of no earlier one cannot tell an old end from a new one', async () => {
  const it = await start();
  const call = ending(it.client.block('mallory'));
  await back(it);
  assert.deepEqual(it.socket.last('block').block, { account: 'mallory', ifVersion: 0 });
  await mismatch(it, 'block');
  assert.equal(call.how, 'CONNECTION_LOST');
});

test('a repeat that is refused because what it wants is in effect by now: done', async () => {
  const it = await start();
  const calls = [ending(it.client.updateMyInfo({ sign: 'x' })), ending(it.client.updateFriend('bob', { alias: 'B' }))];
  await back(it);
  // The gateway had the first ones still on their way, and carried them out after the login.
  it.socket.gives({ changes: { me: { ...user('alice', 9), sign: 'x' }, friends: [{ ...friend('bob', 10), alias: 'B' }], users: [bob], cursor: 'e-10' } });
  await mismatch(it, 'updateMyInfo');
  await mismatch(it, 'updateFriend');
  assert.deepEqual(calls.map(({ how }) => how), ['done', 'done']);
  assert.equal(calls[0]?.value, it.client.me);
});

test('the refusal of a repeat comes before the change that it is about: the call waits for that', async () => {
  const it = await start();
  const calls = [ending(it.client.updateMyInfo({ sign: 'x' })), ending(it.client.updateFriend('bob', { alias: 'B' })), ending(it.client.updateMyInfo({ sign: 'y' }))];
  await back(it);
  await mismatch(it, 'updateMyInfo');
  await mismatch(it, 'updateFriend');
  // Something else comes first.
  it.socket.gives({ changes: { users: [user('bob', 7)], cursor: 'e-7' } });
  await settle();
  assert.deepEqual(calls.map(({ how }) => how), [undefined, undefined, undefined]);
  assert.equal(commands(it).length, 3, 'a later command about the same record waits');
  it.socket.gives({ changes: { me: { ...user('alice', 9), sign: 'x' }, friends: [{ ...friend('bob', 10), alias: 'newer' }], cursor: 'e-10' } });
  await settle();
  assert.deepEqual(calls.map(({ how }) => how), ['done', 'SUPERSEDED', undefined]);
  assert.equal(calls[0]?.value, it.client.me);
  assert.deepEqual(it.socket.last('updateMyInfo').updateMyInfo, { sign: 'y', ifVersion: 9 });
});

test('the connection is lost before that change: the next catch-up brings it', async () => {
  const it = await start();
  const calls = ['x', 'y'].map((alias) => ending(it.client.updateFriend('bob', { alias })));
  await back(it);
  await mismatch(it, 'updateFriend');
  await back(it, { friends: [{ ...friend('bob', 10), alias: 'x' }] });
  assert.deepEqual(calls.map(({ how }) => how), ['done', undefined]);
  assert.deepEqual(it.socket.last('updateFriend').updateFriend, { account: 'bob', alias: 'y', ifVersion: 10 });
  await mismatch(it, 'updateFriend');
  it.socket.gives({ changes: { removed: ['bob'], cursor: 'e-11' } });
  await settle();
  assert.equal(calls[1]?.how, 'SUPERSEDED');
});

const own = (invisible: boolean, version: number): Presence => ({ account: 'alice', online: true, lastSeen: 1, invisible, version });

test('setPresence: done, sent again, or superseded', async () => {
  const it = await start();
  let call = ending(it.client.setPresence({ invisible: true }));
  await back(it);
  assert.deepEqual(it.socket.last('setPresence').setPresence, { invisible: true, ifVersion: 0 });
  await mismatch(it, 'setPresence');
  it.socket.gives({ presence: { users: [own(false, 5)] } });
  await settle();
  assert.equal(call.how, 'SUPERSEDED');
  call = ending(it.client.setPresence({ invisible: true }));
  await back(it, {}, [own(true, 9)]);
  assert.deepEqual([call.how, commands(it)], ['done', ['login']]);
  call = ending(it.client.setPresence({ invisible: false }));
  await back(it, {}, [own(true, 9)]);
  assert.deepEqual(it.socket.last('setPresence').setPresence, { invisible: false, ifVersion: 9 });
  // The tablet has shown the account, and hidden it again.
  await back(it, {}, [own(true, 12)]);
  assert.deepEqual([call.how, commands(it)], ['SUPERSEDED', ['login']]);
});

test('what is sent before the catch-up is complete rests on what that brings', async () => {
  const it = rig({ requestTimeoutMs: 600_000 });
  const calls = [ending(it.client.updateMyInfo({ sign: 'x' })), ending(it.client.setPresence({ invisible: true }))];
  void it.client.connect();
  await settle();
  it.socket.login();
  assert.deepEqual(commands(it), ['login', 'updateMyInfo', 'setPresence'], 'nothing is held that they could rest on');
  it.socket.gives({ changes: { me: user('alice', 7) } });
  it.socket.gives({ presence: { users: [own(false, 5)] } });
  it.socket.gives({ synced: { cursor: 'e-7', count: 0, digest: 0 } });
  await back(it, {}, [own(false, 5)]);
  assert.deepEqual([it.socket.last('updateMyInfo').updateMyInfo.ifVersion, it.socket.last('setPresence').setPresence.ifVersion], [7, 5]);
  assert.deepEqual(calls.map(({ how }) => how), [undefined, undefined]);
});

test('a command in doubt still ends in time', async () => {
  const it = await live([], { requestTimeoutMs: 3_000 });
  const call = ending(it.client.updateMyInfo({ sign: 'x' }));
  it.socket.ends(1006);
  await pass(3_000);
  assert.equal(call.how, 'TIMEOUT');
});
