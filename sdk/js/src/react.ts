'use client';
// Hooks for React: components draw from the client's snapshot, and again only if what they use has changed.

import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useSyncExternalStore } from 'react';
import type { ReactElement, ReactNode } from 'react';
import type { RosterdClient } from './client.js';
import type { ConnectionState } from './state.js';
import type { Friend, FriendRequest, Presence, User } from './protocol.js';
import type { Snapshot } from './snapshot.js';

const Context = createContext<RosterdClient | undefined>(undefined);

/** Gives a client to the components below. It neither connects nor disconnects it: the application owns it. */
export function RosterdProvider({ client, children }: { client: RosterdClient<any, any>; children?: ReactNode }): ReactElement {
  return createElement(Context.Provider, { value: client }, children);
}

/** Returns the client of the provider. */
export function useRosterd<UserCustom extends string = string, FriendCustom extends string = string>(): RosterdClient<UserCustom, FriendCustom> {
  const client = useContext(Context);
  if (!client) throw new Error('there is no <RosterdProvider client={…}> above this component');
  return client as RosterdClient<any, any>;
}

/** Returns a part of the snapshot. `select` must return the same value for the same snapshot. */
export function useSnapshot<T, UserCustom extends string = string, FriendCustom extends string = string>(select: (snapshot: Snapshot<UserCustom, FriendCustom>) => T): T {
  const client = useRosterd<UserCustom, FriendCustom>();
  const subscribe = useCallback((changed: () => void) => client.on('change', changed), [client]);
  const read = (): T => select(client.snapshot);
  // On a server nothing is connected: its snapshot is what the client holds, nothing as a rule.
  return useSyncExternalStore(subscribe, read, read);
}

/** Returns the account's own profile. */
export function useMe<UserCustom extends string = string>(): User<UserCustom> | undefined {
  return useSnapshot(({ me }: Snapshot<UserCustom>) => me);
}

/** A friend with profile and presence; the profile may come a moment later than the friendship. */
export interface FriendView<UserCustom extends string = string, FriendCustom extends string = string> {
  readonly account: string;
  readonly friend: Friend<FriendCustom>;
  readonly user: User<UserCustom> | undefined;
  readonly presence: Presence | undefined;
  /** The alias, else the nick, else the account. */
  readonly name: string;
}

export interface FriendsOptions<UserCustom extends string = string, FriendCustom extends string = string> {
  /** By default by name, without regard to case. Declare it outside the component, or memoize it. */
  sort?: ((a: FriendView<UserCustom, FriendCustom>, b: FriendView<UserCustom, FriendCustom>) => number) | undefined;
  filter?: ((friend: FriendView<UserCustom, FriendCustom>) => boolean) | undefined;
}

let collator: Intl.Collator | undefined;
const byName = (a: FriendView<any, any>, b: FriendView<any, any>): number => collator?.compare(a.name, b.name) || (a.account < b.account ? -1 : 1);

/** Returns the friend list. An entry is the same object until something about that friend changes, so `memo` works on it. */
export function useFriends<UserCustom extends string = string, FriendCustom extends string = string>({ sort = byName, filter }: FriendsOptions<UserCustom, FriendCustom> = {}): readonly FriendView<UserCustom, FriendCustom>[] {
  // To make one takes 10 ms or more. The first render has them to spare: it comes before the friends.
  collator ??= new Intl.Collator(undefined, { sensitivity: 'base', numeric: true });
  const friends = useSnapshot(({ friends }: Snapshot<UserCustom, FriendCustom>) => friends);
  const users = useSnapshot(({ users }: Snapshot<UserCustom, FriendCustom>) => users);
  const presence = useSnapshot(({ presence }) => presence);
  const known = useRef(new Map<string, FriendView<UserCustom, FriendCustom>>());
  const views = useMemo(() => {
    const next = new Map<string, FriendView<UserCustom, FriendCustom>>();
    for (const [account, friend] of friends) {
      const [user, here, before] = [users.get(account), presence.get(account), known.current.get(account)];
      const same = before && before.friend === friend && before.user === user && before.presence === here;
      next.set(account, same ? before : { account, friend, user, presence: here, name: friend.alias || user?.nick || account });
    }
    return next;
  }, [friends, users, presence]);
  useEffect(() => void (known.current = views), [views]);
  const before = useRef<readonly FriendView<UserCustom, FriendCustom>[]>([]);
  const list = useMemo(() => {
    // By name in the order of before: to sort 10,000 names from nothing takes 40 ms, and 5 ms if few are in another place.
    const rest = new Map(views);
    const inOrder = (sort === byName ? before.current : []).filter(({ account }) => rest.delete(account));
    const list = [...inOrder.map(({ account }) => views.get(account) as FriendView<UserCustom, FriendCustom>), ...rest.values()];
    return (filter ? list.filter(filter) : list).sort(sort);
  }, [views, sort, filter]);
  useEffect(() => void (before.current = list), [list]);
  return list;
}

/** Returns the profile of any account, and watches it while a component uses it. */
export function useUser<UserCustom extends string = string>(account: string): User<UserCustom> | undefined {
  const client = useRosterd();
  useEffect(() => client.hold([account]), [client, account]);
  return useSnapshot(({ me, users }: Snapshot<UserCustom>) => (me?.account === account ? me : users.get(account)));
}

/** Returns the open requests: all, or those of one direction. */
export function useRequests(direction?: FriendRequest['direction']): readonly FriendRequest[] {
  const requests = useSnapshot(({ requests }) => requests);
  return useMemo(() => (direction ? requests.filter((request) => request.direction === direction) : requests), [requests, direction]);
}

/** Returns the presence of a friend; nothing if it was never online. */
export function usePresence(account: string): Presence | undefined {
  return useSnapshot(({ presence }) => presence.get(account));
}

/** Returns the state of the connection, with `lastError` and `retryAt`. */
export function useConnection(): ConnectionState {
  return useSnapshot(({ connection }) => connection);
}
