// The types of the client's options and events, and the defaults of two options.

import type { WebSocketConstructor } from './connection.js';
import type { Block, CloseCode, CloseReason, Device, Friend, FriendRequest, Presence, RosterdError, Session, SyncReason, User } from './protocol.js';
import type { Tabs } from './sharing.js';
import type { Snapshot } from './snapshot.js';
import type { State } from './state.js';
import type { Store } from './store.js';
import type { CallLimits } from './timers.js';

/** Says why a token is needed: to connect, to replace one that expires soon, or to replace one that has expired. */
export type TokenReason = 'connect' | 'refresh' | 'expired';

/** The options of a client. */
export interface Options {
  /** `ws://` or `wss://` address. By default the gateway that served this script; required in any other place. */
  url?: string | undefined;
  /** The account whose records the client keeps. */
  account: string;
  /** Logs in. Without `token` and `getToken` the client uses the account itself, which works in development mode. */
  token?: string | undefined;
  /**
   * Supplies a token when the client needs one. If it rejects, answers no text or an empty one, or does not settle within
   * 15 s, the client treats that as a failed connection and retries later. `throw new UnauthorizedError()` ends it for good.
   */
  getToken?: ((why: TokenReason) => string | Promise<string>) | undefined;
  /** Keeps the records. `auto`, the default, uses IndexedDB where it works, otherwise memory. */
  store?: 'auto' | 'memory' | Store | undefined;
  /** Replaces the platform's WebSocket. Needed where there is none, as in Node before 22. */
  WebSocket?: WebSocketConstructor | undefined;
  /** Limits the time of a call in milliseconds, the wait for a connection included. 8000 by default. */
  requestTimeoutMs?: number | undefined;
  /** Bounds the wait before attempt n, which is random between 0 and min(maxMs, minMs × 2ⁿ). 500 and 20000 by default. */
  backoff?: { minMs?: number | undefined; maxMs?: number | undefined } | undefined;
  /** Describes this session to the account's other sessions. */
  device?: Device | undefined;
  /** Shares one connection with the other tabs of this account and origin: `shareTabs` of `rosterd/tabs`. */
  tabs?: Tabs | undefined;
  /** Enables reconnecting after a lost connection. True by default. */
  reconnect?: boolean | undefined;
}

/** How to look up profiles. */
export interface LookupOptions extends CallLimits {
  /** Asks the gateway also for profiles that the client holds. */
  fresh?: boolean | undefined;
}

/** How to treat a change of the own profile. */
export interface UpdateOptions extends CallLimits {
  /** Changes the profile only if it still has this version. */
  ifVersion?: number | undefined;
  /** Shows the change at once, and takes it back if it is refused. */
  optimistic?: boolean | undefined;
  /** The same, and without a connection the change waits for one, in the store over a restart too. */
  keep?: boolean | undefined;
}

/**
 * The events, with the arguments of their listeners.
 *
 * All maps of the client are up to date before the first listener of a frame runs.
 */
export interface Events<UserCustom extends string = string, FriendCustom extends string = string> {
  /** Brings the account's own profile. `cache`: from the store. `sync`: at every login. `update`: changed elsewhere. `reply`: changed by this client. `pending`: an optimistic change shows. `rollback`: it was refused. */
  me: (user: User<UserCustom>, how: 'cache' | 'sync' | 'update' | 'reply' | 'pending' | 'rollback') => void;
  /** Brings friends' profiles: all after a full sync, otherwise those that differ. After a repair, also those that were sent again. */
  users: (users: User<UserCustom>[], how: 'cache' | 'sync') => void;
  /**
   * Brings the profile of a friend or a watched account that changed while connected.
   *
   * It also comes for a new friend, before `friends`, and for the sender of a signal, before `signal`.
   */
  userUpdated: (user: User<UserCustom>) => void;
  /** Brings friendships: all after a full sync, otherwise those that differ. `update`: changed while connected. */
  friends: (friends: Friend<FriendCustom>[], how: 'cache' | 'sync' | 'update') => void;
  /** Reports that a friendship ended. */
  friendRemoved: (account: string) => void;
  /** Brings new requests and requests that have ended; after a full sync all open ones. */
  requests: (requests: FriendRequest[], how: 'cache' | 'sync' | 'update') => void;
  /** Brings new blocks and `removed` ones; after a full sync also all in force. */
  blocks: (blocks: Block[], how: 'cache' | 'sync' | 'update') => void;
  /** Reports who came online or went offline. `sync`: everybody, replacing all earlier presence; an account not in it was never online. */
  presence: (presence: Presence[], how: 'sync' | 'update') => void;
  /** Brings all sessions of the account when another one starts or ends, this one included. None if this session has been alone since its login. */
  sessions: (sessions: readonly Session[]) => void;
  /** Brings a message that another account sent. It is stored nowhere. */
  signal: (signal: { from: string; payload: string }) => void;
  /** Reports that a catch-up is complete: the client's records match the gateway's. */
  synced: (info: { sync: 'full' | 'delta' | 'current'; because?: SyncReason; count: number; digest: number }) => void;
  /** Reports a change of the state. */
  state: (state: State, previous: State) => void;
  /** Announces the next attempt after a lost connection. */
  willReconnect: (info: { attempt: number; delayMs: number }) => void;
  /** Reports the end of a connection or an attempt. `code` is the close code; `error` is set if the client does not retry. */
  disconnected: (info: { code: CloseCode; reason: CloseReason; willReconnect: boolean; error?: RosterdError }) => void;
  /** Reports a failure that no caller waits for. */
  error: (error: RosterdError) => void;
  /** Shows every frame, for inspection; tokens are blanked. */
  frame: (info: { direction: 'in' | 'out'; frame: object }) => void;
  /**
   * Reports that {@link RosterdClient.snapshot} is another one: once for each applied frame and each change of the
   * connection, after the other events.
   */
  change: (snapshot: Snapshot<UserCustom, FriendCustom>) => void;
}

/** Checks what would otherwise fail late, or quietly. */
export function checkOptions(options: Options): void {
  const { account, token, requestTimeoutMs, backoff, device = {} } = options ?? {};
  if (typeof account !== 'string' || account === '') throw new TypeError('options.account is missing');
  if (token !== undefined && (typeof token !== 'string' || token === '')) throw new TypeError('options.token must be a text that is not empty');
  for (const [name, ms] of Object.entries({ requestTimeoutMs, 'backoff.minMs': backoff?.minMs, 'backoff.maxMs': backoff?.maxMs })) {
    if (ms !== undefined && !(ms >= 0)) throw new TypeError(`options.${name} must be a number of milliseconds, or Infinity`);
  }
  for (const name of ['id', 'type', 'tag'] as const) {
    const text: unknown = device[name];
    if (text === undefined) continue;
    if (typeof text !== 'string' || [...text].length > DEVICE_MAX) throw new TypeError(`options.device.${name} must be a text of at most ${DEVICE_MAX} characters`);
  }
}

/** The gateway's limit for each text of a device, in characters. */
const DEVICE_MAX = 64;

/** Returns the WebSocket class to use, or throws if there is none. */
export function webSocket(options: Options): WebSocketConstructor {
  const found = options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined);
  if (!found) throw new TypeError('there is no WebSocket: give one as options.WebSocket, such as that of "ws"');
  return found;
}

/** Returns the address of the gateway that served the script at `address`, behind any prefix; nothing if none did. */
export function gatewayOf(address: string | null | undefined): string | undefined {
  const from = /^http(s?):\/\/([^?#]+)\/sdk\/(?:rosterd|nim|core)[\w.-]*\.js(?:[?#]|$)/.exec(address ?? '');
  return from ? `ws${from[1]}://${from[2]}/v1/ws` : undefined;
}

/** Returns the address to connect to. There is no guess: it would lead to the visitor's own machine. */
export function address({ url }: Options): string {
  const found = url ?? gatewayOf(import.meta.url);
  if (found) return found;
  throw new TypeError('options.url is missing: no gateway served this script, so give the address of one, such as "wss://rosterd.example.com/v1/ws"');
}
