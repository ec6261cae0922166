// NIM's face on the client: the part of `NIM.getInstance` that is about one's own profile and friends. It translates
// names, shapes and the order of callbacks; what is true and when it is asked for is the client's business.
// As a classic script (dist/nim.js) it defines the global `NIM`.

import { RosterdClient } from './client.js';
import type { Events, TokenReason } from './client.js';
import { cutFriends, merge, mergeFriends, mergeUsers } from './merge.js';
import { failure, networkCode, WRONG_TOKEN } from './nim-errors.js';
import type { NIMError } from './nim-errors.js';
import { warnOfIgnored } from './nim-options.js';
import type { NIMDisconnected, NIMFriend, NIMFriends, NIMGetInstanceOptions, NIMGender, NIMUser } from './nim-options.js';
import type { Friend, MyInfo, User } from './protocol.js';

export type { NIMDisconnected, NIMError, NIMFriend, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMUser };

/** `error` is null if the call succeeded, and only then there is `data`. */
export type Done<T> = (error: NIMError | null, data: T) => void;

/** What `updateMyInfo` takes besides `done`: a field that is left out stays as it is, an empty text clears. */
export type NIMMyInfo = MyInfo & { antiSpamBusinessId?: string };

type OneOrMore<T> = T | T[];

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

  #options: NIMGetInstanceOptions;
  readonly #client: RosterdClient;
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
  #catchUp?: { friends?: Friend[]; removed: string[] };

  private constructor(options: NIMGetInstanceOptions) {
    warnOfIgnored(options);
    this.#options = options;
    this.#client = new RosterdClient({
      url: options.url ?? servedFrom,
      account: options.account,
      getToken: (why) => this.#token(why),
      store: options.db === false ? 'memory' : 'auto',
      reconnect: options.needReconnect,
      requestTimeoutMs: options.cmdTimeout,
      device: options.customTag === undefined ? undefined : { tag: options.customTag },
    });
    this.#listen();
  }

  get account(): string {
    return this.#client.account;
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
    this.#client.connect().catch(() => {});
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
    this.#answer('updateMyInfo', options.done, async () => card(await this.#client.updateMyInfo(fields)));
  }

  /** From what is held if that is kept up to date, unless `sync`; otherwise from the gateway. */
  getUser(options: { account: string; sync?: boolean; done?: Done<NIMUser> }): void {
    const { account, sync: fresh = false, done } = options;
    this.#answer('getUser', done, async () => card(await this.#client.getUser(account, { fresh })));
  }

  /** As `getUser`, at most 150. Accounts that do not exist are left out. */
  getUsers(options: { accounts: string[]; sync?: boolean; done?: Done<NIMUser[]> }): void {
    const { accounts, sync: fresh = false, done } = options;
    this.#answer('getUsers', done, async () => {
      if (!Array.isArray(accounts)) throw { code: 414, message: 'accounts must be a list' };
      if (accounts.length > LOOKUP_MAX) throw { code: 419, message: `accounts may be at most ${LOOKUP_MAX}` };
      return (await this.#client.getUsers(accounts, { fresh })).users.map(card);
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

  findUser(users: NIMUser[] | null | undefined, account: string): NIMUser | null {
    return users?.find((user) => user.account === account) ?? null;
  }

  findFriend(friends: NIMFriend[] | null | undefined, account: string): NIMFriend | null {
    return friends?.find((friend) => friend.account === account) ?? null;
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
      if (how === 'update') this.#tellFriends(friends, []);
      else if (this.#catchUp) this.#catchUp.friends = friends;
    });
    on('friendRemoved', (account) => {
      if (this.#catchUp) this.#catchUp.removed.push(account);
      else this.#tellFriends([], [account]);
    });
    on('synced', () => {
      const { friends, removed } = this.#catchUp ?? { removed: [] };
      this.#catchUp = undefined;
      if (friends || removed.length) this.#tellFriends(friends ?? [], removed);
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
      this.#tell('ondisconnect', this.#leaving ?? { code: networkCode(ended.code, ended.error), message });
    });
    on('error', (error) => {
      if (error !== this.#ended) this.#tell('onerror', failure(error, 'connection'));
    });
  }

  /** Logged in. What is cached goes out first, for what follows is only the difference to it. */
  #connected(): void {
    this.#catchUp = { removed: [] };
    const { customTag } = this.#options;
    this.#tell('onconnect', { lastLoginDeviceId: '', connectionId: '', ip: '', port: '', ...(customTag === undefined ? {} : { customTag }) });
    if (this.#toldCache) return;
    this.#toldCache = true;
    const { me, users, friends } = this.#client;
    if (!me) return;
    this.#tellMe(me);
    this.#tellUsers([...users.values()]);
    this.#tellFriends([...friends.values()], []);
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
    const list: NIMFriends = friends.map((friend) => ({ ...relation(friend), valid: true }));
    list.invalid = removed.map((account) => ({ account, valid: false, createTime: 0, updateTime: 0 }));
    this.#tell('onfriends', list);
  }

  #token(why: TokenReason): string {
    const token = this.#options.token ?? this.account;
    if (why === 'expired' && token === this.#shownToken) {
      const message = 'the token has ended, and no other was set in onwillreconnect';
      this.#leaving = { code: WRONG_TOKEN, message };
      void this.#client.disconnect();
    }
    return (this.#shownToken = token);
  }

  #leave(callFunc: string, done?: Done<object>): void {
    this.#leaving = { code: 'alreadyDisconnected', message: `${callFunc} was called`, callFunc };
    this.#answer(callFunc, done, async () => {
      await this.#client.disconnect();
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

/** Copies, for applications write into what they are given. */
function card({ version: _, ...fields }: User): NIMUser {
  return fields;
}

function relation({ version: _, ...fields }: Friend): NIMFriend {
  return fields;
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
