// The callbacks of a NIM instance: which of them the client's events call, and in which order.

import type { RosterdClient } from './client.js';
import { cutFriends } from './merge.js';
import { failure, networkCode } from './nim-errors.js';
import type {
  NIMDisconnected, NIMFriend, NIMFriendAction, NIMFriends, NIMGetInstanceOptions, NIMLoginPort, NIMRelation, NIMRelations, NIMSystemMessage,
} from './nim-options.js';
import { blocked, card, changedRelation, loginPort, relation, systemMessage } from './nim-records.js';
import type { Events } from './options.js';
import { Close } from './protocol.js';
import type { Friend, FriendRequest, Session, User } from './protocol.js';
import { requestKey } from './store.js';

type Callback = {
  [K in keyof NIMGetInstanceOptions]-?: NonNullable<NIMGetInstanceOptions[K]> extends (...args: never[]) => void ? K : never;
}[keyof NIMGetInstanceOptions];

export class Callbacks {
  options: NIMGetInstanceOptions;
  // Why the instance disconnected itself, or whose call did.
  leaving?: NIMDisconnected;
  // Accounts that a call of this instance is about: its `done` tells, and no callback besides.
  readonly own: string[] = [];
  readonly #client: RosterdClient;
  // Told as the reason of a disconnect already, so it is none for `onerror`.
  #ended?: unknown;
  // What the application has been told since the last login, so that a cached profile is not told twice.
  #toldMe?: User;
  #toldCache = false;
  // Between login and `onsyncdone`: relations and removals go out together.
  #catchUp?: { friends?: Friend[]; removed: string[]; requests: FriendRequest[]; blocks?: boolean };
  // What the application holds if it merged all that it was told.
  #friends = new Map<string, Friend>();
  #blocked: NIMRelation[] = [];
  // The open requests that were told, by their keys.
  #asked = new Set<string>();
  #ports: NIMLoginPort[] = [];

  constructor(client: RosterdClient, options: NIMGetInstanceOptions) {
    this.#client = client;
    this.options = options;
    this.#listen();
  }

  friend(account: string): { friend?: NIMFriend } {
    const friend = this.#client.friends.get(account);
    return friend ? { friend: relation(friend) } : {};
  }

  #listen(): void {
    const client = this.#client;
    const on = <K extends keyof Events>(event: K, listener: Events[K]): void => void client.on(event, listener);
    on('state', (state) => {
      if (state === 'syncing') this.#connected();
    });
    on('me', (user, how) => {
      // Whoever changes something is told by `done`, as with NIM.
      if (how === 'sync') this.#tellMe(user);
      else if (how === 'update') this.#tell('onupdatemyinfo', card(user));
    });
    on('users', (users, how) => {
      if (how === 'sync') this.#tellUsers(users);
    });
    on('userUpdated', (user) => this.#tell('onupdateuser', card(user)));
    on('friends', (friends, how) => {
      if (how === 'update') this.#friendsChanged(friends);
      else if (this.#catchUp) this.#catchUp.friends = friends;
    });
    on('friendRemoved', (account) => {
      this.#friends.delete(account);
      if (this.#catchUp) this.#catchUp.removed.push(account);
      else this.#tellFriends([], [account]);
    });
    on('requests', (requests, how) => {
      if (how === 'update') for (const request of requests) this.#requestChanged(request);
      else this.#catchUp?.requests.push(...requests);
    });
    on('blocks', (blocks, how) => {
      if (how === 'sync' && this.#catchUp) this.#catchUp.blocks = true;
      if (how !== 'update') return;
      this.#blocked = [...client.blocks.values()].map(blocked);
      for (const { account, createTime, removed } of blocks) {
        const mark = { account, isAdd: !removed, record: { account, updateTime: createTime } };
        if (!this.own.includes(account)) this.#tell('onsyncmarkinblacklist', mark);
      }
    });
    on('sessions', (sessions) => this.#tellPorts(sessions));
    on('synced', () => {
      const { friends, removed, requests, blocks } = this.#catchUp ?? { removed: [], requests: [] };
      this.#catchUp = undefined;
      this.#friends = new Map(client.friends);
      if (friends || removed.length) this.#tellFriends(friends ?? [], removed);
      if (blocks) this.#tellBlocked();
      this.#tellRequests(requests);
      this.#tell('onsyncdone');
    });
    on('willReconnect', ({ attempt, delayMs }) => {
      const { reconnectionAttempts } = this.options;
      if (reconnectionAttempts !== undefined && attempt > reconnectionAttempts) {
        this.leaving = { code: 'allAttemptsFailed', message: `${reconnectionAttempts} attempts to connect failed`, callFunc: 'connect' };
        void client.disconnect();
      } else {
        this.#tell('onwillreconnect', { retryCount: attempt, duration: delayMs });
      }
    });
    on('disconnected', (ended) => {
      this.#catchUp = undefined;
      this.#toldMe = undefined;
      if (ended.willReconnect) return;
      this.#ended = ended.error;
      const message = ended.error?.message ?? ended.reason;
      this.#tell('ondisconnect', this.leaving ?? kicked(ended.code, message) ?? { code: networkCode(ended.code, ended.error), message });
    });
    on('error', (error) => {
      if (error !== this.#ended) this.#tell('onerror', failure(error, 'connection'));
    });
  }

  /** Logged in. What is cached goes out first, for what follows is only the difference to it. */
  #connected(): void {
    this.#catchUp = { removed: [], requests: [] };
    const { customTag } = this.options;
    this.#tell('onconnect', { lastLoginDeviceId: '', connectionId: '', ip: '', port: '', ...(customTag === undefined ? {} : { customTag }) });
    if (this.#toldCache) return;
    this.#toldCache = true;
    const { me, users, friends } = this.#client;
    if (!me) return;
    this.#tellMe(me);
    this.#tellUsers([...users.values()]);
    this.#tellFriends([...friends.values()], []);
    if (this.#client.blocks.size) this.#tellBlocked();
    this.#tellRequests([]);
  }

  #tellMe(user: User): void {
    if (user === this.#toldMe) return;
    this.#toldMe = user;
    this.#tell('onmyinfo', card(user));
  }

  #tellUsers(users: User[]): void {
    if (this.options.syncFriendUsers !== false) this.#tell('onusers', users.map(card));
  }

  #tellFriends(friends: Friend[], removed: string[]): void {
    if (this.options.syncFriends === false) return;
    const list: NIMFriends = friends.map(relation);
    list.invalid = removed.map((account) => ({ account, valid: false, createTime: 0, updateTime: 0 }));
    this.#tell('onfriends', list);
  }

  #friendsChanged(friends: Friend[]): void {
    const entered = friends.filter(({ account }) => !this.#friends.has(account));
    if (entered.length) this.#tellFriends(entered, []);
    for (const friend of friends) {
      const before = this.#friends.get(friend.account);
      this.#friends.set(friend.account, friend);
      if (before && !this.own.includes(friend.account)) this.#tell('onsyncfriendaction', { type: 'updateFriend', friend: changedRelation(friend, before) });
    }
  }

  #tellBlocked(): void {
    const now = [...this.#client.blocks.values()].map(blocked);
    const list: NIMRelations = cutFriends(now, this.#blocked);
    list.invalid = cutFriends(this.#blocked, now);
    this.#blocked = now;
    if (this.options.syncRelations !== false) this.#tell('onblacklist', list);
  }

  /** Those that are open and were not told yet, and what became of others. */
  #tellRequests(changed: FriendRequest[]): void {
    const open = this.#client.requests;
    const messages = [...new Set([...open, ...changed])].flatMap((request) => this.#message(request) ?? []);
    // One that is not there any more may come anew.
    this.#asked = new Set(open.map(requestKey));
    if (messages.length) this.#tell('onofflinesysmsgs', messages);
  }

  #requestChanged(request: FriendRequest): void {
    const { account, direction, state } = request;
    const wasOpen = this.#asked.has(requestKey(request));
    const message = this.#message(request);
    if (message) this.#tell('onsysmsg', message);
    if (this.own.includes(account)) return;
    const action = (type: NIMFriendAction['type'], more: object = {}): void => this.#tell('onsyncfriendaction', { type, account, ...more });
    if (direction === 'out' && state === 'open') action('applyFriend');
    else if (direction === 'out' && state === 'accepted' && !wasOpen) action('addFriend', this.friend(account));
    else if (direction === 'in' && state === 'accepted' && wasOpen) action('passFriendApply', this.friend(account));
    else if (direction === 'in' && state === 'rejected') action('rejectFriendApply');
  }

  /** What the other side did, if it did something that was not told yet. What became of a request that was, is told at once. */
  #message(request: FriendRequest): NIMSystemMessage | undefined {
    const key = requestKey(request);
    const { direction, state } = request;
    const wasOpen = this.#asked.has(key);
    if (state === 'open') this.#asked.add(key);
    else this.#asked.delete(key);
    const message = (type: NIMSystemMessage['type']): NIMSystemMessage => systemMessage(this.#client.account, request, type);
    if (direction === 'in' && wasOpen && state !== 'open') this.#tell('onupdatesysmsg', message('applyFriend'));
    if (direction === 'in' && !wasOpen && state === 'open') return message('applyFriend');
    if (direction === 'in' && !wasOpen && state === 'accepted') return message('addFriend');
    if (direction === 'out' && wasOpen && state === 'accepted') return message('passFriendApply');
    if (direction === 'out' && state === 'rejected') return message('rejectFriendApply');
    return undefined;
  }

  #tellPorts(sessions: readonly Session[]): void {
    const there = sessions.filter(({ current }) => !current).map((session) => loginPort(this.#client.account, session, true));
    const ids = new Set(there.map(({ deviceId }) => deviceId));
    const gone = this.#ports.filter(({ deviceId }) => !ids.has(deviceId)).map((port) => ({ ...port, online: false }));
    this.#ports = there;
    if (there.length || gone.length) this.#tell('onloginportschange', [...there, ...gone]);
  }

  #tell<K extends Callback>(name: K, ...args: Parameters<NonNullable<NIMGetInstanceOptions[K]>>): void {
    safely(() => (this.options[name] as ((...args: unknown[]) => void) | undefined)?.(...args));
  }
}

/** The account's own other devices, the backend and the deployment's policy all end a session in the same way. */
function kicked(close: number, message: string): NIMDisconnected | undefined {
  const reason = { [Close.kicked]: 'otherPlatformKick', [Close.sessionLimit]: 'samePlatformKick' }[close];
  return reason === undefined ? undefined : { code: 'kicked', reason, message, custom: '', from: 'Server', customClientType: 0 };
}

/** An application's callback that throws is its own affair: the console hears of it, and nothing else stops. */
export function safely(callback: () => unknown): void {
  try {
    callback();
  } catch (error) {
    if (typeof globalThis.reportError === 'function') globalThis.reportError(error);
    else console.error(error);
  }
}
