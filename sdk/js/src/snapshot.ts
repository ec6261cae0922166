// Immutable views of everything the client holds, for frameworks that draw from a state and compare by identity.

import type { ConnectionState } from './state.js';
import type { Block, Friend, FriendRequest, MyInfo, Presence, Session, User } from './protocol.js';
import type { Part, Replica } from './replica.js';

/**
 * Everything that the client holds at one moment. It never changes; a later one is another object. Each part is the same
 * object as before for as long as nothing in it has changed.
 */
export interface Snapshot<UserCustom extends string = string, FriendCustom extends string = string> {
  readonly account: string;
  readonly connection: ConnectionState;
  readonly me: User<UserCustom> | undefined;
  /** The fields of `me` that the gateway has not confirmed; nothing if it has confirmed all. */
  readonly pending: Readonly<MyInfo<UserCustom>> | undefined;
  readonly users: ReadonlyMap<string, User<UserCustom>>;
  readonly friends: ReadonlyMap<string, Friend<FriendCustom>>;
  readonly requests: readonly FriendRequest[];
  readonly blocks: ReadonlyMap<string, Block>;
  readonly presence: ReadonlyMap<string, Presence>;
  readonly sessions: readonly Session[];
  readonly watched: ReadonlySet<string>;
}

/** Makes snapshots when somebody asks for one: a part is copied only if it has changed since the last. */
export class Snapshots {
  readonly #replica: Replica;
  #last?: Snapshot;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  take(account: string, connection: ConnectionState): Snapshot {
    const last = this.#last;
    const changed = this.#replica.changed();
    if (last && !changed.size && last.connection === connection) return last;
    const { me, pending, users, friends, requests, blocks, presence, sessions, watched } = this.#replica;
    const part = <T>(name: Part, held: T, copy: (held: T) => T, equal: (a: T, b: T) => boolean): T => {
      const before = last?.[name] as T | undefined;
      if (before === undefined) return copy(held);
      return !changed.has(name) || equal(before, held) ? before : copy(held);
    };
    const map = <T>(name: Part, held: ReadonlyMap<string, T>): ReadonlyMap<string, T> => part(name, held, (held) => new Map(held), sameMap);
    const next: Snapshot = {
      account, connection, me, pending,
      users: map('users', users), friends: map('friends', friends), blocks: map('blocks', blocks), presence: map('presence', presence),
      requests: part<readonly FriendRequest[]>('requests', requests, (held) => Object.freeze([...held]), sameList),
      sessions: part<readonly Session[]>('sessions', sessions, (held) => Object.freeze([...held]), sameList),
      watched: part('watched', watched, (held) => new Set(held), (a, b) => sameList([...a], [...b])),
    };
    const names = Object.keys(next) as (keyof Snapshot)[];
    if (last && names.every((name) => last[name] === next[name])) return last;
    return (this.#last = Object.freeze(next));
  }
}

function sameMap<T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): boolean {
  if (a.size !== b.size) return false;
  const others = b.entries();
  // The order counts as well: it is what a list shows.
  for (const [key, record] of a) {
    const [otherKey, other] = others.next().value as [string, T];
    if (key !== otherKey || record !== other) return false;
  }
  return true;
}

function sameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((record, i) => record === b[i]);
}
