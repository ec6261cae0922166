import type { ReactElement, ReactNode } from 'react';
import type { RosterdClient } from './client.js';
import type { ConnectionState } from './state.js';
import type { Friend, FriendRequest, Presence, User } from './protocol.js';
import type { Snapshot } from './snapshot.js';
/** Gives a client to the components below. It neither connects nor disconnects it: the application owns it. */
export declare function RosterdProvider({ client, children }: {
    client: RosterdClient;
    children?: ReactNode;
}): ReactElement;
/** Returns the client of the provider. */
export declare function useRosterd(): RosterdClient;
/** Returns a part of the snapshot. `select` must return the same value for the same snapshot. */
export declare function useSnapshot<T>(select: (snapshot: Snapshot) => T): T;
/** Returns the account's own profile. */
export declare function useMe(): User | undefined;
/** A friend with profile and presence; the profile may come a moment later than the friendship. */
export interface FriendView {
    readonly account: string;
    readonly friend: Friend;
    readonly user: User | undefined;
    readonly presence: Presence | undefined;
    /** The alias, else the nick, else the account. */
    readonly name: string;
}
export interface FriendsOptions {
    /** By default by name, without regard to case. Declare it outside the component, or memoize it. */
    sort?: (a: FriendView, b: FriendView) => number;
    filter?: (friend: FriendView) => boolean;
}
/** Returns the friend list. An entry is the same object until something about that friend changes, so `memo` works on it. */
export declare function useFriends({ sort, filter }?: FriendsOptions): readonly FriendView[];
/** Returns the profile of any account, and watches it while a component uses it. */
export declare function useUser(account: string): User | undefined;
/** Returns the open requests: all, or those of one direction. */
export declare function useRequests(direction?: FriendRequest['direction']): readonly FriendRequest[];
/** Returns the presence of a friend; nothing if it was never online. */
export declare function usePresence(account: string): Presence | undefined;
/** Returns the state of the connection, with `lastError` and `retryAt`. */
export declare function useConnection(): ConnectionState;
