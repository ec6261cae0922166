// A scripted gateway: tests choose its frames and inspect the client's. Time stands still until a test advances it.

import { mock } from 'node:test';
import { RosterdClient } from '../../src/index.js';
import { digest } from '../../src/digest.js';
import type { Block, Events, Friend, FriendRequest, Options, User } from '../../src/index.js';
import type { WebSocketLike } from '../../src/connection.js';

export class FakeSocket implements WebSocketLike {
  readyState = 0;
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  /** Frames of the client, oldest first. */
  readonly sent: any[] = [];

  constructor(readonly url: string, readonly protocols?: string | string[]) {}

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  // Like a browser on a dead network: no close event follows.
  close(): void {
    this.readyState = 2;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.({});
  }

  gives(frame: object | string): void {
    this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
  }

  ends(code: number, reason = ''): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  /** Returns the last command of that name. */
  last(command: string): any {
    return this.sent.findLast((frame) => command in frame);
  }

  login(reply: object = {}): void {
    this.open();
    this.gives({
      id: this.last('login').id,
      loginReply: { account: 'alice', session: 's', epoch: 'e', serverTime: Date.now(), heartbeatMs: 25_000, sync: 'full', because: 'NO_CURSOR', ...reply },
    });
  }

  /** Sends a full sync with these profiles. */
  full(users: User[], cursor = 'e-1', reply: object = {}): void {
    this.login(reply);
    this.gives({ changes: { me: user('alice', 1), users, friends: users.map(({ account }) => friend(account, 5)) } });
    this.gives({ synced: summary(users, cursor) });
  }
}

export const user = (account: string, version: number, nick = account): User => ({
  account, nick, avatar: '', sign: '', gender: 'unknown', email: '', birth: '', tel: '', custom: '', createTime: 1, updateTime: 1, version,
});

export const friend = (account: string, version: number): Friend => ({ account, alias: '', custom: '', createTime: 1, updateTime: 1, version });

export const request = (account: string, direction: 'in' | 'out', version: number, state: FriendRequest['state'] = 'open', message = ''): FriendRequest => ({
  account, direction, message, state, createTime: 1, updateTime: 1, version,
});

export const block = (account: string, version: number, removed = false): Block => ({ account, createTime: 1, version, removed });

/** Returns `synced` for friendships of version 5. */
export function summary(users: User[], cursor: string): { cursor: string; count: number; digest: number } {
  const friends = new Map(users.map(({ account }) => [account, friend(account, 5)]));
  return { cursor, count: users.length, digest: digest(friends, new Map(users.map((user) => [user.account, user]))) };
}

/** Runs all work that is ready. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 12; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Advances the clock and runs the work that this starts. */
export async function pass(ms: number): Promise<void> {
  await settle();
  mock.timers.tick(ms);
  await settle();
}

const EVENTS = [
  'me', 'users', 'userUpdated', 'friends', 'friendRemoved', 'requests', 'blocks', 'presence', 'sessions', 'signal', 'synced', 'state',
  'willReconnect', 'disconnected', 'error',
] as const;

/** The key under which a rig's client stores the records of an account. */
export const key = (account = 'alice'): string => `${account} ws://gateway/v1/ws`;

export interface Rig {
  client: RosterdClient;
  /** All sockets, the newest last. */
  sockets: FakeSocket[];
  /** The newest socket. */
  readonly socket: FakeSocket;
  /** All events. */
  heard: { event: keyof Events; args: any[] }[];
  /** Returns the arguments of all events of one kind. */
  of(event: keyof Events): any[][];
}

export function rig(options: Partial<Options> = {}): Rig {
  const sockets: FakeSocket[] = [];
  class Socket extends FakeSocket {
    constructor(url: string, protocols?: string | string[]) {
      super(url, protocols);
      sockets.push(this);
    }
  }
  const client = new RosterdClient({ url: 'ws://gateway/v1/ws', account: 'alice', store: 'memory', WebSocket: Socket, ...options });
  const heard: Rig['heard'] = [];
  for (const event of EVENTS) client.on(event, ((...args: any[]) => void heard.push({ event, args })) as never);
  return {
    client, sockets, heard,
    get socket() {
      const last = sockets.at(-1);
      if (!last) throw new Error('no socket was opened');
      return last;
    },
    of: (event) => heard.filter((entry) => entry.event === event).map(({ args }) => args),
  };
}

/** Returns a live rig with these friends. */
export async function live(users: User[] = [user('bob', 2), user('carol', 3)], options: Partial<Options> = {}, reply: object = {}): Promise<Rig> {
  const it = rig(options);
  const connected = it.client.connect();
  await settle();
  it.socket.full(users, 'e-1', reply);
  await connected;
  await settle();
  return it;
}

/** Gives every test of the calling file its own clock, which starts at the same time. */
export function frozenTime(hooks: { beforeEach(f: () => void): void; afterEach(f: () => void): void }): void {
  hooks.beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_795_420_000_000 });
    mock.method(Math, 'random', () => 0.5);
  });
  hooks.afterEach(() => {
    mock.timers.reset();
    mock.restoreAll();
  });
}
