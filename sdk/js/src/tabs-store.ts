// The store of a tab: only the leader writes, apart from changes of the user's that wait for a connection, which no other
// tab has. The others keep what they would have written until the leader says that it has, and write it if they come to
// lead before that.

import { Gathered } from './store.js';
import type { Change, Store, Stored } from './store.js';

/** How many changes are kept apart. */
const KEPT_MAX = 200;

/** Merges changes into one. */
function merged(changes: readonly Change[]): Change {
  let all = new Gathered();
  for (const change of changes) {
    if (change.clear) all = new Gathered(true);
    all.add(change);
  }
  return all.change;
}

/** Writes to a store while this tab leads. */
export class TabStore implements Store {
  readonly #store: Store;
  readonly #key: string;
  /** The cursor of what is stored. */
  cursor?: string;
  /** Called when something was written. */
  onSaved?: () => void;
  /** Called when this tab wipes the records. */
  onWiped?: () => void;
  #writes = false;
  #kept: Change[] = [];
  #last: Promise<unknown> = Promise.resolve();
  /** The number of writes under way. */
  busy = 0;
  #listener?: () => void;

  constructor(store: Store, key: string) {
    this.#store = store;
    this.#key = key;
  }

  async load(key: string): Promise<Stored | undefined> {
    const stored = await this.#store.load(key);
    this.cursor ??= stored?.cursor;
    return stored;
  }

  async save(key: string, { kept = [], ...change }: Change): Promise<void> {
    // What the user has changed here no other tab has.
    if (kept.length) await this.#store.save(key, { kept });
    this.#kept.push(change);
    if (this.#writes) return this.#write();
    if (this.#kept.length > KEPT_MAX) this.#kept = [merged(this.#kept)];
  }

  async wipe(key: string): Promise<void> {
    this.#kept = [];
    this.cursor = undefined;
    this.onWiped?.();
    await this.#last;
    await this.#store.wipe(key);
  }

  onWipe(key: string, listener: () => void): void {
    this.#listener = () => {
      this.#kept = [];
      this.cursor = undefined;
      listener();
    };
    this.#store.onWipe?.(key, this.#listener);
  }

  close(): void {
    this.#store.close?.();
  }

  /** Another tab has wiped the records. Stores that hear it by themselves say so themselves. */
  wiped(): void {
    if (!this.#store.onWipe) this.#listener?.();
  }

  /** The leader has written everything up to this cursor. */
  saved(cursor: string | undefined): void {
    if (cursor === undefined) return;
    this.cursor = cursor;
    this.#kept.splice(0, this.#kept.map((change) => change.cursor).lastIndexOf(cursor) + 1);
  }

  /** This tab leads: writes what the last leader may not have written. */
  begin(): void {
    this.#writes = true;
    // The next write brings it as well.
    if (this.#kept.length) this.#write().catch(() => {});
  }

  end(): void {
    this.#writes = false;
  }

  #write(): Promise<void> {
    this.busy++;
    const written = this.#last.then(async () => {
      const changes = this.#kept;
      if (!changes.length) return;
      this.#kept = [];
      const change = merged(changes);
      try {
        await this.#store.save(this.#key, change);
      } catch (cause) {
        this.#kept = [...changes, ...this.#kept];
        throw cause;
      }
      if (typeof change.cursor !== 'string') return;
      this.cursor = change.cursor;
      this.onSaved?.();
    });
    this.#last = written.catch(() => {}).then(() => this.busy--);
    return written;
  }
}
