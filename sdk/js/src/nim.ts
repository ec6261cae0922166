// NIM's face on the client: the part of `NIM.getInstance` that is about one's own profile, friends and devices. It
// translates names and the order of callbacks, with nim-records.ts for the shapes; what is true and when it is asked for
// is the client's business.
// As a classic script (dist/nim.js) it defines the global `NIM`.

import { RosterdClient } from './client.js';
import { cutFriends, merge, mergeFriends, mergeUsers } from './merge.js';
import { Callbacks, safely } from './nim-callbacks.js';
import { failure, WRONG_TOKEN } from './nim-errors.js';
import type { NIMError } from './nim-errors.js';
import { warnOfIgnored } from './nim-options.js';
import type {
  NIMDisconnected, NIMFriend, NIMFriendAction, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMLoginPort, NIMMark, NIMRelation,
  NIMRelations, NIMSystemMessage, NIMUser,
} from './nim-options.js';
import { blocked, card, relation } from './nim-records.js';
import type { TokenReason } from './options.js';
import type { MyInfo } from './protocol.js';

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
  readonly #callbacks: Callbacks;
  // The token that was shown last; seeing it again after its end means that there is no better one.
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
      device: { type: 'web', tag: options.customTag },
    });
    this.#callbacks = new Callbacks(this.client, options);
  }

  get account(): string {
    return this.client.account;
  }

  /** Other values for options, callbacks included: they count from now on, a token from the next login on. */
  setOptions(options: Partial<NIMGetInstanceOptions>): void {
    warnOfIgnored(options);
    this.#callbacks.options = merge<NIMGetInstanceOptions>(this.#callbacks.options, options);
  }

  connect(): void {
    if (this.#destroyed) return console.warn(`rosterd: the NIM instance of ${this.account} is destroyed`);
    this.#callbacks.leaving = undefined;
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

  /** Alias and `custom` of a friend: a field that is left out stays as it is, an empty text clears. */
  updateFriend(options: { account: string; alias?: string; custom?: string; done?: Done<NIMFriend | undefined> }): void {
    const { account, alias, custom } = options;
    this.#relate('updateFriend', options, async () => {
      await this.client.updateFriend(account, { alias, custom });
      return this.#callbacks.friend(account).friend;
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

  #mark(callFunc: string, options: { account: string; done?: Done<NIMMark> }, isAdd: boolean): void {
    const { account } = options;
    this.#relate(callFunc, options, async () => {
      await (isAdd ? this.client.block(account) : this.client.unblock(account));
      return { account, isAdd, record: { account, updateTime: this.client.blocks.get(account)?.createTime ?? Date.now() } };
    });
  }

  /** A call about one account, whose effects are told by `done` alone. */
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

  #leave(callFunc: string, done?: Done<object>): void {
    this.#callbacks.leaving = { code: 'alreadyDisconnected', message: `${callFunc} was called`, callFunc };
    this.#answer(callFunc, done, async () => {
      await this.client.disconnect();
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

/** Only those that are there. */
function given<T extends object>(fields: T): Partial<T> {
  return merge<Partial<T>>(fields);
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
