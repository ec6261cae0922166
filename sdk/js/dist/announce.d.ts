import type { Emitter } from './emitter.js';
import type { Events } from './options.js';
import type { Difference } from './replica.js';
import type { Stored } from './store.js';
/** Emits the records that a store had kept. */
export declare function announceStored(emitter: Emitter<Events>, { me, users, friends, requests, blocks }: Stored): void;
/** Emits the result of a catch-up. */
export declare function announceSync(emitter: Emitter<Events>, difference: Difference): void;
/** Emits a change that came while live: removals first, and profiles before friendships. */
export declare function announceUpdate(emitter: Emitter<Events>, difference: Difference): void;
