// NIM's face on the client: the part of `NIM.getInstance` that is about one's own profile, friends and devices. It
// translates names and the order of callbacks, with nim-records.ts for the shapes; what is true and when it is asked for
// is the client's business.
// As a classic script (dist/nim.js) it defines the global `NIM`.

import { RosterdClient } from './client.js';
import type { Events, TokenReason } from './client.js';
import { cutFriends, merge, mergeFriends, mergeUsers } from './merge.js';
import { failure, networkCode, WRONG_TOKEN } from './nim-errors.js';
import type { NIMError } from './nim-errors.js';
import { warnOfIgnored } from './nim-options.js';
import type {
  NIMDisconnected, NIMFriend, NIMFriendAction, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMLoginPort, NIMMark, NIMRelation,
  NIMRelations, NIMSystemMessage, NIMUser,
} from './nim-options.js';
import { blocked, card, changedRelation, loginPort, relation, systemMessage } from './nim-records.js';
import { Close } from './protocol.js';
import type { Friend, FriendRequest, MyInfo, Session, User } from './protocol.js';
import { requestKey } from './store.js';

export type {
  NIMDisconnected, NIMError, NIMFriend, NIMFriendAction, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMLoginPort, NIMMark, NIMRelation,
  NIMRelations, NIMSystemMessage, NIMUser,
};

/** `error` is null if the call succeeded, and only then there is `data`. */
export type Done<T> = (error: NIMError | null, data: T) => void;

/** What `updateMyInfo` takes besides `done`: a field that is left out stays as it is, an empty text clears. */
export type NIMMyInfo = MyInfo & { antiSpamBusinessId?: string };

type OneOrMore<T> = T | T[];

/** One of the calls that answer or make a request. `ps` travels as its message, at most 256 characters. */
export interface NIMApply {
  account: string;
  ps?: string;
  /** Of the system message that is answered; the account says enough. */
  idServer?: string;
}

/** As many as NIM and the gateway look up in one call. */
const LOOKUP_MAX = 150;
const OWN_FIELDS = ['nick', 'avatar', 'sign', 'gender', 'email', 'birth', 'tel', 'custom'] as const;

// Only known while a classic script runs for the first time.
const servedFrom = scriptAddress();
const instances = new Map<string, NIM>();

export class NIM {
  static readonly util = { merge };

  /** The instance of this account. A later call returns the same one, with the new options, and connects it if it is down. */
  static getInstance(options: NIMGetInstanceOptions): NIM {
    const known = instances.get(options?.account);
    if (known) {
      known.setOptions(options);
      known.connect();
      return known;
    }
    const nim = new NIM(options);
    instances.set(options.account, nim);
    if (!options.skipConnectionOnInitialize) nim.connect();
    return nim;
  }

  /** For what NIM has no name for: presence, `watch`, `signal`. */
  readonly client: RosterdClient;
  #options: NIMGetInstanceOptions;
  // The token that was shown last; seeing it again after its end means that there is no better one.
  #shownToken?: string;
  // Why the instance disconnected itself, or whose call did.
  #leaving?: NIMDisconnected;
  #destroyed = false;
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
  // Accounts that a call of this instance is about: its `done` tells, and no callback besides.
  #own: string[] = [];

  private constructor(options: NIMGetInstanceOptions) {
    warnOfIgnored(options);
    this.#options = options;
    this.client = new RosterdClient({
      url: options.url ?? servedFrom,
      account: options.account,
      getToken: (why) => this.#token(why),
      store: options.db === false ? 'memory' : 'auto',
      reconnect: options.needReconnect,
      requestTimeoutMs: options.cmdTimeout,
      device: { type: 'web', tag: options.customTag },
    });
    this.#listen();
  }

  get account(): string {
    return this.client.account;
  }

  /** Other values for options, callbacks included: they count from now on, a token from the next login on. */
  setOptions(options: Partial<NIMGetInstanceOptions>): void {
    warnOfIgnored(options);
    this.#options = merge<NIMGetInstanceOptions>(this.#options, options);
  }

  connect(): void {
    if (this.#destroyed) return console.warn(`rosterd: the NIM instance of ${this.account} is destroyed`);
    this.#leaving = undefined;
    // How it ends is told by callbacks.
    this.client.connect().catch(() => {});
  }

  /** Ends the connection; `connect` comes back and goes on from what is held. */
  disconnect(options: { done?: Done<object> } = {}): void {
    this.#leave('disconnect', options?.done);
  }

  /** Ends the connection and the instance; the next `getInstance` makes another. */
  destroy(options: { done?: Done<object> } = {}): void {
    this.#destroyed = true;
    if (instances.get(this.account) === this) instances.delete(this.account);
    this.#leave('destroy', options?.done);
  }

  updateMyInfo(options: NIMMyInfo & { done?: Done<NIMUser> }): void {
    const fields = Object.fromEntries(OWN_FIELDS.map((name) => [name, options[name]]));
    this.#answer('updateMyInfo', options.done, async () => card(await this.client.updateMyInfo(fields)));
  }

  /** From what is held if that is kept up to date, unless `sync`; otherwise from the gateway. */
  getUser(options: { account: string; sync?: boolean; done?: Done<NIMUser> }): void {
    const { account, sync: fresh = false, done } = options;
    this.#answer('getUser', done, async () => card(await this.client.getUser(account, { fresh })));
  }

  /** As `getUser`, at most 150. Accounts that do not exist are left out. */
  getUsers(options: { accounts: string[]; sync?: boolean; done?: Done<NIMUser[]> }): void {
    const { accounts, sync: fresh = false, done } = options;
    this.#answer('getUsers', done, async () => {
      if (!Array.isArray(accounts)) throw { code: 414, message: 'accounts must be a list' };
      if (accounts.length > LOOKUP_MAX) throw { code: 419, message: `accounts may be at most ${LOOKUP_MAX}` };
      return (await this.client.getUsers(accounts, { fresh })).users.map(card);
    });
  }

  /** Makes friends without asking; 403 where `friends.policy` does not allow it. */
  addFriend(options: NIMApply & { done?: Done<NIMApply & { friend?: NIMFriend }> }): void {
    const { account, ps } = options;
    this.#relate('addFriend', options, async () => {
      await this.client.addFriend(account, ps);
      return { account, ...given({ ps }), ...this.#friend(account) };
    });
  }

  applyFriend(options: NIMApply & { done?: Done<NIMApply> }): void {
    const { account, ps } = options;
    this.#relate('applyFriend', options, async () => {
      await this.client.requestFriend(account, ps);
      return { account, ...given({ ps }) };
    });
  }

  passFriendApply(options: NIMApply & { done?: Done<NIMApply & { friend?: NIMFriend }> }): void {
    const { account, ps, idServer } = options;
    this.#relate('passFriendApply', options, async () => {
      await this.client.acceptFriend(account);
      return { account, ...given({ ps, idServer }), ...this.#friend(account) };
    });
  }

  rejectFriendApply(options: NIMApply & { done?: Done<NIMApply> }): void {
    const { account, ps, idServer } = options;
    this.#relate('rejectFriendApply', options, async () => {
      await this.client.rejectFriend(account);
      return { account, ...given({ ps, idServer }) };
    });
  }

  deleteFriend(options: { account: string; delAlias?: boolean; done?: Done<{ account: string }> }): void {
    const { account } = options;
    this.#relate('deleteFriend', options, async () => {
      await this.client.deleteFriend(account);
      return { account };
    });
  }

  /** Alias and `custom` of a friend: a field that is left out stays as it is, an empty text clears. */
  updateFriend(options: { account: string; alias?: string; custom?: string; done?: Done<NIMFriend | undefined> }): void {
    const { account, alias, custom } = options;
    this.#relate('updateFriend', options, async () => {
      await this.client.updateFriend(account, { alias, custom });
      return this.#friend(account).friend;
    });
  }

  /** The friend list as it is held, or what of it changed after `updateTime`. */
  getFriends(options: { updateTime?: number; done?: Done<NIMFriend[]> }): void {
    const { updateTime = 0, done } = options;
    this.#answer('getFriends', done, async () => [...this.client.friends.values()].map(relation).filter((friend) => friend.updateTime > updateTime));
  }

  isMyFriend(options: { account: string; done?: Done<boolean> }): void {
    this.#answer('isMyFriend', options.done, async () => this.client.friends.has(options.account));
  }

  /** As `addToBlacklist`, or with `isAdd: false` as `removeFromBlacklist`. */
  markInBlacklist(options: { account: string; isAdd?: boolean; done?: Done<NIMMark> }): void {
    this.#mark('markInBlacklist', options, options.isAdd ?? true);
  }

  addToBlacklist(options: { account: string; done?: Done<NIMMark> }): void {
    this.#mark('addToBlacklist', options, true);
  }

  removeFromBlacklist(options: { account: string; done?: Done<NIMMark> }): void {
    this.#mark('removeFromBlacklist', options, false);
  }

  /** Who is blocked, as it is held. Nobody is muted here. */
  getRelations(options: { done?: Done<{ blacklist: NIMRelation[]; mutelist: NIMRelation[] }> }): void {
    this.#answer('getRelations', options.done, async () => ({ blacklist: [...this.client.blocks.values()].map(blocked), mutelist: [] }));
  }

  /** Ends other sessions of the account, by the `deviceId` of `onloginportschange`; `done` is given those that were there. */
  kick(options: { deviceIds: string[]; done?: Done<{ deviceIds: string[] }> }): void {
    const { deviceIds, done } = options;
    this.#answer('kick', done, async () => {
      if (!Array.isArray(deviceIds)) throw { code: 414, message: 'deviceIds must be a list' };
      return { deviceIds: await this.client.kick(deviceIds) };
    });
  }

  /** A new list: profiles of known accounts get the newer fields, others are appended. */
  mergeUsers(users: NIMUser[] | null | undefined, news: OneOrMore<NIMUser> | null | undefined): NIMUser[] {
    return mergeUsers(users, news);
  }

  /** A new list, as `mergeUsers` does it. */
  mergeFriends(friends: NIMFriend[] | null | undefined, news: OneOrMore<NIMFriend> | null | undefined): NIMFriend[] {
    return mergeFriends(friends, news);
  }

  /** A new list without those in `gone`, which is the `invalid` of what `onfriends` brought. */
  cutFriends(friends: NIMFriend[] | null | undefined, gone: OneOrMore<{ account: string }> | null | undefined): NIMFriend[] {
    return cutFriends(friends, gone);
  }

  cutFriendsByAccounts(friends: NIMFriend[] | null | undefined, accounts: OneOrMore<string> | null | undefined): NIMFriend[] {
    return cutFriends(friends, accounts);
  }

  /** A new list, as `mergeUsers` does it. */
  mergeRelations<T extends object>(relations: T[] | null | undefined, news: OneOrMore<T> | null | undefined): T[] {
    return mergeFriends(relations as never, news as never) as unknown as T[];
  }

  /** A new list without those in `gone`, which is the `invalid` of what `onblacklist` brought. */
  cutRelations<T extends object>(relations: T[] | null | undefined, gone: OneOrMore<T> | null | undefined): T[] {
    return cutFriends(relations as never, gone as never) as unknown as T[];
  }

  findRelation<T extends object>(relations: T[] | null | undefined, account: string): T | null {
    return relations?.find((relation) => (relation as { account?: string }).account === account) ?? null;
  }

  findUser(users: NIMUser[] | null | undefined, account: string): NIMUser | null {
    return users?.find((user) => user.account === account) ?? null;
  }

  findFriend(friends: NIMFriend[] | null | undefined, account: string): NIMFriend | null {
    return friends?.find((friend) => friend.account === account) ?? null;
  }

  #listen(): void {
    const { client } = this;
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
        if (!this.#own.includes(account)) this.#tell('onsyncmarkinblacklist', mark);
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
      const { reconnectionAttempts } = this.#options;
      if (reconnectionAttempts !== undefined && attempt > reconnectionAttempts) {
        this.#leaving = { code: 'allAttemptsFailed', message: `${reconnectionAttempts} attempts to connect failed`, callFunc: 'connect' };
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
      this.#tell('ondisconnect', this.#leaving ?? kicked(ended.code, message) ?? { code: networkCode(ended.code, ended.error), message });
    });
    on('error', (error) => {
      if (error !== this.#ended) this.#tell('onerror', failure(error, 'connection'));
    });
  }

  /** Logged in. What is cached goes out first, for what follows is only the difference to it. */
  #connected(): void {
    this.#catchUp = { removed: [], requests: [] };
    const { customTag } = this.#options;
    this.#tell('onconnect', { lastLoginDeviceId: '', connectionId: '', ip: '', port: '', ...(customTag === undefined ? {} : { customTag }) });
    if (this.#toldCache) return;
    this.#toldCache = true;
    const { me, users, friends } = this.client;
    if (!me) return;
    this.#tellMe(me);
    this.#tellUsers([...users.values()]);
    this.#tellFriends([...friends.values()], []);
    if (this.client.blocks.size) this.#tellBlocked();
    this.#tellRequests([]);
  }

  #tellMe(user: User): void {
    if (user === this.#toldMe) return;
    this.#toldMe = user;
    this.#tell('onmyinfo', card(user));
  }

  #tellUsers(users: User[]): void {
    if (this.#options.syncFriendUsers !== false) this.#tell('onusers', users.map(card));
  }

  #tellFriends(friends: Friend[], removed: string[]): void {
    if (this.#options.syncFriends === false) return;
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
      if (before && !this.#own.includes(friend.account)) this.#tell('onsyncfriendaction', { type: 'updateFriend', friend: changedRelation(friend, before) });
    }
  }

  #tellBlocked(): void {
    const now = [...this.client.blocks.values()].map(blocked);
    const list: NIMRelations = cutFriends(now, this.#blocked);
    list.invalid = cutFriends(this.#blocked, now);
    this.#blocked = now;
    if (this.#options.syncRelations !== false) this.#tell('onblacklist', list);
  }

  /** Those that are open and were not told yet, and what became of others. */
  #tellRequests(changed: FriendRequest[]): void {
    const open = this.client.requests;
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
    if (this.#own.includes(account)) return;
    const action = (type: NIMFriendAction['type'], more: object = {}): void => this.#tell('onsyncfriendaction', { type, account, ...more });
    if (direction === 'out' && state === 'open') action('applyFriend');
    else if (direction === 'out' && state === 'accepted' && !wasOpen) action('addFriend', this.#friend(account));
    else if (direction === 'in' && state === 'accepted' && wasOpen) action('passFriendApply', this.#friend(account));
    else if (direction === 'in' && state === 'rejected') action('rejectFriendApply');
  }

  /** What the other side did, if it did something that was not told yet. What became of a request that was, is told at once. */
  #message(request: FriendRequest): NIMSystemMessage | undefined {
    const key = requestKey(request);
    const { direction, state } = request;
    const wasOpen = this.#asked.has(key);
    if (state === 'open') this.#asked.add(key);
    else this.#asked.delete(key);
    const message = (type: NIMSystemMessage['type']): NIMSystemMessage => systemMessage(this.account, request, type);
    if (direction === 'in' && wasOpen && state !== 'open') this.#tell('onupdatesysmsg', message('applyFriend'));
    if (direction === 'in' && !wasOpen && state === 'open') return message('applyFriend');
    if (direction === 'in' && !wasOpen && state === 'accepted') return message('addFriend');
    if (direction === 'out' && wasOpen && state === 'accepted') return message('passFriendApply');
    if (direction === 'out' && state === 'rejected') return message('rejectFriendApply');
    return undefined;
  }

  #tellPorts(sessions: readonly Session[]): void {
    const there = sessions.filter(({ current }) => !current).map((session) => loginPort(this.account, session, true));
    const ids = new Set(there.map(({ deviceId }) => deviceId));
    const gone = this.#ports.filter(({ deviceId }) => !ids.has(deviceId)).map((port) => ({ ...port, online: false }));
    this.#ports = there;
    if (there.length || gone.length) this.#tell('onloginportschange', [...there, ...gone]);
  }

  #friend(account: string): { friend?: NIMFriend } {
    const friend = this.client.friends.get(account);
    return friend ? { friend: relation(friend) } : {};
  }

  #mark(callFunc: string, options: { account: string; done?: Done<NIMMark> }, isAdd: boolean): void {
    const { account } = options;
    this.#relate(callFunc, options, async () => {
      await (isAdd ? this.client.block(account) : this.client.unblock(account));
      return { account, isAdd, record: { account, updateTime: this.client.blocks.get(account)?.createTime ?? Date.now() } };
    });
  }

  /** A call about one account, whose effects are told by `done` alone. */
  #relate<T>(callFunc: string, { account, done }: { account: string; done?: Done<T> }, ask: () => Promise<T>): void {
    this.#own.push(account);
    this.#answer(callFunc, done, () => ask().finally(() => this.#own.splice(this.#own.indexOf(account), 1)));
  }

  #token(why: TokenReason): string {
    const token = credential(this.account, this.#options.token ?? this.account);
    if (why === 'expired' && token === this.#shownToken) {
      const message = 'the token has ended, and no other was set in onwillreconnect';
      this.#leaving = { code: WRONG_TOKEN, message };
      void this.client.disconnect();
    }
    return (this.#shownToken = token);
  }

  #leave(callFunc: string, done?: Done<object>): void {
    this.#leaving = { code: 'alreadyDisconnected', message: `${callFunc} was called`, callFunc };
    this.#answer(callFunc, done, async () => {
      await this.client.disconnect();
      return {};
    });
  }

  #tell<K extends Callback>(name: K, ...args: Parameters<NonNullable<NIMGetInstanceOptions[K]>>): void {
    safely(() => (this.#options[name] as ((...args: unknown[]) => void) | undefined)?.(...args));
  }

  #answer<T>(callFunc: string, done: Done<T> | undefined, ask: () => Promise<T>): void {
    ask().then(
      (data) => safely(() => done?.(null, data)),
      (error: unknown) => safely(() => done?.(failure(error, callFunc), undefined as T)),
    );
  }
}

type Callback = {
  [K in keyof NIMGetInstanceOptions]-?: NonNullable<NIMGetInstanceOptions[K]> extends (...args: never[]) => void ? K : never;
}[keyof NIMGetInstanceOptions];

/** Only those that are there. */
function given<T extends object>(fields: T): Partial<T> {
  return merge<Partial<T>>(fields);
}

/** The account's own other devices, the backend and the deployment's policy all end a session in the same way. */
function kicked(close: number, message: string): NIMDisconnected | undefined {
  const reason = { [Close.kicked]: 'otherPlatformKick', [Close.sessionLimit]: 'samePlatformKick' }[close];
  return reason === undefined ? undefined : { code: 'kicked', reason, message, custom: '', from: 'Server', customClientType: 0 };
}

/** An application's callback that throws is its own affair: the console hears of it, and nothing else stops. */
function safely(callback: () => unknown): void {
  try {
    callback();
  } catch (error) {
    if (typeof globalThis.reportError === 'function') globalThis.reportError(error);
    else console.error(error);
  }
}

function scriptAddress(): string | undefined {
  const script = (globalThis.document?.currentScript as HTMLScriptElement | null | undefined)?.src;
  const from = /^http(s?):\/\/([^/]+)\//.exec(script ?? '');
  return from ? `ws${from[1]}://${from[2]}/v1/ws` : undefined;
}

/** NIM has an account and a secret, which together are what the gateway calls a static token. What a backend signed names its account itself. */
function credential(account: string, token: string): string {
  const isWhole = token === account || token.startsWith(`${account}:`) || /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
  return isWhole ? token : `${account}:${token}`;
}
