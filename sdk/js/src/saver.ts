// Writes what the replica says into the store, one change after another, and goes on without a store that fails.
// While one write is under way the next ones are gathered, so that a busy list costs few transactions.

import { isSound } from './store.js';
import type { Change, Store, Stored } from './store.js';
import type { Friend, User } from './protocol.js';

interface Gathered {
  clear: boolean;
  removed: Set<string>;
  me?: User;
  users: Map<string, User>;
  friends: Map<string, Friend>;
  cursor?: string | null;
}

const gathered = (clear = false): Gathered => ({ clear, removed: new Set(), users: new Map(), friends: new Map() });

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
    if (change.clear) this.#next = gathered(true);
    const next = (this.#next ??= gathered());
    for (const account of change.removed ?? []) {
      next.removed.add(account);
      next.users.delete(account);
      next.friends.delete(account);
    }
    if (change.me) next.me = change.me;
    for (const user of change.users ?? []) next.users.set(user.account, user);
    for (const friend of change.friends ?? []) next.friends.set(friend.account, friend);
    if (change.cursor !== undefined) next.cursor = change.cursor;
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
      const change: Change = {
        clear: next.clear, removed: [...next.removed], me: next.me,
        users: [...next.users.values()], friends: [...next.friends.values()], cursor: next.cursor,
      };
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
