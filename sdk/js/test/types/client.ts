// Is compiled but not run: what the types of the client allow, and what they do not.

import { RosterdClient, RosterdError } from 'rosterd';
import { shareTabs } from 'rosterd/tabs';
import type { CloseReason, ConnectionState, ErrorReason, Friend, MyInfo, Snapshot, UpdateOptions, User } from 'rosterd';

declare const client: RosterdClient;

client.on('userUpdated', (user: User) => void user.nick);
client.on('userUpdated', () => {});
// @ts-expect-error a listener that wants more than the event brings
client.on('userUpdated', (user: User & { extra: string }) => void user.extra);
// @ts-expect-error a listener of another event
client.on('friendRemoved', (friend: Friend) => void friend.alias);
// @ts-expect-error no such event
client.on('userupdated', () => {});
client.once('change', (snapshot: Snapshot) => void snapshot.friends.size, { signal: AbortSignal.timeout(1) });

client.on('disconnected', ({ code, reason }) => {
  if (code === 3503 || reason === 'KICKED') return;
  const words: CloseReason = reason;
  void words;
});
client.on('error', ({ code, reason }) => {
  const word: ErrorReason = reason;
  // A word of a later version is possible.
  if (reason === 'OF_TOMORROW' || code === 999) void word;
});

// @ts-expect-error records are read-only
client.me!.nick = 'x';
// @ts-expect-error so are snapshots
client.snapshot.users.set('x', client.me!);
const fields: MyInfo = {};
fields.nick = 'what is sent is not read-only';

const change: UpdateOptions = { optimistic: true, keep: undefined };
void client.updateMyInfo(fields, change).then((user) => user.nick);
const pending: Readonly<MyInfo> | undefined = client.snapshot.pending ?? client.pending;
void pending?.nick;
// @ts-expect-error what is pending is read-only
client.pending!.nick = 'x';
client.on('me', (_, how) => how === 'pending' || how === 'rollback');

const state: ConnectionState = client.connection;
if (state.state === 'reconnecting') void [state.retryAt?.toFixed(), state.lastError instanceof RosterdError];

{
  using mine = client;
  void mine.url;
}

new RosterdClient({ account: 'alice', tabs: shareTabs });
new RosterdClient({ account: 'alice', tabs: undefined });
// @ts-expect-error what shares is a function
new RosterdClient({ account: 'alice', tabs: true });

// Every call that waits takes a signal.
const limits = { signal: AbortSignal.timeout(1_000) };
void [
  client.connect(limits), client.updateMyInfo({}, limits), client.getUsers(['bob'], limits), client.getUser('bob', { fresh: true, ...limits }), client.watch(['bob'], limits),
  client.addFriend('bob', undefined, limits), client.requestFriend('bob', 'Hi', limits), client.acceptFriend('bob', limits), client.rejectFriend('bob', limits),
  client.cancelRequest('bob', limits), client.deleteFriend('bob', limits), client.updateFriend('bob', {}, limits), client.block('bob', limits), client.unblock('bob', limits),
  client.getSessions(limits), client.kick([], limits), client.signal('bob', '', limits), client.setPresence({ invisible: true }, limits),
];

// `custom` may be of a type of the application's own.
type Json<T> = string & { readonly json?: T };
interface Team { team: string }
declare const typed: RosterdClient<Json<Team>, Json<{ since: number }>>;
function parse<T>(text: Json<T>): T {
  return JSON.parse(text) as T;
}
const team: string = parse(typed.me!.custom).team;
typed.on('userUpdated', ({ custom }) => void parse(custom).team.length);
typed.on('change', ({ users, friends }) => void [parse(users.get('bob')!.custom).team, parse(friends.get('bob')!.custom).since]);
void typed.updateMyInfo({ custom: JSON.stringify({ team }) as Json<Team> }).then(({ custom }) => parse(custom).team);
// @ts-expect-error no such field
parse(typed.friends.get('bob')!.custom).team;
// A client with such types works wherever one is wanted.
const any: RosterdClient = typed;
