import type { ConnectionState } from './state.js';
import type { Block, Friend, FriendRequest, MyInfo, Presence, Session, User } from './protocol.js';
import type { Replica } from './replica.js';
/**
 * Everything that the client holds at one moment. It never changes; a later one is another object. Each part is the same
 * object as before for as long as nothing in it has changed.
 */
export interface Snapshot<UserCustom extends string = string, FriendCustom extends string = string> {
    readonly account: string;
    readonly connection: ConnectionState;
    readonly me: User<UserCustom> | undefined;
    /** The fields of `me` that the gateway has not confirmed; nothing if it has confirmed all. */
    readonly pending: Readonly<MyInfo<UserCustom>> | undefined;
    readonly users: ReadonlyMap<string, User<UserCustom>>;
    readonly friends: ReadonlyMap<string, Friend<FriendCustom>>;
    readonly requests: readonly FriendRequest[];
    readonly blocks: ReadonlyMap<string, Block>;
    readonly presence: ReadonlyMap<string, Presence>;
    readonly sessions: readonly Session[];
    readonly watched: ReadonlySet<string>;
}
/** Makes snapshots when somebody asks for one: a part is copied only if it has changed since the last. */
export declare class Snapshots {
    #private;
    constructor(replica: Replica);
    take(account: string, connection: ConnectionState): Snapshot;
}
