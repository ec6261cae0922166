// The callbacks of a NIM instance, driven by the client's events in NIM's order.

import type { RosterdClient } from './client.js';
import { report } from './emitter.js';
import { cutFriends } from './merge.js';
import { failure, networkCode } from './nim-errors.js';
import { EventSubscriptions } from './nim-events.js';
import type {
  NIMDisconnected, NIMFriend, NIMFriendAction, NIMFriends, NIMGetInstanceOptions, NIMLoginPort, NIMRelation, NIMRelations, NIMSystemMessage,
} from './nim-options.js';
import { blocked, changedRelation, loginPort, muted, profile, relation, systemMessage } from './nim-records.js';
import type { Events } from './options.js';
import { Close } from './protocol.js';
import type { Block, Friend, FriendRequest, Session, User } from './protocol.js';
import { requestKey } from './store.js';

/** The names of the callbacks among the options. */
type Callback = {
  [K in keyof NIMGetInstanceOptions]-?: NonNullable<NIMGetInstanceOptions[K]> extends (...args: never[]) => void ? K : never;
}[keyof NIMGetInstanceOptions];

/** Calls the application's callbacks. */
export class Callbacks {
  options: NIMGetInstanceOptions;
  // The reason of a disconnect by this side.
  leaving?: NIMDisconnected;
  // The client waits before the next attempt.
  waiting = false;
  // Accounts of pending calls, whose effects only `done` reports.
  readonly own: string[] = [];
  readonly events: EventSubscriptions;
  readonly #client: RosterdClient;
  // Already reported by `ondisconnect`, so not by `onerror`.
  #ended?: unknown;
  // The profile that `onmyinfo` got last, since the login.
  #emittedMe?: User;
  #emittedCache = false;
  // Changes between login and `onsyncdone`.
  #catchUp?: { friends?: Friend[]; removed: string[]; requests: FriendRequest[]; blocks?: boolean };
  // The application's lists, if it merges all callbacks.
  #friends = new Map<string, Friend>();
  #blocked: NIMRelation[] = [];
  #muted: NIMRelation[] = [];
  // The keys of reported open requests.
  #asked = new Set<string>();
  #ports: NIMLoginPort[] = [];

  constructor(client: RosterdClient, options: NIMGetInstanceOptions) {
    this.#client = client;
    this.options = options;
    this.events = new EventSubscriptions(client);
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
      if (state !== 'disconnected') this.waiting = false;
      if (state === 'syncing') this.#connected();
    });
    on('me', (user, how) => {
      // The caller of a change gets `done` only, as with NIM.
      if (how === 'sync') this.#emitMe(user);
      else if (how === 'update') {
        this.#call('onupdatemyinfo', profile(user));
        this.#mutesChanged(user);
      } else this.#muted = muted(user);
    });
    on('users', (users, how) => {
      if (how === 'sync') this.#emitUsers(users);
    });
    on('userUpdated', (user) => this.#call('onupdateuser', profile(user)));
    on('friends', (friends, how) => {
      if (how === 'update') this.#friendsChanged(friends);
      else if (this.#catchUp) this.#catchUp.friends = friends;
    });
    on('friendRemoved', (account) => {
      this.#friends.delete(account);
      this.events.unsubscribe([account]);
      if (this.#catchUp) this.#catchUp.removed.push(account);
      else this.#emitFriends([], [account]);
    });
    on('requests', (requests, how) => {
      if (how === 'update') for (const request of requests) this.#requestChanged(request);
      else this.#catchUp?.requests.push(...requests);
    });
    on('blocks', (blocks, how) => {
      if (how === 'update') this.#blocksChanged(blocks);
      else if (how === 'sync' && this.#catchUp) this.#catchUp.blocks = true;
    });
    on('presence', (presence, how) => {
      const afresh = how === 'sync';
      this.emitEvents(afresh ? this.events.accounts() : presence.map(({ account }) => account), afresh);
    });
    on('sessions', (sessions) => this.#emitPorts(sessions));
    on('synced', () => this.#synced());
    on('willReconnect', ({ attempt, delayMs }) => {
      const { reconnectionAttempts } = this.options;
      if (reconnectionAttempts !== undefined && attempt > reconnectionAttempts) {
        this.leaving = { code: 'allAttemptsFailed', message: `${reconnectionAttempts} attempts to connect failed`, callFunc: 'connect' };
        void client.disconnect();
      } else {
        this.#call('onwillreconnect', { retryCount: attempt, duration: delayMs });
      }
    });
    on('disconnected', (ended) => {
      this.#catchUp = undefined;
      this.#emittedMe = undefined;
      this.waiting = ended.willReconnect;
      if (ended.willReconnect) return;
      this.#ended = ended.error;
      const message = ended.error?.message ?? ended.reason;
      this.#call('ondisconnect', this.leaving ?? kicked(ended.code, message) ?? { code: networkCode(ended.code, ended.error), message });
    });
    on('error', (error) => {
      if (error !== this.#ended) this.#call('onerror', failure(error, 'connection'));
    });
  }

  /** Reports the login, and then cached records: the catch-up brings only differences to them. */
  #connected(): void {
    this.#catchUp = { removed: [], requests: [] };
    const { customTag } = this.options;
    this.#call('onconnect', { lastLoginDeviceId: '', connectionId: '', ip: '', port: '', ...(customTag === undefined ? {} : { customTag }) });
    if (this.#emittedCache) return;
    this.#emittedCache = true;
    const { me, users, friends } = this.#client;
    if (!me) return;
    this.#emitMe(me);
    this.#emitUsers([...users.values()]);
    this.#emitFriends([...friends.values()], []);
    if (this.#client.blocks.size) this.#emitBlocked();
    this.#emitRequests([]);
  }

  #synced(): void {
    const { friends, removed, requests, blocks } = this.#catchUp ?? { removed: [], requests: [] };
    this.#catchUp = undefined;
    this.#friends = new Map(this.#client.friends);
    if (friends || removed.length) this.#emitFriends(friends ?? [], removed);
    if (blocks) this.#emitBlocked();
    this.#emitRequests(requests);
    this.#call('onsyncdone');
  }

  #emitMe(user: User): void {
    if (user === this.#emittedMe) return;
    this.#emittedMe = user;
    this.#call('onmyinfo', profile(user));
    const now = muted(user);
    const list: NIMRelations = cutFriends(now, this.#muted);
    list.invalid = cutFriends(this.#muted, now);
    this.#muted = now;
    if (this.options.syncRelations !== false && (list.length || list.invalid.length)) this.#call('onmutelist', list);
  }

  /** Reports what another device muted, or no longer. */
  #mutesChanged(user: User): void {
    const [before, now] = [this.#muted, muted(user)];
    this.#muted = now;
    const marks = [...cutFriends(now, before).map(({ account }) => ({ account, isAdd: true })), ...cutFriends(before, now).map(({ account }) => ({ account, isAdd: false }))];
    for (const mark of marks) this.#call('onsyncmarkinmutelist', { ...mark, record: { account: mark.account, updateTime: user.updateTime } });
  }

  #emitUsers(users: User[]): void {
    if (this.options.syncFriendUsers !== false) this.#call('onusers', users.map(profile));
  }

  #emitFriends(friends: Friend[], removed: string[]): void {
    if (this.options.syncFriends === false) return;
    const list: NIMFriends = friends.map(relation);
    list.invalid = removed.map((account) => ({ account, valid: false, createTime: 0, updateTime: 0 }));
    this.#call('onfriends', list);
  }

  #friendsChanged(friends: Friend[]): void {
    const entered = friends.filter(({ account }) => !this.#friends.has(account));
    if (entered.length) this.#emitFriends(entered, []);
    for (const friend of friends) {
      const before = this.#friends.get(friend.account);
      this.#friends.set(friend.account, friend);
      if (before && !this.own.includes(friend.account)) this.#call('onsyncfriendaction', { type: 'updateFriend', friend: changedRelation(friend, before) });
    }
  }

  #blocksChanged(blocks: Block[]): void {
    this.#blocked = [...this.#client.blocks.values()].map(blocked);
    for (const { account, createTime, removed } of blocks) {
      const mark = { account, isAdd: !removed, record: { account, updateTime: createTime } };
      if (!this.own.includes(account)) this.#call('onsyncmarkinblacklist', mark);
    }
  }

  #emitBlocked(): void {
    const now = [...this.#client.blocks.values()].map(blocked);
    const list: NIMRelations = cutFriends(now, this.#blocked);
    list.invalid = cutFriends(this.#blocked, now);
    this.#blocked = now;
    if (this.options.syncRelations !== false) this.#call('onblacklist', list);
  }

  /** Reports open requests that are new, and the outcome of others. */
  #emitRequests(changed: FriendRequest[]): void {
    const open = this.#client.requests;
    const messages = [...new Set([...open, ...changed])].flatMap((request) => this.#message(request) ?? []);
    // A request that is gone may come again.
    this.#asked = new Set(open.map(requestKey));
    if (messages.length) this.#call('onofflinesysmsgs', messages);
  }

  #requestChanged(request: FriendRequest): void {
    const { account, direction, state } = request;
    const wasOpen = this.#asked.has(requestKey(request));
    const message = this.#message(request);
    if (message) this.#call('onsysmsg', message);
    if (this.own.includes(account)) return;
    const action = (type: NIMFriendAction['type'], more: object = {}): void => this.#call('onsyncfriendaction', { type, account, ...more });
    if (direction === 'out' && state === 'open') action('applyFriend');
    else if (direction === 'out' && state === 'accepted' && !wasOpen) action('addFriend', this.friend(account));
    else if (direction === 'in' && state === 'accepted' && wasOpen) action('passFriendApply', this.friend(account));
    else if (direction === 'in' && state === 'rejected') action('rejectFriendApply');
  }

  /** Returns the other side's new action, if any. Reports the outcome of a known request at once. */
  #message(request: FriendRequest): NIMSystemMessage | undefined {
    const key = requestKey(request);
    const { direction, state } = request;
    const wasOpen = this.#asked.has(key);
    if (state === 'open') this.#asked.add(key);
    else this.#asked.delete(key);
    const message = (type: NIMSystemMessage['type']): NIMSystemMessage => systemMessage(this.#client.account, request, type);
    if (direction === 'in' && wasOpen && state !== 'open') this.#call('onupdatesysmsg', message('applyFriend'));
    if (direction === 'in' && !wasOpen && state === 'open') return message('applyFriend');
    if (direction === 'in' && !wasOpen && state === 'accepted') return message('addFriend');
    if (direction === 'out' && wasOpen && state === 'accepted') return message('passFriendApply');
    if (direction === 'out' && state === 'rejected') return message('rejectFriendApply');
    return undefined;
  }

  #emitPorts(sessions: readonly Session[]): void {
    const there = sessions.filter(({ current }) => !current).map((session) => loginPort(this.#client.account, session, true));
    const ids = new Set(there.map(({ deviceId }) => deviceId));
    const gone = this.#ports.filter(({ deviceId }) => !ids.has(deviceId)).map((port) => ({ ...port, online: false }));
    this.#ports = there;
    if (there.length || gone.length) this.#call('onloginportschange', [...there, ...gone]);
  }

  /** Reports the events of these accounts since the last report. */
  emitEvents(accounts: string[], afresh: boolean): void {
    const msgEvents = this.events.events(accounts, afresh);
    if (msgEvents.length) this.#call('onpushevents', { msgEvents });
  }

  #call<K extends Callback>(name: K, ...args: Parameters<NonNullable<NIMGetInstanceOptions[K]>>): void {
    safely(() => (this.options[name] as ((...args: unknown[]) => void) | undefined)?.(...args));
  }
}

/** Describes a session ended by another device, the backend or `sessions.policy`. */
function kicked(close: number, message: string): NIMDisconnected | undefined {
  const reason = { [Close.kicked]: 'otherPlatformKick', [Close.sessionLimit]: 'samePlatformKick' }[close];
  return reason === undefined ? undefined : { code: 'kicked', reason, message, custom: '', from: 'Server', customClientType: 0 };
}

/** Runs a callback and reports its error, so that nothing else stops. */
export function safely(callback: () => unknown): void {
  try {
    callback();
  } catch (error) {
    report(error);
  }
}
