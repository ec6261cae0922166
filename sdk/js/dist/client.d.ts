import type { Events, Options, State } from './options.js';
import type { Block, Friend, FriendRequest, MyInfo, Presence, Session, User } from './protocol.js';
export declare class RosterdClient {
    #private;
    constructor(options: Options);
    get account(): string;
    get url(): string;
    get state(): State;
    /** The own profile as last known. Records are never changed in place. */
    get me(): User | undefined;
    /**
     * Profiles by account: the friends', those of watched accounts, and of others who sent a signal. A full sync puts
     * another map here.
     */
    get users(): ReadonlyMap<string, User>;
    /** The relations by account: the friend list. */
    get friends(): ReadonlyMap<string, Friend>;
    /** The open requests, of both directions. */
    get requests(): readonly FriendRequest[];
    /** Those that this account blocks. */
    get blocks(): ReadonlyMap<string, Block>;
    /** As of the last connection: friends that were ever online, and the own account if it is invisible. */
    get presence(): ReadonlyMap<string, Presence>;
    /** All sessions of this account, the oldest first; empty if this is the only one since its login. */
    get sessions(): readonly Session[];
    /** The accounts of the last {@link watch}. */
    get watched(): ReadonlySet<string>;
    get paused(): boolean;
    /** Returns the function that takes the listener off again. */
    on<K extends keyof Events>(event: K, listener: Events[K]): () => void;
    off<K extends keyof Events>(event: K, listener: Events[K]): void;
    /**
     * Reads the cache, connects, and stays connected. Resolves at the first `synced`; rejects if there is no point in
     * trying further, a token that is not accepted for instance. An unreachable gateway is tried for ever.
     */
    connect(): Promise<void>;
    /** Closes the connection and stays away. What is held stays, and so does the cache. */
    disconnect(): Promise<void>;
    /** Leaves in order. With `forget`, what is held and what is stored of this account is wiped. */
    logout({ forget }?: {
        forget?: boolean;
    }): Promise<void>;
    /**
     * Changes fields of the own profile; the promise brings the profile as it then stands. With `ifVersion` only if
     * that is still its version (412 otherwise), and such a call is not repeated if the connection is lost under it.
     */
    updateMyInfo(fields: MyInfo, { ifVersion }?: {
        ifVersion?: number;
    }): Promise<User>;
    /**
     * Profiles of any accounts. Those of friends, of watched accounts and the own one are taken from what is held unless
     * `fresh`; others are asked for each time, as nobody tells when they change. `missing` are accounts that do not exist.
     */
    getUsers(accounts: readonly string[], { fresh }?: {
        fresh?: boolean;
    }): Promise<{
        users: User[];
        missing: string[];
    }>;
    /** One profile; 404 if the account does not exist. */
    getUser(account: string, options?: {
        fresh?: boolean;
    }): Promise<User>;
    /**
     * Makes friends without asking, where `friends.policy` allows it. A message, at most 256 characters, reaches the other
     * side as a request that is accepted already.
     */
    addFriend(account: string, message?: string): Promise<void>;
    /** Asks for friendship; if the other side has asked, too, both are friends now. */
    requestFriend(account: string, message?: string): Promise<void>;
    /** Accepts the other side's request. */
    acceptFriend(account: string): Promise<void>;
    /** Rejects the other side's request. */
    rejectFriend(account: string): Promise<void>;
    /** Takes the own request back. */
    cancelRequest(account: string): Promise<void>;
    /** Ends a friendship, in both directions. */
    deleteFriend(account: string): Promise<void>;
    /** Changes what is noted about a friend, for this account's own sessions only. What is left out stays, `''` clears. */
    updateFriend(account: string, { alias, custom }: {
        alias?: string;
        custom?: string;
    }): Promise<void>;
    /** From now on the account gets nothing more of this one, and is not told. A friendship stays. */
    block(account: string): Promise<void>;
    unblock(account: string): Promise<void>;
    /** The sessions of this account, the oldest first. */
    getSessions(): Promise<Session[]>;
    /** Ends other sessions of this account; gives those that were there. */
    kick(sessions: readonly string[]): Promise<string[]>;
    /**
     * Puts another list in place of the accounts whose profiles are told although they are no friends, at most 500. They
     * come with `userUpdated` and are in `users`; who is on the list no more is dropped from there. The list holds over
     * all connections. `missing` do not exist yet, and come when they do.
     */
    watch(accounts: Iterable<string>): Promise<{
        missing: string[];
    }>;
    /**
     * Sends a text of at most 4096 bytes to whoever is logged in as `to`: at most once. `delivered` counts the sessions
     * that will be told, `dropped` those that read too slowly.
     */
    signal(to: string, payload: string): Promise<{
        delivered: number;
        dropped: number;
    }>;
    /** Whether this account shows as offline to its friends, on every device, until it says otherwise. */
    setPresence({ invisible }: {
        invisible: boolean;
    }): Promise<void>;
    /** Drops the connection as a failing network would. For tests and demonstrations. */
    cut(): void;
    /** Stops reading, where the WebSocket can; elsewhere frames are held back. Ends with the connection. */
    pause(): void;
    resume(): void;
}
