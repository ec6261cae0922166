// What an application gives to the client and hears from it: the options, and the events.

import type { WebSocketConstructor } from './connection.js';
import type { Block, Device, Friend, FriendRequest, Presence, RosterdError, Session, User } from './protocol.js';
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

export function webSocket(options: Options): WebSocketConstructor {
  const found = options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined);
  if (!found) throw new TypeError('this platform has no WebSocket: give one as options.WebSocket, for instance that of "ws"');
  return found;
}

/** The gateway serves this very file, so where it came from is where to connect. */
export function defaultUrl(): string {
  const from = /^http(s?):\/\/([^/]+)\/sdk\//.exec(import.meta.url ?? '');
  return from ? `ws${from[1]}://${from[2]}/v1/ws` : 'ws://127.0.0.1:7678/v1/ws';
}
