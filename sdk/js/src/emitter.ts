// Typed events.

import { onAbort } from './timers.js';

/** Limits how long a listener listens. */
export interface ListenerOptions {
  /** Removes the listener when it is aborted. */
  signal?: AbortSignal | undefined;
}

/** Calls listeners. An error of one is reported like an uncaught error and does not affect the others. */
export class Emitter<E extends object> {
  #listeners = new Map<keyof E, Set<(...args: never[]) => unknown>>();

  on<K extends keyof E>(event: K, listener: E[K], options: ListenerOptions = {}): () => void {
    let stop: (() => void) | undefined;
    const off = (): void => {
      this.off(event, listener);
      stop?.();
    };
    let all = this.#listeners.get(event);
    if (!all) this.#listeners.set(event, (all = new Set()));
    all.add(listener as never);
    stop = onAbort(options, off);
    return off;
  }

  /** Adds a listener for the next event of this kind. */
  once<K extends keyof E>(event: K, listener: E[K], options?: ListenerOptions): () => void {
    const wrapped = (...args: unknown[]): unknown => {
      off();
      return (listener as (...args: unknown[]) => unknown)(...args);
    };
    const off = this.on(event, wrapped as E[K], options);
    return off;
  }

  off<K extends keyof E>(event: K, listener: E[K]): void {
    this.#listeners.get(event)?.delete(listener as never);
  }

  clear(): void {
    this.#listeners.clear();
  }

  has(event: keyof E): boolean {
    return !!this.#listeners.get(event)?.size;
  }

  emit<K extends keyof E>(event: K, ...args: E[K] extends (...args: infer A) => unknown ? A : never): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        const result: unknown = (listener as (...args: unknown[]) => unknown)(...args);
        // A rejected promise counts as a thrown error.
        if (result instanceof Promise) result.catch(report);
      } catch (error) {
        report(error);
      }
    }
  }
}

/** Reports an error of the application's code. */
export function report(error: unknown): void {
  if (typeof globalThis.reportError === 'function') globalThis.reportError(error);
  else console.error(error);
}
