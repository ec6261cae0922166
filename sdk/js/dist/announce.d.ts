import type { Emitter } from './emitter.js';
import type { Events } from './options.js';
import type { Difference } from './replica.js';
import type { Stored } from './store.js';
export declare function announceStored(emitter: Emitter<Events>, { me, users, friends, requests, blocks }: Stored): void;
export declare function announceSync(emitter: Emitter<Events>, { me, users, friends, removed, requests, blocks, presence, sessions, full }: Difference): void;
export declare function announceUpdate(emitter: Emitter<Events>, { how, me, users, friends, removed, requests, blocks, presence, sessions }: Difference): void;
