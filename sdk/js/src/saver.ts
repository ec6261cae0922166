// Writes the replica's changes to the store in order, and does without a store that fails.
// Changes that come during a write are merged into the next one, so a busy list needs few transactions.

import { Gathered, isSound } from './store.js';
import type { Change, Store, Stored } from './store.js';
import { within } from './timers.js';

/** How long a store may take to read or to wipe the records of an account. */
const ANSWER_MS = 10_000;
/** How long a write may take; the first one can be large. */
const WRITE_MS = 30_000;
/** How long a disconnect waits for writes. They continue after it. */
const IDLE_MS = 5_000;
/** The waits before the attempts of a wipe. */
const WIPE_WAITS_MS = [0, 200, 1_000];

/** Writes changes to the store. */
export class Saver {
  readonly #store: Store;
  readonly #key: string;
  readonly #failed: (what: string, cause: unknown) => void;
  // A store that failed is not written any more. Its contents are consistent and have a cursor, so the next start can use them.
  #broken = false;
  #next?: Gathered;
  #writing?: Promise<void>;

  constructor(store: Store, key: string, failed: (what: string, cause: unknown) => void) {
    this.#store = store;
    this.#key = key;
    this.#failed = failed;
  }

  /** Reads the records; wipes damaged ones. */
  async load(): Promise<Stored | undefined> {
    if (this.#broken) return undefined;
    try {
      const stored = await within(ANSWER_MS, 'load', () => this.#store.load(this.#key));
      if (stored === undefined || isSound(stored)) return stored;
      throw new TypeError('the records are damaged');
    } catch (cause) {
      this.#failed('reading', cause);
      await this.#try('wiping', () => this.#wipe());
      return undefined;
    }
  }

  save(change: Change): void {
    if (this.#broken) return;
    if (change.clear) this.#next = new Gathered(true, this.#next?.kept);
    (this.#next ??= new Gathered()).add(change);
    this.#writing ??= this.#write();
  }

  /** Waits until all is written or the store has failed, but not for ever. */
  async idle(): Promise<void> {
    const all = async (): Promise<void> => {
      while (this.#writing) await this.#writing;
    };
    // A slow write goes on, and reports its own failure.
    await within(IDLE_MS, 'save', all).catch(() => {});
  }

  /** Deletes all records, those of a store that failed as well. Rejects if they are still there. */
  async wipe(): Promise<void> {
    this.drop();
    await this.idle();
    for (const [attempt, ms] of WIPE_WAITS_MS.entries()) {
      try {
        if (ms) await new Promise((resolve) => setTimeout(resolve, ms));
        return await this.#wipe();
      } catch (cause) {
        if (attempt === WIPE_WAITS_MS.length - 1) throw cause;
      }
    }
  }

  /** Drops what is not written yet. */
  drop(): void {
    this.#next = undefined;
  }

  /** Calls `listener` when another page wipes the records. */
  onWipe(listener: () => void): void {
    this.#store.onWipe?.(this.#key, listener);
  }

  close(): void {
    this.#store.close?.();
  }

  async #wipe(): Promise<void> {
    await within(ANSWER_MS, 'wipe', () => this.#store.wipe(this.#key));
    // An empty store is as good as a new one.
    this.#broken = false;
  }

  async #write(): Promise<void> {
    // The frame's events go first.
    await undefined;
    for (let next = this.#next; next; next = this.#next) {
      this.#next = undefined;
      const { change } = next;
      await this.#try('writing', () => within(WRITE_MS, 'save', () => this.#store.save(this.#key, change)));
    }
    this.#writing = undefined;
  }

  async #try(what: string, action: () => Promise<void>): Promise<void> {
    try {
      if (!this.#broken) await action();
    } catch (cause) {
      this.#broken = true;
      this.#failed(what, cause);
    }
  }
}
