import type { Block, Friend, FriendRequest, User } from './protocol.js';
/** What a store gives back. The cursor belongs to exactly these records. */
export interface Stored {
    me?: User;
    users: User[];
    friends: Friend[];
    /** Those that are open. */
    requests: FriendRequest[];
    /** Those in force. */
    blocks: Block[];
    cursor?: string;
}
/** One change, to be made whole or not at all, in the order of the fields. */
export interface Change {
    /** Drop everything first. */
    clear?: boolean;
    /** Accounts whose friend and user records go. */
    removed?: string[];
    me?: User;
    users?: User[];
    friends?: Friend[];
    /** By account and direction: one that is `open` is kept, any other goes. */
    requests?: FriendRequest[];
    /** By account: one that is `removed` goes. */
    blocks?: Block[];
    /** `null` drops it; left out, it stays. */
    cursor?: string | null;
}
/** What requests are kept by. */
export declare const requestKey: ({ account, direction }: FriendRequest) => string;
/**
 * A place for records. Any method may throw or reject: the client then goes on in memory and says so with an
 * `error` event, so a store needs no fallback of its own.
 */
export interface Store {
    load(account: string): Promise<Stored | undefined>;
    /** All of `change` or nothing of it. */
    save(account: string, change: Change): Promise<void>;
    /** Forgets the account. */
    wipe(account: string): Promise<void>;
    close?(): void;
}
/** Changes put together: what is to be kept, and what is to go. */
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
/** Keeps records as long as the object lives. */
export declare class MemoryStore implements Store {
    #private;
    load(account: string): Promise<Stored | undefined>;
    save(account: string, change: Change): Promise<void>;
    wipe(account: string): Promise<void>;
}
/**
 * Keeps records in IndexedDB, one database `rosterd:ACCOUNT` for each account. Several pages may write to one: they
 * are told the same. Should one that is behind overwrite newer records just as the last page closes, the comparison
 * at the next login finds it.
 */
export declare class IndexedDbStore implements Store {
    #private;
    load(account: string): Promise<Stored | undefined>;
    save(account: string, change: Change): Promise<void>;
    wipe(account: string): Promise<void>;
    close(): void;
}
/** IndexedDB if it is there, otherwise memory. Even looking at it throws where storage is forbidden. */
export declare function defaultStore(): Store;
/** Whether these are records that this client can have written. */
export declare function isSound(stored: Stored): boolean;
