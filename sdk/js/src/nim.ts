// The NIM interface: the part of `NIM.getInstance` for the own profile, friends and devices, on top of the client.
// Calls are here, callbacks in nim-callbacks.ts, and the shapes of records in nim-records.ts.
// As a classic script (dist/nim.js) it defines the global `NIM`.

import { RosterdClient } from './client.js';
import { cutBy, cutFriends, merge, mergeBy, mergeFriends, mergeUsers } from './merge.js';
import { Callbacks, safely } from './nim-callbacks.js';
import { failure, WRONG_TOKEN } from './nim-errors.js';
import type { NIMError } from './nim-errors.js';
import { wrong } from './nim-events.js';
import type { EventSubscriptions } from './nim-events.js';
import { warnOfIgnored } from './nim-options.js';
import type {
  NIMDisconnected, NIMFriend, NIMFriendAction, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMLoginPort, NIMMark, NIMPushEventInfo, NIMRelation,
  NIMRelations, NIMSubscribeEventInfo, NIMSystemMessage, NIMUser,
} from './nim-options.js';
import { blocked, muted, profile, relation } from './nim-records.js';
import { gatewayOf } from './options.js';
import type { TokenReason } from './options.js';
import type { MyInfo } from './protocol.js';

export type {
  NIMDisconnected, NIMError, NIMFriend, NIMFriendAction, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMLoginPort, NIMMark, NIMPushEventInfo, NIMRelation,
  NIMRelations, NIMSubscribeEventInfo, NIMSystemMessage, NIMUser,
};

/** Receives the result of a call: `error` is null if it succeeded, and only then `data` is set. */
export type Done<T> = (error: NIMError | null, data: T) => void;

/** The fields for `updateMyInfo`: a missing field stays unchanged, an empty text clears it. */
export type NIMMyInfo = MyInfo & { antiSpamBusinessId?: string };

type OneOrMore<T> = T | T[];

/** The options of a call that makes or answers a request. `ps`, of at most 256 characters, becomes its message. */
export interface NIMApply {
  account: string;
  ps?: string;
  /** Names the answered system message; the account alone is enough. */
  idServer?: string;
}

/** The options of a call about events. There is one type, 1. */
export interface NIMEventCall<T> {
  type: number;
  done?: Done<T>;
}

/** The limit of NIM and of the gateway for accounts in one call. */
const LOOKUP_MAX = 150;
const OWN_FIELDS = ['nick', 'avatar', 'sign', 'gender', 'email', 'birth', 'tel', 'custom'] as const;

// Known only while a classic script runs for the first time.
const servedFrom = gatewayOf((globalThis.document?.currentScript as HTMLScriptElement | null | undefined)?.src);
const instances = new Map<string, NIM>();

/** One NIM instance, for one account. */
export class NIM {
  static readonly util = { merge };

  /** The class itself, for pages that write `SDK.NIM`. */
  static get NIM(): typeof NIM {
    return NIM;
  }

  /** Returns the account's instance. A later call gives it the new options and connects it if it is down. */
  static getInstance<T extends NIMGetInstanceOptions>(options: T): NIM {
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

  /** The underlying client, for features that NIM does not have: `watch`, `signal`. */
  readonly client: RosterdClient;
  readonly #callbacks: Callbacks;
  // The last token used; the same one after its end is useless.
  #shownToken?: string;
  #destroyed = false;

  private constructor(options: NIMGetInstanceOptions) {
    warnOfIgnored(options);
    this.client = new RosterdClient({
      url: options.url ?? servedFrom,
      account: options.account,
      getToken: (why) => this.#token(why),
      store: options.db === false ? 'memory' : 'auto',
      reconnect: options.needReconnect,
      requestTimeoutMs: options.cmdTimeout,
      device: { type: 'web', tag: options.customTag ?? undefined },
    });
    this.#callbacks = new Callbacks(this.client, options);
  }

  get account(): string {
    return this.client.account;
  }

  /** Replaces options and callbacks at once, and the token at the next login. */
  setOptions<T extends Partial<NIMGetInstanceOptions>>(options: T): void {
    warnOfIgnored(options);
    this.#callbacks.options = merge<NIMGetInstanceOptions>(this.#callbacks.options, options);
  }

  /** Connects. Callbacks report the result. */
  connect(): void {
    if (this.#destroyed) return console.warn(`rosterd: the NIM instance of ${this.account} is destroyed`);
    this.#callbacks.leaving = undefined;
    this.client.connect().catch(() => {});
  }

  /** Ends the connection; `connect` continues with the held records. */
  disconnect(options: { done?: Done<object> } = {}): void {
    this.#leave('disconnect', options?.done);
  }

  /** Ends the connection and the instance; the next `getInstance` creates another. */
  destroy(options: { done?: Done<object> } = {}): void {
    this.#destroyed = true;
    if (instances.get(this.account) === this) instances.delete(this.account);
    this.#leave('destroy', options?.done);
  }

  /** Ends the session in an orderly way; `connect` starts another with the held records. */
  logout(options: { done?: Done<object> } = {}): void {
    this.#leave('logout', options?.done, () => this.client.logout());
  }

  /** Returns 0 without a login, 1 with one, 2 during a login, and 3 while the client waits before the next attempt. */
  getLoginStatus(): 0 | 1 | 2 | 3 {
    const { state } = this.client;
    return state === 'live' ? 1 : state === 'disconnected' ? (this.#callbacks.waiting ? 3 : 0) : 2;
  }

  /** Changes fields of the account's own profile. */
  updateMyInfo(options: NIMMyInfo & { done?: Done<NIMUser> }): void {
    const fields = Object.fromEntries(OWN_FIELDS.map((name) => [name, options[name]]));
    this.#answer('updateMyInfo', options.done, async () => profile(await this.client.updateMyInfo(fields)));
  }

  /** Returns a profile: a held one if the client keeps it up to date, unless `sync`. */
  getUser(options: { account: string; sync?: boolean; done?: Done<NIMUser> }): void {
    const { account, sync: fresh = false, done } = options;
    this.#answer('getUser', done, async () => profile(await this.client.getUser(account, { fresh })));
  }

  /** Returns at most 150 profiles, like `getUser`, without accounts that do not exist. */
  getUsers(options: { accounts: string[]; sync?: boolean; done?: Done<NIMUser[]> }): void {
    const { accounts, sync: fresh = false, done } = options;
    this.#answer('getUsers', done, async () => {
      if (list('accounts', accounts).length > LOOKUP_MAX) throw { code: 419, message: `accounts may be at most ${LOOKUP_MAX}` };
      return (await this.client.getUsers(accounts, { fresh })).users.map(profile);
    });
  }

  /** Makes friends without a request; 403 where `friends.policy` forbids it. */
  addFriend(options: NIMApply & { done?: Done<NIMApply & { friend?: NIMFriend }> }): void {
    const { account, ps } = options;
    this.#relate('addFriend', options, async () => {
      await this.client.addFriend(account, ps);
      return { account, ...given({ ps }), ...this.#callbacks.friend(account) };
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
      return { account, ...given({ ps, idServer }), ...this.#callbacks.friend(account) };
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

  /** Changes a friend's `alias` and `custom`: a missing field stays, an empty text clears it. */
  updateFriend(options: { account: string; alias?: string; custom?: string; done?: Done<NIMFriend | undefined> }): void {
    const { account, alias, custom } = options;
    this.#relate('updateFriend', options, async () => {
      await this.client.updateFriend(account, { alias, custom });
      return this.#callbacks.friend(account).friend;
    });
  }

  /** Returns the held friend list, or those that changed after `updateTime`. */
  getFriends(options: { updateTime?: number; done?: Done<NIMFriend[]> }): void {
    const { updateTime = 0, done } = options;
    this.#answer('getFriends', done, async () => [...this.client.friends.values()].map(relation).filter((friend) => friend.updateTime > updateTime));
  }

  /** Checks the held friend list. */
  isMyFriend(options: { account: string; done?: Done<boolean> }): void {
    this.#answer('isMyFriend', options.done, async () => this.client.friends.has(options.account));
  }

  /** Blocks an account, or with `isAdd: false` unblocks it. */
  markInBlacklist(options: { account: string; isAdd?: boolean; done?: Done<NIMMark> }): void {
    this.#mark('markInBlacklist', options, options.isAdd ?? true);
  }

  addToBlacklist(options: { account: string; done?: Done<NIMMark> }): void {
    this.#mark('addToBlacklist', options, true);
  }

  removeFromBlacklist(options: { account: string; done?: Done<NIMMark> }): void {
    this.#mark('removeFromBlacklist', options, false);
  }

  /** Checks the held blocklist. */
  isUserInBlackList(options: { account: string; done?: Done<boolean> }): void {
    this.#answer('isUserInBlackList', options.done, async () => this.client.blocks.has(options.account));
  }

  /** Mutes an account, or with `isAdd: false` no longer. */
  markInMutelist(options: { account: string; isAdd?: boolean; done?: Done<NIMMark> }): void {
    this.#mute('markInMutelist', options, options.isAdd ?? true);
  }

  addToMutelist(options: { account: string; done?: Done<NIMMark> }): void {
    this.#mute('addToMutelist', options, true);
  }

  removeFromMutelist(options: { account: string; done?: Done<NIMMark> }): void {
    this.#mute('removeFromMutelist', options, false);
  }

  /** Returns the held blocklist and mute list. */
  getRelations(options: { done?: Done<{ blacklist: NIMRelation[]; mutelist: NIMRelation[] }> }): void {
    this.#answer('getRelations', options.done, async () => ({ blacklist: [...this.client.blocks.values()].map(blocked), mutelist: muted(this.client.me) }));
  }

  /** Ends other sessions by their `deviceId`; `done` receives those that existed. */
  kick(options: { deviceIds: string[]; done?: Done<{ deviceIds: string[] }> }): void {
    const { deviceIds, done } = options;
    this.#answer('kick', done, async () => {
      return { deviceIds: await this.client.kick(list('deviceIds', deviceIds)) };
    });
  }

  /** Sets the own status to `custom`, for `validTime` seconds; friends and the own other devices get it as an event. */
  publishEvent(options: NIMEventCall<{ idClient: string; idServer: string; time: number }> & { value: number; custom?: string; validTime?: number; broadcastType?: number; sync?: boolean }): void {
    this.#event('publishEvent', options, async (events) => {
      await events.publish(options);
      return { idClient: '', idServer: '', time: Date.now() };
    });
  }

  /** Has `onpushevents` called for friends, for at most `subscribeTime` seconds; `failedAccounts` are no friends. */
  subscribeEvent(options: NIMEventCall<{ failedAccounts: string[] }> & { accounts: string[]; subscribeTime?: number; sync?: boolean }): void {
    const { type, accounts, subscribeTime, sync = true } = options;
    const done: typeof options.done = (error, data) => {
      safely(() => options.done?.(error, data));
      if (!error) this.#callbacks.emitEvents(accounts, false);
    };
    this.#event('subscribeEvent', { type, done }, async (events) => ({ failedAccounts: events.subscribe(list('accounts', accounts), sync, subscribeTime) }));
  }

  unSubscribeEventsByAccounts(options: NIMEventCall<{ failedAccounts: string[] }> & { accounts?: string[] }): void {
    this.#event('unSubscribeEventsByAccounts', options, async (events) => {
      events.unsubscribe(list('accounts', options.accounts));
      return { failedAccounts: [] };
    });
  }

  unSubscribeEventsByType(options: NIMEventCall<void>): void {
    this.#event('unSubscribeEventsByType', options, async (events) => events.unsubscribe(events.accounts()));
  }

  querySubscribeEventsByAccounts(options: NIMEventCall<NIMSubscribeEventInfo[]> & { accounts: string[] }): void {
    this.#event('querySubscribeEventsByAccounts', options, async (events) => events.query(list('accounts', options.accounts)));
  }

  querySubscribeEventsByType(options: NIMEventCall<NIMSubscribeEventInfo[]>): void {
    this.#event('querySubscribeEventsByType', options, async (events) => events.query(events.accounts()));
  }

  /** Returns a new list: known accounts get the newer fields, others are appended. */
  mergeUsers(users: NIMUser[] | null | undefined, news: OneOrMore<NIMUser> | null | undefined): NIMUser[] {
    return mergeUsers(users, news);
  }

  /** Merges friends like `mergeUsers`. */
  mergeFriends(friends: NIMFriend[] | null | undefined, news: OneOrMore<NIMFriend> | null | undefined): NIMFriend[] {
    return mergeFriends(friends, news);
  }

  /** Returns a new list without `gone`, the `invalid` of `onfriends`. */
  cutFriends(friends: NIMFriend[] | null | undefined, gone: OneOrMore<{ account: string }> | null | undefined): NIMFriend[] {
    return cutFriends(friends, gone);
  }

  /** Returns a new list without these accounts. */
  cutFriendsByAccounts(friends: NIMFriend[] | null | undefined, accounts: OneOrMore<string> | null | undefined): NIMFriend[] {
    return cutFriends(friends, accounts);
  }

  /** Merges relations like `mergeUsers`. */
  mergeRelations<T extends object>(relations: T[] | null | undefined, news: OneOrMore<T> | null | undefined): T[] {
    return mergeFriends(relations as never, news as never) as unknown as T[];
  }

  /** Returns a new list without `gone`, the `invalid` of `onblacklist`. */
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

  /** Returns a new list: system messages of the same request are merged, others appended. */
  mergeSysMsgs<T extends { idServer?: string }>(messages: T[] | null | undefined, news: OneOrMore<T> | null | undefined): T[] {
    return mergeBy('idServer', messages, news);
  }

  /** Returns a new list without `gone`. */
  cutSysMsgs<T extends { idServer?: string }>(messages: T[] | null | undefined, gone: OneOrMore<T> | null | undefined): T[] {
    return cutBy('idServer', messages, gone);
  }

  findSysMsg<T extends { idServer?: string }>(messages: T[] | null | undefined, idServer: string): T | null {
    return messages?.find((message) => message.idServer === idServer) ?? null;
  }

  /** Returns a new list of sessions, merged by `deviceId`. */
  mergeLoginPorts<T extends object>(ports: T[] | null | undefined, news: OneOrMore<T> | null | undefined): T[] {
    return mergeBy('deviceId' as keyof T, ports, news);
  }

  /** Returns a new list without `gone`. */
  cutLoginPorts<T extends object>(ports: T[] | null | undefined, gone: OneOrMore<T> | null | undefined): T[] {
    return cutBy('deviceId' as keyof T, ports, gone);
  }

  /** Returns the address of an image as it is: the gateway keeps no images, so it cannot change one. */
  viewImageSync({ url }: { url: string; [option: string]: unknown }): string {
    return url;
  }

  // The same under NIM's other names, for pages that show avatars with them.
  viewImageThumbnail = this.viewImageSync;
  viewImageCrop = this.viewImageSync;
  viewImageQuality = this.viewImageSync;
  viewImageRotate = this.viewImageSync;
  viewImageBlur = this.viewImageSync;
  viewImageInterlace = this.viewImageSync;
  viewImageStripMeta = this.viewImageSync;

  #mark(callFunc: string, options: { account: string; done?: Done<NIMMark> }, isAdd: boolean): void {
    const { account } = options;
    this.#relate(callFunc, options, async () => {
      await (isAdd ? this.client.block(account) : this.client.unblock(account));
      return { account, isAdd, record: { account, updateTime: this.client.blocks.get(account)?.createTime ?? Date.now() } };
    });
  }

  #mute(callFunc: string, options: { account: string; done?: Done<NIMMark> }, isAdd: boolean): void {
    const { account } = options;
    this.#relate(callFunc, options, async () => {
      await this.client.setMuted(account, isAdd);
      return { account, isAdd, record: { account, updateTime: Date.now() } };
    });
  }

  #event<T>(callFunc: string, { type, done }: NIMEventCall<T>, ask: (events: EventSubscriptions) => Promise<T>): void {
    this.#answer(callFunc, done, async () => {
      if (type !== 1) wrong('type must be 1');
      return ask(this.#callbacks.events);
    });
  }

  /** Makes a call about one account; only `done` reports its effects. */
  #relate<T>(callFunc: string, { account, done }: { account: string; done?: Done<T> }, ask: () => Promise<T>): void {
    const { own } = this.#callbacks;
    own.push(account);
    this.#answer(callFunc, done, () => ask().finally(() => own.splice(own.indexOf(account), 1)));
  }

  #token(why: TokenReason): string {
    const token = credential(this.account, this.#callbacks.options.token ?? this.account);
    if (why === 'expired' && token === this.#shownToken) {
      const message = 'the token has ended, and no other was set in onwillreconnect';
      this.#callbacks.leaving = { code: WRONG_TOKEN, message };
      void this.client.disconnect();
    }
    return (this.#shownToken = token);
  }

  #leave(callFunc: string, done?: Done<object>, leave = (): Promise<void> => this.client.disconnect()): void {
    this.#callbacks.leaving = { code: 'alreadyDisconnected', message: `${callFunc} was called`, callFunc };
    this.#answer(callFunc, done, async () => {
      await leave();
      return {};
    });
  }

  #answer<T>(callFunc: string, done: Done<T> | undefined, ask: () => Promise<T>): void {
    ask().then(
      (data) => safely(() => done?.(null, data)),
      (error: unknown) => safely(() => done?.(failure(error, callFunc), undefined as T)),
    );
  }
}

function list(name: string, value: unknown): string[] {
  return Array.isArray(value) ? value : wrong(`${name} must be a list`);
}

/** Copies the fields that are set. */
function given<T extends object>(fields: T): Partial<T> {
  return merge<Partial<T>>(fields);
}

/** Builds a token: NIM's account and secret form a static token; a token that a backend signed names its account itself. */
function credential(account: string, token: string): string {
  const isWhole = token === account || token.startsWith(`${account}:`) || /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
  return isWhole ? token : `${account}:${token}`;
}

export default NIM;
