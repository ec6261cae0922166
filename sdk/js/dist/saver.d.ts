import type { Change, Store, Stored } from './store.js';
/** Writes changes to the store. */
export declare class Saver {
    #private;
    constructor(store: Store, account: string, failed: (what: string, cause: unknown) => void);
    /** Reads the records; wipes damaged ones. */
    load(): Promise<Stored | undefined>;
    save(change: Change): void;
    /** Waits until all is written or the store has failed. */
    idle(): Promise<void>;
    wipe(): Promise<void>;
}
