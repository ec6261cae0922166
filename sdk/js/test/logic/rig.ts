// A gateway made of script: tests say what it sends and look at what the client sent. Time stands still until a
// test moves it.

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

  // As a browser on a dead network: the close event does not come by itself.
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

  /** The last command of that name. */
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

  /** Everything that a full sync of these brings. */
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

/** `synced` for friends of relation version 5. */
export function summary(users: User[], cursor: string): { cursor: string; count: number; digest: number } {
  const friends = new Map(users.map(({ account }) => [account, friend(account, 5)]));
  return { cursor, count: users.length, digest: digest(friends, new Map(users.map((card) => [card.account, card]))) };
}

/** Lets everything run that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 12; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Moves the clock; what it set off has run when this returns. */
export async function pass(ms: number): Promise<void> {
  await settle();
  mock.timers.tick(ms);
  await settle();
}

const EVENTS = [
  'me', 'users', 'userUpdated', 'friends', 'friendRemoved', 'requests', 'blocks', 'presence', 'sessions', 'signal', 'synced', 'state',
  'willReconnect', 'disconnected', 'error',
] as const;

export interface Rig {
  client: RosterdClient;
  /** All sockets that were made, the newest last. */
  sockets: FakeSocket[];
  /** The newest. */
  readonly socket: FakeSocket;
  /** What the listeners heard. */
  heard: { event: keyof Events; args: any[] }[];
  /** The arguments of one kind of event. */
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

/** A rig that is live with these friends. */
export async function live(users: User[] = [user('bob', 2), user('carol', 3)], options: Partial<Options> = {}, reply: object = {}): Promise<Rig> {
  const it = rig(options);
  const connected = it.client.connect();
  await settle();
  it.socket.full(users, 'e-1', reply);
  await connected;
  await settle();
  return it;
}

/** Call at the top of a test file: every test there has a clock of its own, which starts at the same time. */
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
