// Where records outlive the page: IndexedDB, one database for each account, or memory.
// A store only keeps what it is given; when a change is due and what is in it the replica decides.

import type { Block, Friend, FriendRequest, User } from './protocol.js';

/** What a store gives back. The cursor belongs to exactly these records. */
export interface Stored {
  me?: User;
  users: User[];
  friends: Friend[];
  /** Those that are open. */
  requests: FriendRequest[];
  /** Those in force. */
  blocks: Block[];
  cursor?: string;
}

/** One change, to be made whole or not at all, in the order of the fields. */
export interface Change {
  /** Drop everything first. */
  clear?: boolean;
  /** Accounts whose friend and user records go. */
  removed?: string[];
  me?: User;
  users?: User[];
  friends?: Friend[];
  /** By account and direction: one that is `open` is kept, any other goes. */
  requests?: FriendRequest[];
  /** By account: one that is `removed` goes. */
  blocks?: Block[];
  /** `null` drops it; left out, it stays. */
  cursor?: string | null;
}

/** What requests are kept by. */
export const requestKey = ({ account, direction }: FriendRequest): string => `${direction} ${account}`;

/**
 * A place for records. Any method may throw or reject: the client then goes on in memory and says so with an
 * `error` event, so a store needs no fallback of its own.
 */
export interface Store {
  load(account: string): Promise<Stored | undefined>;
  /** All of `change` or nothing of it. */
  save(account: string, change: Change): Promise<void>;
  /** Forgets the account. */
  wipe(account: string): Promise<void>;
  close?(): void;
}

/** Changes put together: what is to be kept, and what is to go. */
export class Gathered {
  readonly removed = new Set<string>();
  me?: User;
  readonly users = new Map<string, User>();
  readonly friends = new Map<string, Friend>();
  readonly requests = new Map<string, FriendRequest>();
  readonly blocks = new Map<string, Block>();
  cursor?: string | null;

  constructor(readonly clear = false) {}

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
  }

  get change(): Change {
    const { clear, me, cursor } = this;
    return {
      clear, removed: [...this.removed], me, users: [...this.users.values()], friends: [...this.friends.values()],
      requests: [...this.requests.values()], blocks: [...this.blocks.values()], cursor,
    };
  }
}

/** Keeps records as long as the object lives. */
export class MemoryStore implements Store {
  #accounts = new Map<string, Gathered>();

  async load(account: string): Promise<Stored | undefined> {
    const held = this.#accounts.get(account);
    if (!held) return undefined;
    return {
      me: held.me,
      users: [...held.users.values()],
      friends: [...held.friends.values()],
      requests: [...held.requests.values()].filter(({ state }) => state === 'open'),
      blocks: [...held.blocks.values()].filter(({ removed }) => !removed),
      cursor: held.cursor ?? undefined,
    };
  }

  async save(account: string, change: Change): Promise<void> {
    let held = this.#accounts.get(account);
    if (!held || change.clear) this.#accounts.set(account, (held = new Gathered()));
    held.add(change);
  }

  async wipe(account: string): Promise<void> {
    this.#accounts.delete(account);
  }
}

/** The number of the layout below. A database of any other layout is dropped: the gateway has everything. */
const SCHEMA = 2;
const TABLES = ['users', 'friends', 'requests', 'blocks', 'meta'] as const;
/** Puts issued in one go. A big sync is cut into pieces so that the page can paint in between. */
const BATCH = 250;
/** An open that takes longer is not waited for: some browsers never answer. */
const OPEN_MS = 3000;

/**
 * Keeps records in IndexedDB, one database `rosterd:ACCOUNT` for each account. Several pages may write to one: they
 * are told the same. Should one that is behind overwrite newer records just as the last page closes, the comparison
 * at the next login finds it.
 */
export class IndexedDbStore implements Store {
  // Opened at first use. A rejected one stays: the client gives up on a store that failed.
  #databases = new Map<string, Promise<IDBDatabase>>();

  async load(account: string): Promise<Stored | undefined> {
    const database = await this.#open(account);
    const transaction = database.transaction(TABLES, 'readonly');
    const all = (name: string): Promise<any[]> => result(transaction.objectStore(name).getAll());
    const meta = (name: string): Promise<any> => result(transaction.objectStore('meta').get(name));
    const [users, friends, requests, blocks, me, cursor] = await Promise.all([
      all('users'), all('friends'), all('requests'), all('blocks'), meta('me'), meta('cursor'),
    ] as const);
    return { users, friends, requests, blocks, me, cursor };
  }

  async save(account: string, change: Change): Promise<void> {
    const database = await this.#open(account);
    const transaction = database.transaction(TABLES, 'readwrite');
    const tables = TABLES.map((name) => transaction.objectStore(name));
    const [users, friends, requests, blocks, meta] = tables as [IDBObjectStore, IDBObjectStore, IDBObjectStore, IDBObjectStore, IDBObjectStore];
    const steps: (() => IDBRequest)[] = [];
    if (change.clear) for (const table of tables) steps.push(() => table.clear());
    for (const gone of change.removed ?? []) steps.push(() => users.delete(gone), () => friends.delete(gone));
    if (change.me) steps.push(() => meta.put(change.me, 'me'));
    for (const user of change.users ?? []) steps.push(() => users.put(user));
    for (const friend of change.friends ?? []) steps.push(() => friends.put(friend));
    for (const request of change.requests ?? []) {
      steps.push(() => (request.state === 'open' ? requests.put(request) : requests.delete([request.account, request.direction])));
    }
    for (const block of change.blocks ?? []) steps.push(() => (block.removed ? blocks.delete(block.account) : blocks.put(block)));
    if (change.cursor === null) steps.push(() => meta.delete('cursor'));
    else if (change.cursor !== undefined) steps.push(() => meta.put(change.cursor, 'cursor'));
    const done = completion(transaction);
    const next = (from: number): void => {
      let last: IDBRequest | undefined;
      const until = Math.min(from + BATCH, steps.length);
      for (let i = from; i < until; i++) last = steps[i]?.();
      // Asking for more in the callback keeps the transaction open.
      if (last && until < steps.length) last.onsuccess = () => abortOnThrow(transaction, () => next(until));
    };
    abortOnThrow(transaction, () => next(0));
    await done;
  }

  async wipe(account: string): Promise<void> {
    const database = await this.#open(account);
    // Emptied first: deleting waits for other pages that have the database open.
    const transaction = database.transaction(TABLES, 'readwrite');
    const done = completion(transaction);
    for (const name of TABLES) transaction.objectStore(name).clear();
    await done;
    database.close();
    this.#databases.delete(account);
    await remove(account);
  }

  close(): void {
    for (const opening of this.#databases.values()) opening.then((database) => database.close(), () => {});
    this.#databases.clear();
  }

  #open(account: string): Promise<IDBDatabase> {
    let opening = this.#databases.get(account);
    if (!opening) this.#databases.set(account, (opening = open(account)));
    return opening;
  }
}

function open(account: string, again = true): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('IndexedDB does not answer')), OPEN_MS);
    const request = indexedDB.open(nameOf(account), SCHEMA);
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
      // Another page wipes the account, or has a newer layout: get out of its way. Later calls here then throw.
      database.onversionchange = () => database.close();
      resolve(database);
    };
    request.onerror = () => {
      clearTimeout(timer);
      // Written by a newer version of this library: its records are of no use here.
      if (again && request.error?.name === 'VersionError') resolve(remove(account).then(() => open(account, false)));
      else reject(request.error);
    };
  });
}

/** Deletes the database. If another page holds it open, the browser does so once that page lets go. */
function remove(account: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(nameOf(account));
    request.onsuccess = request.onblocked = () => resolve();
    request.onerror = () => reject(request.error);
  });
}

const nameOf = (account: string): string => `rosterd:${account}`;

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function completion(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
  });
}

/** A throw in the middle must not leave half a change behind; the transaction's end tells that it failed. */
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

/** IndexedDB if it is there, otherwise memory. Even looking at it throws where storage is forbidden. */
export function defaultStore(): Store {
  try {
    if (globalThis.indexedDB) return new IndexedDbStore();
  } catch {
    // Memory it is.
  }
  return new MemoryStore();
}

/** Whether these are records that this client can have written. */
export function isSound(stored: Stored): boolean {
  const record = (value: unknown): boolean => {
    const { account, version } = (value ?? {}) as { account?: unknown; version?: unknown };
    return typeof account === 'string' && Number.isSafeInteger(version);
  };
  const { me, users, friends, requests, blocks, cursor } = stored;
  return (
    (me === undefined || record(me)) &&
    [users, friends, requests, blocks].every((list) => Array.isArray(list) && list.every(record)) &&
    (cursor === undefined || typeof cursor === 'string')
  );
}
