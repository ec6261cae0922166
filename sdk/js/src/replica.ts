// The records of one account as this client holds them, and the rules by which frames change them.
// No socket, no clock, no storage: it takes frames and says what became different. docs/conformance/merge.json
// has cases for it.

import { digest } from './digest.js';
import type { Changes, Friend, ServerFrame, Synced, User } from './protocol.js';
import type { Change, Stored } from './store.js';

/** Records by account. Always replaced or changed whole: a map that was handed out never holds half a frame. */
interface Records {
  me?: User;
  users: Map<string, User>;
  friends: Map<string, Friend>;
}

/** What a frame made different. */
export interface Difference {
  /** `sync`: a catch-up is complete. `update`: news. `reply`: what came back to this client's own command. */
  how: 'sync' | 'update' | 'reply';
  me?: User;
  users: User[];
  friends: Friend[];
  removed: string[];
  /** What a store has to do, in one transaction. */
  save: Change;
  /** Only with `sync`: the whole list came, not a difference. */
  full?: boolean;
  /** Only with `sync`: what is held is not what the gateway holds. */
  mismatch?: 'retry' | 'accepted';
}

const nothing = (): Records => ({ users: new Map(), friends: new Map() });

/** The version rule: a record counts only if it is newer than the one held. */
function newer(record: { version: number } | undefined, held: { version: number } | undefined): boolean {
  return !!record && record.version > (held?.version ?? 0);
}

export class Replica {
  #held = nothing();
  // What a catch-up collects; replaces #held at `synced`, so that nobody sees half of one.
  #staged?: Records;
  #full = false;
  // Two mismatches in a row: the records are shown, but no cursor is trusted until a catch-up agrees again.
  #doubt: 'none' | 'once' | 'cursor' = 'none';
  #cursor?: string;

  get me(): User | undefined {
    return this.#held.me;
  }

  get users(): ReadonlyMap<string, User> {
    return this.#held.users;
  }

  get friends(): ReadonlyMap<string, Friend> {
    return this.#held.friends;
  }

  /** What to show at the next login. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  load(stored: Stored): void {
    this.#held = {
      me: stored.me,
      users: new Map(stored.users.map((user) => [user.account, user])),
      friends: new Map(stored.friends.map((friend) => [friend.account, friend])),
    };
    this.#cursor = stored.cursor;
  }

  /** The records are gone; so is the cursor, which would promise that they are here. */
  clear(): void {
    this.#held = nothing();
    this.#staged = undefined;
    this.#cursor = undefined;
  }

  /** The connection ended. A catch-up that was under way has not happened. */
  interrupted(): void {
    this.#staged = undefined;
  }

  /** Applies a frame. Nothing is returned if nothing became different, which is also so for frames that are not known. */
  take(frame: ServerFrame): Difference | undefined {
    if (frame.loginReply) return this.#begin(frame.loginReply.sync === 'full');
    if (frame.changes) return this.#changes(frame.changes);
    if (frame.synced) return this.#synced(frame.synced);
    if (frame.updateMyInfoReply) return this.#live({ me: frame.updateMyInfoReply.user }, 'reply');
    // Only friends' cards are kept; a reply about others is for the caller alone.
    const cards = frame.getUsersReply?.users?.filter((user) => this.#held.users.has(user.account));
    return cards && this.#live({ users: cards }, 'reply');
  }

  #begin(full: boolean): undefined {
    const { me, users, friends } = this.#held;
    this.#full = full;
    this.#staged = full ? nothing() : { me, users: new Map(users), friends: new Map(friends) };
  }

  #changes(changes: Changes): Difference | undefined {
    if (!this.#staged) return this.#live(changes, 'update');
    apply(this.#staged, changes);
    return undefined;
  }

  #live(changes: Changes, how: 'update' | 'reply'): Difference | undefined {
    const { me, users, friends, removed } = apply(this.#held, changes);
    const save: Change = { users, friends, removed };
    if (me) save.me = me;
    if (typeof changes.cursor === 'string' && this.#doubt === 'none') save.cursor = this.#cursor = changes.cursor;
    if (!me && !users.length && !friends.length && !removed.length && save.cursor === undefined) return undefined;
    return { how, me, users, friends, removed, save };
  }

  #synced(synced: Synced): Difference | undefined {
    const next = this.#staged;
    if (!next) return undefined;
    this.#staged = undefined;
    const agrees = next.friends.size === synced.count && digest(next.friends, next.users) === synced.digest;
    if (!agrees && this.#doubt === 'none') {
      this.#doubt = 'once';
      this.#cursor = undefined;
      return { how: 'sync', users: [], friends: [], removed: [], save: { cursor: null }, mismatch: 'retry' };
    }
    const before = this.#held;
    this.#held = next;
    this.#doubt = agrees ? 'none' : 'cursor';
    this.#cursor = agrees ? synced.cursor : undefined;
    const changed = <T extends { account: string; version: number }>(now: Map<string, T>, old: Map<string, T>): T[] => {
      const all = [...now.values()];
      return this.#full ? all : all.filter((record) => record !== old.get(record.account));
    };
    const users = changed(next.users, before.users);
    const friends = changed(next.friends, before.friends);
    const removed = [...new Set([...before.friends.keys(), ...before.users.keys()])].filter(
      (account) => !(before.friends.has(account) ? next.friends : next.users).has(account),
    );
    const save: Change = { clear: this.#full, users, friends, removed: this.#full ? [] : removed, cursor: this.#cursor ?? null };
    if (next.me && (this.#full || next.me !== before.me)) save.me = next.me;
    return {
      how: 'sync', me: next.me, users, friends, removed, save, full: this.#full,
      ...(agrees ? {} : { mismatch: 'accepted' as const }),
    };
  }
}

/** Applies one set of changes and tells which of them were news. What is null is the same as absent. */
function apply(into: Records, changes: Changes): { me?: User; users: User[]; friends: Friend[]; removed: string[] } {
  const removed = (changes.removed ?? []).filter((account) => {
    const known = into.friends.delete(account);
    return into.users.delete(account) || known;
  });
  let me: User | undefined;
  if (newer(changes.me, into.me)) into.me = me = changes.me;
  const keep = <T extends { account: string; version: number }>(map: Map<string, T>, records: T[] | undefined): T[] =>
    (records ?? []).filter((record) => newer(record, map.get(record.account)) && map.set(record.account, record));
  return { me, users: keep(into.users, changes.users), friends: keep(into.friends, changes.friends), removed };
}
