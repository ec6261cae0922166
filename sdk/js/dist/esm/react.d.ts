import type { ReactElement, ReactNode } from 'react';
import type { RosterdClient } from './client.js';
import type { ConnectionState } from './state.js';
import type { Friend, FriendRequest, Presence, User } from './protocol.js';
import type { Snapshot } from './snapshot.js';
/** Gives a client to the components below. It neither connects nor disconnects it: the application owns it. */
export declare function RosterdProvider({ client, children }: {
    client: RosterdClient<any, any>;
    children?: ReactNode;
}): ReactElement;
/** Returns the client of the provider. */
export declare function useRosterd<UserCustom extends string = string, FriendCustom extends string = string>(): RosterdClient<UserCustom, FriendCustom>;
/** Returns a part of the snapshot. `select` must return the same value for the same snapshot. */
export declare function useSnapshot<T, UserCustom extends string = string, FriendCustom extends string = string>(select: (snapshot: Snapshot<UserCustom, FriendCustom>) => T): T;
/** Returns the account's own profile. */
export declare function useMe<UserCustom extends string = string>(): User<UserCustom> | undefined;
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
/** Returns the friend list. An entry is the same object until something about that friend changes, so `memo` works on it. */
export declare function useFriends<UserCustom extends string = string, FriendCustom extends string = string>({ sort, filter }?: FriendsOptions<UserCustom, FriendCustom>): readonly FriendView<UserCustom, FriendCustom>[];
/** Returns the profile of any account, and watches it while a component uses it. */
export declare function useUser<UserCustom extends string = string>(account: string): User<UserCustom> | undefined;
/** Returns the open requests: all, or those of one direction. */
export declare function useRequests(direction?: FriendRequest['direction']): readonly FriendRequest[];
/** Returns the presence of a friend; nothing if it was never online. */
export declare function usePresence(account: string): Presence | undefined;
/** Returns the state of the connection, with `lastError` and `retryAt`. */
export declare function useConnection(): ConnectionState;
