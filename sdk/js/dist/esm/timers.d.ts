/** Runs `action` after `ms`, however long that is; `Infinity` means never. Returns a function that cancels it. */
export declare function after(ms: number, action: () => void): () => void;
/** Waits for the application's code, but at most `ms`: it may never settle. */
export declare function within<T>(ms: number, what: string, run: () => T | PromiseLike<T>): Promise<T>;
/** Lets the page paint and react before more work. Unlike a timer, it is as quick in a page that is hidden. */
export declare function pause(): Promise<void>;
/** Lets a Node process end although this timer or channel is open. Browsers have no such thing. */
export declare function unref(handle: unknown): void;
/** A promise that others settle. */
export interface Deferred {
    promise: Promise<void>;
    resolve(): void;
    reject(error: Error): void;
}
/** Creates a promise that others settle. */
export declare function deferred(): Deferred;
/** Ends the wait of a call. */
export interface CallLimits {
    /** Rejects the call with the signal's reason. A command that was not sent is not sent any more; one that was may be carried out. */
    signal?: AbortSignal | undefined;
}
/** Calls `act` with the reason when the signal is aborted, at once if it is already; returns a function that ends that. */
export declare function onAbort({ signal }: CallLimits, act: (reason: unknown) => void): () => void;
