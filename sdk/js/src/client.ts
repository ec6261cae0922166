/// <reference lib="esnext.disposable" preserve="true" />
// The public client: access to the records, the commands, and the control of the connection, which lifecycle.ts runs.

import type { Setting } from './calls.js';
import { Emitter } from './emitter.js';
import type { ListenerOptions } from './emitter.js';
import { checkFields } from './fields.js';
import { Lifecycle } from './lifecycle.js';
import { checkOptions } from './options.js';
import type { Events, LookupOptions, Options, UpdateOptions } from './options.js';
import type { ConnectionState, State } from './state.js';
import { Code, RosterdError } from './protocol.js';
import type { Block, Command, Friend, FriendRequest, MyInfo, OwnPresence, Presence, Schema, Session, User } from './protocol.js';
import { Replica } from './replica.js';
import type { Snapshot } from './snapshot.js';
import { onAbort } from './timers.js';
import type { CallLimits } from './timers.js';
import { Watches } from './watches.js';

/** The gateway's limit for accounts in one `getUsers`. */
const LOOKUP_MAX = 150;

/**
 * Keeps the records of one account in sync with the gateway, over as many connections as that takes.
 *
 * The records are the account's own profile, friends with their profiles, requests, blocks, presence and sessions. The
 * type parameters say what the `custom` of profiles and of friendships is, for texts of a type of the application's own.
 */
export class RosterdClient<UserCustom extends string = string, FriendCustom extends string = string> {
  readonly #emitter = new Emitter<Events>();
  readonly #replica = new Replica();
  readonly #lifecycle: Lifecycle;
  readonly #watches: Watches;
  #schema: Schema | undefined;

  constructor(options: Options) {
    checkOptions(options);
    this.#lifecycle = new Lifecycle(options, this.#emitter, this.#replica);
    this.#watches = new Watches({
      send: (accounts) => this.#sendWatch(accounts),
      isKnown: (account) => account === this.account || this.friends.has(account),
      watched: () => this.watched,
      isLive: () => this.state === 'live',
      failed: (error) => this.#emitter.emit('error', error),
    });
    // A friend comes without a watch; one who is no friend any more needs it again.
    for (const event of ['synced', 'friends', 'friendRemoved'] as const) this.on(event, () => this.#watches.refresh());
  }

  get account(): string {
    return this.#lifecycle.options.account;
  }

  get url(): string {
    return this.#lifecycle.url;
  }

  get state(): State {
    return this.#lifecycle.state;
  }

  /** The connection in detail: `reconnecting` between two attempts, with `lastError` and `retryAt`. */
  get connection(): ConnectionState {
    return this.#lifecycle.connectionState;
  }

  /** Everything that the client holds, unchanging; the event `change` announces another. The same object if nothing changed. */
  get snapshot(): Snapshot<UserCustom, FriendCustom> {
    return this.#lifecycle.snapshot as Snapshot<UserCustom, FriendCustom>;
  }

  /** The account's own profile as last known. Records are never changed in place. */
  get me(): User<UserCustom> | undefined {
    return this.#replica.me as User<UserCustom> | undefined;
  }

  /** The fields of {@link me} that the gateway has not confirmed; nothing if it has confirmed all. */
  get pending(): Readonly<MyInfo<UserCustom>> | undefined {
    return this.#replica.pending as MyInfo<UserCustom> | undefined;
  }

  /** Profiles by account: of friends, watched accounts and senders of signals. A full sync replaces the map. */
  get users(): ReadonlyMap<string, User<UserCustom>> {
    return this.#replica.users as ReadonlyMap<string, User<UserCustom>>;
  }

  /** The friend list: friendships by account. */
  get friends(): ReadonlyMap<string, Friend<FriendCustom>> {
    return this.#replica.friends as ReadonlyMap<string, Friend<FriendCustom>>;
  }

  /** The open requests of both directions. */
  get requests(): readonly FriendRequest[] {
    return this.#replica.requests;
  }

  /** The accounts that this one blocks. */
  get blocks(): ReadonlyMap<string, Block> {
    return this.#replica.blocks;
  }

  /** Presence as of the last connection: friends that were ever online, and this account if it is invisible. */
  get presence(): ReadonlyMap<string, Presence> {
    return this.#replica.presence;
  }

  /** All sessions of this account, the oldest first; empty if this one has been alone since its login. */
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

  /** Adds a listener; returns a function that removes it. `signal` removes it as well. */
  on<K extends keyof Events>(event: K, listener: Events<UserCustom, FriendCustom>[K], options?: ListenerOptions): () => void {
    return this.#emitter.on(event, listener as Events[K], options);
  }

  /** Adds a listener for the next event of this kind only; returns a function that removes it. */
  once<K extends keyof Events>(event: K, listener: Events<UserCustom, FriendCustom>[K], options?: ListenerOptions): () => void {
    return this.#emitter.once(event, listener as Events[K], options);
  }

  /** Removes a listener. */
  off<K extends keyof Events>(event: K, listener: Events<UserCustom, FriendCustom>[K]): void {
    this.#emitter.off(event, listener as Events[K]);
  }

  /**
   * Reads the store, connects, and stays connected. Resolves at the first `synced`. Rejects if a retry is pointless, for
   * instance after a refused token. It retries an unreachable gateway for ever, also when `signal` has ended the wait.
   */
  connect(limits?: CallLimits): Promise<void> {
    return until(limits, this.#lifecycle.connect());
  }

  /** Closes the connection for good. Held and stored records stay. */
  disconnect(): Promise<void> {
    this.#watches.stop();
    return this.#lifecycle.disconnect();
  }

  /** Ends the session in an orderly way. With `forget`, wipes all records of the account, stored ones included. */
  logout({ forget = false }: { forget?: boolean | undefined } = {}): Promise<void> {
    this.#watches.stop();
    if (forget) this.#watches.clear();
    return this.#lifecycle.logout(forget);
  }

  /**
   * Changes fields of the account's own profile and returns the new profile. With `ifVersion` only if that is still its
   * version (412 otherwise); such a call ends with `CONNECTION_LOST` if its answer is lost. With `optimistic` the change
   * shows at once. With `keep` it also waits for a connection, over a restart too, and is sent for the version that was
   * shown when it was made.
   */
  async updateMyInfo(fields: MyInfo<UserCustom>, options: UpdateOptions = {}): Promise<User<UserCustom>> {
    if (this.#schema && this.#schema.hash === this.#lifecycle.schema) checkFields(this.#schema, fields);
    const { updateMyInfoReply } = await this.#lifecycle.edits.update(fields, options);
    return answered(updateMyInfoReply).user as User<UserCustom>;
  }

  /**
   * Returns the deployment's own fields, and which others only the backend may write. From then on, and until a login finds
   * others, {@link updateMyInfo} rejects what they do not allow without sending it.
   */
  async getSchema(limits?: CallLimits): Promise<Schema> {
    const { getSchemaReply } = await this.#lifecycle.call({ getSchema: {} }, { limits, repeatable: true });
    return (this.#schema = answered(getSchemaReply));
  }

  /**
   * Returns profiles of any accounts. Its own and those of friends and watched accounts come from memory unless `fresh`;
   * it requests others each time, as it receives no changes of them. `missing` are accounts that do not exist.
   */
  async getUsers(accounts: readonly string[], limits: LookupOptions = {}): Promise<{ users: User<UserCustom>[]; missing: string[] }> {
    const { fresh } = limits;
    const wanted = [...new Set(accounts)];
    const found = new Map<string, User<UserCustom>>();
    for (const account of fresh ? [] : wanted) {
      const held = account === this.me?.account ? this.me : this.friends.has(account) || this.watched.has(account) ? this.users.get(account) : undefined;
      if (held) found.set(account, held);
    }
    const ask = wanted.filter((account) => !found.has(account));
    const parts = Array.from({ length: Math.ceil(ask.length / LOOKUP_MAX) }, (_, i) => ask.slice(i * LOOKUP_MAX, (i + 1) * LOOKUP_MAX));
    const replies = await Promise.all(parts.map((part) => this.#lifecycle.call({ getUsers: { accounts: part } }, { limits, repeatable: true })));
    for (const { getUsersReply } of replies) for (const user of answered(getUsersReply).users ?? []) found.set(user.account, user as User<UserCustom>);
    return {
      users: wanted.flatMap((account) => found.get(account) ?? []),
      missing: wanted.filter((account) => !found.has(account)),
    };
  }

  /** Returns one profile; 404 if the account does not exist. */
  async getUser(account: string, options?: LookupOptions): Promise<User<UserCustom>> {
    const { users } = await this.getUsers([account], options);
    if (!users[0]) throw new RosterdError(Code.notFound, 'NOT_FOUND', `there is no account ${account}`);
    return users[0];
  }

  /**
   * Makes two accounts friends without a request, where `friends.policy` allows it. A message of at most 256 characters
   * reaches the other side as an accepted request.
   */
  addFriend(account: string, message?: string, limits?: CallLimits): Promise<void> {
    return this.#change({ addFriend: { account, message } }, () => this.friends.has(account), limits);
  }

  /** Requests a friendship. If the other side has requested one too, both become friends. */
  requestFriend(account: string, message?: string, limits?: CallLimits): Promise<void> {
    return this.#change({ requestFriend: { account, message } }, () => this.friends.has(account) || this.#isOpen(account, 'out'), limits);
  }

  /** Accepts the other side's request. */
  acceptFriend(account: string, limits?: CallLimits): Promise<void> {
    return this.#change({ acceptFriend: { account } }, () => this.friends.has(account), limits);
  }

  /** Rejects the other side's request. */
  rejectFriend(account: string, limits?: CallLimits): Promise<void> {
    return this.#change({ rejectFriend: { account } }, () => !this.#isOpen(account, 'in'), limits);
  }

  /** Withdraws this account's request. */
  cancelRequest(account: string, limits?: CallLimits): Promise<void> {
    return this.#change({ cancelRequest: { account } }, () => !this.#isOpen(account, 'out'), limits);
  }

  /** Ends a friendship in both directions. */
  deleteFriend(account: string, limits?: CallLimits): Promise<void> {
    return this.#change({ deleteFriend: { account } }, () => !this.friends.has(account), limits);
  }

  /** Changes the notes about a friend, which only this account sees. A missing field stays, `''` clears. */
  updateFriend(account: string, { alias, custom }: { alias?: string | undefined; custom?: FriendCustom | undefined }, limits?: CallLimits): Promise<void> {
    const shown = (): boolean => {
      const friend = this.friends.get(account);
      return friend !== undefined && (alias ?? friend.alias) === friend.alias && (custom ?? friend.custom) === friend.custom;
    };
    const setting = { key: `friend ${account}`, version: () => this.friends.get(account)?.version, shown };
    return this.#change({ updateFriend: { account, alias, custom } }, () => shown() || !this.friends.has(account), limits, setting);
  }

  /** Stops everything that this account sends to the other, without notice. A friendship stays. */
  block(account: string, limits?: CallLimits): Promise<void> {
    return this.#block({ block: { account } }, account, () => this.blocks.has(account), limits);
  }

  /** Ends a block. */
  unblock(account: string, limits?: CallLimits): Promise<void> {
    return this.#block({ unblock: { account } }, account, () => !this.blocks.has(account), limits);
  }

  /**
   * Mutes an account, which need not be a friend, or mutes it no longer: on every device, and seen by no other account. The
   * list is `me.muted`. It decides nothing here or in the gateway: an application shows less of a muted account.
   */
  setMuted(account: string, muted: boolean, limits?: CallLimits): Promise<void> {
    const shown = (): boolean => !!this.me?.muted?.includes(account) === muted;
    return this.#change({ setMuted: { account, muted } }, shown, limits, { key: 'me', version: () => this.me?.version, shown });
  }

  /** Returns the sessions of this account, the oldest first. */
  async getSessions(limits?: CallLimits): Promise<Session[]> {
    const { getSessionsReply } = await this.#lifecycle.call({ getSessions: {} }, { limits, repeatable: true });
    return answered(getSessionsReply).sessions ?? [];
  }

  /** Ends other sessions of this account; returns those that existed. */
  async kick(sessions: readonly string[], limits?: CallLimits): Promise<string[]> {
    const { kickReply } = await this.#lifecycle.call({ kick: { sessions: [...sessions] } }, { limits, repeatable: false });
    return answered(kickReply).kicked ?? [];
  }

  /**
   * Replaces the list of strangers whose profiles the client receives, at most 500. They come with `userUpdated` and are
   * in `users`, which drops accounts that leave the list. The list outlives connections. `missing` do not exist yet; they
   * come when they do.
   */
  watch(accounts: Iterable<string>, limits?: CallLimits): Promise<{ missing: string[] }> {
    return until(limits, this.#watches.list(new Set(accounts)));
  }

  /**
   * Watches accounts besides those of {@link watch}, until the returned function is called. Holds are counted, so that
   * parts of an application do not overwrite each other's. A failure, as with more than 500 in all, is an `error` event.
   */
  hold(accounts: Iterable<string>): () => void {
    return this.#watches.hold(accounts);
  }

  /**
   * Sends a text of at most 4096 bytes, at most once, to all sessions of `to`. `delivered` counts the sessions that will
   * receive it, `dropped` those that read too slowly; both are 0 unless this account sees the presence of `to`.
   */
  async signal(to: string, payload: string, limits?: CallLimits): Promise<{ delivered: number; dropped: number }> {
    const { signalReply } = await this.#lifecycle.call({ signal: { to, payload } }, { limits, repeatable: false });
    return answered(signalReply);
  }

  /**
   * Makes this account appear offline to its friends on every device (`invisible`), until it is set again, and shows them a
   * text of at most 256 characters beside its presence (`status`), which ends at `until`, or else when the account goes
   * offline; `''` ends it. What is missing stays.
   */
  setPresence({ invisible, status, until }: OwnPresence, limits?: CallLimits): Promise<void> {
    const own = (): Presence | undefined => this.presence.get(this.account);
    const version = (): number => own()?.version ?? 0;
    const shown = (): boolean => (invisible ?? own()?.invisible ?? false) === (own()?.invisible ?? false)
      && (status === undefined || ((own()?.status ?? '') === status && own()?.until === until));
    // A status may have ended, or another device have set the next one, before this client hears of it.
    const before = version();
    return this.#change({ setPresence: { invisible, status, until } }, () => shown() || (status !== undefined && version() !== before), limits, { key: 'presence', version, shown });
  }

  /** Drops the connection as a bad network would. For tests and demonstrations. */
  cut(): void {
    this.#lifecycle.connection?.drop('cut');
  }

  /** Stops reading until `resume` or the end of the connection. Where the WebSocket cannot, holds frames back. */
  pause(): void {
    this.#lifecycle.connection?.pause();
  }

  /** Continues reading. */
  resume(): void {
    this.#lifecycle.connection?.resume();
  }

  /** Disconnects, removes all listeners, and closes the store: for `using`. The client is of no use afterwards. */
  [Symbol.dispose](): void {
    void this.#lifecycle.dispose();
  }

  /** The same for `await using`: settles when all is written. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lifecycle.dispose();
  }

  async #sendWatch(list: ReadonlySet<string>): Promise<{ missing: string[] }> {
    const { watchReply } = await this.#lifecycle.call({ watch: { accounts: [...list] } }, { repeatable: true });
    const { missing = [] } = answered(watchReply);
    this.#lifecycle.watched(list, missing);
    return { missing };
  }

  /** Makes a call with an empty reply, which is done when its effect is visible. */
  async #change(command: Command, here: () => boolean, limits?: CallLimits, setting?: Setting): Promise<void> {
    await this.#lifecycle.call(command, { limits, repeatable: false, here, setting });
  }

  #block(command: Command, account: string, shown: () => boolean, limits?: CallLimits): Promise<void> {
    return this.#change(command, shown, limits, { key: `block ${account}`, version: () => this.#replica.blockVersion(account), shown });
  }

  #isOpen(account: string, direction: FriendRequest['direction']): boolean {
    return this.requests.some((request) => request.account === account && request.direction === direction);
  }
}

/** Waits for a promise, but not longer than until the signal is aborted. */
function until<T>(limits: CallLimits | undefined, wait: Promise<T>): Promise<T> {
  if (!limits?.signal) return wait;
  return new Promise((resolve, reject) => {
    const stop = onAbort(limits, reject);
    wait.then(resolve, reject).finally(stop);
  });
}

/** Returns the expected reply, or throws. */
function answered<T>(reply: T | undefined): T {
  if (reply === undefined) throw new RosterdError(Code.internal, 'BAD_FRAME', 'the reply is not one to this command');
  return reply;
}
