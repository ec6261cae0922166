// RosterdClient: keeps what one account knows - its profile, friends, requests, blocks, who is there - in step with the
// gateway, over as many connections as that takes. The rules about records are in replica.ts, one connection is in connection.ts, commands under way are
// in calls.ts, and what outlives the page is in saver.ts and store.ts; this file decides when which of them acts.

import { Calls } from './calls.js';
import { Connection } from './connection.js';
import type { End, WebSocketConstructor } from './connection.js';
import { Emitter } from './emitter.js';
import { Close, Code, comesBack, RosterdError } from './protocol.js';
import type { Block, Command, Device, Friend, FriendRequest, LoginReply, MyInfo, Presence, ServerFrame, Session, User } from './protocol.js';
import { Replica } from './replica.js';
import type { Difference } from './replica.js';
import { Saver } from './saver.js';
import { defaultStore, MemoryStore } from './store.js';
import type { Store } from './store.js';

export type State = 'disconnected' | 'connecting' | 'syncing' | 'live';

/** Why a token is asked for: a first one, one to follow a token that ends soon, or one for a token that has ended. */
export type TokenReason = 'connect' | 'refresh' | 'expired';

export interface Options {
  /** `ws://` or `wss://` address; by default that of the gateway which served this script, else the local one. */
  url?: string;
  account: string;
  /** Without `token` and `getToken` the account itself is shown, which is good in development mode. */
  token?: string;
  /** Called when a token is needed. If it rejects, that counts as a connection that failed: it is tried again later. */
  getToken?: (why: TokenReason) => string | Promise<string>;
  /** `auto`, the default: IndexedDB where it works, otherwise memory. */
  store?: 'auto' | 'memory' | Store;
  /** Needed where the platform has none, such as Node before 22. */
  WebSocket?: WebSocketConstructor;
  /** How long a call waits for its answer, the connection included. 8000 by default. */
  requestTimeoutMs?: number;
  /** The wait before attempt n is random between 0 and min(maxMs, minMs × 2ⁿ). 500 and 20000 by default. */
  backoff?: { minMs?: number; maxMs?: number };
  /** What the account's other sessions are told of this one. */
  device?: Device;
  /** Whether to come back after a lost connection. True by default. */
  reconnect?: boolean;
}

/** What listeners are called with. All maps of the client are up to date before the first listener of a frame runs. */
export interface Events {
  /** The own profile. `cache`: as stored. `sync`: at every login. `update`: changed elsewhere. `reply`: by this client's own call. */
  me(user: User, how: 'cache' | 'sync' | 'update' | 'reply'): void;
  /** Friends' profiles: all after a full sync, otherwise those that differ; after a repair those that were told again, too. */
  users(users: User[], how: 'cache' | 'sync'): void;
  /**
   * A friend's profile changed while connected, or that of somebody who is watched. Also comes for a new friend, before
   * `friends`, and for whoever sent a signal, before `signal`.
   */
  userUpdated(user: User): void;
  /** Relations: all after a full sync, otherwise those that differ; `update` while connected. */
  friends(friends: Friend[], how: 'cache' | 'sync' | 'update'): void;
  friendRemoved(account: string): void;
  /** Requests that are new, and those that are over; all open ones after a full sync. */
  requests(requests: FriendRequest[], how: 'cache' | 'sync' | 'update'): void;
  /** Blocks that are new, and those that are `removed`; also all in force after a full sync. */
  blocks(blocks: Block[], how: 'cache' | 'sync' | 'update'): void;
  /** Who came or went. `sync`: everybody, in place of all that was told before; who is not in it was never online. */
  presence(presence: Presence[], how: 'sync' | 'update'): void;
  /** Another session of this account came or went: all of them, this one included; none at all while this one is alone since its login. */
  sessions(sessions: readonly Session[]): void;
  /** Somebody sent a message. It is kept nowhere. */
  signal(signal: { from: string; payload: string }): void;
  /** A catch-up is complete, and what is held is what the gateway holds. */
  synced(info: { sync: 'full' | 'delta' | 'current'; because?: string; count: number; digest: number }): void;
  state(state: State, previous: State): void;
  willReconnect(info: { attempt: number; delayMs: number }): void;
  /** A connection, or an attempt at one, ended. `code` is the close code; `error` is there if it is not tried again. */
  disconnected(info: { code: number; reason: string; willReconnect: boolean; error?: RosterdError }): void;
  /** Something failed that no caller waits for. */
  error(error: RosterdError): void;
  /** Every frame, for looking at; tokens are blanked. */
  frame(info: { direction: 'in' | 'out'; frame: object }): void;
}

/** The longest time that timers can measure. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** The gateway's limit of accounts in one `getUsers`. */
const LOOKUP_MAX = 150;
/** A logout's reply is a courtesy; leaving does not wait for it longer. */
const LOGOUT_MS = 2_000;
/** After a wake-up, a connection on which nothing is heard for this long is taken for dead. */
const PROBE_MS = 5_000;
/** A token is renewed when a fifth of its time is left, but not earlier than this before its end. */
const REFRESH_LEAD_MS = 60_000;
const REFRESH_PAUSE_MS = 1_000;

/** What is done about a list that is not the gateway's. */
const REMEDY = {
  repair: 'asking for what differs',
  retry: 'that did not help, getting all of it anew',
  accepted: 'it was got anew already',
} as const;

interface Deferred {
  promise: Promise<void>;
  resolve(): void;
  reject(error: RosterdError): void;
}

export class RosterdClient {
  readonly #options: Options;
  readonly #url: string;
  readonly #emitter = new Emitter<Events>();
  readonly #replica = new Replica();
  readonly #calls = new Calls();
  readonly #saver: Saver;
  #state: State = 'disconnected';
  // Whether the application wants a connection: from connect() to disconnect(), logout(), or an end for good.
  #wanted = false;
  // Counts attempts, so that what an older one awaited does nothing when it arrives.
  #run = 0;
  #cacheRead = false;
  #connection?: Connection;
  #loginId = 0;
  // Of the list that was sent again after the last login.
  #watchId = 0;
  #repairId = 0;
  #loginError?: RosterdError;
  #login?: LoginReply;
  // Settled by the first `synced`, or by an end for good.
  #connected?: Deferred;
  // Attempts since the last `synced`.
  #attempt = 0;
  #retry?: { timer: ReturnType<typeof setTimeout>; asTold: boolean };
  // A logout is under way: the end of the connection is what was asked for.
  #leaving = false;
  #resync = false;
  #token?: string;
  #tokenEnded = false;
  #expiresAt?: number;
  // The gateway's clock minus ours.
  #skew = 0;
  #refresh?: ReturnType<typeof setTimeout>;

  constructor(options: Options) {
    if (typeof options?.account !== 'string' || options.account === '') throw new TypeError('options.account is missing');
    this.#options = options;
    this.#url = options.url ?? defaultUrl();
    this.#token = options.token;
    const { store = 'auto' } = options;
    this.#saver = new Saver(
      store === 'auto' ? defaultStore() : store === 'memory' ? new MemoryStore() : store,
      options.account,
      (what, cause) => this.#error(Code.internal, 'STORE', `${what} the local store failed`, cause),
    );
  }

  get account(): string {
    return this.#options.account;
  }

  get url(): string {
    return this.#url;
  }

  get state(): State {
    return this.#state;
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
    return this.#connection?.paused ?? false;
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
    if (this.#state === 'live') return Promise.resolve();
    const connected = (this.#connected ??= deferred());
    if (!this.#wanted) {
      this.#wanted = true;
      this.#attempt = 0;
      this.#tokenEnded = false;
      this.#watchPage(true);
      void this.#begin();
    } else if (this.#retry) {
      void this.#begin();
    }
    return connected.promise;
  }

  /** Closes the connection and stays away. What is held stays, and so does the cache. */
  async disconnect(): Promise<void> {
    this.#stop();
    await this.#saver.idle();
  }

  /** Leaves in order. With `forget`, what is held and what is stored of this account is wiped. */
  async logout({ forget = false }: { forget?: boolean } = {}): Promise<void> {
    if (this.#login && !this.#leaving) {
      this.#leaving = true;
      try {
        await this.#call({ logout: {} }, { repeatable: false, timeoutMs: LOGOUT_MS });
      } catch {
        // Lost on the way, or no answer: gone is gone.
      }
      this.#leaving = false;
    }
    this.#stop();
    if (!forget) return this.#saver.idle();
    this.#replica.clear();
    this.#token = this.#options.token;
    await this.#saver.wipe();
  }

  /**
   * Changes fields of the own profile; the promise brings the profile as it then stands. With `ifVersion` only if
   * that is still its version (412 otherwise), and such a call is not repeated if the connection is lost under it.
   */
  async updateMyInfo(fields: MyInfo, { ifVersion }: { ifVersion?: number } = {}): Promise<User> {
    const command = { updateMyInfo: { ...fields, ifVersion } };
    const { updateMyInfoReply } = await this.#call(command, { repeatable: ifVersion === undefined });
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
    const replies = await Promise.all(parts.map((part) => this.#call({ getUsers: { accounts: part } }, { repeatable: true })));
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
    const { getSessionsReply } = await this.#call({ getSessions: {} }, { repeatable: true });
    return answered(getSessionsReply).sessions ?? [];
  }

  /** Ends other sessions of this account; gives those that were there. */
  async kick(sessions: readonly string[]): Promise<string[]> {
    const { kickReply } = await this.#call({ kick: { sessions: [...sessions] } }, { repeatable: false });
    return answered(kickReply).kicked ?? [];
  }

  /**
   * Puts another list in place of the accounts whose profiles are told although they are no friends, at most 500. They
   * come with `userUpdated` and are in `users`; who is on the list no more is dropped from there. The list holds over
   * all connections. `missing` do not exist yet, and come when they do.
   */
  async watch(accounts: Iterable<string>): Promise<{ missing: string[] }> {
    const list = new Set(accounts);
    const { watchReply } = await this.#call({ watch: { accounts: [...list] } }, { repeatable: true });
    const { missing = [] } = answered(watchReply);
    this.#replica.watch(list, missing);
    return { missing };
  }

  /**
   * Sends a text of at most 4096 bytes to whoever is logged in as `to`: at most once. `delivered` counts the sessions
   * that will be told, `dropped` those that read too slowly.
   */
  async signal(to: string, payload: string): Promise<{ delivered: number; dropped: number }> {
    const { signalReply } = await this.#call({ signal: { to, payload } }, { repeatable: false });
    return answered(signalReply);
  }

  /** Whether this account shows as offline to its friends, on every device, until it says otherwise. */
  setPresence({ invisible }: { invisible: boolean }): Promise<void> {
    const here = (): boolean => (this.presence.get(this.account)?.invisible ?? false) === invisible;
    return this.#change({ setPresence: { invisible } }, here, true);
  }

  /** Drops the connection as a failing network would. For tests and demonstrations. */
  cut(): void {
    this.#connection?.drop('cut');
  }

  /** Stops reading, where the WebSocket can; elsewhere frames are held back. Ends with the connection. */
  pause(): void {
    this.#connection?.pause();
  }

  resume(): void {
    this.#connection?.resume();
  }

  // ---- one attempt after the other

  async #begin(): Promise<void> {
    const run = ++this.#run;
    clearTimeout(this.#retry?.timer);
    this.#retry = undefined;
    this.#setState('connecting');
    if (!this.#cacheRead) await this.#readCache(run);
    if (run !== this.#run) return;
    let token: string;
    try {
      token = await this.#takeToken();
    } catch (cause) {
      if (run !== this.#run) return;
      this.#error(Code.unauthenticated, 'NO_TOKEN', 'getToken failed', cause);
      return this.#ended({ code: 1006, reason: 'getToken failed' });
    }
    if (run !== this.#run) return;
    this.#loginError = undefined;
    this.#resync = false;
    try {
      const connection: Connection = new Connection(this.#url, webSocket(this.#options), {
        opened: () => {
          this.#loginId = this.#calls.nextId();
          const { device } = this.#options;
          connection.send({ id: this.#loginId, login: { token, cursor: this.#replica.cursor, device } });
        },
        frame: (frame) => this.#frame(frame, connection),
        ended: (end) => this.#ended(end),
        trace: (direction, frame) => this.#trace(direction, frame),
      });
      this.#connection = connection;
    } catch (cause) {
      // An address that is none, or no WebSocket at all: trying again would change nothing.
      this.#giveUp({ code: 1006, reason: 'NO_CONNECTION' }, new RosterdError(Code.internal, 'NO_CONNECTION', String((cause as Error)?.message ?? cause), { cause }));
    }
  }

  async #readCache(run: number): Promise<void> {
    const stored = await this.#saver.load();
    if (run !== this.#run) return;
    this.#cacheRead = true;
    if (!stored) return;
    this.#replica.load(stored);
    const { me, users, friends, requests, blocks } = stored;
    if (me) this.#emitter.emit('me', me, 'cache');
    if (!me && !users.length && !friends.length) return;
    this.#emitter.emit('users', users, 'cache');
    this.#emitter.emit('friends', friends, 'cache');
    if (requests.length) this.#emitter.emit('requests', requests, 'cache');
    if (blocks.length) this.#emitter.emit('blocks', blocks, 'cache');
  }

  #frame(frame: ServerFrame, connection: Connection): void {
    if (frame.id === this.#loginId && frame.error) {
      this.#loginError = RosterdError.from(frame.error);
      return;
    }
    // A gateway that does not repair, or cannot now.
    if (frame.id === this.#repairId && frame.error) return this.#startOver(connection);
    if (frame.loginReply) {
      const { account } = frame.loginReply;
      if (account !== this.account) {
        const error = new RosterdError(Code.denied, 'OTHER_ACCOUNT', `the token is ${account}'s, not ${this.account}'s`);
        connection.close();
        return this.#giveUp({ code: 1000, reason: 'OTHER_ACCOUNT' }, error);
      }
      this.#login = frame.loginReply;
      connection.loggedIn(frame.loginReply.heartbeatMs);
    }
    let difference: Difference | undefined;
    try {
      difference = this.#replica.take(frame);
    } catch (cause) {
      // Not what the protocol says. Whatever was meant comes with the next login.
      this.#error(Code.internal, 'BAD_FRAME', 'a frame could not be applied', cause);
      return connection.drop('a frame could not be applied');
    }
    if (difference?.save) this.#saver.save(difference.save);
    if (frame.loginReply) this.#loggedIn(frame.loginReply, connection);
    if (difference?.how === 'sync') this.#synced(difference, frame, connection);
    else if (difference) this.#news(difference);
    this.#calls.applied(!!frame.changes?.cursor && !this.#replica.staging);
    if (frame.signal) this.#emitter.emit('signal', frame.signal);
    if (frame.id === this.#watchId && frame.watchReply) this.#replica.watch(this.watched, frame.watchReply.missing);
    if (!this.#calls.settle(frame) && frame.error) this.#emitter.emit('error', RosterdError.from(frame.error));
  }

  #loggedIn(login: LoginReply, connection: Connection): void {
    this.#tokenEnded = false;
    this.#skew = login.serverTime - Date.now();
    this.#expires(login.expiresAt);
    this.#setState('syncing');
    // Every connection starts without one.
    if (this.watched.size) {
      this.#watchId = this.#calls.nextId();
      connection.send({ id: this.#watchId, watch: { accounts: [...this.watched] } });
    }
    // They are answered after `synced`; there is no need to wait for that.
    this.#calls.flush((frame) => connection.send(frame));
  }

  #synced(difference: Difference, frame: ServerFrame, connection: Connection): void {
    const { count = 0, digest = 0 } = frame.synced ?? {};
    const { mismatch } = difference;
    if (mismatch) this.#error(Code.internal, 'OUT_OF_STEP', `what is held is not what the gateway holds; ${REMEDY[mismatch]}`);
    // A listener may have left.
    if (mismatch === 'repair' && this.#connection === connection) {
      if (difference.sessions) this.#emitter.emit('sessions', difference.sessions);
      this.#repairId = this.#calls.nextId();
      connection.send({ id: this.#repairId, repair: { leaves: this.#replica.leaves } });
    }
    if (mismatch === 'retry') this.#startOver(connection);
    if (mismatch === 'repair' || mismatch === 'retry') return;
    const { me, users, friends, removed, requests, blocks, presence, sessions, full } = difference;
    const { sync = 'full', because } = this.#login ?? {};
    if (me) this.#emitter.emit('me', me, 'sync');
    if (full || users.length) this.#emitter.emit('users', users, 'sync');
    if (full || friends.length) this.#emitter.emit('friends', friends, 'sync');
    for (const account of removed) this.#emitter.emit('friendRemoved', account);
    if (full || requests.length) this.#emitter.emit('requests', requests, 'sync');
    if (full || blocks.length) this.#emitter.emit('blocks', blocks, 'sync');
    if (presence) this.#emitter.emit('presence', presence, 'sync');
    if (sessions) this.#emitter.emit('sessions', sessions);
    // A listener may have left.
    if (this.#connection !== connection) return;
    this.#attempt = 0;
    this.#setState('live');
    this.#emitter.emit('synced', { sync, ...(because === undefined ? {} : { because }), count, digest });
    this.#connected?.resolve();
    this.#connected = undefined;
  }

  /** Gets everything, on a new connection and at once. */
  #startOver(connection: Connection): void {
    this.#resync = true;
    connection.drop('out of step');
  }

  #news({ how, me, users, friends, removed, requests, blocks, presence, sessions }: Difference): void {
    for (const account of removed) this.#emitter.emit('friendRemoved', account);
    if (me) this.#emitter.emit('me', me, how);
    for (const user of users) this.#emitter.emit('userUpdated', user);
    if (friends.length) this.#emitter.emit('friends', friends, 'update');
    if (requests.length) this.#emitter.emit('requests', requests, 'update');
    if (blocks.length) this.#emitter.emit('blocks', blocks, 'update');
    if (presence) this.#emitter.emit('presence', presence, 'update');
    if (sessions) this.#emitter.emit('sessions', sessions);
  }

  // ---- ends

  #ended(end: End): void {
    this.#detach();
    this.#calls.interrupted();
    if (this.#leaving) return;
    const { code, reason, goodbye } = end;
    const { getToken, reconnect = true } = this.#options;
    const renew = code === Close.tokenExpired && getToken !== undefined;
    // If a refused login's goodbye was lost, the refusal itself is enough.
    const refused = this.#loginError && this.#loginError.code < 500 && !renew;
    if (!this.#resync && (!reconnect || refused || !(renew || comesBack(code)))) {
      const error = this.#loginError ?? closeError(end);
      // A later connect() asks for a better one.
      if (getToken && error.code === Code.unauthenticated) this.#token = undefined;
      return this.#giveUp(end, error);
    }
    // At once, but only the first time: a new token that has ended too may end up here again and again.
    const atOnce = this.#resync || (renew && !this.#tokenEnded);
    if (renew) {
      this.#token = undefined;
      this.#tokenEnded = true;
    }
    const told = goodbye?.retryAfterMs ?? this.#loginError?.retryAfterMs;
    const { minMs = 500, maxMs = 20_000 } = this.#options.backoff ?? {};
    const jittered = Math.random() * Math.min(maxMs, minMs * 2 ** this.#attempt);
    const delayMs = Math.min(Math.round(atOnce ? 0 : (told ?? jittered)), TIMER_MAX_MS);
    const attempt = ++this.#attempt;
    this.#retry = { timer: setTimeout(() => void this.#begin(), delayMs), asTold: told !== undefined };
    const run = this.#run;
    this.#setState('disconnected');
    this.#emitter.emit('disconnected', { code, reason, willReconnect: true });
    if (run === this.#run) this.#emitter.emit('willReconnect', { attempt, delayMs });
  }

  #giveUp({ code, reason }: End, error: RosterdError): void {
    this.#halt(error);
    this.#setState('disconnected');
    this.#emitter.emit('disconnected', { code, reason, willReconnect: false, error });
    this.#emitter.emit('error', error);
  }

  #stop(): void {
    const was = this.#state;
    const open = this.#wanted || was !== 'disconnected';
    this.#connection?.close();
    this.#halt(new RosterdError(Code.timeout, 'DISCONNECTED', 'the client was disconnected'));
    this.#setState('disconnected');
    if (open) this.#emitter.emit('disconnected', { code: 1000, reason: 'CLIENT', willReconnect: false });
  }

  /** Nothing goes on by itself after this. */
  #halt(error: RosterdError): void {
    this.#wanted = false;
    this.#run++;
    clearTimeout(this.#retry?.timer);
    this.#retry = undefined;
    this.#watchPage(false);
    this.#detach();
    this.#calls.fail(error);
    this.#connected?.reject(error);
    this.#connected = undefined;
  }

  #detach(): void {
    this.#connection = undefined;
    this.#login = undefined;
    clearTimeout(this.#refresh);
    this.#replica.interrupted();
  }

  // The network or the reader is back: no reason to wait, unless the gateway itself named the time, for all clients.
  // A connection that seems to be there may have died meanwhile without a word; any answer shows that it has not.
  readonly #wake = (): void => {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (this.#retry && !this.#retry.asTold) return void this.#begin();
    if (this.#state !== 'live') return;
    this.#connection?.expectWithin(PROBE_MS);
    this.#call({ getUsers: { accounts: [this.account] } }, { repeatable: false, timeoutMs: PROBE_MS }).catch(() => {});
  };

  #watchPage(on: boolean): void {
    const method = on ? 'addEventListener' : 'removeEventListener';
    globalThis[method]?.('online', this.#wake);
    globalThis.document?.[method]?.('visibilitychange', this.#wake);
  }

  // ---- tokens

  async #takeToken(): Promise<string> {
    const { getToken, account } = this.#options;
    if (!getToken) return this.#token ?? account;
    const ended = this.#expiresAt !== undefined && Date.now() + this.#skew >= this.#expiresAt;
    if (this.#token === undefined || ended) {
      this.#token = await getToken(this.#tokenEnded || ended ? 'expired' : 'connect');
      this.#expiresAt = undefined;
    }
    return this.#token;
  }

  /** Sees to it that the token is followed by another before it ends. */
  #expires(at: number | undefined): void {
    this.#expiresAt = at;
    clearTimeout(this.#refresh);
    if (at === undefined || !this.#options.getToken) return;
    const left = at - Date.now() - this.#skew;
    const wait = Math.max(REFRESH_PAUSE_MS, left - Math.min(REFRESH_LEAD_MS, left / 5));
    // After its end the gateway closes with the code that asks for a new one.
    if (left <= 0) return;
    if (wait > TIMER_MAX_MS) this.#refresh = setTimeout(() => this.#expires(at), TIMER_MAX_MS);
    else this.#refresh = setTimeout(() => void this.#renew(at), wait);
  }

  async #renew(endsAt: number): Promise<void> {
    const connection = this.#connection;
    try {
      const token = await this.#options.getToken?.('refresh');
      if (token === undefined || connection !== this.#connection) return;
      const { refreshReply } = await this.#call({ refresh: { token } }, { repeatable: false });
      this.#token = token;
      if (connection === this.#connection) this.#expires(refreshReply?.expiresAt);
    } catch (cause) {
      if (connection !== this.#connection) return;
      this.#error(Code.unauthenticated, 'REFRESH_FAILED', 'the token could not be renewed; the old one is used until it ends', cause);
      this.#expires(endsAt);
    }
  }

  // ---- small things

  /** A call whose reply says nothing: it is done when what it changed is here. */
  async #change(command: Command, here: () => boolean, repeatable = false): Promise<void> {
    await this.#call(command, { repeatable, here });
  }

  #isOpen(account: string, direction: FriendRequest['direction']): boolean {
    return this.requests.some((request) => request.account === account && request.direction === direction);
  }

  #call(command: Command, { repeatable, timeoutMs, here }: { repeatable: boolean; timeoutMs?: number; here?: () => boolean }): Promise<ServerFrame> {
    const reply = this.#calls.add(command, timeoutMs ?? this.#options.requestTimeoutMs ?? 8_000, repeatable, here);
    const connection = this.#connection;
    if (connection && this.#login) this.#calls.flush((frame) => connection.send(frame));
    return reply;
  }

  #setState(state: State): void {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    this.#emitter.emit('state', state, previous);
  }

  #error(code: number, reason: string, message: string, cause?: unknown): void {
    this.#emitter.emit('error', new RosterdError(code, reason, message, { cause }));
  }

  #trace(direction: 'in' | 'out', frame: object): void {
    if (!this.#emitter.has('frame')) return;
    const { login, refresh } = frame as Command;
    const blanked = login ? { ...frame, login: { ...login, token: '…' } } : refresh ? { ...frame, refresh: { token: '…' } } : frame;
    this.#emitter.emit('frame', { direction, frame: blanked });
  }
}

/** Without a better word: what a close for good means to a caller. */
function closeError({ code, reason }: End): RosterdError {
  if (comesBack(code)) return new RosterdError(Code.timeout, 'CONNECTION_LOST', `the connection ended (${code} ${reason})`);
  const auth = code === 3500 || code === Close.tokenExpired;
  return new RosterdError(auth ? Code.unauthenticated : code, reason, `the gateway closed the connection for good (${code} ${reason})`);
}

function answered<T>(reply: T | undefined): T {
  if (reply === undefined) throw new RosterdError(Code.internal, 'BAD_FRAME', 'the reply is not one to this command');
  return reply;
}

function webSocket(options: Options): WebSocketConstructor {
  const found = options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined);
  if (!found) throw new TypeError('this platform has no WebSocket: give one as options.WebSocket, for instance that of "ws"');
  return found;
}

/** The gateway serves this very file, so where it came from is where to connect. */
function defaultUrl(): string {
  const from = /^http(s?):\/\/([^/]+)\/sdk\//.exec(import.meta.url ?? '');
  return from ? `ws${from[1]}://${from[2]}/v1/ws` : 'ws://127.0.0.1:7678/v1/ws';
}

function deferred(): Deferred {
  let settle!: Pick<Deferred, 'resolve' | 'reject'>;
  const promise = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  // Whoever awaits it is told; who does not has the events, and must not be ended by an unhandled rejection.
  promise.catch(() => {});
  return { promise, ...settle };
}
