// The records of one account, and the rules by which frames change them. It takes frames and returns differences, and
// uses no socket, clock or storage. docs/conformance/merge.json has cases for it.

import { bucket, digest, digests } from './digest.js';
import { over } from './merge.js';
import type { Block, Changes, Friend, FriendRequest, MyInfo, Presence, ServerFrame, Session, Synced, User } from './protocol.js';
import { requestKey } from './store.js';
import type { Change, Stored } from './store.js';

/** Records by account. A frame applies completely, so a map that was handed out never shows half of one. */
interface Records {
  me?: User;
  /** Profiles of friends, and of strangers whose profiles the gateway sent. */
  users: Map<string, User>;
  friends: Map<string, Friend>;
  /** By account and direction. Ended requests stay, so that each is reported once. */
  requests: Map<string, FriendRequest>;
  /** The blocks in force. */
  blocks: Map<string, Block>;
}

/** Records that changed. */
interface News {
  me?: User;
  users: User[];
  friends: Friend[];
  removed: string[];
  requests: FriendRequest[];
  blocks: Block[];
}

/** A part of what is held. */
export type Part = 'me' | 'users' | 'friends' | 'requests' | 'blocks' | 'presence' | 'sessions' | 'watched';

const PARTS: readonly Part[] = ['me', 'users', 'friends', 'requests', 'blocks', 'presence', 'sessions', 'watched'];

/** The effect of a frame. */
export interface Difference extends News {
  /** `sync`: a catch-up is complete. `update`: a change. `reply`: the reply to this client's command. */
  how: 'sync' | 'update' | 'reply';
  /** All presence with `sync`. */
  presence?: Presence[];
  sessions?: readonly Session[];
  /** The change for the store. */
  save?: Change;
  /** Only with `sync`: the gateway sent all records. */
  full?: boolean;
  /**
   * Only with `sync`: the records differ from the gateway's. `repair`: request the buckets that differ. `retry`: fetch
   * everything on a new connection. `accepted`: that did not help, and the records are shown as they are.
   */
  mismatch?: 'repair' | 'retry' | 'accepted';
}

const nothing = (): Records => ({ users: new Map(), friends: new Map(), requests: new Map(), blocks: new Map() });
const noNews = (): News => ({ users: [], friends: [], removed: [], requests: [], blocks: [] });
const isOpen = ({ state }: FriendRequest): boolean => state === 'open';

/** Applies the version rule: a record counts only if it is newer than the held one. */
function newer(record: { version: number } | undefined, held: { version: number } | undefined): boolean {
  return !!record && record.version > (held?.version ?? 0);
}

/** Holds the records and applies frames to them. */
export class Replica {
  #held = nothing();
  // The parts that may have changed since the last call of changed().
  #touched = new Set<Part>(PARTS);
  // The result of a catch-up and its repair so far. It replaces #held when the digests agree.
  #staged?: Records;
  #full = false;
  // After a mismatch: a repair is `asked` for and `answered`; if it fails, one `refetch` of everything. If that fails,
  // the records are shown, but the cursor is `unsure` until a catch-up agrees again.
  #doubt: 'none' | 'asked' | 'answered' | 'refetch' | 'unsure' = 'none';
  #cursor?: string;
  #pending?: Readonly<MyInfo>;
  // The own profile with what is pending, and the one that it was made of.
  #shown?: User;
  #shownOf?: User;
  #presence = new Map<string, Presence>();
  #stagedPresence = new Map<string, Presence>();
  #sessions: readonly Session[] = [];
  // The versions of the ends of blocks, as far as this client has heard of them.
  #ended = new Map<string, number>();
  // Strangers whose profiles the gateway sends, on all connections.
  #watched: ReadonlySet<string> = new Set();

  /** The own profile as it is shown. */
  get me(): User | undefined {
    const { me } = this.#held;
    if (!me || !this.#pending) return me;
    if (this.#shownOf !== me) this.#shown = Object.freeze(over<User>((this.#shownOf = me), this.#pending));
    return this.#shown;
  }

  /** The own profile as the gateway has sent it. */
  get confirmed(): User | undefined {
    return this.#held.me;
  }

  /** What is shown of the own profile and not answered. */
  get pending(): Readonly<MyInfo> | undefined {
    return this.#pending;
  }

  pend(pending: Readonly<MyInfo> | undefined): void {
    this.#pending = pending;
    this.#shownOf = undefined;
    this.#touch('me');
  }

  get users(): ReadonlyMap<string, User> {
    return this.#held.users;
  }

  get friends(): ReadonlyMap<string, Friend> {
    return this.#held.friends;
  }

  get requests(): FriendRequest[] {
    return [...this.#held.requests.values()].filter(isOpen);
  }

  get blocks(): ReadonlyMap<string, Block> {
    return this.#held.blocks;
  }

  /** The version of a block or of the end of the last one; 0 if none is known. */
  blockVersion(account: string): number {
    return this.#held.blocks.get(account)?.version ?? this.#ended.get(account) ?? 0;
  }

  get presence(): ReadonlyMap<string, Presence> {
    return this.#presence;
  }

  get sessions(): readonly Session[] {
    return this.#sessions;
  }

  get watched(): ReadonlySet<string> {
    return this.#watched;
  }

  /** Returns the parts that may have changed since the last call. */
  changed(): ReadonlySet<Part> {
    const touched = this.#touched;
    if (touched.size) this.#touched = new Set();
    return touched;
  }

  #touch(...parts: readonly Part[]): void {
    for (const part of parts) this.#touched.add(part);
  }

  /** The cursor for the next login. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  load(stored: Stored): void {
    // Frozen copies: a store of the application's may go on using its own.
    const own = <T extends object>(record: T): T => (Object.isFrozen(record) ? record : Object.freeze({ ...record }));
    const byAccount = <T extends { account: string }>(records: T[]): Map<string, T> => new Map(records.map((record) => [record.account, own(record)]));
    this.#held = {
      me: stored.me && own(stored.me),
      users: byAccount(stored.users),
      friends: byAccount(stored.friends),
      requests: new Map(stored.requests.map((request) => [requestKey(request), own(request)])),
      blocks: byAccount(stored.blocks),
    };
    this.#cursor = stored.cursor;
    this.#touch(...PARTS);
  }

  /** What is shown, in the form of a store's records. */
  get stored(): Stored {
    const { me } = this;
    const { users, friends, blocks } = this.#held;
    return { me, users: [...users.values()], friends: [...friends.values()], requests: this.requests, blocks: [...blocks.values()] };
  }

  /** Drops all records, with the cursor that belongs to them. */
  clear(): void {
    this.#held = nothing();
    this.#staged = undefined;
    this.#cursor = undefined;
    this.#presence = new Map();
    this.#sessions = [];
    this.#watched = new Set();
    this.#touch(...PARTS);
  }

  /** Discards an unfinished catch-up or repair when the connection ends. */
  interrupted(): void {
    this.#staged = undefined;
    if (this.#repairing) this.#doubt = 'refetch';
  }

  /** True during a catch-up or a repair. */
  get staging(): boolean {
    return this.#staged !== undefined;
  }

  /** The bucket digests of the friend list, for a repair. */
  get digests(): number[] {
    const { friends, users } = this.#staged ?? this.#held;
    return digests(friends, users);
  }

  get #repairing(): boolean {
    return this.#doubt === 'asked' || this.#doubt === 'answered';
  }

  /** Sets the accepted watch list, and forgets strangers that left it or are `missing`. */
  watch(accounts: ReadonlySet<string>, missing: readonly string[] = []): void {
    const gone = [...this.#watched].filter((account) => !accounts.has(account));
    for (const { users, friends } of this.#everywhere) {
      for (const account of [...gone, ...missing]) if (!friends.has(account)) users.delete(account);
    }
    this.#watched = accounts;
    this.#touch('users', 'watched');
  }

  /** Applies a frame. Returns nothing if nothing changed, as after an unknown frame. */
  take(frame: ServerFrame): Difference | undefined {
    if (frame.loginReply) return this.#begin(frame.loginReply.sync === 'full');
    if (frame.changes) return this.#changes(frame.changes);
    if (frame.synced) return this.#synced(frame.synced);
    if (frame.presence) return this.#present(frame.presence.users ?? []);
    if (frame.sessions) {
      this.#touch('sessions');
      return { ...noNews(), how: 'update', sessions: (this.#sessions = [...(frame.sessions.sessions ?? [])]) };
    }
    if (frame.repairReply) return this.#startRepair(new Set(frame.repairReply.parts));
    const { user: me } = frame.updateMyInfoReply ?? frame.setMutedReply ?? {};
    if (me) return this.#replied({ me });
    return frame.getUsersReply && this.#replied({ users: frame.getUsersReply.users ?? [] });
  }

  /** Applies a reply, which can come before a repair's. */
  #replied({ me, users = [] }: Changes): Difference | undefined {
    // Only held profiles are updated; other profiles in a reply are for its caller alone.
    const kept = (records: Records): Changes => ({ ...(me ? { me } : {}), users: users.filter(({ account }) => records.users.has(account)) });
    if (this.#staged) apply(this.#staged, kept(this.#staged));
    return this.#live(kept(this.#held), 'reply');
  }

  get #everywhere(): Records[] {
    return this.#staged ? [this.#held, this.#staged] : [this.#held];
  }

  #begin(full: boolean): undefined {
    const { me, users, friends, requests, blocks } = this.#held;
    this.#full = full;
    // Nothing kept strangers up to date meanwhile, and one may have been deleted. Watched ones come again, or are missing.
    const known = new Map<string, User>();
    for (const [account, user] of users) if (friends.has(account) || this.#watched.has(account)) known.set(account, user);
    this.#staged = full ? nothing() : { me, users: known, friends: new Map(friends), requests: new Map(requests), blocks: new Map(blocks) };
    this.#stagedPresence = new Map();
  }

  #changes(changes: Changes): Difference | undefined {
    for (const { account, version, removed } of changes.blocks ?? []) if (removed) this.#ended.set(account, version);
    const presence = this.#staged ? this.#stagedPresence : this.#presence;
    for (const account of changes.removed ?? []) presence.delete(account);
    if (changes.removed?.length) this.#touch('presence');
    if (!this.#staged) return this.#live(changes, 'update');
    apply(this.#staged, changes);
    // Until the repair is answered, the shown records change as usual.
    return this.#doubt === 'asked' ? this.#live(changes, 'update') : undefined;
  }

  /** Drops the friends in these buckets from the copy: the gateway sends them again. */
  #startRepair(buckets: ReadonlySet<number>): undefined {
    if (!this.#staged || this.#doubt !== 'asked') return;
    this.#doubt = 'answered';
    const { users, friends } = this.#staged;
    for (const account of [...friends.keys()].filter((account) => buckets.has(bucket(account)))) {
      friends.delete(account);
      // Without a held version to compare with, a version that was too high is corrected too.
      users.delete(account);
    }
  }

  #live(changes: Changes, how: 'update' | 'reply'): Difference | undefined {
    const news = apply(this.#held, changes);
    if (news.me) this.#touch('me');
    if (news.users.length || news.friends.length || news.removed.length) this.#touch('users', 'friends');
    if (news.requests.length) this.#touch('requests');
    if (news.blocks.length) this.#touch('blocks');
    const save = this.#saved(news);
    if (typeof changes.cursor === 'string' && this.#doubt === 'none') save.cursor = this.#cursor = changes.cursor;
    const { me, ...lists } = news;
    const isNews = me || save.cursor !== undefined || Object.values(lists).some((list) => list.length);
    return isNews ? { ...news, ...(me ? { me: this.me } : {}), how, save } : undefined;
  }

  #present(users: Presence[]): Difference | undefined {
    const presence = this.#staged ? this.#stagedPresence : this.#presence;
    for (const user of users) presence.set(user.account, user);
    this.#touch('presence');
    return this.#staged || !users.length ? undefined : { ...noNews(), how: 'update', presence: users };
  }

  #synced(synced: Synced): Difference | undefined {
    const next = this.#staged;
    if (!next) return undefined;
    const agrees = next.friends.size === synced.count && digest(next.friends, next.users) === synced.digest;
    if (!agrees && this.#doubt === 'none') return this.#doubts('asked', 'repair');
    const repaired = this.#repairing;
    this.#staged = undefined;
    if (!agrees && repaired) return this.#doubts('refetch', 'retry');
    const before = this.#held;
    const full = this.#full;
    if (full) this.#keepWatched(next);
    this.#held = next;
    this.#touch(...PARTS);
    this.#doubt = agrees ? 'none' : 'unsure';
    this.#cursor = agrees ? synced.cursor : undefined;
    const changed = <T>(now: Map<string, T>, old: Map<string, T>): T[] => {
      const values: T[] = [];
      for (const [key, record] of now) if (full || record !== old.get(key)) values.push(record);
      return values;
    };
    const lifted = [...before.blocks].flatMap(([account, block]) => (next.blocks.has(account) ? [] : [Object.freeze({ ...block, removed: true })]));
    const news: News = {
      me: next.me,
      users: changed(next.users, before.users),
      friends: changed(next.friends, before.friends),
      removed: [...before.friends.keys()].filter((account) => !next.friends.has(account)),
      requests: changed(next.requests, before.requests),
      blocks: [...changed(next.blocks, before.blocks), ...lifted],
    };
    const save: Change = { ...this.#saved(news), clear: full, cursor: this.#cursor ?? null };
    if (full) save.removed = [];
    else if (next.me === before.me) delete save.me;
    if (news.me) news.me = this.me;
    const presence = this.#presence;
    this.#presence = this.#stagedPresence;
    // The gateway had sent the presence of those whom the repair removed.
    if (repaired) for (const { account, invisible } of this.#presence.values()) if (invisible === undefined && !next.friends.has(account)) this.#presence.delete(account);
    return {
      ...news, how: 'sync', save, full,
      ...(presence.size || this.#presence.size ? { presence: [...this.#presence.values()] } : {}),
      ...(repaired ? {} : this.#alone()),
      ...(agrees ? {} : { mismatch: 'accepted' as const }),
    };
  }

  /** Drops the cursor after a mismatch. */
  #doubts(doubt: 'asked' | 'refetch', mismatch: 'repair' | 'retry'): Difference {
    this.#doubt = doubt;
    this.#cursor = undefined;
    return { ...noNews(), how: 'sync', save: { cursor: null }, mismatch, ...(mismatch === 'repair' ? this.#alone() : {}) };
  }

  /** Ends a catch-up with no other sessions: the gateway sends them next, if there are any. */
  #alone(): { sessions?: Session[] } {
    const before = this.#sessions;
    this.#sessions = [];
    this.#touch('sessions');
    return before.length ? { sessions: [] } : {};
  }

  /** Keeps watched strangers until they come again, with any version: this may be another history. */
  #keepWatched(next: Records): void {
    const { users, friends } = this.#held;
    for (const account of this.#watched) {
      const user = friends.has(account) || next.users.has(account) ? undefined : users.get(account);
      if (user) next.users.set(account, Object.freeze({ ...user, version: 0 }));
    }
  }

  /** Returns the change to store, without strangers' profiles, which nothing would keep up to date. */
  #saved({ me, users, friends, removed, requests, blocks }: News): Change {
    const known = users.filter(({ account }) => this.#held.friends.has(account));
    return { ...(me ? { me } : {}), users: known, friends, removed, requests, blocks };
  }
}

/** Applies changes and returns those that had an effect. A null field counts as absent. */
function apply(into: Records, changes: Changes): News {
  const removed = (changes.removed ?? []).filter((account) => {
    into.users.delete(account);
    return into.friends.delete(account);
  });
  let me: User | undefined;
  if (newer(changes.me, into.me)) into.me = me = changes.me;
  // The profile that comes with a friendship replaces the held one whatever its version, for it may be another view of
  // it. For somebody who was a friend before, the same version is the same profile.
  const replaced = new Set<string>();
  const friends = (changes.friends ?? []).filter((friend) => {
    const held = into.friends.get(friend.account);
    if (!newer(friend, held)) return false;
    if (!held) into.users.delete(friend.account);
    replaced.add(friend.account);
    return into.friends.set(friend.account, friend);
  });
  const users = (changes.users ?? []).filter((user) => {
    const held = into.users.get(user.account);
    const counts = newer(user, held) || (replaced.has(user.account) && user.version !== held?.version);
    return counts && into.users.set(user.account, user);
  });
  const requests = (changes.requests ?? []).filter((request) => {
    const key = requestKey(request);
    return newer(request, into.requests.get(key)) && into.requests.set(key, request);
  });
  const blocks = (changes.blocks ?? []).filter((block) => {
    if (!newer(block, into.blocks.get(block.account))) return false;
    return block.removed ? into.blocks.delete(block.account) : into.blocks.set(block.account, block);
  });
  return { me, users, friends, removed, requests, blocks };
}
