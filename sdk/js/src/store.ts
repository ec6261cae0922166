// Stores for records: IndexedDB, with one database for each account, and memory.
// A store only keeps records; the replica decides what to write and when.

import type { Block, Friend, FriendRequest, MyInfo, User } from './protocol.js';
import { pause, unref, within } from './timers.js';

/** A change of the own profile that waits for a connection. */
export interface Kept {
  /** Its name, which grows. */
  id: number;
  /** Nothing if it waits no more. */
  fields?: MyInfo | undefined;
  /** The version of the profile when it was made. */
  version?: number | undefined;
}

/** The contents of a store. The cursor belongs to exactly these records. */
export interface Stored {
  me?: User;
  users: User[];
  friends: Friend[];
  /** The open requests. */
  requests: FriendRequest[];
  /** The blocks in force. */
  blocks: Block[];
  cursor?: string;
  /** Changes that wait, in the order of their ids. */
  kept?: Kept[];
}

/** One atomic change. Its fields apply in this order. */
export interface Change {
  /** Drops everything first, but not what is `kept`. */
  clear?: boolean;
  /** Names accounts whose friend and user records are deleted. */
  removed?: string[];
  me?: User;
  users?: User[];
  friends?: Friend[];
  /** Replaces requests by account and direction; deletes those that are not `open`. */
  requests?: FriendRequest[];
  /** Replaces blocks by account; deletes `removed` ones. */
  blocks?: Block[];
  /** Replaces the cursor; `null` deletes it. */
  cursor?: string | null;
  /** Replaces changes that wait by id; deletes those without `fields`. */
  kept?: Kept[];
}

/** Returns the key of a request. */
export const requestKey = ({ account, direction }: FriendRequest): string => `${direction} ${account}`;

/**
 * Keeps records across restarts of the application.
 *
 * Any method may throw or reject. The client then emits an `error` event and continues in memory, so a store needs no
 * fallback of its own.
 */
export interface Store {
  /** Reads the records under `key`; `undefined` if there are none. The key is a text that names account and gateway. */
  load(key: string): Promise<Stored | undefined>;
  /** Applies `change` completely or not at all. */
  save(key: string, change: Change): Promise<void>;
  /** Deletes all records under `key`. */
  wipe(key: string): Promise<void>;
  /** Calls `listener` when somebody else, such as another page, wipes the records under `key`. */
  onWipe?(key: string, listener: () => void): void;
  /** Releases resources. */
  close?(): void;
}

/** Returns the key for an account's records: those of another gateway are others, whatever its accounts are called. */
export const storeKey = (account: string, url: string): string => `${account} ${url}`;

/** Merges changes into one. */
export class Gathered {
  readonly removed = new Set<string>();
  me?: User;
  readonly users = new Map<string, User>();
  readonly friends = new Map<string, Friend>();
  readonly requests = new Map<string, FriendRequest>();
  readonly blocks = new Map<string, Block>();
  cursor?: string | null;

  constructor(readonly clear = false, readonly kept = new Map<number, Kept>()) {}

  add(change: Change): void {
    for (const account of change.removed ?? []) {
      this.removed.add(account);
      this.users.delete(account);
      this.friends.delete(account);
    }
    if (change.me) this.me = change.me;
    for (const user of change.users ?? []) this.users.set(user.account, user);
    for (const friend of change.friends ?? []) this.friends.set(friend.account, friend);
    for (const request of change.requests ?? []) this.requests.set(requestKey(request), request);
    for (const block of change.blocks ?? []) this.blocks.set(block.account, block);
    if (change.cursor !== undefined) this.cursor = change.cursor;
    for (const edit of change.kept ?? []) this.kept.set(edit.id, edit);
  }

  get change(): Change {
    const { clear, removed, requests, blocks, cursor, kept } = this;
    return { ...this.stored, clear, removed: [...removed], requests: [...requests.values()], blocks: [...blocks.values()], cursor, kept: [...kept.values()] };
  }

  /** The records that a store has after these changes, if it had none before. */
  get stored(): Stored {
    const { me, users, friends, requests, blocks, cursor, kept } = this;
    return {
      me, users: [...users.values()], friends: [...friends.values()],
      requests: [...requests.values()].filter(({ state }) => state === 'open'),
      blocks: [...blocks.values()].filter(({ removed }) => !removed),
      cursor: cursor ?? undefined,
      kept: [...kept.values()].filter(({ fields }) => fields),
    };
  }
}

/** Keeps records in memory, as long as the object exists. */
export class MemoryStore implements Store {
  #accounts = new Map<string, Gathered>();

  async load(key: string): Promise<Stored | undefined> {
    return this.#accounts.get(key)?.stored;
  }

  async save(key: string, change: Change): Promise<void> {
    let held = this.#accounts.get(key);
    if (!held || change.clear) this.#accounts.set(key, (held = new Gathered(false, held?.kept)));
    held.add(change);
  }

  async wipe(key: string): Promise<void> {
    this.#accounts.delete(key);
  }
}

/**
 * The version of the layout. A database with another layout is emptied, but for changes that wait: the gateway has the rest.
 *
 * `changes` has changes of records as JSON, in their order; what is stored is what they make of nothing. So 10,000 friends
 * are 40 texts, which a browser reads and parses in a fifth of the time that it needs for 20,000 objects, and a page can parse
 * them one by one. A change of one friend is one more short text. `meta` has changes that wait, by id.
 */
const SCHEMA = 3;
const TABLES = ['changes', 'meta'] as const;
/** The profiles and the friendships in a text. */
const PIECE = 250;
/** With more texts than this, all become one change again. */
const TEXTS_MAX = 256;
/** How long to parse before the page can paint. */
const SLICE_MS = 10;
/** The limit for opening a database: some browsers never answer. */
const OPEN_MS = 3000;

/**
 * Keeps records in IndexedDB, in one database `rosterd:ACCOUNT URL` for each account and gateway.
 *
 * Several pages may write to one database, as they receive the same records. If a page that is behind overwrites newer
 * records just as the last page closes, the comparison at the next login finds the difference.
 */
export class IndexedDbStore implements Store {
  // Opened at first use.
  #databases = new Map<string, Promise<IDBDatabase>>();
  // Tell the other pages of this origin about a wipe.
  #channels = new Map<string, BroadcastChannel>();

  async load(key: string): Promise<Stored | undefined> {
    const database = await this.#open(key);
    const transaction = database.transaction(TABLES, 'readonly');
    const all = <T>(name: string): Promise<T[]> => result(transaction.objectStore(name).getAll());
    const [texts, kept] = await Promise.all([all<string>('changes'), all<Kept>('meta')]);
    const gathered = new Gathered();
    let since = Date.now();
    for (const text of texts) {
      const change = JSON.parse(text) as Change;
      // Nobody else has these records, so the client needs no copies.
      Object.values(change).flat().forEach(Object.freeze);
      gathered.add(change);
      if (Date.now() - since < SLICE_MS) continue;
      await pause();
      since = Date.now();
    }
    return { ...gathered.stored, kept };
  }

  async save(key: string, { clear, kept = [], ...change }: Change): Promise<void> {
    const database = await this.#open(key);
    const transaction = database.transaction(TABLES, 'readwrite');
    const changes = transaction.objectStore('changes');
    const meta = transaction.objectStore('meta');
    const done = completion(transaction);
    // A request in the callback of another keeps the transaction open, and the page can paint between them.
    const after = <T>(request: IDBRequest<T>, next: (result: T) => void): void => {
      request.onsuccess = () => abortOnThrow(transaction, () => next(request.result));
    };
    const write = ({ users = [], friends = [], ...rest }: Change, next: () => void): void => {
      const text = JSON.stringify({ ...rest, users: users.slice(0, PIECE), friends: friends.slice(0, PIECE) });
      after(changes.put(text), () => (users[PIECE] || friends[PIECE] ? write({ users: users.slice(PIECE), friends: friends.slice(PIECE) }, next) : next()));
    };
    const fold = (): void => {
      const all = new Gathered();
      after(changes.openCursor(), (cursor) => {
        if (cursor) {
          all.add(JSON.parse(cursor.value as string) as Change);
          return cursor.continue();
        }
        changes.clear();
        write(all.stored, () => {});
      });
    };
    abortOnThrow(transaction, () => {
      if (clear) changes.clear();
      for (const edit of kept) edit.fields ? meta.put(edit, edit.id) : meta.delete(edit.id);
      write(change, () => after(changes.count(), (count) => count > TEXTS_MAX && fold()));
    });
    await done;
  }

  async wipe(key: string): Promise<void> {
    // Other pages stop before the records go, so that they write nothing afterwards.
    this.#channel(key)?.postMessage('wipe');
    try {
      const database = await this.#open(key);
      // Tables are emptied first: deletion waits for other pages that have the database open.
      const transaction = database.transaction(TABLES, 'readwrite');
      const done = completion(transaction);
      for (const name of TABLES) transaction.objectStore(name).clear();
      await done;
    } finally {
      // Also after a failure: another attempt opens the database anew.
      this.#forget(key);
    }
    await remove(key);
  }

  onWipe(key: string, listener: () => void): void {
    const channel = this.#channel(key);
    channel?.addEventListener('message', () => {
      // The database was deleted under this connection; the next use opens a new one.
      this.#forget(key);
      listener();
    });
    unref(channel);
  }

  close(): void {
    for (const key of [...this.#databases.keys()]) this.#forget(key);
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
  }

  #open(key: string): Promise<IDBDatabase> {
    let opening = this.#databases.get(key);
    if (!opening) {
      this.#databases.set(key, (opening = open(key)));
      // An attempt that failed does not spoil the next one.
      opening.catch(() => this.#databases.delete(key));
    }
    return opening;
  }

  #forget(key: string): void {
    this.#databases.get(key)?.then((database) => database.close(), () => {});
    this.#databases.delete(key);
  }

  #channel(key: string): BroadcastChannel | undefined {
    if (typeof BroadcastChannel !== 'function') return undefined;
    let channel = this.#channels.get(key);
    if (!channel) {
      this.#channels.set(key, (channel = new BroadcastChannel(nameOf(key))));
      unref(channel);
    }
    return channel;
  }
}

/** Opens the database and creates its tables. */
function open(key: string, again = true): Promise<IDBDatabase> {
  return within(OPEN_MS, 'indexedDB.open', () => new Promise((resolve, reject) => {
    const request = indexedDB.open(nameOf(key), SCHEMA);
    request.onupgradeneeded = () => {
      const database = request.result;
      for (const name of [...database.objectStoreNames]) if (name !== 'meta') database.deleteObjectStore(name);
      database.createObjectStore('changes', { autoIncrement: true });
      // Its keys are numbers; older layouts had texts as well.
      if (database.objectStoreNames.contains('meta')) request.transaction?.objectStore('meta').delete(IDBKeyRange.lowerBound(''));
      else database.createObjectStore('meta');
    };
    request.onsuccess = () => {
      const database = request.result;
      // Another page wipes the account or has a newer layout: close, so that it can. Later calls here throw.
      database.onversionchange = () => database.close();
      resolve(database);
    };
    request.onerror = () => {
      // A newer version of this library wrote it: its records are useless here.
      if (again && request.error?.name === 'VersionError') resolve(remove(key).then(() => open(key, false)));
      else reject(request.error);
    };
  }));
}

/** Deletes the database. If another page has it open, the browser deletes it after that page closes it. */
function remove(key: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(nameOf(key));
    request.onsuccess = request.onblocked = () => resolve();
    request.onerror = () => reject(request.error);
  });
}

const nameOf = (key: string): string => `rosterd:${key}`;

/** Waits for a request. */
function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Waits for the end of a transaction. */
function completion(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
  });
}

/** Runs `body`; if it throws, aborts the transaction, whose end then reports the failure. */
function abortOnThrow(transaction: IDBTransaction, body: () => void): void {
  try {
    body();
  } catch (error) {
    try {
      transaction.abort();
    } catch {
      throw error;
    }
  }
}

/** Returns the store of that name, by default an IndexedDB store if possible, otherwise a memory store. */
export function storeFor(option: 'auto' | 'memory' | Store = 'auto'): Store {
  if (typeof option === 'object') return option;
  try {
    if (option === 'auto' && globalThis.indexedDB) return new IndexedDbStore();
  } catch {
    // Where storage is forbidden, even reading the property throws.
  }
  return new MemoryStore();
}

/** Checks that the client can have written these records. */
export function isSound(stored: Stored): boolean {
  const record = (value: unknown): boolean => {
    const { account, version } = (value ?? {}) as { account?: unknown; version?: unknown };
    return typeof account === 'string' && Number.isSafeInteger(version);
  };
  const { me, users, friends, requests, blocks, cursor, kept = [] } = stored;
  return (
    (me === undefined || record(me)) &&
    [users, friends, requests, blocks].every((list) => Array.isArray(list) && list.every(record)) &&
    (cursor === undefined || typeof cursor === 'string') &&
    Array.isArray(kept)
  );
}
