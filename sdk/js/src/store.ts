// Stores for records: IndexedDB, with one database for each account, and memory.
// A store only keeps records; the replica decides what to write and when.

import type { Block, Friend, FriendRequest, MyInfo, User } from './protocol.js';
import { unref } from './timers.js';

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
    const { clear, me, cursor } = this;
    return {
      clear, removed: [...this.removed], me, users: [...this.users.values()], friends: [...this.friends.values()],
      requests: [...this.requests.values()], blocks: [...this.blocks.values()], cursor, kept: [...this.kept.values()],
    };
  }
}

/** Keeps records in memory, as long as the object exists. */
export class MemoryStore implements Store {
  #accounts = new Map<string, Gathered>();

  async load(key: string): Promise<Stored | undefined> {
    const held = this.#accounts.get(key);
    if (!held) return undefined;
    return {
      me: held.me,
      users: [...held.users.values()],
      friends: [...held.friends.values()],
      requests: [...held.requests.values()].filter(({ state }) => state === 'open'),
      blocks: [...held.blocks.values()].filter(({ removed }) => !removed),
      cursor: held.cursor ?? undefined,
      kept: [...held.kept.values()].filter(({ fields }) => fields),
    };
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

/** The version of the layout below. A database with another layout is dropped: the gateway has all records. */
const SCHEMA = 2;
const TABLES = ['users', 'friends', 'requests', 'blocks', 'meta'] as const;
/** Writes issued at a time; the page can paint between the parts of a big sync. */
const BATCH = 250;
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
    const all = (name: string): Promise<any[]> => result(transaction.objectStore(name).getAll());
    const meta = (name: string): Promise<any> => result(transaction.objectStore('meta').get(name));
    const [users, friends, requests, blocks, me, cursor, kept] = await Promise.all([
      all('users'), all('friends'), all('requests'), all('blocks'), meta('me'), meta('cursor'),
      // Their keys are numbers, the others are texts.
      result<any[]>(transaction.objectStore('meta').getAll(IDBKeyRange.bound(0, Infinity))),
    ] as const);
    return { users, friends, requests, blocks, me, cursor, kept };
  }

  async save(key: string, change: Change): Promise<void> {
    const database = await this.#open(key);
    const transaction = database.transaction(TABLES, 'readwrite');
    const tables = TABLES.map((name) => transaction.objectStore(name));
    const [users, friends, requests, blocks, meta] = tables as [IDBObjectStore, IDBObjectStore, IDBObjectStore, IDBObjectStore, IDBObjectStore];
    const steps: (() => IDBRequest)[] = [];
    if (change.clear) for (const table of tables) steps.push(() => (table === meta ? table.delete(IDBKeyRange.lowerBound('')) : table.clear()));
    for (const gone of change.removed ?? []) steps.push(() => users.delete(gone), () => friends.delete(gone));
    if (change.me) steps.push(() => meta.put(change.me, 'me'));
    for (const user of change.users ?? []) steps.push(() => users.put(user));
    for (const friend of change.friends ?? []) steps.push(() => friends.put(friend));
    for (const request of change.requests ?? []) {
      steps.push(() => (request.state === 'open' ? requests.put(request) : requests.delete([request.account, request.direction])));
    }
    for (const block of change.blocks ?? []) steps.push(() => (block.removed ? blocks.delete(block.account) : blocks.put(block)));
    for (const edit of change.kept ?? []) steps.push(() => (edit.fields ? meta.put(edit, edit.id) : meta.delete(edit.id)));
    if (change.cursor === null) steps.push(() => meta.delete('cursor'));
    else if (change.cursor !== undefined) steps.push(() => meta.put(change.cursor, 'cursor'));
    const done = completion(transaction);
    const next = (from: number): void => {
      let last: IDBRequest | undefined;
      const until = Math.min(from + BATCH, steps.length);
      for (let i = from; i < until; i++) last = steps[i]?.();
      // A request in the callback keeps the transaction open.
      if (last && until < steps.length) last.onsuccess = () => abortOnThrow(transaction, () => next(until));
    };
    abortOnThrow(transaction, () => next(0));
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
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('IndexedDB does not answer')), OPEN_MS);
    const request = indexedDB.open(nameOf(key), SCHEMA);
    request.onupgradeneeded = () => {
      const database = request.result;
      for (const name of [...database.objectStoreNames]) database.deleteObjectStore(name);
      database.createObjectStore('users', { keyPath: 'account' });
      database.createObjectStore('friends', { keyPath: 'account' });
      database.createObjectStore('requests', { keyPath: ['account', 'direction'] });
      database.createObjectStore('blocks', { keyPath: 'account' });
      database.createObjectStore('meta');
    };
    request.onsuccess = () => {
      clearTimeout(timer);
      const database = request.result;
      // Another page wipes the account or has a newer layout: close, so that it can. Later calls here throw.
      database.onversionchange = () => database.close();
      resolve(database);
    };
    request.onerror = () => {
      clearTimeout(timer);
      // A newer version of this library wrote it: its records are useless here.
      if (again && request.error?.name === 'VersionError') resolve(remove(key).then(() => open(key, false)));
      else reject(request.error);
    };
  });
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
