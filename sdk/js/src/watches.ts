// The list of watched strangers, put together from the application's `watch` and from counted holds of components.

import type { RosterdError } from './protocol.js';

/** How long changes of holds are gathered. A component that is mounted again at once changes nothing. */
const GATHER_MS = 20;

/** The actions that keeping the list needs. */
export interface WatchHandlers {
  /** Sends the list to the gateway, and takes it when the gateway has accepted it. */
  send(accounts: ReadonlySet<string>): Promise<{ missing: string[] }>;
  /** Accounts whose profiles come anyway. */
  isKnown(account: string): boolean;
  /** The list that the gateway has accepted. */
  watched(): ReadonlySet<string>;
  isLive(): boolean;
  failed(error: RosterdError): void;
}

/** Keeps the list. */
export class Watches {
  readonly #handlers: WatchHandlers;
  #listed: ReadonlySet<string> = new Set();
  readonly #holds = new Map<string, number>();
  #timer?: ReturnType<typeof setTimeout>;

  constructor(handlers: WatchHandlers) {
    this.#handlers = handlers;
  }

  /** Replaces the application's list. */
  async list(accounts: ReadonlySet<string>): Promise<{ missing: string[] }> {
    const { missing } = await this.#handlers.send(this.#with(accounts));
    this.#listed = accounts;
    return { missing: missing.filter((account) => accounts.has(account)) };
  }

  /** Adds accounts until the returned function is called; the same account may be held several times. */
  hold(accounts: Iterable<string>): () => void {
    const held = new Set(accounts);
    for (const account of held) this.#holds.set(account, (this.#holds.get(account) ?? 0) + 1);
    this.refresh();
    return () => {
      for (const account of held) {
        const left = (this.#holds.get(account) ?? 0) - 1;
        if (left > 0) this.#holds.set(account, left);
        else this.#holds.delete(account);
      }
      held.clear();
      this.refresh();
    };
  }

  /** Forgets everything. */
  clear(): void {
    this.#listed = new Set();
  }

  /** Sends the list soon if it is not what the gateway has: after a change of holds or friends, and after a login. */
  refresh(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const wanted = this.#with(this.#listed);
      const watched = this.#handlers.watched();
      const same = wanted.size === watched.size && [...wanted].every((account) => watched.has(account));
      if (!same && this.#handlers.isLive()) this.#handlers.send(wanted).catch((error: RosterdError) => this.#handlers.failed(error));
    }, GATHER_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #with(accounts: ReadonlySet<string>): Set<string> {
    return new Set([...accounts, ...[...this.#holds.keys()].filter((account) => !this.#handlers.isKnown(account))]);
  }
}
