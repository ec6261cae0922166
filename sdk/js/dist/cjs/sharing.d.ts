import type { WebSocketConstructor } from './connection.js';
import type { Snapshot } from './snapshot.js';
import type { State } from './state.js';
import type { Store } from './store.js';
/** The client in this tab, as {@link Tabs} sees it. */
export interface Member {
    readonly options: {
        readonly WebSocket?: WebSocketConstructor | undefined;
    };
    readonly state: State;
    readonly snapshot: Snapshot;
    readonly connection?: {
        readonly paused: boolean;
    };
    /** Starts a waiting attempt at once. */
    connect(): Promise<void>;
}
/** What a client of several tabs uses instead of its own. */
export interface Shared {
    readonly WebSocket: WebSocketConstructor;
    readonly store: Store;
    /** Returns whether another tab has the connection: then this one needs no token. */
    follows(): Promise<boolean>;
    /** The client does not connect any more, until it asks for a WebSocket again. */
    leave(): void;
}
/**
 * Lets the tabs of one account and origin share one connection: `shareTabs` of `rosterd/tabs`. It returns nothing where the
 * platform cannot.
 */
export type Tabs = (member: Member, store: Store, key: string) => Shared | undefined;
