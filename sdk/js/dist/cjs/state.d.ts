import type { RosterdError } from './protocol.js';
/** The state of the connection; `disconnected` also between two attempts. */
export type State = 'disconnected' | 'connecting' | 'syncing' | 'live';
/**
 * The connection in detail. `reconnecting`: lost, with another attempt at `retryAt`. `disconnected`: down until `connect`.
 * `lastError` is why the connection is not live, until it is again.
 */
export interface ConnectionState {
    readonly state: State | 'reconnecting';
    readonly lastError?: RosterdError;
    /** Milliseconds since 1970. */
    readonly retryAt?: number;
}
