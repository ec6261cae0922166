import type { Block, Friend, FriendRequest, Presence, ServerFrame, Session, User } from './protocol.js';
import type { Change, Stored } from './store.js';
/** Records that were news. */
interface News {
    me?: User;
    users: User[];
    friends: Friend[];
    removed: string[];
    requests: FriendRequest[];
    blocks: Block[];
}
/** What a frame made different. */
export interface Difference extends News {
    /** `sync`: a catch-up is complete. `update`: news. `reply`: what came back to this client's own command. */
    how: 'sync' | 'update' | 'reply';
    /** With `sync` all of it. */
    presence?: Presence[];
    sessions?: readonly Session[];
    /** What a store has to do, in one transaction. */
    save?: Change;
    /** Only with `sync`: the whole list came, not a difference. */
    full?: boolean;
    /**
     * Only with `sync`: what is held is not what the gateway holds. `repair`: the parts that differ are to be asked for.
     * `retry`: all of it is, on a new connection. `accepted`: that did not help, and this is what there is.
     */
    mismatch?: 'repair' | 'retry' | 'accepted';
}
export declare class Replica {
    #private;
    get me(): User | undefined;
    get users(): ReadonlyMap<string, User>;
    get friends(): ReadonlyMap<string, Friend>;
    /** Those that are open. */
    get requests(): FriendRequest[];
    get blocks(): ReadonlyMap<string, Block>;
    get presence(): ReadonlyMap<string, Presence>;
    get sessions(): readonly Session[];
    get watched(): ReadonlySet<string>;
    /** What to show at the next login. */
    get cursor(): string | undefined;
    load(stored: Stored): void;
    /** The records are gone; so is the cursor, which would promise that they are here. */
    clear(): void;
    /** The connection ended. A catch-up or a repair that was under way has not happened. */
    interrupted(): void;
    /** Whether a catch-up or a repair is under way. */
    get staging(): boolean;
    /** What to ask for a repair with: the digests of the parts of the friend list. */
    get leaves(): number[];
    /** The gateway took this list; `missing` do not exist. Who is on it no more and is no friend is forgotten. */
    watch(accounts: ReadonlySet<string>, missing?: readonly string[]): void;
    /** Applies a frame. Nothing is returned if nothing became different, which is also so for frames that are not known. */
    take(frame: ServerFrame): Difference | undefined;
}
export {};
