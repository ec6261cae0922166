// Writes what the replica says into the store, one change after another, and goes on without a store that fails.
// While one write is under way the next ones are gathered, so that a busy list costs few transactions.

import { Gathered, isSound } from './store.js';
import type { Change, Store, Stored } from './store.js';

export class Saver {
  // Gone for good after a failure: what it holds is whole, with the cursor of that time, and good for the next start.
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

  /** What was kept, if anything, and only if it makes sense. */
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

  /** Everything is written, or given up. */
  async idle(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async wipe(): Promise<void> {
    this.#next = undefined;
    await this.idle();
    await this.#try('wiping', (store) => store.wipe(this.#account));
  }

  async #write(): Promise<void> {
    // Let the frame's events out first.
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
