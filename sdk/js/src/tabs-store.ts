// The store of a tab: only the leader writes, apart from changes of the user's that wait for a connection, which no other
// tab has. The others keep what they would have written until the leader says that it has, and write it if they come to
// lead before that.

import { Gathered } from './store.js';
import type { Change, Store, Stored } from './store.js';

/** How many unwritten changes stand apart. */
const UNWRITTEN_MAX = 200;

/** Merges changes into one. */
function merged(changes: readonly Change[]): Change {
  let all = new Gathered();
  for (const change of changes) {
    if (change.clear) all = new Gathered(true, all.kept);
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
  #unwritten: Change[] = [];
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

  async save(_key: string, change: Change): Promise<void> {
    const { kept, ...records } = change;
    this.#unwritten.push(this.#writes ? change : records);
    if (this.#writes) return this.#write();
    // Changes that wait are this tab's own, and no part of the cache.
    if (kept?.length) await this.#inOrder(() => this.#store.save(this.#key, { kept }));
    if (this.#unwritten.length > UNWRITTEN_MAX) this.#unwritten = [merged(this.#unwritten)];
  }

  async wipe(key: string): Promise<void> {
    this.#unwritten = [];
    this.cursor = undefined;
    this.onWiped?.();
    await this.#last;
    await this.#store.wipe(key);
  }

  onWipe(key: string, listener: () => void): void {
    this.#listener = () => {
      this.#unwritten = [];
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
    this.#unwritten.splice(0, this.#unwritten.map((change) => change.cursor).lastIndexOf(cursor) + 1);
  }

  /** This tab leads: writes what the last leader may not have written. */
  begin(): void {
    this.#writes = true;
    // The next write brings it as well.
    if (this.#unwritten.length) this.#write().catch(() => {});
  }

  end(): void {
    this.#writes = false;
  }

  #write(): Promise<void> {
    return this.#inOrder(async () => {
      const changes = this.#unwritten;
      if (!changes.length) return;
      this.#unwritten = [];
      const change = merged(changes);
      try {
        await this.#store.save(this.#key, change);
      } catch (cause) {
        this.#unwritten = [...changes, ...this.#unwritten];
        throw cause;
      }
      if (typeof change.cursor !== 'string') return;
      this.cursor = change.cursor;
      this.onSaved?.();
    });
  }

  #inOrder(write: () => Promise<void>): Promise<void> {
    this.busy++;
    const written = this.#last.then(write);
    this.#last = written.catch(() => {}).then(() => this.busy--);
    return written;
  }
}
