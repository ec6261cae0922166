import type { WebSocketConstructor } from './connection.js';
import { RosterdError } from './protocol.js';
import type { Device, Friend, MyInfo, User } from './protocol.js';
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
    device?: Device;
    /** Whether to come back after a lost connection. True by default. */
    reconnect?: boolean;
}
/** What listeners are called with. All maps of the client are up to date before the first listener of a frame runs. */
export interface Events {
    /** The own profile. `cache`: as stored. `sync`: at every login. `update`: changed elsewhere. `reply`: by this client's own call. */
    me(user: User, how: 'cache' | 'sync' | 'update' | 'reply'): void;
    /** Friends' profiles: all after a full sync, otherwise those that differ. */
    users(users: User[], how: 'cache' | 'sync'): void;
    /** One friend's profile changed while connected. Also comes for a new friend, before `friends`. */
    userUpdated(user: User): void;
    /** Relations: all after a full sync, otherwise those that differ; `update` while connected. */
    friends(friends: Friend[], how: 'cache' | 'sync' | 'update'): void;
    friendRemoved(account: string): void;
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
    /** The friends' profiles by account. A full sync puts another map here. */
    get users(): ReadonlyMap<string, User>;
    /** The relations by account. */
    get friends(): ReadonlyMap<string, Friend>;
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
     * Profiles of any accounts. Those of friends and the own one are taken from what is held unless `fresh`; others are
     * asked for each time, as nobody tells when they change. `missing` are accounts that do not exist.
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
    /** Drops the connection as a failing network would. For tests and demonstrations. */
    cut(): void;
    /** Stops reading, where the WebSocket can; elsewhere frames are held back. Ends with the connection. */
    pause(): void;
    resume(): void;
}
