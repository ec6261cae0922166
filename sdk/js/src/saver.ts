// Writes the replica's changes to the store in order, and does without a store that fails.
// Changes that come during a write are merged into the next one, so a busy list needs few transactions.

import { Gathered, isSound } from './store.js';
import type { Change, Store, Stored } from './store.js';

/** Writes changes to the store. */
export class Saver {
  // Unset after a failure. Its contents are consistent and have a cursor, so the next start can use them.
  #store?: Store;
  readonly #account: string;
  readonly #failed: (what: string, cause: unknown) => void;
  #next?: Gathered;
  #writing?: Promise<void>;

  constructor(store: Store, account: string, failed: (what: string, cause: unknown) => void) {
    this.#store = store;
    this.#account = account;
    this.#failed = failed;
  }

  /** Reads the records; wipes damaged ones. */
  async load(): Promise<Stored | undefined> {
    try {
      const stored = await this.#store?.load(this.#account);
      if (stored === undefined || isSound(stored)) return stored;
      throw new TypeError('the records are damaged');
    } catch (cause) {
      this.#failed('reading', cause);
      await this.wipe();
      return undefined;
    }
  }

  save(change: Change): void {
    if (!this.#store) return;
    if (change.clear) this.#next = new Gathered(true);
    (this.#next ??= new Gathered()).add(change);
    this.#writing ??= this.#write();
  }

  /** Waits until all is written or the store has failed. */
  async idle(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async wipe(): Promise<void> {
    this.#next = undefined;
    await this.idle();
    await this.#try('wiping', (store) => store.wipe(this.#account));
  }

  async #write(): Promise<void> {
    // The frame's events go first.
    await undefined;
    for (let next = this.#next; next; next = this.#next) {
      this.#next = undefined;
      const { change } = next;
      await this.#try('writing', (store) => store.save(this.#account, change));
    }
    this.#writing = undefined;
  }

  async #try(what: string, action: (store: Store) => Promise<void>): Promise<void> {
    try {
      if (this.#store) await action(this.#store);
    } catch (cause) {
      this.#store = undefined;
      this.#failed(what, cause);
    }
  }
}
