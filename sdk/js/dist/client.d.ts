import type { WebSocketConstructor } from './connection.js';
import { RosterdError } from './protocol.js';
import type { Block, Device, Friend, FriendRequest, MyInfo, Presence, Session, User } from './protocol.js';
import type { Store } from './store.js';
export type State = 'disconnected' | 'connecting' | 'syncing' | 'live';
/** Why a token is asked for: a first one, one to follow a token that ends soon, or one for a token that has ended. */
export type TokenReason = 'connect' | 'refresh' | 'expired';
export interface Options {
    /** `ws://` or `wss://` address; by default that of the gateway which served this script, else the local one. */
    url?: string;
    account: string;
    /** Without `token` and `getToken` the account itself is shown, which is good in development mode. */
    token?: string;
    /** Called when a token is needed. If it rejects, that counts as a connection that failed: it is tried again later. */
    getToken?: (why: TokenReason) => string | Promise<string>;
    /** `auto`, the default: IndexedDB where it works, otherwise memory. */
    store?: 'auto' | 'memory' | Store;
    /** Needed where the platform has none, such as Node before 22. */
    WebSocket?: WebSocketConstructor;
    /** How long a call waits for its answer, the connection included. 8000 by default. */
    requestTimeoutMs?: number;
    /** The wait before attempt n is random between 0 and min(maxMs, minMs × 2ⁿ). 500 and 20000 by default. */
    backoff?: {
        minMs?: number;
        maxMs?: number;
    };
    /** What the account's other sessions are told of this one. */
    device?: Device;
    /** Whether to come back after a lost connection. True by default. */
    reconnect?: boolean;
}
/** What listeners are called with. All maps of the client are up to date before the first listener of a frame runs. */
export interface Events {
    /** The own profile. `cache`: as stored. `sync`: at every login. `update`: changed elsewhere. `reply`: by this client's own call. */
    me(user: User, how: 'cache' | 'sync' | 'update' | 'reply'): void;
    /** Friends' profiles: all after a full sync, otherwise those that differ; after a repair those that were told again, too. */
    users(users: User[], how: 'cache' | 'sync'): void;
    /**
     * A friend's profile changed while connected, or that of somebody who is watched. Also comes for a new friend, before
     * `friends`, and for whoever sent a signal, before `signal`.
     */
    userUpdated(user: User): void;
    /** Relations: all after a full sync, otherwise those that differ; `update` while connected. */
    friends(friends: Friend[], how: 'cache' | 'sync' | 'update'): void;
    friendRemoved(account: string): void;
    /** Requests that are new, and those that are over; all open ones after a full sync. */
    requests(requests: FriendRequest[], how: 'cache' | 'sync' | 'update'): void;
    /** Blocks that are new, and those that are `removed`; also all in force after a full sync. */
    blocks(blocks: Block[], how: 'cache' | 'sync' | 'update'): void;
    /** Who came or went. `sync`: everybody, in place of all that was told before; who is not in it was never online. */
    presence(presence: Presence[], how: 'sync' | 'update'): void;
    /** Another session of this account came or went: all of them, this one included; none at all while this one is alone since its login. */
    sessions(sessions: readonly Session[]): void;
    /** Somebody sent a message. It is kept nowhere. */
    signal(signal: {
        from: string;
        payload: string;
    }): void;
    /** A catch-up is complete, and what is held is what the gateway holds. */
    synced(info: {
        sync: 'full' | 'delta' | 'current';
        because?: string;
        count: number;
        digest: number;
    }): void;
    state(state: State, previous: State): void;
    willReconnect(info: {
        attempt: number;
        delayMs: number;
    }): void;
    /** A connection, or an attempt at one, ended. `code` is the close code; `error` is there if it is not tried again. */
    disconnected(info: {
        code: number;
        reason: string;
        willReconnect: boolean;
        error?: RosterdError;
    }): void;
    /** Something failed that no caller waits for. */
    error(error: RosterdError): void;
    /** Every frame, for looking at; tokens are blanked. */
    frame(info: {
        direction: 'in' | 'out';
        frame: object;
    }): void;
}
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
