/// <reference lib="esnext.disposable" preserve="true" />
import type { ListenerOptions } from './emitter.js';
import type { Events, LookupOptions, Options, UpdateOptions } from './options.js';
import type { ConnectionState, State } from './state.js';
import type { Block, Friend, FriendRequest, MyInfo, OwnPresence, Presence, Schema, Session, User } from './protocol.js';
import type { Snapshot } from './snapshot.js';
import type { CallLimits } from './timers.js';
/**
 * Keeps the records of one account in sync with the gateway, over as many connections as that takes.
 *
 * The records are the account's own profile, friends with their profiles, requests, blocks, presence and sessions. The
 * type parameters say what the `custom` of profiles and of friendships is, for texts of a type of the application's own.
 */
export declare class RosterdClient<UserCustom extends string = string, FriendCustom extends string = string> {
    #private;
    constructor(options: Options);
    get account(): string;
    get url(): string;
    get state(): State;
    /** The connection in detail: `reconnecting` between two attempts, with `lastError` and `retryAt`. */
    get connection(): ConnectionState;
    /** Everything that the client holds, unchanging; the event `change` announces another. The same object if nothing changed. */
    get snapshot(): Snapshot<UserCustom, FriendCustom>;
    /** The account's own profile as last known. Records are never changed in place. */
    get me(): User<UserCustom> | undefined;
    /** The fields of {@link me} that the gateway has not confirmed; nothing if it has confirmed all. */
    get pending(): Readonly<MyInfo<UserCustom>> | undefined;
    /** Profiles by account: of friends, watched accounts and senders of signals. A full sync replaces the map. */
    get users(): ReadonlyMap<string, User<UserCustom>>;
    /** The friend list: friendships by account. */
    get friends(): ReadonlyMap<string, Friend<FriendCustom>>;
    /** The open requests of both directions. */
    get requests(): readonly FriendRequest[];
    /** The accounts that this one blocks. */
    get blocks(): ReadonlyMap<string, Block>;
    /** Presence as of the last connection: friends that were ever online, and this account if it is invisible. */
    get presence(): ReadonlyMap<string, Presence>;
    /** All sessions of this account, the oldest first; empty if this one has been alone since its login. */
    get sessions(): readonly Session[];
    /** The accounts of the last {@link watch}. */
    get watched(): ReadonlySet<string>;
    get paused(): boolean;
    /** Adds a listener; returns a function that removes it. `signal` removes it as well. */
    on<K extends keyof Events>(event: K, listener: Events<UserCustom, FriendCustom>[K], options?: ListenerOptions): () => void;
    /** Adds a listener for the next event of this kind only; returns a function that removes it. */
    once<K extends keyof Events>(event: K, listener: Events<UserCustom, FriendCustom>[K], options?: ListenerOptions): () => void;
    /** Removes a listener. */
    off<K extends keyof Events>(event: K, listener: Events<UserCustom, FriendCustom>[K]): void;
    /**
     * Reads the store, connects, and stays connected. Resolves at the first `synced`. Rejects if a retry is pointless, for
     * instance after a refused token. It retries an unreachable gateway for ever, also when `signal` has ended the wait.
     */
    connect(limits?: CallLimits): Promise<void>;
    /** Closes the connection for good. Held and stored records stay. */
    disconnect(): Promise<void>;
    /** Ends the session in an orderly way. With `forget`, wipes all records of the account, stored ones included. */
    logout({ forget }?: {
        forget?: boolean | undefined;
    }): Promise<void>;
    /**
     * Changes fields of the account's own profile and returns the new profile. With `ifVersion` only if that is still its
     * version (412 otherwise); such a call ends with `CONNECTION_LOST` if its answer is lost. With `optimistic` the change
     * shows at once. With `keep` it also waits for a connection, over a restart too, and is sent for the version that was
     * shown when it was made.
     */
    updateMyInfo(fields: MyInfo<UserCustom>, options?: UpdateOptions): Promise<User<UserCustom>>;
    /**
     * Returns the deployment's own fields, and which others only the backend may write. From then on, and until a login finds
     * others, {@link updateMyInfo} rejects what they do not allow without sending it.
     */
    getSchema(limits?: CallLimits): Promise<Schema>;
    /**
     * Returns profiles of any accounts. Its own and those of friends and watched accounts come from memory unless `fresh`;
     * it requests others each time, as it receives no changes of them. `missing` are accounts that do not exist.
     */
    getUsers(accounts: readonly string[], limits?: LookupOptions): Promise<{
        users: User<UserCustom>[];
        missing: string[];
    }>;
    /** Returns one profile; 404 if the account does not exist. */
    getUser(account: string, options?: LookupOptions): Promise<User<UserCustom>>;
    /**
     * Makes two accounts friends without a request, where `friends.policy` allows it. A message of at most 256 characters
     * reaches the other side as an accepted request.
     */
    addFriend(account: string, message?: string, limits?: CallLimits): Promise<void>;
    /** Requests a friendship. If the other side has requested one too, both become friends. */
    requestFriend(account: string, message?: string, limits?: CallLimits): Promise<void>;
    /** Accepts the other side's request. */
    acceptFriend(account: string, limits?: CallLimits): Promise<void>;
    /** Rejects the other side's request. */
    rejectFriend(account: string, limits?: CallLimits): Promise<void>;
    /** Withdraws this account's request. */
    cancelRequest(account: string, limits?: CallLimits): Promise<void>;
    /** Ends a friendship in both directions. */
    deleteFriend(account: string, limits?: CallLimits): Promise<void>;
    /** Changes the notes about a friend, which only this account sees. A missing field stays, `''` clears. */
    updateFriend(account: string, { alias, custom }: {
        alias?: string | undefined;
        custom?: FriendCustom | undefined;
    }, limits?: CallLimits): Promise<void>;
    /** Stops everything that this account sends to the other, without notice. A friendship stays. */
    block(account: string, limits?: CallLimits): Promise<void>;
    /** Ends a block. */
    unblock(account: string, limits?: CallLimits): Promise<void>;
    /**
     * Mutes an account, which need not be a friend, or mutes it no longer: on every device, and seen by no other account. The
     * list is `me.muted`. It decides nothing here or in the gateway: an application shows less of a muted account.
     */
    setMuted(account: string, muted: boolean, limits?: CallLimits): Promise<void>;
    /** Returns the sessions of this account, the oldest first. */
    getSessions(limits?: CallLimits): Promise<Session[]>;
    /** Ends other sessions of this account; returns those that existed. */
    kick(sessions: readonly string[], limits?: CallLimits): Promise<string[]>;
    /**
     * Replaces the list of strangers whose profiles the client receives, at most 500. They come with `userUpdated` and are
     * in `users`, which drops accounts that leave the list. The list outlives connections. `missing` do not exist yet; they
     * come when they do.
     */
    watch(accounts: Iterable<string>, limits?: CallLimits): Promise<{
        missing: string[];
    }>;
    /**
     * Watches accounts besides those of {@link watch}, until the returned function is called. Holds are counted, so that
     * parts of an application do not overwrite each other's. A failure, as with more than 500 in all, is an `error` event.
     */
    hold(accounts: Iterable<string>): () => void;
    /**
     * Sends a text of at most 4096 bytes, at most once, to all sessions of `to`. `delivered` counts the sessions that will
     * receive it, `dropped` those that read too slowly; both are 0 unless this account sees the presence of `to`.
     */
    signal(to: string, payload: string, limits?: CallLimits): Promise<{
        delivered: number;
        dropped: number;
    }>;
    /**
     * Makes this account appear offline to its friends on every device (`invisible`), until it is set again, and shows them a
     * text of at most 256 characters beside its presence (`status`), which ends at `until`, or else when the account goes
     * offline; `''` ends it. What is missing stays.
     */
    setPresence({ invisible, status, until }: OwnPresence, limits?: CallLimits): Promise<void>;
    /** Drops the connection as a bad network would. For tests and demonstrations. */
    cut(): void;
    /** Stops reading until `resume` or the end of the connection. Where the WebSocket cannot, holds frames back. */
    pause(): void;
    /** Continues reading. */
    resume(): void;
    /** Disconnects, removes all listeners, and closes the store: for `using`. The client is of no use afterwards. */
    [Symbol.dispose](): void;
    /** The same for `await using`: settles when all is written. */
    [Symbol.asyncDispose](): Promise<void>;
}
