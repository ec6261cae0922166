// Timers without a longest time, deadlines for the application's code, and promises that others settle.

/** The longest time that the platform's timers support, in milliseconds; a longer one fires at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Runs `action` after `ms`, however long that is; `Infinity` means never. Returns a function that cancels it. */
export function after(ms: number, action: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (left: number): void => {
    const part = Math.min(left, TIMER_MAX_MS);
    timer = setTimeout(() => (left > part ? wait(left - part) : action()), part);
  };
  if (ms !== Infinity) wait(ms);
  return () => clearTimeout(timer);
}

/** Waits for the application's code, but at most `ms`: it may never settle. */
export function within<T>(ms: number, what: string, run: () => T | PromiseLike<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} did not settle within ${ms} ms`)), ms);
    unref(timer);
    new Promise<T>((settle) => settle(run())).then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Lets the page paint and react before more work. Unlike a timer, it is as quick in a page that is hidden. */
export function pause(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

/** Lets a Node process end although this timer or channel is open. Browsers have no such thing. */
export function unref(handle: unknown): void {
  (handle as { unref?(): void } | undefined)?.unref?.();
}

/** A promise that others settle. */
export interface Deferred {
  promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

/** Creates a promise that others settle. */
export function deferred(): Deferred {
  let settle!: Pick<Deferred, 'resolve' | 'reject'>;
  const promise = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  // Callers that do not await it have the events; an unhandled rejection must not end their process.
  promise.catch(() => {});
  return { promise, ...settle };
}

/** Ends the wait of a call. */
export interface CallLimits {
  /** Rejects the call with the signal's reason. A command that was not sent is not sent any more; one that was may be carried out. */
  signal?: AbortSignal | undefined;
}

/** Calls `act` with the reason when the signal is aborted, at once if it is already; returns a function that ends that. */
export function onAbort({ signal }: CallLimits, act: (reason: unknown) => void): () => void {
  const aborted = (): void => act(signal?.reason);
  if (signal?.aborted) aborted();
  signal?.addEventListener('abort', aborted);
  return () => signal?.removeEventListener('abort', aborted);
}
