import type { Change, Store, Stored } from './store.js';
export declare class Saver {
    #private;
    constructor(store: Store, account: string, failed: (what: string, cause: unknown) => void);
    /** What was kept, if anything, and only if it makes sense. */
    load(): Promise<Stored | undefined>;
    save(change: Change): void;
    /** Everything is written, or given up. */
    idle(): Promise<void>;
    wipe(): Promise<void>;
}
