/** Limits how long a listener listens. */
export interface ListenerOptions {
    /** Removes the listener when it is aborted. */
    signal?: AbortSignal | undefined;
}
/** Calls listeners. An error of one is reported like an uncaught error and does not affect the others. */
export declare class Emitter<E extends object> {
    #private;
    on<K extends keyof E>(event: K, listener: E[K], options?: ListenerOptions): () => void;
    /** Adds a listener for the next event of this kind. */
    once<K extends keyof E>(event: K, listener: E[K], options?: ListenerOptions): () => void;
    off<K extends keyof E>(event: K, listener: E[K]): void;
    clear(): void;
    has(event: keyof E): boolean;
    emit<K extends keyof E>(event: K, ...args: E[K] extends (...args: infer A) => unknown ? A : never): void;
}
/** Reports an error of the application's code. */
export declare function report(error: unknown): void;
