// The hooks for React: what they return, how often components draw, and what they ask of the gateway.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Window } from 'happy-dom';
import { act, createElement, memo, startTransition, StrictMode, useState } from 'react';
import type { FunctionComponent, ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import type { Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { RosterdProvider, useConnection, useFriends, useMe, usePresence, useRequests, useRosterd, useUser } from '../../src/react.js';
import type { FriendView } from '../../src/react.js';
import { friend, frozenTime, live, pass, request, rig, settle, user } from './rig.js';
import type { Rig } from './rig.js';

frozenTime({ beforeEach, afterEach });

const page = new Window();
before(() => Object.assign(globalThis, { window: page, document: page.document, IS_REACT_ACT_ENVIRONMENT: true }));
after(() => {
  for (const name of ['window', 'document', 'IS_REACT_ACT_ENVIRONMENT']) delete (globalThis as Record<string, unknown>)[name];
});

let root: Root | undefined;
afterEach(async () => act(async () => root?.unmount()));

/** Shows the component below a provider, strictly: React mounts and draws everything twice. */
async function show(it: Rig, component: FunctionComponent, strict = true): Promise<() => string> {
  const element = page.document.createElement('div');
  root = createRoot(element as never);
  const content = createElement(RosterdProvider, { client: it.client }, createElement(component));
  await act(async () => root?.render(strict ? createElement(StrictMode, null, content) : content));
  return () => element.textContent ?? '';
}

const gives = (it: Rig, frame: object): Promise<void> => act(async () => it.socket.gives(frame));

test('each hook shows what is held, and follows it', async () => {
  const it = await live([user('bob', 2)]);
  const text = await show(it, () => {
    const parts: ReactNode[] = [
      useMe()?.nick, useConnection().state, useFriends().map(({ name }) => name).join(), useRequests('in').map(({ account }) => account).join(),
      useRequests().length, String(usePresence('bob')?.online), useUser('alice')?.nick,
    ];
    return parts.join(' · ');
  });
  assert.equal(text(), 'alice · live · bob ·  · 0 · undefined · alice');
  await gives(it, { changes: { me: user('alice', 9, 'Ally'), friends: [{ ...friend('bob', 9), alias: 'Bobby' }], requests: [request('erin', 'in', 9), request('zoe', 'out', 9)], cursor: 'e-9' } });
  await gives(it, { presence: { users: [{ account: 'bob', online: true, lastSeen: 1 }] } });
  assert.equal(text(), 'Ally · live · Bobby · erin · 2 · true · Ally');
  await act(async () => it.client.cut());
  assert.ok(text().includes('reconnecting'));
});

test('a component draws only if what it uses has changed, and a row only if its friend has', async () => {
  const it = await live([user('bob', 2), user('carol', 3)]);
  const drawn: string[] = [];
  const Row = memo(({ friend }: { friend: FriendView }) => (drawn.push(friend.account), friend.user?.nick));
  const List = (): ReactNode => (drawn.push('list'), useFriends().map((friend) => createElement(Row, { key: friend.account, friend })));
  const Me = (): ReactNode => (drawn.push('me'), useMe()?.nick);
  await show(it, () => [createElement(List, { key: 1 }), createElement(Me, { key: 2 })], false);
  drawn.length = 0;
  await gives(it, { changes: { users: [user('carol', 9, 'Caro')], cursor: 'e-9' } });
  assert.deepEqual(drawn, ['list', 'carol']);
  drawn.length = 0;
  await gives(it, { changes: { me: user('alice', 10), cursor: 'e-10' } });
  assert.deepEqual(drawn, ['me']);
  drawn.length = 0;
  await gives(it, { changes: { cursor: 'e-11' } });
  assert.deepEqual(drawn, []);
});

test('useFriends sorts by name, or as told, and filters', async () => {
  const it = await live([user('b', 2, 'zoe'), user('a', 3, 'Ängel'), user('c', 4, 'bob 10'), user('d', 5, 'Bob 9')]);
  const sort = (x: FriendView, y: FriendView): number => (x.account < y.account ? 1 : -1);
  const filter = ({ name }: FriendView): boolean => name.toLowerCase().startsWith('b');
  const names = (friends: readonly FriendView[]): string => friends.map(({ name }) => name).join();
  const text = await show(it, () => [useFriends(), useFriends({ sort }), useFriends({ filter })].map(names).join(' · '));
  assert.equal(text(), 'Ängel,Bob 9,bob 10,zoe · Bob 9,bob 10,zoe,Ängel · Bob 9,bob 10');
  // A name that changes moves, a friend that is new is in its place, and one that has gone is not there.
  await gives(it, { changes: { users: [user('b', 9, 'adam'), user('e', 10, 'Bob 9b')], friends: [friend('e', 10)], removed: ['c'], cursor: 'e-10' } });
  assert.equal(text(), 'adam,Ängel,Bob 9,Bob 9b · Bob 9b,Bob 9,adam,Ängel · Bob 9,Bob 9b');
});

test('useUser watches once for all components, and no longer than they are shown', async () => {
  const it = await live([]);
  let setAccounts = (_: string[]): void => {};
  const Profile = ({ account }: { account: string }): ReactNode => useUser(account)?.nick ?? '-';
  const text = await show(it, () => {
    const [accounts, set] = useState(['zoe', 'zoe', 'yan']);
    setAccounts = set;
    return accounts.map((account, i) => createElement(Profile, { key: i, account }));
  });
  const watches = (): string[][] => it.socket.sent.flatMap((frame) => (frame.watch ? [frame.watch.accounts] : []));
  const accept = async (): Promise<void> => act(async () => {
    await pass(20);
    it.socket.gives({ id: it.socket.last('watch').id, watchReply: { missing: [] } });
  });
  await accept();
  assert.deepEqual(watches(), [['zoe', 'yan']]);
  await gives(it, { changes: { users: [user('zoe', 9, 'Zoe')] } });
  assert.equal(text(), 'ZoeZoe-');
  await act(async () => setAccounts(['zoe']));
  await accept();
  assert.deepEqual(watches().at(-1), ['zoe']);
  await act(async () => root?.unmount());
  await accept();
  assert.deepEqual(watches().at(-1), []);
});

test('concurrent drawing: one snapshot for all components of a transition', async () => {
  const it = await live([user('bob', 2)]);
  let go = (): void => {};
  const seen: string[] = [];
  const Version = (): ReactNode => useMe()?.nick;
  const text = await show(it, () => {
    const [on, set] = useState(false);
    go = () => startTransition(() => set(true));
    const all = [1, 2, 3].map((key) => createElement(Version, { key }));
    if (on) seen.push('drawn');
    return on ? [...all, ...[4, 5, 6].map((key) => createElement(Version, { key }))] : all;
  });
  await act(async () => {
    go();
    it.socket.gives({ changes: { me: user('alice', 9, 'new') } });
  });
  assert.equal(text(), 'new'.repeat(6));
  assert.ok(seen.length > 0);
});

test('on a server: what the client holds, without a connection', async () => {
  const it = rig();
  const Page = (): ReactNode => `${useConnection().state} ${useFriends().length} ${useUser('zoe')?.nick}`;
  assert.equal(renderToString(createElement(RosterdProvider, { client: it.client }, createElement(Page))), 'disconnected 0 undefined');
  await settle();
  assert.equal(it.sockets.length, 0);
});

test('another client, and none', async () => {
  const [one, two] = [await live([user('bob', 2)]), await live([user('carol', 2)])];
  const element = page.document.createElement('div');
  root = createRoot(element as never);
  const Page = (): ReactNode => `${useFriends().map(({ account }) => account).join()} ${useRosterd() === two.client}`;
  for (const [{ client }, text] of [[one, 'bob false'], [two, 'carol true']] as const) {
    await act(async () => root?.render(createElement(RosterdProvider, { client }, createElement(Page))));
    assert.equal(element.textContent, text);
  }
  assert.throws(() => renderToString(createElement(Page)), /RosterdProvider/);
});
