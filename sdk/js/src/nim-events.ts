// NIM's subscribed events, as far as rosterd has them: who of the friends is online, and the status beside that.

import type { RosterdClient } from './client.js';
import type { NIMPushEventInfo, NIMSubscribeEventInfo } from './nim-options.js';
import type { Presence } from './protocol.js';

/** The value of the one event that applications publish here. A status is a text without a number, so there is one. */
const STATUS = 10_001;
/** NIM's limits, in seconds. */
const DAY = 86_400;
const MINUTE = 60;

/** A subscription, and what was reported of the account last. */
interface Subscription {
  time: number;
  subscribeTime: number;
  shown?: Presence | undefined;
}

/** Publishes the status, and keeps whose presence and status the application wants as events. */
export class EventSubscriptions {
  readonly #client: RosterdClient;
  readonly #held = new Map<string, Subscription>();
  // The own status that the application knows.
  #own = '';

  constructor(client: RosterdClient) {
    this.#client = client;
  }

  /** Sets the status; throws if an event is not one that a status can carry. */
  async publish({ value, custom = '', validTime = 7 * DAY, broadcastType = 2 }: { value: unknown; custom?: unknown; validTime?: number; broadcastType?: unknown }): Promise<void> {
    if (value !== STATUS) wrong(`value must be ${STATUS}: a status is one text, and custom is that text`);
    if (typeof custom !== 'string') wrong('custom must be a text');
    if (broadcastType !== 2) wrong('broadcastType must be 2: friends who come later see a status, too');
    within('validTime', validTime, 7 * DAY);
    this.#own = custom;
    const until = custom ? Date.now() + validTime * 1000 : undefined;
    await this.#client.setPresence({ status: custom, until }).catch((error) => {
      this.#own = this.#status();
      throw error;
    });
  }

  /** Subscribes to friends, with what is there already if `sync`, and returns the other accounts: their presence is not seen. */
  subscribe(accounts: string[], sync: boolean, subscribeTime = 30 * DAY): string[] {
    within('subscribeTime', subscribeTime, 30 * DAY);
    const { friends, presence } = this.#client;
    return accounts.filter((account) => {
      if (!friends.has(account)) return true;
      this.#held.set(account, { time: Date.now(), subscribeTime, shown: sync ? undefined : presence.get(account) });
      return false;
    });
  }

  unsubscribe(accounts: Iterable<string>): void {
    for (const account of accounts) this.#held.delete(account);
  }

  /** The accounts with a subscription. */
  accounts(): string[] {
    const now = Date.now();
    for (const [account, { time, subscribeTime }] of this.#held) if (time + subscribeTime * 1000 <= now) this.#held.delete(account);
    return [...this.#held.keys()];
  }

  /** Describes the subscriptions of these accounts. */
  query(accounts: string[]): NIMSubscribeEventInfo[] {
    return this.accounts().filter((to) => accounts.includes(to)).map((to) => {
      const { time, subscribeTime } = this.#held.get(to)!;
      return { type: '1', to, time: `${time}`, subscribeTime: `${subscribeTime}` };
    });
  }

  /** Returns the events of these accounts since the last ones; `afresh` repeats who is online, as NIM does at a login. */
  events(accounts: string[], afresh: boolean): NIMPushEventInfo[] {
    const subscribed = new Set(this.accounts());
    const events = accounts.filter((account) => subscribed.has(account)).flatMap((account) => {
      const [held, now] = [this.#held.get(account)!, this.#client.presence.get(account)];
      const before = afresh && now?.online ? undefined : held.shown;
      held.shown = now;
      // Another device of an account that is online is a login, too, and the end of one a logout.
      const [old, shown] = [clients(before), clients(now)];
      const values = `${old}` === `${shown}` ? [] : [shown.some((client) => !old.includes(client)) ? 1 : 2];
      if (now?.online && (now.status ?? '') !== (before?.status ?? '')) values.push(STATUS);
      return values.map((value) => event(account, value, now));
    });
    const status = this.#status();
    if (!afresh && status !== this.#own) events.push(event(this.#client.account, STATUS, this.#client.presence.get(this.#client.account)));
    this.#own = status;
    return events;
  }

  #status(): string {
    return this.#client.presence.get(this.#client.account)?.status ?? '';
  }
}

/** Throws that an argument is wrong. */
export function wrong(message: string): never {
  throw { code: 414, message };
}

function within(name: string, seconds: number, most: number): void {
  if (!(seconds >= MINUTE && seconds <= most)) wrong(`${name} must be from ${MINUTE} to ${most} seconds`);
}

/** NIM's numbers for kinds of devices. */
const CLIENTS: Record<string, number> = { android: 1, ios: 2, pc: 4, web: 16, mac: 64 };

/** The kinds of devices of an account that is online. What is not known, or unknown to NIM, is its web client. */
function clients(now?: Presence): number[] {
  return now?.online ? [...new Set((now.devices ?? ['web']).map((kind) => CLIENTS[kind] ?? CLIENTS.web!))] : [];
}

/** Makes an event in NIM's shape. Of which device it is nobody says, so it is NIM's web client. */
function event(account: string, value: number, now?: Presence): NIMPushEventInfo {
  const status = now?.status;
  return {
    type: '1', value: `${value}`, account, time: `${(value !== STATUS && now?.lastSeen) || Date.now()}`, clientType: 'Web', idClient: '', idServer: '',
    custom: status ? { 16: status } : {}, serverConfig: JSON.stringify({ online: clients(now) }),
  };
}
