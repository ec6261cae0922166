import type { Block, Friend, FriendRequest, MyInfo, Presence, ServerFrame, Session, User } from './protocol.js';
import type { Change, Stored } from './store.js';
/** Records that changed. */
interface News {
    me?: User;
    users: User[];
    friends: Friend[];
    removed: string[];
    requests: FriendRequest[];
    blocks: Block[];
}
/** A part of what is held. */
export type Part = 'me' | 'users' | 'friends' | 'requests' | 'blocks' | 'presence' | 'sessions' | 'watched';
/** The effect of a frame. */
export interface Difference extends News {
    /** `sync`: a catch-up is complete. `update`: a change. `reply`: the reply to this client's command. */
    how: 'sync' | 'update' | 'reply';
    /** All presence with `sync`. */
    presence?: Presence[];
    sessions?: readonly Session[];
    /** The change for the store. */
    save?: Change;
    /** Only with `sync`: the gateway sent all records. */
    full?: boolean;
    /**
     * Only with `sync`: the records differ from the gateway's. `repair`: request the buckets that differ. `retry`: fetch
     * everything on a new connection. `accepted`: that did not help, and the records are shown as they are.
     */
    mismatch?: 'repair' | 'retry' | 'accepted';
}
/** Holds the records and applies frames to them. */
export declare class Replica {
    #private;
    /** The own profile as it is shown. */
    get me(): User | undefined;
    /** The own profile as the gateway has sent it. */
    get confirmed(): User | undefined;
    /** What is shown of the own profile and not answered. */
    get pending(): Readonly<MyInfo> | undefined;
    pend(pending: Readonly<MyInfo> | undefined): void;
    get users(): ReadonlyMap<string, User>;
    get friends(): ReadonlyMap<string, Friend>;
    get requests(): FriendRequest[];
    get blocks(): ReadonlyMap<string, Block>;
    /** The version of a block or of the end of the last one; 0 if none is known. */
    blockVersion(account: string): number;
    get presence(): ReadonlyMap<string, Presence>;
    get sessions(): readonly Session[];
    get watched(): ReadonlySet<string>;
    /** Returns the parts that may have changed since the last call. */
    changed(): ReadonlySet<Part>;
    /** The cursor for the next login. */
    get cursor(): string | undefined;
    load(stored: Stored): void;
    /** What is shown, in the form of a store's records. */
    get stored(): Stored;
    /** Drops all records, with the cursor that belongs to them. */
    clear(): void;
    /** Discards an unfinished catch-up or repair when the connection ends. */
    interrupted(): void;
    /** True during a catch-up or a repair. */
    get staging(): boolean;
    /** The bucket digests of the friend list, for a repair. */
    get digests(): number[];
    /** Sets the accepted watch list, and forgets strangers that left it or are `missing`. */
    watch(accounts: ReadonlySet<string>, missing?: readonly string[]): void;
    /** Applies a frame. Returns nothing if nothing changed, as after an unknown frame. */
    take(frame: ServerFrame): Difference | undefined;
}
export {};
