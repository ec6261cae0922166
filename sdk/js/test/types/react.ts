// Is compiled but not run: what the types of the hooks allow, and what they do not.

import type { RosterdClient } from 'rosterd';
import { RosterdProvider, useFriends, usePresence, useRequests, useSnapshot, useUser } from 'rosterd/react';
import type { FriendsOptions, FriendView } from 'rosterd/react';

declare const client: RosterdClient;

RosterdProvider({ client });
// @ts-expect-error it needs a client
RosterdProvider({});

const options: FriendsOptions = { filter: ({ presence }) => presence?.online === true, sort: (a: FriendView, b: FriendView) => a.name.localeCompare(b.name) };
const names: string[] = useFriends(options).map(({ name }) => name);
// @ts-expect-error entries are read-only
useFriends()[0]!.name = 'x';
// @ts-expect-error no such direction
useRequests('both');
const size: number = useSnapshot(({ friends }) => friends.size);
// A profile and a presence may not be there.
// @ts-expect-error it may be undefined
useUser('bob').nick;
const online: boolean | undefined = usePresence('bob')?.online;
void [names, size, online];

// `custom` may be of a type of the application's own.
type Team = string & { readonly team?: true };
declare const typed: RosterdClient<Team>;
RosterdProvider({ client: typed });
const custom: Team | undefined = useUser<Team>('bob')?.custom;
const customs: (Team | undefined)[] = useFriends<Team>({ filter: ({ user }) => user?.custom !== undefined }).map(({ user }) => user?.custom);
void [custom, customs];
