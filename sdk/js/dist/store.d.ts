import type { Block, Friend, FriendRequest, User } from './protocol.js';
/** The contents of a store. The cursor belongs to exactly these records. */
export interface Stored {
    me?: User;
    users: User[];
    friends: Friend[];
    /** The open requests. */
    requests: FriendRequest[];
    /** The blocks in force. */
    blocks: Block[];
    cursor?: string;
}
/** One atomic change. Its fields apply in this order. */
export interface Change {
    /** Drops everything first. */
    clear?: boolean;
    /** Names accounts whose friend and user records are deleted. */
    removed?: string[];
    me?: User;
    users?: User[];
    friends?: Friend[];
    /** Replaces requests by account and direction; deletes those that are not `open`. */
    requests?: FriendRequest[];
    /** Replaces blocks by account; deletes `removed` ones. */
    blocks?: Block[];
    /** Replaces the cursor; `null` deletes it. */
    cursor?: string | null;
}
/** Returns the key of a request. */
export declare const requestKey: ({ account, direction }: FriendRequest) => string;
/**
 * Keeps records across restarts of the application.
 *
 * Any method may throw or reject. The client then emits an `error` event and continues in memory, so a store needs no
 * fallback of its own.
 */
export interface Store {
    /** Reads all records of the account; `undefined` if there are none. */
    load(account: string): Promise<Stored | undefined>;
    /** Applies `change` completely or not at all. */
    save(account: string, change: Change): Promise<void>;
    /** Deletes all records of the account. */
    wipe(account: string): Promise<void>;
    /** Releases resources. */
    close?(): void;
}
/** Merges changes into one. */
export declare class Gathered {
    readonly clear: boolean;
    readonly removed: Set<string>;
    me?: User;
    readonly users: Map<string, User>;
    readonly friends: Map<string, Friend>;
    readonly requests: Map<string, FriendRequest>;
    readonly blocks: Map<string, Block>;
    cursor?: string | null;
    constructor(clear?: boolean);
    add(change: Change): void;
    get change(): Change;
}
/** Keeps records in memory, as long as the object exists. */
export declare class MemoryStore implements Store {
    #private;
    load(account: string): Promise<Stored | undefined>;
    save(account: string, change: Change): Promise<void>;
    wipe(account: string): Promise<void>;
}
/**
 * Keeps records in IndexedDB, in one database `rosterd:ACCOUNT` for each account.
 *
 * Several pages may write to one database, as they receive the same records. If a page that is behind overwrites newer
 * records just as the last page closes, the comparison at the next login finds the difference.
 */
export declare class IndexedDbStore implements Store {
    #private;
    load(account: string): Promise<Stored | undefined>;
    save(account: string, change: Change): Promise<void>;
    wipe(account: string): Promise<void>;
    close(): void;
}
/** Returns an IndexedDB store if possible, otherwise a memory store. */
export declare function defaultStore(): Store;
/** Checks that the client can have written these records. */
export declare function isSound(stored: Stored): boolean;
