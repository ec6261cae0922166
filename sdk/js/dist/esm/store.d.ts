import type { Block, Friend, FriendRequest, MyInfo, User } from './protocol.js';
/** A change of the own profile that waits for a connection. */
export interface Kept {
    /** Its name, which grows. */
    id: number;
    /** Nothing if it waits no more. */
    fields?: MyInfo | undefined;
    /** The version of the profile when it was made. */
    version?: number | undefined;
}
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
    /** Changes that wait, in the order of their ids. */
    kept?: Kept[];
}
/** One atomic change. Its fields apply in this order. */
export interface Change {
    /** Drops everything first, but not what is `kept`. */
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
    /** Replaces changes that wait by id; deletes those without `fields`. */
    kept?: Kept[];
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
    /** Reads the records under `key`; `undefined` if there are none. The key is a text that names account and gateway. */
    load(key: string): Promise<Stored | undefined>;
    /** Applies `change` completely or not at all. */
    save(key: string, change: Change): Promise<void>;
    /** Deletes all records under `key`. */
    wipe(key: string): Promise<void>;
    /** Calls `listener` when somebody else, such as another page, wipes the records under `key`. */
    onWipe?(key: string, listener: () => void): void;
    /** Releases resources. */
    close?(): void;
}
/** Returns the key for an account's records: those of another gateway are others, whatever its accounts are called. */
export declare const storeKey: (account: string, url: string) => string;
/** Merges changes into one. */
export declare class Gathered {
    readonly clear: boolean;
    readonly kept: Map<number, Kept>;
    readonly removed: Set<string>;
    me?: User;
    readonly users: Map<string, User<string>>;
    readonly friends: Map<string, Friend<string>>;
    readonly requests: Map<string, FriendRequest>;
    readonly blocks: Map<string, Block>;
    cursor?: string | null;
    constructor(clear?: boolean, kept?: Map<number, Kept>);
    add(change: Change): void;
    get change(): Change;
    /** The records that a store has after these changes, if it had none before. */
    get stored(): Stored;
}
/** Keeps records in memory, as long as the object exists. */
export declare class MemoryStore implements Store {
    #private;
    load(key: string): Promise<Stored | undefined>;
    save(key: string, change: Change): Promise<void>;
    wipe(key: string): Promise<void>;
}
/**
 * Keeps records in IndexedDB, in one database `rosterd:ACCOUNT URL` for each account and gateway.
 *
 * Several pages may write to one database, as they receive the same records. If a page that is behind overwrites newer
 * records just as the last page closes, the comparison at the next login finds the difference.
 */
export declare class IndexedDbStore implements Store {
    #private;
    load(key: string): Promise<Stored | undefined>;
    save(key: string, { clear, kept, ...change }: Change): Promise<void>;
    wipe(key: string): Promise<void>;
    onWipe(key: string, listener: () => void): void;
    close(): void;
}
/** Returns the store of that name, by default an IndexedDB store if possible, otherwise a memory store. */
export declare function storeFor(option?: 'auto' | 'memory' | Store): Store;
/** Checks that the client can have written these records. */
export declare function isSound(stored: Stored): boolean;
