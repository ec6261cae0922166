// The client's lifecycle: attempts to connect, logins, catch-ups, waits, and the final end.
// It decides when the other modules act: connection.ts (one connection), calls.ts (pending commands), replica.ts (the rules for
// records), edits.ts (changes of the own profile), tokens.ts, and saver.ts with store.ts (storage).

import { announceStored, announceSync, announceUpdate } from './announce.js';
import { Calls } from './calls.js';
import type { CallOptions } from './calls.js';
import { Connection } from './connection.js';
import type { End } from './connection.js';
import { Edits } from './edits.js';
import type { Emitter } from './emitter.js';
import { address, webSocket } from './options.js';
import type { Events, Options } from './options.js';
import type { ConnectionState, State } from './state.js';
import { Close, Code, comesBack, RosterdError, UnauthorizedError } from './protocol.js';
import type { Command, ErrorCode, ErrorReason, LoginReply, ServerFrame } from './protocol.js';
import type { Difference, Replica } from './replica.js';
import { Saver } from './saver.js';
import type { Shared } from './sharing.js';
import { Snapshots } from './snapshot.js';
import type { Snapshot } from './snapshot.js';
import { storeFor, storeKey } from './store.js';
import { after, deferred } from './timers.js';
import type { Deferred } from './timers.js';
import { Tokens } from './tokens.js';

/** How long a logout waits for its reply, which is only a courtesy. */
const LOGOUT_MS = 2_000;
/** How long after a refused login the gateway's goodbye may take. */
const REFUSED_MS = 2_000;
/** How long an attempt may wait for the application's code before the application or the network can start another. */
const STUCK_MS = 1_000;
/** How long a connection may stay silent after a wake-up before it counts as dead. */
const PROBE_MS = 5_000;
/** The same, if the browser says that the network is gone. It cannot know: the gateway may be on this machine. */
const OFFLINE_PROBE_MS = 2_000;
/** How long a call may wait before the client asks whether the connection lives. */
const UNANSWERED_MS = 3_000;

/** The remedy for a list that differs from the gateway's, for the error message. */
const REMEDY = {
  repair: 'asking for what differs',
  retry: 'that did not help, getting all of it anew',
  accepted: 'it was got anew already',
} as const;

/** Connects, logs in, keeps the replica up to date, and reconnects. */
export class Lifecycle {
  readonly options: Options;
  readonly url: string;
  state: State = 'disconnected';
  connectionState: ConnectionState = Object.freeze({ state: 'disconnected' });
  connection?: Connection;
  readonly edits: Edits;
  readonly #emitter: Emitter<Events>;
  readonly #replica: Replica;
  readonly #calls = new Calls();
  readonly #saver: Saver;
  readonly #tokens: Tokens;
  readonly #shared?: Shared;
  // The application wants a connection: from connect() to disconnect(), logout() or a final end.
  #wanted = false;
  // Counts attempts, to ignore what an earlier one awaited.
  #run = 0;
  #cacheRead = false;
  // When the current attempt began to wait for the store or for `getToken`.
  #waitsSince?: number;
  #loginId = 0;
  // The id of the `watch` that followed the last login.
  #watchId = 0;
  #repairId = 0;
  #loginError?: RosterdError;
  #login?: LoginReply;
  /** The hash of the deployment's own fields, as of the last login. */
  schema?: string | undefined;
  // Settled by the first `synced`, or by a final end.
  #connected?: Deferred;
  // Attempts since the last `synced`.
  #attempt = 0;
  #retry?: { cancel(): void; byGateway: boolean };
  // A logout is under way.
  #leaving = false;
  #resync = false;
  // Why the connection is not live.
  #lastError?: RosterdError;
  readonly #snapshots: Snapshots;
  // The snapshot that the last `change` brought.
  #shown?: Snapshot;
  // While this is not 0, a frame or an end is being handled, and `change` follows it.
  #depth = 0;

  constructor(options: Options, emitter: Emitter<Events>, replica: Replica) {
    this.options = options;
    this.url = address(options);
    this.#emitter = emitter;
    this.#replica = replica;
    this.#snapshots = new Snapshots(replica);
    const [store, key] = [storeFor(options.store), storeKey(options.account, this.url)];
    this.#shared = options.tabs?.(this, store, key);
    const failed = (what: string, cause: unknown): void => this.#error(Code.internal, 'STORE', `${what} the local store failed`, cause);
    this.#saver = new Saver(this.#shared?.store ?? store, key, failed);
    this.#saver.onWipe(() => this.#wipedElsewhere());
    this.edits = new Edits(
      replica,
      (command, options) => this.call(command, options),
      (how) => this.#batch(() => how && replica.me && emitter.emit('me', replica.me, how)),
      (kept) => this.#saver.save({ kept }),
    );
    this.#tokens = new Tokens(options, {
      needless: () => this.#shared?.follows(),
      refresh: (token) => this.call({ refresh: { token } }, { repeatable: false }),
      failed: (cause) => {
        if (UnauthorizedError.is(cause)) return this.#unauthorized(cause);
        this.#error(Code.unauthenticated, 'REFRESH_FAILED', 'the token could not be renewed; the old one is used until it ends', cause);
      },
    });
  }

  get snapshot(): Snapshot {
    return this.#snapshots.take(this.options.account, this.connectionState);
  }

  /** Takes the list that the gateway has accepted. */
  watched(accounts: ReadonlySet<string>, missing: readonly string[]): void {
    this.#batch(() => this.#replica.watch(accounts, missing));
  }

  connect(): Promise<void> {
    if (this.state === 'live') return Promise.resolve();
    const connected = (this.#connected ??= deferred());
    if (!this.#wanted) {
      this.#wanted = true;
      this.#attempt = 0;
      this.#tokens.restart();
      this.#watchPage(true);
      void this.#begin();
    } else if (this.#retry || this.#stuck) {
      void this.#begin();
    }
    return connected.promise;
  }

  async disconnect(): Promise<void> {
    this.#stop();
    await this.#saver.idle();
  }

  async logout(forget: boolean): Promise<void> {
    if (this.#login && !this.#leaving) {
      this.#leaving = true;
      try {
        await this.call({ logout: {} }, { repeatable: false, timeoutMs: LOGOUT_MS });
      } catch {
        // The reply was lost or late; the session ends either way.
      }
      this.#leaving = false;
    }
    this.#stop();
    if (!forget) return this.#saver.idle();
    this.#forget();
    try {
      await this.#saver.wipe();
    } catch (cause) {
      const message = 'the records of this account are still in the local store; call logout again';
      throw new RosterdError(Code.internal, 'STORE', message, { cause });
    }
  }

  #forget(): void {
    this.edits.clear();
    this.#batch(() => this.#replica.clear());
    this.#tokens.reset(this.options.token);
    this.#saver.drop();
    this.#cacheRead = false;
  }

  /** Follows another page that logged the account out and wiped its records. */
  #wipedElsewhere(): void {
    this.#stop('FORGOTTEN');
    this.#forget();
  }

  call(command: Command, { timeoutMs, ...options }: CallOptions & { timeoutMs?: number }): Promise<ServerFrame> {
    const reply = this.#calls.add(command, timeoutMs ?? this.options.requestTimeoutMs ?? 8_000, options);
    const cancel = after(UNANSWERED_MS, () => this.#probe(PROBE_MS));
    reply.then(cancel, cancel);
    const connection = this.connection;
    if (connection && this.state === 'live') this.#reconsider(connection);
    else if (connection && this.#login) this.#calls.flush((frame) => connection.send(frame));
    return reply;
  }

  async #begin(): Promise<void> {
    const run = ++this.#run;
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#setState('connecting');
    this.#waitsSince = Date.now();
    if (!this.#cacheRead) await this.#readCache(run);
    if (run !== this.#run) return;
    let token: string;
    try {
      token = await this.#tokens.take();
    } catch (cause) {
      if (run !== this.#run) return;
      this.#waitsSince = undefined;
      if (UnauthorizedError.is(cause)) return this.#unauthorized(cause);
      this.#error(Code.unauthenticated, 'NO_TOKEN', 'getToken failed', cause);
      return this.#batch(() => this.#ended({ code: 1006, reason: 'getToken failed' }, new RosterdError(Code.unauthenticated, 'NO_TOKEN', 'getToken failed', { cause })));
    }
    if (run !== this.#run) return;
    this.#waitsSince = undefined;
    this.#loginError = undefined;
    this.#resync = false;
    try {
      const connection: Connection = new Connection(this.url, this.#shared?.WebSocket ?? webSocket(this.options), {
        opened: () => {
          this.#loginId = this.#calls.nextId();
          const { device } = this.options;
          connection.send({ id: this.#loginId, login: { token, cursor: this.#replica.cursor, device } });
        },
        frame: (frame) => this.#batch(() => this.#frame(frame, connection)),
        ended: (end) => this.#batch(() => this.#ended(end)),
        trace: (direction, frame) => this.#trace(direction, frame),
      });
      this.connection = connection;
    } catch (cause) {
      // The address is invalid or there is no WebSocket: a retry would not help.
      this.#giveUp({ code: 1006, reason: 'NO_CONNECTION' }, new RosterdError(Code.internal, 'NO_CONNECTION', String((cause as Error)?.message ?? cause), { cause }));
    }
  }

  async #readCache(run: number): Promise<void> {
    const stored = await this.#saver.load();
    if (run !== this.#run) return;
    this.#cacheRead = true;
    this.#batch(() => {
      if (stored) this.#replica.load(stored);
      this.edits.restore(stored?.kept);
      if (!stored) return;
      announceStored(this.#emitter, this.#replica.stored);
    });
  }

  #frame(frame: ServerFrame, connection: Connection): void {
    if (frame.id === this.#loginId && frame.error) {
      this.#loginError = RosterdError.from(frame.error);
      // A goodbye with the close code follows; not so for an invalid login, as another client could correct it and try again.
      connection.expectWithin(this.#loginError.code === Code.invalid ? 0 : REFUSED_MS);
      return;
    }
    // The gateway cannot repair, or cannot now.
    if (frame.id === this.#repairId && frame.error) return this.#startOver(connection);
    if (frame.loginReply) {
      const { account } = frame.loginReply;
      if (account !== this.options.account) {
        const error = new RosterdError(Code.denied, 'OTHER_ACCOUNT', `the token is ${account}'s, not ${this.options.account}'s`);
        connection.close();
        return this.#giveUp({ code: 1000, reason: 'OTHER_ACCOUNT' }, error);
      }
      this.#login = frame.loginReply;
      this.schema = frame.loginReply.schema;
      connection.loggedIn(frame.loginReply.heartbeatMs);
    }
    let difference: Difference | undefined;
    try {
      difference = this.#replica.take(frame);
    } catch (cause) {
      // The frame violates the protocol. The next login brings its contents.
      this.#error(Code.internal, 'BAD_FRAME', 'a frame could not be applied', cause);
      return connection.drop('a frame could not be applied');
    }
    if (difference?.save) this.#saver.save(difference.save);
    if (frame.loginReply) this.#loggedIn(frame.loginReply, connection);
    if (difference?.how === 'sync') this.#synced(difference, frame, connection);
    else if (difference) announceUpdate(this.#emitter, difference);
    this.#calls.applied(!!frame.changes?.cursor && !this.#replica.staging);
    if (frame.signal) this.#emitter.emit('signal', frame.signal);
    if (frame.id === this.#watchId && frame.watchReply) this.#replica.watch(this.#replica.watched, frame.watchReply.missing);
    if (!this.#calls.settle(frame) && frame.error) this.#emitter.emit('error', RosterdError.from(frame.error));
    // What was settled may be what others about the same record waited for.
    if (this.state === 'live' && this.connection === connection && this.#calls.waiting) this.#reconsider(connection);
  }

  #loggedIn(login: LoginReply, connection: Connection): void {
    this.#tokens.loggedIn(login);
    this.#setState('syncing');
    // Every connection starts without a watch list.
    const { watched } = this.#replica;
    if (watched.size) {
      this.#watchId = this.#calls.nextId();
      connection.send({ id: this.#watchId, watch: { accounts: [...watched] } });
    }
    // The gateway answers these after `synced`; there is no need to wait for it.
    this.#calls.flush((frame) => connection.send(frame));
  }

  #synced(difference: Difference, frame: ServerFrame, connection: Connection): void {
    const { count = 0, digest = 0 } = frame.synced ?? {};
    const { mismatch } = difference;
    if (mismatch) this.#error(Code.internal, 'OUT_OF_STEP', `what is held is not what the gateway holds; ${REMEDY[mismatch]}`);
    // A listener may have disconnected.
    if (mismatch === 'repair' && this.connection === connection) {
      if (difference.sessions) this.#emitter.emit('sessions', difference.sessions);
      this.#repairId = this.#calls.nextId();
      connection.send({ id: this.#repairId, repair: { leaves: this.#replica.digests } });
    }
    if (mismatch === 'retry') this.#startOver(connection);
    if (mismatch === 'repair' || mismatch === 'retry') return;
    this.edits.resume((error) => this.#emitter.emit('error', error));
    this.#calls.caughtUp();
    const { sync = 'full', because } = this.#login ?? {};
    announceSync(this.#emitter, difference);
    // A listener may have disconnected.
    if (this.connection !== connection) return;
    this.#attempt = 0;
    this.#setState('live');
    this.#emitter.emit('synced', { sync, ...(because === undefined ? {} : { because }), count, digest });
    this.#connected?.resolve();
    this.#connected = undefined;
    // A listener may have disconnected.
    if (this.connection === connection) this.#reconsider(connection);
  }

  #reconsider(connection: Connection): void {
    this.#calls.reconsider((frame) => connection.send(frame));
  }

  /** Reconnects at once and fetches everything. */
  #startOver(connection: Connection): void {
    this.#resync = true;
    connection.drop('out of step');
  }

  #ended(end: End, cause?: RosterdError): void {
    this.#detach();
    this.#calls.interrupted();
    if (this.#leaving) return;
    const { code, reason, goodbye } = end;
    const { getToken, reconnect = true } = this.options;
    const renew = code === Close.tokenExpired && getToken !== undefined;
    // The refusal of a login is enough, even if the goodbye was lost.
    const refused = this.#loginError && this.#loginError.code < 500 && !renew;
    if (!this.#resync && (!reconnect || refused || !(renew || comesBack(code)))) {
      const error = this.#loginError ?? closeError(end);
      // A later connect() requests another token.
      if (getToken && error.code === Code.unauthenticated) this.#tokens.reset();
      return this.#giveUp(end, error);
    }
    // Only the first retry is immediate: a new token that has expired too would lead here again and again.
    const atOnce = (renew && this.#tokens.expired()) || this.#resync;
    const requested = goodbye?.retryAfterMs ?? this.#loginError?.retryAfterMs;
    const { minMs = 500, maxMs = 20_000 } = this.options.backoff ?? {};
    const jittered = Math.random() * Math.min(maxMs, minMs * 2 ** Math.min(this.#attempt, 30));
    const delayMs = Math.round(atOnce ? 0 : (requested ?? jittered));
    const attempt = ++this.#attempt;
    this.#retry = { cancel: after(delayMs, () => void this.#begin()), byGateway: requested !== undefined };
    const run = this.#run;
    this.#lastError = cause ?? this.#loginError ?? closeError(end);
    this.#setState('disconnected', Date.now() + delayMs);
    this.#emitter.emit('disconnected', { code, reason, willReconnect: true });
    if (run === this.#run) this.#emitter.emit('willReconnect', { attempt, delayMs });
  }

  /** The attempt waits for the application's code, and may do so for long. */
  get #stuck(): boolean {
    return this.#waitsSince !== undefined && Date.now() - this.#waitsSince >= STUCK_MS;
  }

  /** Ends for good because the application says that it has no token. */
  #unauthorized(cause: Error): void {
    const error = cause instanceof UnauthorizedError ? cause : new UnauthorizedError(cause.message, { cause });
    this.connection?.close();
    this.#tokens.reset();
    this.#giveUp({ code: 1000, reason: 'UNAUTHORIZED' }, error);
  }

  #giveUp({ code, reason }: End, error: RosterdError): void {
    this.#batch(() => {
      this.#halt(error);
      this.#lastError = error;
      this.#setState('disconnected');
      this.#emitter.emit('disconnected', { code, reason, willReconnect: false, error });
      this.#emitter.emit('error', error);
    });
  }

  #stop(reason = 'CLIENT'): void {
    const open = this.#wanted || this.state !== 'disconnected';
    this.connection?.close();
    this.#batch(() => {
      this.#halt(new RosterdError(Code.timeout, 'DISCONNECTED', 'the client was disconnected'));
      this.#lastError = undefined;
      this.#setState('disconnected');
      if (open) this.#emitter.emit('disconnected', { code: 1000, reason, willReconnect: false });
    });
  }

  #halt(error: RosterdError): void {
    this.#wanted = false;
    this.#waitsSince = undefined;
    this.#run++;
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#watchPage(false);
    this.#detach();
    this.#shared?.leave();
    this.#calls.fail(error);
    this.#connected?.reject(error);
    this.#connected = undefined;
  }

  #detach(): void {
    this.connection = undefined;
    this.#login = undefined;
    this.#tokens.stop();
    this.#replica.interrupted();
  }

  // The network or the user is back: retry at once, unless the gateway chose the time, for all clients.
  // A connection that looks open may have died silently; any answer proves that it is alive.
  readonly #wake = (): void => {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (this.#stuck || (this.#retry && !this.#retry.byGateway)) return void this.#begin();
    this.#probe(PROBE_MS);
  };

  readonly #offline = (): void => this.#probe(OFFLINE_PROBE_MS);

  /** Asks for something small. A connection over which nothing comes within `ms` is dead. */
  #probe(ms: number): void {
    const { connection } = this;
    if (!connection || !this.#login) return;
    connection.expectWithin(ms);
    this.#calls.add({ getUsers: { accounts: [this.options.account] } }, ms, { repeatable: false }).catch(() => {});
    this.#calls.flush((frame) => connection.send(frame));
  }

  #watchPage(on: boolean): void {
    const method = on ? 'addEventListener' : 'removeEventListener';
    globalThis[method]?.('online', this.#wake);
    globalThis[method]?.('offline', this.#offline);
    globalThis.document?.[method]?.('visibilitychange', this.#wake);
  }

  #setState(state: State, retryAt?: number): void {
    const previous = this.state;
    if (state === 'live') this.#lastError = undefined;
    this.state = state;
    this.connectionState = Object.freeze({
      state: retryAt === undefined ? state : 'reconnecting',
      ...(this.#lastError ? { lastError: this.#lastError } : {}),
      ...(retryAt === undefined ? {} : { retryAt }),
    });
    this.#batch(() => state !== previous && this.#emitter.emit('state', state, previous));
  }

  /** Does something that may change what is held, and then emits `change` once, if something did. */
  #batch(work: () => unknown): void {
    this.#depth++;
    try {
      work();
    } finally {
      this.#depth--;
    }
    if (this.#depth || !this.#emitter.has('change')) return;
    const { snapshot } = this;
    if (snapshot === this.#shown) return;
    this.#shown = snapshot;
    this.#emitter.emit('change', snapshot);
  }

  /** Ends the client and everything that it keeps open. */
  dispose(): Promise<void> {
    const ended = this.disconnect().finally(() => this.#saver.close());
    this.#emitter.clear();
    return ended;
  }

  #error(code: ErrorCode, reason: ErrorReason, message: string, cause?: unknown): void {
    this.#emitter.emit('error', new RosterdError(code, reason, message, { cause }));
  }

  #trace(direction: 'in' | 'out', frame: object): void {
    if (!this.#emitter.has('frame')) return;
    const { login, refresh } = frame as Command;
    const blanked = login ? { ...frame, login: { ...login, token: '…' } } : refresh ? { ...frame, refresh: { token: '…' } } : frame;
    this.#emitter.emit('frame', { direction, frame: blanked });
  }
}

/** Converts a final close into the error that callers see if there is no better one. */
function closeError({ code, reason }: End): RosterdError {
  if (comesBack(code)) return new RosterdError(Code.timeout, 'CONNECTION_LOST', `the connection ended (${code} ${reason})`);
  const auth = code === 3500 || code === Close.tokenExpired;
  return new RosterdError(auth ? Code.unauthenticated : code, reason, `the gateway closed the connection for good (${code} ${reason})`);
}
