// The NIM interface: friends, requests, the blocklist and devices, in NIM's names, shapes and order.
// test/browser/nim.test.ts tests it in a browser with a real gateway.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import SDK, { NIM } from '../../src/nim.js';
import type { NIMGetInstanceOptions } from '../../src/nim.js';
import { block, FakeSocket, friend, frozenTime, pass, request, settle, summary, user } from './rig.js';

const CALLBACKS = [
  'onconnect', 'onwillreconnect', 'ondisconnect', 'onerror', 'onsyncdone', 'onmyinfo', 'onupdatemyinfo', 'onusers', 'onupdateuser', 'onfriends',
  'onsyncfriendaction', 'onblacklist', 'onsyncmarkinblacklist', 'onmutelist', 'onsyncmarkinmutelist', 'onofflinesysmsgs', 'onsysmsg', 'onupdatesysmsg', 'onloginportschange', 'onpushevents',
] as const;

let sockets: FakeSocket[] = [];
let nims: NIM[] = [];
const own = globalThis.WebSocket;

frozenTime({ beforeEach, afterEach });
beforeEach(() => {
  sockets = [];
  globalThis.WebSocket = class extends FakeSocket {
    constructor(url: string, protocols?: string | string[]) {
      super(url, protocols);
      sockets.push(this);
    }
  } as never;
});
afterEach(async () => {
  for (const nim of nims.splice(0)) nim.destroy();
  await settle();
  if (own) globalThis.WebSocket = own;
  else delete (globalThis as any).WebSocket;
});

interface Application {
  nim: NIM;
  /** All calls with their arguments, in order. */
  calls: [name: string, data: any][];
  readonly socket: FakeSocket;
  names(): string[];
  /** The arguments of all calls of one callback. */
  of(name: string): any[];
  done(name: string): (error: unknown, data: unknown) => void;
}

async function start(options: Partial<NIMGetInstanceOptions> = {}): Promise<Application> {
  const calls: [string, any][] = [];
  const callbacks = Object.fromEntries(CALLBACKS.map((name) => [name, (data: unknown) => void calls.push([name, data])]));
  const nim = NIM.getInstance({ account: 'alice', url: 'ws://gateway/v1/ws', db: false, ...callbacks, ...options });
  nims.push(nim);
  await settle();
  return {
    nim, calls,
    get socket() {
      return sockets.at(-1)!;
    },
    names: () => calls.map(([name]) => name),
    of: (name) => calls.filter(([called]) => called === name).map(([, data]) => data),
    done: (name) => (error, data) => void calls.push([name, error ?? data]),
  };
}

const bob = user('bob', 2);
const { version: _, ...bobRelation } = { ...friend('bob', 5), valid: true };

/** Logs in, with bob as a friend and `more` changes in the first sync. */
async function live(options: Partial<NIMGetInstanceOptions> = {}, more: object = {}): Promise<Application> {
  const app = await start(options);
  app.socket.login();
  app.socket.gives({ changes: { me: user('alice', 1), users: [bob], friends: [friend('bob', 5)], ...more } });
  app.socket.gives({ synced: summary([bob], 'e-1') });
  await settle();
  return app;
}

/** Goes live and forgets the calls so far. */
async function quiet(options: Partial<NIMGetInstanceOptions> = {}, more: object = {}): Promise<Application> {
  const app = await live(options, more);
  app.calls.length = 0;
  return app;
}

/** Answers the last command like the gateway: the reply first, then the change. */
async function answer(app: Application, changes: object): Promise<void> {
  const { id, ...command } = app.socket.sent.at(-1);
  app.socket.gives({ id, [`${Object.keys(command)[0]}Reply`]: {} });
  app.socket.gives({ changes: { ...changes, cursor: 'e-9' } });
  await settle();
}

/** Loses the connection and logs in again, with this difference. */
async function again(app: Application, changes: object, friends = [bob]): Promise<void> {
  app.socket.ends(1006);
  await pass(500);
  app.calls.length = 0;
  app.socket.login({ sync: 'delta', because: undefined });
  app.socket.gives({ changes: { me: user('alice', 1), ...changes } });
  app.socket.gives({ synced: summary(friends, 'e-20') });
  await settle();
}

test('the device that other sessions see', async () => {
  const app = await start({ customTag: 'desk' });
  app.socket.open();
  assert.deepEqual(app.socket.last('login').login.device, { type: 'web', tag: 'desk' });
});

test('at login: connect, own profile, users, friends, blocklist, system messages, and done', async () => {
  const app = await live({}, { requests: [request('erin', 'in', 7, 'open', 'hi'), request('zoe', 'out', 8)], blocks: [block('mallory', 9)] });
  assert.deepEqual(app.names(), ['onconnect', 'onmyinfo', 'onusers', 'onfriends', 'onblacklist', 'onofflinesysmsgs', 'onsyncdone']);
  const [list] = app.of('onblacklist');
  assert.deepEqual([[...list], list.invalid], [[{ account: 'mallory', isBlack: true, createTime: 1, updateTime: 1 }], []]);
  assert.deepEqual(app.of('onofflinesysmsgs'), [[
    { type: 'applyFriend', from: 'erin', to: 'alice', time: 1, idServer: 'erin-1', category: 'friend', state: 'init', read: false, ps: 'hi' },
  ]]);
});

test('at the next login only the difference: ended blocks in invalid, answers, and no open requests again', async () => {
  const app = await quiet({}, { requests: [request('erin', 'in', 7), request('zoe', 'out', 8)], blocks: [block('mallory', 9)] });
  await again(app, { requests: [request('zoe', 'out', 10, 'rejected', 'no')], blocks: [block('mallory', 11, true), block('trudy', 12)] });
  assert.deepEqual(app.names(), ['onconnect', 'onmyinfo', 'onblacklist', 'onofflinesysmsgs', 'onsyncdone']);
  const [list] = app.of('onblacklist');
  assert.deepEqual([[...list].map(({ account }) => account), list.invalid.map(({ account }: any) => account)], [['trudy'], ['mallory']]);
  assert.deepEqual(app.of('onofflinesysmsgs')[0].map(({ type, from }: any) => [type, from]), [['rejectFriendApply', 'zoe']]);
  await again(app, {});
  assert.deepEqual(app.names(), ['onconnect', 'onmyinfo', 'onsyncdone']);
});

test('syncRelations: false, no blocklist', async () => {
  assert.deepEqual((await live({ syncRelations: false }, { blocks: [block('mallory', 9)] })).names(), ['onconnect', 'onmyinfo', 'onusers', 'onfriends', 'onsyncdone']);
});

const erin = { friends: [friend('erin', 9)], users: [user('erin', 4)] };
const erinRelation = { ...bobRelation, account: 'erin' };

test('addFriend: done has the friend, and only onfriends is called', async () => {
  const app = await quiet();
  app.nim.addFriend({ account: 'erin', ps: 'hi', done: app.done('done') });
  assert.deepEqual(app.socket.last('addFriend').addFriend, { account: 'erin', message: 'hi' });
  await answer(app, { ...erin, requests: [request('erin', 'out', 9, 'accepted', 'hi')] });
  assert.deepEqual(app.names(), ['onupdateuser', 'onfriends', 'done']);
  assert.deepEqual(app.of('done'), [{ account: 'erin', ps: 'hi', friend: erinRelation }]);
});

test('applyFriend, and the other side accepts, or rejects', async () => {
  const app = await quiet();
  app.nim.applyFriend({ account: 'erin', done: app.done('done') });
  assert.deepEqual(app.socket.last('requestFriend').requestFriend, { account: 'erin' });
  await answer(app, { requests: [request('erin', 'out', 8)] });
  assert.deepEqual(app.calls, [['done', { account: 'erin' }]]);
  app.calls.length = 0;
  app.socket.gives({ changes: { ...erin, requests: [request('erin', 'out', 9, 'accepted')], cursor: 'e-9' } });
  assert.deepEqual(app.names(), ['onupdateuser', 'onfriends', 'onsysmsg']);
  assert.deepEqual(app.of('onsysmsg').map(({ type, from, to, state }) => [type, from, to, state]), [['passFriendApply', 'erin', 'alice', 'passed']]);
  app.socket.gives({ changes: { requests: [request('zoe', 'out', 10)] } });
  app.calls.length = 0;
  app.socket.gives({ changes: { requests: [request('zoe', 'out', 11, 'rejected')] } });
  assert.deepEqual(app.of('onsysmsg').map(({ type, from }) => [type, from]), [['rejectFriendApply', 'zoe']]);
});

test('somebody asks: passFriendApply', async () => {
  const app = await quiet();
  app.socket.gives({ changes: { requests: [request('erin', 'in', 8, 'open', 'hello')], cursor: 'e-8' } });
  const [message] = app.of('onsysmsg');
  assert.deepEqual([message.type, message.from, message.ps, message.state], ['applyFriend', 'erin', 'hello', 'init']);
  app.calls.length = 0;
  app.nim.passFriendApply({ idServer: message.idServer, account: message.from, ps: 'welcome', done: app.done('done') });
  assert.deepEqual(app.socket.last('acceptFriend').acceptFriend, { account: 'erin' });
  await answer(app, { ...erin, requests: [request('erin', 'in', 9, 'accepted', 'hello')] });
  assert.deepEqual(app.names(), ['onupdateuser', 'onfriends', 'onupdatesysmsg', 'done']);
  assert.deepEqual(app.of('onupdatesysmsg').map(({ idServer, state }) => [idServer, state]), [[message.idServer, 'passed']]);
  assert.deepEqual(app.of('done'), [{ account: 'erin', ps: 'welcome', idServer: message.idServer, friend: erinRelation }]);
});

test('somebody asks: rejectFriendApply; or it is over by itself', async () => {
  const app = await quiet({}, { requests: [request('erin', 'in', 7), request('zoe', 'in', 8)] });
  app.nim.rejectFriendApply({ account: 'erin', done: app.done('done') });
  await answer(app, { requests: [request('erin', 'in', 9, 'rejected')] });
  assert.deepEqual(app.names(), ['onupdatesysmsg', 'done']);
  app.calls.length = 0;
  app.socket.gives({ changes: { requests: [request('zoe', 'in', 10, 'cancelled')] } });
  const [{ state, error }] = app.of('onupdatesysmsg');
  assert.deepEqual([state, error.code], ['error', 404]);
  // She sends another request, which is reported.
  app.socket.gives({ changes: { requests: [request('zoe', 'in', 11)] } });
  assert.equal(app.of('onsysmsg').length, 1);
});

test('friends made without asking, with a message', async () => {
  const app = await quiet();
  app.socket.gives({ changes: { ...erin, requests: [request('erin', 'in', 9, 'accepted', 'we know each other')] } });
  assert.deepEqual(app.names(), ['onupdateuser', 'onfriends', 'onsysmsg']);
  assert.deepEqual(app.of('onsysmsg').map(({ type, ps }) => [type, ps]), [['addFriend', 'we know each other']]);
});

test('actions of the account on another device', async () => {
  const app = await quiet({}, { requests: [request('erin', 'in', 7), request('zoe', 'in', 8)] });
  const actions = (): any[] => app.of('onsyncfriendaction').map(({ type, account, friend }) => [type, account ?? friend.account, friend]);
  app.socket.gives({ changes: { ...erin, requests: [request('erin', 'in', 9, 'accepted')] } });
  app.socket.gives({ changes: { requests: [request('zoe', 'in', 10, 'rejected')] } });
  app.socket.gives({ changes: { requests: [request('frank', 'out', 11)] } });
  app.socket.gives({ changes: { requests: [request('grace', 'out', 12, 'accepted', 'hi')], friends: [friend('grace', 12)], users: [user('grace', 3)] } });
  assert.deepEqual(actions(), [
    ['passFriendApply', 'erin', erinRelation], ['rejectFriendApply', 'zoe', undefined], ['applyFriend', 'frank', undefined],
    ['addFriend', 'grace', { ...bobRelation, account: 'grace' }],
  ]);
  assert.deepEqual(app.of('onsysmsg'), [], 'nobody else did anything');
  app.calls.length = 0;
  app.socket.gives({ changes: { friends: [{ ...friend('bob', 13), alias: 'B.', updateTime: 2 }], users: [bob] } });
  assert.deepEqual(app.calls, [['onsyncfriendaction', { type: 'updateFriend', friend: { account: 'bob', alias: 'B.', createTime: 1, updateTime: 2 } }]]);
  app.calls.length = 0;
  app.socket.gives({ changes: { blocks: [block('mallory', 14)] } });
  app.socket.gives({ changes: { blocks: [block('mallory', 15, true)] } });
  assert.deepEqual(app.calls.map(([name, { account, isAdd, record }]) => [name, account, isAdd, record]), [
    ['onsyncmarkinblacklist', 'mallory', true, { account: 'mallory', updateTime: 1 }], ['onsyncmarkinblacklist', 'mallory', false, { account: 'mallory', updateTime: 1 }],
  ]);
});

test('updateFriend: done has the friendship, and nothing else is called', async () => {
  const app = await quiet();
  app.nim.updateFriend({ account: 'bob', alias: 'B.', done: app.done('done') });
  assert.deepEqual(app.socket.last('updateFriend').updateFriend, { account: 'bob', alias: 'B.' });
  await answer(app, { friends: [{ ...friend('bob', 9), alias: 'B.' }], users: [bob] });
  assert.deepEqual(app.calls, [['done', { ...bobRelation, alias: 'B.' }]]);
});

test('deleteFriend, here or by the other side: in invalid', async () => {
  const app = await quiet();
  app.nim.deleteFriend({ account: 'bob', delAlias: true, done: app.done('done') });
  await answer(app, { removed: ['bob'] });
  assert.deepEqual(app.names(), ['onfriends', 'done']);
  assert.deepEqual(app.of('onfriends')[0].invalid.map(({ account, valid }: any) => [account, valid]), [['bob', false]]);
});

test('getFriends and isMyFriend', async () => {
  const app = await quiet();
  app.nim.getFriends({ done: app.done('all') });
  app.nim.getFriends({ updateTime: 1, done: app.done('newer') });
  app.nim.isMyFriend({ account: 'bob', done: app.done('bob') });
  app.nim.isMyFriend({ account: 'erin', done: app.done('erin') });
  await settle();
  assert.deepEqual(app.calls, [['all', [bobRelation]], ['newer', []], ['bob', true], ['erin', false]]);
});

test('the mute list: its three calls, the list, and other devices', async () => {
  const app = await live({}, { me: { ...user('alice', 1), muted: ['zoe'] } });
  const relation = (account: string): object => ({ account, isMuted: true, createTime: 0, updateTime: 0 });
  assert.deepEqual(app.of('onmutelist'), [Object.assign([relation('zoe')], { invalid: [] })]);
  assert.ok(!('muted' in app.of('onmyinfo')[0]), 'a profile has no list in NIM');
  const mark = (account: string, isAdd: boolean): object => ({ account, isAdd, record: { account, updateTime: Date.now() } });
  const mutes = (version: number, muted: string[]): void => {
    const { id } = app.socket.last('setMuted');
    app.socket.gives({ id, setMutedReply: { user: { ...user('alice', version), muted } } });
  };
  app.nim.addToMutelist({ account: 'erin', done: app.done('added') });
  assert.deepEqual(app.socket.last('setMuted').setMuted, { account: 'erin', muted: true });
  mutes(2, ['erin', 'zoe']);
  await settle();
  app.nim.removeFromMutelist({ account: 'zoe', done: app.done('removed') });
  mutes(3, ['erin']);
  await settle();
  app.nim.markInMutelist({ account: 'bob', done: app.done('marked') });
  mutes(4, ['bob', 'erin']);
  await settle();
  assert.deepEqual([app.of('added'), app.of('removed'), app.of('marked')], [[mark('erin', true)], [mark('zoe', false)], [mark('bob', true)]]);
  assert.deepEqual(app.of('onsyncmarkinmutelist'), [], 'the caller gets done alone');
  app.socket.gives({ changes: { me: { ...user('alice', 5), nick: 'Al', muted: ['erin', 'carl'] } } });
  await settle();
  assert.deepEqual(app.of('onsyncmarkinmutelist').map(({ account, isAdd }) => [account, isAdd]), [['carl', true], ['bob', false]]);
  assert.equal(app.of('onupdatemyinfo').at(-1).nick, 'Al');
  app.nim.getRelations({ done: app.done('all') });
  await settle();
  assert.deepEqual(app.of('all')[0].mutelist, [relation('erin'), relation('carl')]);
});

test('the blocklist: its three calls, and the list', async () => {
  const app = await quiet();
  const mark = (account: string, isAdd: boolean): unknown => ({ account, isAdd, record: { account, updateTime: isAdd ? 1 : Date.now() } });
  app.nim.addToBlacklist({ account: 'erin', done: app.done('added') });
  await answer(app, { blocks: [block('erin', 8)] });
  app.nim.markInBlacklist({ account: 'zoe', isAdd: true, done: app.done('marked') });
  await answer(app, { blocks: [block('zoe', 9)] });
  app.nim.removeFromBlacklist({ account: 'erin', done: app.done('removed') });
  await answer(app, { blocks: [block('erin', 10, true)] });
  assert.deepEqual(app.calls, [['added', mark('erin', true)], ['marked', mark('zoe', true)], ['removed', mark('erin', false)]]);
  app.nim.getRelations({ done: app.done('all') });
  await settle();
  assert.deepEqual(app.of('all'), [{ blacklist: [{ account: 'zoe', isBlack: true, createTime: 1, updateTime: 1 }], mutelist: [] }]);
  app.nim.markInBlacklist({ account: 'zoe', isAdd: false });
  assert.deepEqual(app.socket.last('unblock').unblock, { account: 'zoe' });
});

test('lists of relations are merged and cut like those of friends', async () => {
  const { nim } = await start();
  const relations = [{ account: 'a', n: 1 }, { account: 'b', n: 2 }];
  assert.deepEqual(nim.mergeRelations(relations, { account: 'b', n: 3 }), [{ account: 'a', n: 1 }, { account: 'b', n: 3 }]);
  assert.deepEqual(nim.cutRelations(relations, [{ account: 'a', n: 0 }]), [{ account: 'b', n: 2 }]);
  assert.deepEqual([nim.findRelation(relations, 'a'), nim.findRelation(undefined, 'a')], [{ account: 'a', n: 1 }, null]);
});

test('errors have NIM’s numbers, and name the call', async () => {
  const app = await quiet();
  for (const [method, code] of [['addFriend', 403], ['applyFriend', 417], ['passFriendApply', 404], ['deleteFriend', 404], ['updateFriend', 414], ['addToBlacklist', 419]] as const) {
    app.nim[method]({ account: 'erin', alias: 'x', done: app.done(method) } as never);
    app.socket.gives({ id: app.socket.sent.at(-1).id, error: { code, reason: 'WHY', message: 'no' } });
    await settle();
    assert.deepEqual(app.of(method), [{ code, message: 'no', event: { callFunc: method, reason: 'WHY' } }]);
  }
  app.nim.kick({ deviceIds: 'all' as never, done: app.done('kick') });
  await settle();
  assert.equal(app.of('kick')[0].code, 414);
  assert.equal(app.of('onerror').length, 0);
});

test('a refusal by a hook has NIM’s number for refused content, and the word of the hook', async () => {
  const app = await quiet();
  for (const [method, code, options] of [['updateMyInfo', 103451, { nick: 'x' }], ['applyFriend', 104451, { account: 'erin' }], ['addFriend', 104451, { account: 'erin' }]] as const) {
    app.nim[method]({ ...options, done: app.done(method) } as never);
    app.socket.gives({ id: app.socket.sent.at(-1).id, error: { code: 451, reason: 'REJECTED', message: 'no', detail: 'WORD' } });
    await settle();
    assert.deepEqual(app.of(method), [{ code, message: 'no', event: { callFunc: method, reason: 'REJECTED', detail: 'WORD' } }]);
  }
});

test('other devices: reported when they start and end, and ended by kick', async () => {
  const app = await quiet();
  const session = (name: string, current: boolean): object => ({ session: name, device: { id: '', type: 'ios', tag: 'phone' }, connectedAt: 7, current });
  const port = (name: string, online: boolean): object => ({ type: 'iOS', os: '', mac: '', deviceId: name, account: 'alice', connectionId: 0, ip: '', time: 7, online, customTag: 'phone' });
  app.socket.gives({ sessions: { sessions: [session('a', false), session('me', true)] } });
  app.socket.gives({ sessions: { sessions: [session('a', false), session('me', true), session('b', false)] } });
  app.socket.gives({ sessions: { sessions: [session('me', true), session('b', false)] } });
  assert.deepEqual(app.of('onloginportschange'), [[port('a', true)], [port('a', true), port('b', true)], [port('b', true), port('a', false)]]);
  app.nim.kick({ deviceIds: ['b'], done: app.done('kicked') });
  const { id, kick } = app.socket.last('kick');
  assert.deepEqual(kick, { sessions: ['b'] });
  app.socket.gives({ id, kickReply: { kicked: ['b'] } });
  await settle();
  assert.deepEqual(app.of('kicked'), [{ deviceIds: ['b'] }]);
});

for (const [code, word, reason] of [[3503, 'KICKED', 'otherPlatformKick'], [3504, 'SESSION_LIMIT', 'samePlatformKick']] as const) {
  test(`${word} is a kick`, async () => {
    const app = await quiet();
    app.socket.gives({ goodbye: { code, reason: word, reconnect: false } });
    app.socket.ends(code, word);
    await pass(60_000);
    assert.deepEqual(app.names(), ['ondisconnect']);
    const [{ code: kicked, reason: why }] = app.of('ondisconnect');
    assert.deepEqual([kicked, why], ['kicked', reason]);
    assert.equal(sockets.length, 1);
  });
}

const at = (account: string, online: boolean, status?: string, lastSeen = 7): object => ({ account, online, lastSeen, ...(status ? { status } : {}) });
const here = async (app: Application, ...users: object[]): Promise<void> => {
  app.socket.gives({ presence: { users } });
  await settle();
};
/** What `onpushevents` has brought since the last look: account, value and status of each event. */
const events = (app: Application): string[] => {
  const found = app.of('onpushevents').flatMap(({ msgEvents }) => msgEvents).map(({ account, value, custom }) => [account, value, custom[16]].filter(Boolean).join(' '));
  app.calls.length = 0;
  return found;
};

test('subscribed events: friends come online, go offline, and have a status', async () => {
  const app = await quiet();
  await here(app, at('bob', true));
  assert.deepEqual(events(app), [], 'nobody has subscribed');
  app.nim.subscribeEvent({ type: 1, accounts: ['bob', 'zoe'], done: app.done('subscribed') });
  await settle();
  assert.deepEqual(app.calls.map(([name]) => name), ['subscribed', 'onpushevents']);
  assert.deepEqual(app.of('subscribed'), [{ failedAccounts: ['zoe'] }], 'whose presence nobody here sees');
  assert.deepEqual(app.of('onpushevents'), [{ msgEvents: [
    { type: '1', value: '1', account: 'bob', time: '7', clientType: 'Web', custom: {}, serverConfig: '{"online":[16]}', idClient: '', idServer: '' },
  ] }]);
  app.calls.length = 0;
  await here(app, at('bob', true, 'lunch'));
  await here(app, at('bob', true, 'lunch'));
  await here(app, at('bob', true), at('zoe', true));
  assert.deepEqual(events(app), ['bob 10001 lunch', 'bob 10001']);
  await here(app, at('bob', false, undefined, 9));
  assert.equal(app.of('onpushevents')[0].msgEvents[0].serverConfig, '{"online":[]}');
  assert.deepEqual(events(app), ['bob 2']);
  await here(app, at('bob', true, 'back'));
  assert.deepEqual(events(app), ['bob 1 back', 'bob 10001 back']);
  // Where the gateway shows the kinds of devices.
  const on = async (...devices: string[]): Promise<string[]> => {
    await here(app, { ...at('bob', true, 'back'), devices });
    return app.of('onpushevents').flatMap(({ msgEvents }) => msgEvents).map(({ serverConfig }) => serverConfig);
  };
  assert.deepEqual(await on('fridge', 'ios', 'web'), ['{"online":[16,2]}']);
  assert.deepEqual(events(app), ['bob 1 back']);
  assert.deepEqual(await on('ios'), ['{"online":[2]}']);
  assert.deepEqual(events(app), ['bob 2 back']);
  assert.deepEqual(await on('ios'), []);
  await here(app, at('bob', true, 'back'));
  app.calls.length = 0;
  // A login brings who is online, and who is not any more.
  app.socket.ends(1006);
  await pass(500);
  app.socket.login({ sync: 'current', because: undefined });
  app.socket.gives({ presence: { users: [at('bob', true, 'back')] } });
  app.socket.gives({ synced: summary([bob], 'e-2') });
  await settle();
  assert.ok(app.names().indexOf('onpushevents') < app.names().indexOf('onsyncdone'));
  assert.deepEqual(events(app), ['bob 1 back', 'bob 10001 back']);
  app.socket.gives({ changes: { removed: ['bob'], cursor: 'e-3' } });
  app.socket.gives({ changes: { users: [bob], friends: [friend('bob', 9)], cursor: 'e-4' } });
  await here(app, at('bob', true, 'again'));
  assert.deepEqual(events(app), [], 'the subscription ended with the friendship');
});

test('subscriptions end, are looked up, and begin with what comes next if nothing is to be synced', async () => {
  const app = await quiet();
  await here(app, at('bob', true, 'lunch'));
  const began = `${Date.now()}`;
  app.nim.subscribeEvent({ type: 1, accounts: ['bob'], subscribeTime: 60, sync: false });
  app.nim.querySubscribeEventsByAccounts({ type: 1, accounts: ['bob', 'zoe'], done: app.done('of accounts') });
  app.nim.querySubscribeEventsByType({ type: 1, done: app.done('all') });
  await settle();
  const held = [{ type: '1', to: 'bob', time: began, subscribeTime: '60' }];
  assert.deepEqual([app.of('of accounts'), app.of('all'), app.of('onpushevents')], [[held], [held], []]);
  await here(app, at('bob', true, 'coffee'));
  assert.deepEqual(events(app), ['bob 10001 coffee']);
  await pass(60_000);
  await here(app, at('bob', false));
  app.nim.querySubscribeEventsByType({ type: 1, done: app.done('none') });
  await settle();
  assert.deepEqual([app.of('none'), events(app)], [[[]], []], 'its time is over');
  for (const end of [() => app.nim.unSubscribeEventsByAccounts({ type: 1, accounts: ['bob'], done: app.done('ended') }), () => app.nim.unSubscribeEventsByType({ type: 1 })]) {
    app.nim.subscribeEvent({ type: 1, accounts: ['bob'] });
    end();
    await settle();
    await here(app, at('bob', true));
    await here(app, at('bob', false));
    assert.deepEqual(app.of('onpushevents'), []);
  }
  assert.deepEqual(app.of('ended'), [{ failedAccounts: [] }]);
});

test('publishEvent sets the status, and another device hears of it', async () => {
  const app = await quiet();
  const mine = (version: number, status: string, until?: number): object => ({ ...at('alice', true, status), invisible: false, version, ...(until ? { until } : {}) });
  app.nim.publishEvent({ type: 1, value: 10001, custom: 'lunch', validTime: 60, sync: true, done: app.done('published') });
  await settle();
  const { id, setPresence } = app.socket.last('setPresence');
  assert.deepEqual(setPresence, { status: 'lunch', until: Date.now() + 60_000 });
  app.socket.gives({ id, setPresenceReply: {} });
  await here(app, mine(1, 'lunch', setPresence.until));
  assert.deepEqual([app.of('published'), app.of('onpushevents')], [[{ idClient: '', idServer: '', time: Date.now() }], []]);
  await here(app, mine(2, 'set on the phone'));
  assert.deepEqual(events(app), ['alice 10001 set on the phone']);
  app.nim.publishEvent({ type: 1, value: 10001, done: app.done('ended') });
  await settle();
  assert.deepEqual(app.socket.last('setPresence').setPresence, { status: '' });
  app.socket.gives({ id: app.socket.last('setPresence').id, error: { code: 451, reason: 'REJECTED', message: 'no', detail: 'WORD' } });
  await settle();
  assert.deepEqual(app.of('ended'), [{ code: 451, message: 'no', event: { callFunc: 'publishEvent', reason: 'REJECTED', detail: 'WORD' } }]);
  app.calls.length = 0;
  await here(app, mine(2, 'set on the phone'));
  assert.deepEqual(events(app), [], 'what failed has changed nothing');
});

test('events that a status cannot carry are refused with what would be right, and nothing is sent', async () => {
  const app = await quiet();
  const before = app.socket.sent.length;
  for (const [method, options, says] of [
    ['publishEvent', { type: 2, value: 10001 }, /type must be 1/], ['publishEvent', { type: 1, value: 1, custom: '' }, /value must be 10001/],
    ['publishEvent', { type: 1, value: 100003, custom: 'x' }, /value must be 10001/], ['publishEvent', { type: 1, value: 10001, custom: { a: 1 } }, /custom must be a text/],
    ['publishEvent', { type: 1, value: 10001, custom: 'x', broadcastType: 1 }, /broadcastType must be 2/],
    ['publishEvent', { type: 1, value: 10001, custom: 'x', validTime: 59 }, /validTime must be from 60 to 604800 seconds/],
    ['publishEvent', { type: 1, value: 10001, custom: 'x', validTime: NaN }, /validTime/],
    ['subscribeEvent', { type: 1, accounts: 'bob' }, /accounts must be a list/], ['subscribeEvent', { type: 7, accounts: ['bob'] }, /type must be 1/],
    ['subscribeEvent', { type: 1, accounts: ['bob'], subscribeTime: 2_592_001 }, /subscribeTime must be from 60 to 2592000 seconds/],
    ['unSubscribeEventsByAccounts', { type: 1 }, /accounts must be a list/], ['unSubscribeEventsByType', {}, /type must be 1/],
    ['querySubscribeEventsByAccounts', { type: 1 }, /accounts must be a list/],
  ] as const) {
    app.nim[method]({ ...options, done: app.done('done') } as never);
    await settle();
    const [{ code, message, event }] = app.of('done');
    assert.deepEqual([code, event], [414, { callFunc: method }], JSON.stringify(options));
    assert.match(message, says);
    app.calls.length = 0;
  }
  assert.equal(app.socket.sent.length, before);
});

test('features that NIM does not have are on the client', async () => {
  const app = await quiet();
  app.socket.gives({ presence: { users: [{ account: 'bob', online: true, lastSeen: 7 }] } });
  assert.equal(app.nim.client.presence.get('bob')?.online, true);
});

test('callbacks that throw have no other effect', async (t) => {
  t.mock.method(console, 'error', () => {});
  const broken = (): never => { throw new Error('broken'); };
  const app = await live({ onblacklist: broken, onofflinesysmsgs: broken, onsysmsg: broken }, { requests: [request('erin', 'in', 7)], blocks: [block('mallory', 9)] });
  app.socket.gives({ changes: { requests: [request('zoe', 'in', 10)] } });
  app.nim.addToBlacklist({ account: 'zoe', done: broken });
  await answer(app, { blocks: [block('zoe', 11)] });
  assert.deepEqual([app.names().at(-1), app.nim.client.blocks.size, app.nim.client.state], ['onsyncdone', 2, 'live']);
});

test('helpers for system messages and other sessions, by idServer and deviceId', async () => {
  const { nim } = await quiet();
  const message = (idServer: string, state: string): { idServer: string; state: string } => ({ idServer, state });
  const messages = [message('a', 'init'), message('b', 'init')];
  assert.deepEqual(nim.mergeSysMsgs(messages, [message('b', 'passed'), message('c', 'init')]).map(({ state }) => state), ['init', 'passed', 'init']);
  assert.deepEqual(nim.cutSysMsgs(messages, message('a', 'any')), [messages[1]]);
  assert.deepEqual([nim.findSysMsg(messages, 'b'), nim.findSysMsg(undefined, 'b')], [messages[1], null]);
  assert.deepEqual(nim.mergeLoginPorts([{ deviceId: 'x', online: true }], { deviceId: 'x', online: false }), [{ deviceId: 'x', online: false }]);
  assert.deepEqual(nim.cutLoginPorts([{ deviceId: 'x' }, { deviceId: 'y' }], [{ deviceId: 'x' }]), [{ deviceId: 'y' }]);
  assert.equal(nim.viewImageThumbnail({ url: 'https://example.com/a.png', width: 40 }), 'https://example.com/a.png');
});

test('isUserInBlackList looks at the held blocklist', async () => {
  const app = await live({}, { blocks: [block('mallory', 9)] });
  const answers: unknown[] = [];
  for (const account of ['mallory', 'bob']) app.nim.isUserInBlackList({ account, done: (error, blocked) => void answers.push([error, blocked]) });
  await settle();
  assert.deepEqual(answers, [[null, true], [null, false]]);
});

test('getLoginStatus through the life of an instance, and logout', async () => {
  const app = await start();
  assert.equal(app.nim.getLoginStatus(), 2);
  app.socket.ends(1006);
  assert.equal(app.nim.getLoginStatus(), 3);
  await pass(20_000);
  assert.equal(app.nim.getLoginStatus(), 2);
  app.socket.full([], 'c', { account: 'alice' });
  assert.equal(app.nim.getLoginStatus(), 1);
  app.nim.logout({ done: app.done('logout') });
  const { id } = app.socket.last('logout');
  app.socket.gives({ id, logoutReply: {} });
  await settle();
  assert.equal(app.nim.getLoginStatus(), 0);
  assert.deepEqual(app.of('ondisconnect').map(({ code, callFunc }) => [code, callFunc]), [['alreadyDisconnected', 'logout']]);
});

test("NIM's other ways to the class", () => {
  assert.equal(SDK, NIM);
  assert.equal(SDK.NIM, NIM);
});
