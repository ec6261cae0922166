// The records of one account as this client holds them, and the rules by which frames change them.
// No socket, no clock, no storage: it takes frames and says what became different. docs/conformance/merge.json
// has cases for it.

import { digest, leaves, part } from './digest.js';
import type { Block, Changes, Friend, FriendRequest, Presence, ServerFrame, Session, Synced, User } from './protocol.js';
import { requestKey } from './store.js';
import type { Change, Stored } from './store.js';

/** Records by account. Always replaced or changed whole: a map that was handed out never holds half a frame. */
interface Records {
  me?: User;
  /** The friends' profiles, and those of strangers that the gateway told of. */
  users: Map<string, User>;
  friends: Map<string, Friend>;
  /** By account and direction. Those that are over stay, so that each is told once. */
  requests: Map<string, FriendRequest>;
  /** Those in force. */
  blocks: Map<string, Block>;
}

/** Records that were news. */
interface News {
  me?: User;
  users: User[];
  friends: Friend[];
  removed: string[];
  requests: FriendRequest[];
  blocks: Block[];
}

/** What a frame made different. */
export interface Difference extends News {
  /** `sync`: a catch-up is complete. `update`: news. `reply`: what came back to this client's own command. */
  how: 'sync' | 'update' | 'reply';
  /** With `sync` all of it. */
  presence?: Presence[];
  sessions?: readonly Session[];
  /** What a store has to do, in one transaction. */
  save?: Change;
  /** Only with `sync`: the whole list came, not a difference. */
  full?: boolean;
  /**
   * Only with `sync`: what is held is not what the gateway holds. `repair`: the parts that differ are to be asked for.
   * `retry`: all of it is, on a new connection. `accepted`: that did not help, and this is what there is.
   */
  mismatch?: 'repair' | 'retry' | 'accepted';
}

const nothing = (): Records => ({ users: new Map(), friends: new Map(), requests: new Map(), blocks: new Map() });
const noNews = (): News => ({ users: [], friends: [], removed: [], requests: [], blocks: [] });
const isOpen = ({ state }: FriendRequest): boolean => state === 'open';

/** The version rule: a record counts only if it is newer than the one held. */
function newer(record: { version: number } | undefined, held: { version: number } | undefined): boolean {
  return !!record && record.version > (held?.version ?? 0);
}

export class Replica {
  #held = nothing();
  // What a catch-up collects, and a repair after it; replaces #held once it adds up, so that nobody sees half of one.
  #staged?: Records;
  #full = false;
  // After a mismatch a repair is `asked` for, and then `told`. Where that did not help all is asked for, `once`. Where
  // that did not either the records are shown, but no `cursor` is trusted until a catch-up agrees again.
  #doubt: 'none' | 'asked' | 'told' | 'once' | 'cursor' = 'none';
  #cursor?: string;
  #presence = new Map<string, Presence>();
  // As #staged, and there at the same times.
  #stagedPresence = new Map<string, Presence>();
  #sessions: readonly Session[] = [];
  // Strangers whose profiles are kept up to date, over all connections.
  #watched: ReadonlySet<string> = new Set();

  get me(): User | undefined {
    return this.#held.me;
  }

  get users(): ReadonlyMap<string, User> {
    return this.#held.users;
  }

  get friends(): ReadonlyMap<string, Friend> {
    return this.#held.friends;
  }

  /** Those that are open. */
  get requests(): FriendRequest[] {
    return [...this.#held.requests.values()].filter(isOpen);
  }

  get blocks(): ReadonlyMap<string, Block> {
    return this.#held.blocks;
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

  /** What to show at the next login. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  load(stored: Stored): void {
    const byAccount = <T extends { account: string }>(records: T[]): Map<string, T> => new Map(records.map((record) => [record.account, record]));
    this.#held = {
      me: stored.me,
      users: byAccount(stored.users),
      friends: byAccount(stored.friends),
      requests: new Map(stored.requests.map((request) => [requestKey(request), request])),
      blocks: byAccount(stored.blocks),
    };
    this.#cursor = stored.cursor;
  }

  /** The records are gone; so is the cursor, which would promise that they are here. */
  clear(): void {
    this.#held = nothing();
    this.#staged = undefined;
    this.#cursor = undefined;
    this.#presence = new Map();
    this.#sessions = [];
    this.#watched = new Set();
  }

  /** The connection ended. A catch-up or a repair that was under way has not happened. */
  interrupted(): void {
    this.#staged = undefined;
    if (this.#repairing) this.#doubt = 'once';
  }

  /** Whether a catch-up or a repair is under way. */
  get staging(): boolean {
    return this.#staged !== undefined;
  }

  /** What to ask for a repair with: the digests of the parts of the friend list. */
  get leaves(): number[] {
    const { friends, users } = this.#staged ?? this.#held;
    return leaves(friends, users);
  }

  get #repairing(): boolean {
    return this.#doubt === 'asked' || this.#doubt === 'told';
  }

  /** The gateway took this list; `missing` do not exist. Who is on it no more and is no friend is forgotten. */
  watch(accounts: ReadonlySet<string>, missing: readonly string[] = []): void {
    const gone = [...this.#watched].filter((account) => !accounts.has(account));
    for (const { users, friends } of this.#everywhere) {
      for (const account of [...gone, ...missing]) if (!friends.has(account)) users.delete(account);
    }
    this.#watched = accounts;
  }

  /** Applies a frame. Nothing is returned if nothing became different, which is also so for frames that are not known. */
  take(frame: ServerFrame): Difference | undefined {
    if (frame.loginReply) return this.#begin(frame.loginReply.sync === 'full');
    if (frame.changes) return this.#changes(frame.changes);
    if (frame.synced) return this.#synced(frame.synced);
    if (frame.presence) return this.#present(frame.presence.users ?? []);
    if (frame.sessions) return { ...noNews(), how: 'update', sessions: (this.#sessions = [...(frame.sessions.sessions ?? [])]) };
    if (frame.repairReply) return this.#told(new Set(frame.repairReply.parts));
    if (frame.updateMyInfoReply) return this.#replied({ me: frame.updateMyInfoReply.user });
    return frame.getUsersReply && this.#replied({ users: frame.getUsersReply.users ?? [] });
  }

  /** Commands are answered before a repair is, too. */
  #replied({ me, users = [] }: Changes): Difference | undefined {
    // Only cards that are held are kept; a reply about others is for the caller alone.
    const kept = (records: Records): Changes => ({ ...(me ? { me } : {}), users: users.filter(({ account }) => records.users.has(account)) });
    if (this.#staged) apply(this.#staged, kept(this.#staged));
    return this.#live(kept(this.#held), 'reply');
  }

  /** What is held, and what is to take its place. */
  get #everywhere(): Records[] {
    return this.#staged ? [this.#held, this.#staged] : [this.#held];
  }

  #begin(full: boolean): undefined {
    const { me, users, friends, requests, blocks } = this.#held;
    this.#full = full;
    this.#staged = full ? nothing() : { me, users: new Map(users), friends: new Map(friends), requests: new Map(requests), blocks: new Map(blocks) };
    this.#stagedPresence = new Map();
  }

  #changes(changes: Changes): Difference | undefined {
    const presence = this.#staged ? this.#stagedPresence : this.#presence;
    for (const account of changes.removed ?? []) presence.delete(account);
    if (!this.#staged) return this.#live(changes, 'update');
    apply(this.#staged, changes);
    // Before the answer to a repair, what is shown goes on as always.
    return this.#doubt === 'asked' ? this.#live(changes, 'update') : undefined;
  }

  /** The friends in these parts come again; who does not is none any more. */
  #told(parts: ReadonlySet<number>): undefined {
    if (!this.#staged || this.#doubt !== 'asked') return;
    this.#doubt = 'told';
    const { users, friends } = this.#staged;
    for (const account of [...friends.keys()].filter((account) => parts.has(part(account)))) {
      friends.delete(account);
      // Within the copy there is nothing to compare with: so also a version that was too high is put right.
      users.delete(account);
    }
  }

  #live(changes: Changes, how: 'update' | 'reply'): Difference | undefined {
    const news = apply(this.#held, changes);
    const save = this.#saved(news);
    if (typeof changes.cursor === 'string' && this.#doubt === 'none') save.cursor = this.#cursor = changes.cursor;
    const { me, ...lists } = news;
    const isNews = me || save.cursor !== undefined || Object.values(lists).some((list) => list.length);
    return isNews ? { ...news, how, save } : undefined;
  }

  #present(users: Presence[]): Difference | undefined {
    const presence = this.#staged ? this.#stagedPresence : this.#presence;
    for (const user of users) presence.set(user.account, user);
    return this.#staged || !users.length ? undefined : { ...noNews(), how: 'update', presence: users };
  }

  #synced(synced: Synced): Difference | undefined {
    const next = this.#staged;
    if (!next) return undefined;
    const agrees = next.friends.size === synced.count && digest(next.friends, next.users) === synced.digest;
    if (!agrees && this.#doubt === 'none') return this.#doubts('asked', 'repair');
    const repaired = this.#repairing;
    this.#staged = undefined;
    if (!agrees && repaired) return this.#doubts('once', 'retry');
    const before = this.#held;
    const full = this.#full;
    if (full) this.#keepWatched(next);
    this.#held = next;
    this.#doubt = agrees ? 'none' : 'cursor';
    this.#cursor = agrees ? synced.cursor : undefined;
    const changed = <T>(now: Map<string, T>, old: Map<string, T>): T[] =>
      [...now].flatMap(([key, record]) => (full || record !== old.get(key) ? [record] : []));
    const lifted = [...before.blocks].flatMap(([account, block]) => (next.blocks.has(account) ? [] : [{ ...block, removed: true }]));
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
    const presence = this.#presence;
    this.#presence = this.#stagedPresence;
    // Who a repair took away was told as present before.
    if (repaired) for (const { account, invisible } of this.#presence.values()) if (invisible === undefined && !next.friends.has(account)) this.#presence.delete(account);
    return {
      ...news, how: 'sync', save, full,
      ...(presence.size || this.#presence.size ? { presence: [...this.#presence.values()] } : {}),
      ...(repaired ? {} : this.#alone()),
      ...(agrees ? {} : { mismatch: 'accepted' as const }),
    };
  }

  /** What came does not add up: the cursor is not to be trusted. */
  #doubts(doubt: 'asked' | 'once', mismatch: 'repair' | 'retry'): Difference {
    this.#doubt = doubt;
    this.#cursor = undefined;
    return { ...noNews(), how: 'sync', save: { cursor: null }, mismatch, ...(mismatch === 'repair' ? this.#alone() : {}) };
  }

  /** A login's catch-up is over. If there are other sessions they are told next; who is alone is not told. */
  #alone(): { sessions?: Session[] } {
    const before = this.#sessions;
    this.#sessions = [];
    return before.length ? { sessions: [] } : {};
  }

  /** Strangers that are watched stay until they are told anew, at whatever version: this may be another history. */
  #keepWatched(next: Records): void {
    const { users, friends } = this.#held;
    for (const account of this.#watched) {
      const card = friends.has(account) || next.users.has(account) ? undefined : users.get(account);
      if (card) next.users.set(account, { ...card, version: 0 });
    }
  }

  /** Strangers' profiles are not stored: nobody would keep them up to date. */
  #saved({ me, users, friends, removed, requests, blocks }: News): Change {
    const known = users.filter(({ account }) => this.#held.friends.has(account));
    return { ...(me ? { me } : {}), users: known, friends, removed, requests, blocks };
  }
}

/** Applies one set of changes and tells which of them were news. What is null is the same as absent. */
function apply(into: Records, changes: Changes): News {
  const removed = (changes.removed ?? []).filter((account) => {
    into.users.delete(account);
    return into.friends.delete(account);
  });
  let me: User | undefined;
  if (newer(changes.me, into.me)) into.me = me = changes.me;
  // A friend's card replaces the one held whatever its version, for it may be another view of the profile. Between two
  // cards of somebody who was a friend before, the same version is the same card.
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
