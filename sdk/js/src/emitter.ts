// Typed events.

/** Calls listeners. An error of one is reported like an uncaught error and does not affect the others. */
export class Emitter<E extends object> {
  #listeners = new Map<keyof E, Set<(...args: never[]) => unknown>>();

  on<K extends keyof E>(event: K, listener: E[K]): () => void {
    let all = this.#listeners.get(event);
    if (!all) this.#listeners.set(event, (all = new Set()));
    all.add(listener as never);
    return () => this.off(event, listener);
  }

  off<K extends keyof E>(event: K, listener: E[K]): void {
    this.#listeners.get(event)?.delete(listener as never);
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
