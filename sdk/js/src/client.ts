// RosterdClient: keeps what one account knows - its profile, friends, requests, blocks, who is there - in step with the
// gateway, over as many connections as that takes. When it connects and what it then does is in lifecycle.ts; this file
// has what an application sees of it, and the commands.

import { Emitter } from './emitter.js';
import { Lifecycle } from './lifecycle.js';
import { defaultUrl } from './options.js';
import type { Events, Options, State } from './options.js';
import { Code, RosterdError } from './protocol.js';
import type { Block, Command, Friend, FriendRequest, MyInfo, Presence, Session, User } from './protocol.js';
import { Replica } from './replica.js';

/** The gateway's limit of accounts in one `getUsers`. */
const LOOKUP_MAX = 150;

export class RosterdClient {
  readonly #options: Options;
  readonly #url: string;
  readonly #emitter = new Emitter<Events>();
  readonly #replica = new Replica();
  readonly #lifecycle: Lifecycle;

  constructor(options: Options) {
    if (typeof options?.account !== 'string' || options.account === '') throw new TypeError('options.account is missing');
    this.#options = options;
    this.#url = options.url ?? defaultUrl();
    this.#lifecycle = new Lifecycle(options, this.#url, this.#emitter, this.#replica);
  }

  get account(): string {
    return this.#options.account;
  }

  get url(): string {
    return this.#url;
  }

  get state(): State {
    return this.#lifecycle.state;
  }

  /** The own profile as last known. Records are never changed in place. */
  get me(): User | undefined {
    return this.#replica.me;
  }

  /**
   * Profiles by account: the friends', those of watched accounts, and of others who sent a signal. A full sync puts
   * another map here.
   */
  get users(): ReadonlyMap<string, User> {
    return this.#replica.users;
  }

  /** The relations by account: the friend list. */
  get friends(): ReadonlyMap<string, Friend> {
    return this.#replica.friends;
  }

  /** The open requests, of both directions. */
  get requests(): readonly FriendRequest[] {
    return this.#replica.requests;
  }

  /** Those that this account blocks. */
  get blocks(): ReadonlyMap<string, Block> {
    return this.#replica.blocks;
  }

  /** As of the last connection: friends that were ever online, and the own account if it is invisible. */
  get presence(): ReadonlyMap<string, Presence> {
    return this.#replica.presence;
  }

  /** All sessions of this account, the oldest first; empty if this is the only one since its login. */
  get sessions(): readonly Session[] {
    return this.#replica.sessions;
  }

  /** The accounts of the last {@link watch}. */
  get watched(): ReadonlySet<string> {
    return this.#replica.watched;
  }

  get paused(): boolean {
    return this.#lifecycle.connection?.paused ?? false;
  }

  /** Returns the function that takes the listener off again. */
  on<K extends keyof Events>(event: K, listener: Events[K]): () => void {
    return this.#emitter.on(event, listener);
  }

  off<K extends keyof Events>(event: K, listener: Events[K]): void {
    this.#emitter.off(event, listener);
  }

  /**
   * Reads the cache, connects, and stays connected. Resolves at the first `synced`; rejects if there is no point in
   * trying further, a token that is not accepted for instance. An unreachable gateway is tried for ever.
   */
  connect(): Promise<void> {
    return this.#lifecycle.connect();
  }

  /** Closes the connection and stays away. What is held stays, and so does the cache. */
  disconnect(): Promise<void> {
    return this.#lifecycle.disconnect();
  }

  /** Leaves in order. With `forget`, what is held and what is stored of this account is wiped. */
  logout({ forget = false }: { forget?: boolean } = {}): Promise<void> {
    return this.#lifecycle.logout(forget);
  }

  /**
   * Changes fields of the own profile; the promise brings the profile as it then stands. With `ifVersion` only if
   * that is still its version (412 otherwise), and such a call is not repeated if the connection is lost under it.
   */
  async updateMyInfo(fields: MyInfo, { ifVersion }: { ifVersion?: number } = {}): Promise<User> {
    const command = { updateMyInfo: { ...fields, ifVersion } };
    const { updateMyInfoReply } = await this.#lifecycle.call(command, { repeatable: ifVersion === undefined });
    return answered(updateMyInfoReply).user;
  }

  /**
   * Profiles of any accounts. Those of friends, of watched accounts and the own one are taken from what is held unless
   * `fresh`; others are asked for each time, as nobody tells when they change. `missing` are accounts that do not exist.
   */
  async getUsers(accounts: readonly string[], { fresh = false }: { fresh?: boolean } = {}): Promise<{ users: User[]; missing: string[] }> {
    const wanted = [...new Set(accounts)];
    const found = new Map<string, User>();
    for (const account of fresh ? [] : wanted) {
      const held = account === this.me?.account ? this.me : this.friends.has(account) || this.watched.has(account) ? this.users.get(account) : undefined;
      if (held) found.set(account, held);
    }
    const ask = wanted.filter((account) => !found.has(account));
    const parts = Array.from({ length: Math.ceil(ask.length / LOOKUP_MAX) }, (_, i) => ask.slice(i * LOOKUP_MAX, (i + 1) * LOOKUP_MAX));
    const replies = await Promise.all(parts.map((part) => this.#lifecycle.call({ getUsers: { accounts: part } }, { repeatable: true })));
    for (const { getUsersReply } of replies) for (const user of answered(getUsersReply).users ?? []) found.set(user.account, user);
    return {
      users: wanted.flatMap((account) => found.get(account) ?? []),
      missing: wanted.filter((account) => !found.has(account)),
    };
  }

  /** One profile; 404 if the account does not exist. */
  async getUser(account: string, options: { fresh?: boolean } = {}): Promise<User> {
    const { users } = await this.getUsers([account], options);
    if (!users[0]) throw new RosterdError(Code.notFound, 'NOT_FOUND', `there is no account ${account}`);
    return users[0];
  }

  /**
   * Makes friends without asking, where `friends.policy` allows it. A message, at most 256 characters, reaches the other
   * side as a request that is accepted already.
   */
  addFriend(account: string, message?: string): Promise<void> {
    return this.#change({ addFriend: { account, message } }, () => this.friends.has(account));
  }

  /** Asks for friendship; if the other side has asked, too, both are friends now. */
  requestFriend(account: string, message?: string): Promise<void> {
    return this.#change({ requestFriend: { account, message } }, () => this.friends.has(account) || this.#isOpen(account, 'out'));
  }

  /** Accepts the other side's request. */
  acceptFriend(account: string): Promise<void> {
    return this.#change({ acceptFriend: { account } }, () => this.friends.has(account));
  }

  /** Rejects the other side's request. */
  rejectFriend(account: string): Promise<void> {
    return this.#change({ rejectFriend: { account } }, () => !this.#isOpen(account, 'in'));
  }

  /** Takes the own request back. */
  cancelRequest(account: string): Promise<void> {
    return this.#change({ cancelRequest: { account } }, () => !this.#isOpen(account, 'out'));
  }

  /** Ends a friendship, in both directions. */
  deleteFriend(account: string): Promise<void> {
    return this.#change({ deleteFriend: { account } }, () => !this.friends.has(account));
  }

  /** Changes what is noted about a friend, for this account's own sessions only. What is left out stays, `''` clears. */
  updateFriend(account: string, { alias, custom }: { alias?: string; custom?: string }): Promise<void> {
    const here = (): boolean => {
      const friend = this.friends.get(account);
      return !friend || ((alias ?? friend.alias) === friend.alias && (custom ?? friend.custom) === friend.custom);
    };
    return this.#change({ updateFriend: { account, alias, custom } }, here, true);
  }

  /** From now on the account gets nothing more of this one, and is not told. A friendship stays. */
  block(account: string): Promise<void> {
    return this.#change({ block: { account } }, () => this.blocks.has(account), true);
  }

  unblock(account: string): Promise<void> {
    return this.#change({ unblock: { account } }, () => !this.blocks.has(account), true);
  }

  /** The sessions of this account, the oldest first. */
  async getSessions(): Promise<Session[]> {
    const { getSessionsReply } = await this.#lifecycle.call({ getSessions: {} }, { repeatable: true });
    return answered(getSessionsReply).sessions ?? [];
  }

  /** Ends other sessions of this account; gives those that were there. */
  async kick(sessions: readonly string[]): Promise<string[]> {
    const { kickReply } = await this.#lifecycle.call({ kick: { sessions: [...sessions] } }, { repeatable: false });
    return answered(kickReply).kicked ?? [];
  }

  /**
   * Puts another list in place of the accounts whose profiles are told although they are no friends, at most 500. They
   * come with `userUpdated` and are in `users`; who is on the list no more is dropped from there. The list holds over
   * all connections. `missing` do not exist yet, and come when they do.
   */
  async watch(accounts: Iterable<string>): Promise<{ missing: string[] }> {
    const list = new Set(accounts);
    const { watchReply } = await this.#lifecycle.call({ watch: { accounts: [...list] } }, { repeatable: true });
    const { missing = [] } = answered(watchReply);
    this.#replica.watch(list, missing);
    return { missing };
  }

  /**
   * Sends a text of at most 4096 bytes to whoever is logged in as `to`: at most once. `delivered` counts the sessions
   * that will be told, `dropped` those that read too slowly.
   */
  async signal(to: string, payload: string): Promise<{ delivered: number; dropped: number }> {
    const { signalReply } = await this.#lifecycle.call({ signal: { to, payload } }, { repeatable: false });
    return answered(signalReply);
  }

  /** Whether this account shows as offline to its friends, on every device, until it says otherwise. */
  setPresence({ invisible }: { invisible: boolean }): Promise<void> {
    const here = (): boolean => (this.presence.get(this.account)?.invisible ?? false) === invisible;
    return this.#change({ setPresence: { invisible } }, here, true);
  }

  /** Drops the connection as a failing network would. For tests and demonstrations. */
  cut(): void {
    this.#lifecycle.connection?.drop('cut');
  }

  /** Stops reading, where the WebSocket can; elsewhere frames are held back. Ends with the connection. */
  pause(): void {
    this.#lifecycle.connection?.pause();
  }

  resume(): void {
    this.#lifecycle.connection?.resume();
  }

  /** A call whose reply says nothing: it is done when what it changed is here. */
  async #change(command: Command, here: () => boolean, repeatable = false): Promise<void> {
    await this.#lifecycle.call(command, { repeatable, here });
  }

  #isOpen(account: string, direction: FriendRequest['direction']): boolean {
    return this.requests.some((request) => request.account === account && request.direction === direction);
  }
}

function answered<T>(reply: T | undefined): T {
  if (reply === undefined) throw new RosterdError(Code.internal, 'BAD_FRAME', 'the reply is not one to this command');
  return reply;
}
