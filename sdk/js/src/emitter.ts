// Typed events. A listener that throws is reported like any uncaught error and disturbs nobody else.

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
        // A promise that rejects is a listener that throws, later.
        if (result instanceof Promise) result.catch(report);
      } catch (error) {
        report(error);
      }
    }
  }
}

function report(error: unknown): void {
  if (typeof globalThis.reportError === 'function') globalThis.reportError(error);
  else console.error(error);
}
