// The tabs of one account and origin share one connection. A lock elects the leader, which connects; the others reach the
// gateway through it (tabs-hub.ts), as if they had a connection of their own. When the lock passes to another tab, the lines
// end like a lost connection, and every client catches up and settles its commands by the rules for that.

import type { WebSocketConstructor, WebSocketLike } from './connection.js';
import type { Member, Shared, Tabs } from './sharing.js';
import type { Store } from './store.js';
import { Hub } from './tabs-hub.js';
import type { ToHub, ToLine } from './tabs-hub.js';
import { Line } from './tabs-line.js';
import type { Over } from './tabs-line.js';
import { TabStore } from './tabs-store.js';

export type { Member, Shared, Tabs } from './sharing.js';

/** How long a leader may be silent before another tab takes its place. Its page hangs: whoever lives answers at once. */
const SILENCE_MS = 3_000;
/** The time that a final end, such as a kick, takes to reach the other tabs before one of them may lead. */
const LEAVE_MS = 100;
/** How often writes may delay that. */
const LEAVE_TRIES = 30;

/** What the tabs say to all. */
interface ToAll {
  /** A line asks who leads; `awake` if its page is visible. */
  ask?: string;
  awake?: boolean;
  /** A connection is live. */
  lead?: string;
  /** A tab has come to lead. */
  hold?: true;
  /** A connection ended, or an attempt. */
  over?: Over;
  wiped?: true;
}

/** A line that goes through another tab. */
interface Seeker {
  /** Takes the leader's connection; not there once it has one. */
  found?(hub: string): void;
  hub?: string;
  /** The leader lives. */
  calm(): void;
}

/** Lets all tabs of an account and origin share one connection: `new RosterdClient({ account, tabs: shareTabs })`. */
export const shareTabs: Tabs = (member, store, key) => {
  const { navigator, BroadcastChannel: Channel } = globalThis;
  const locks = navigator?.locks;
  const Socket = member.options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined);
  if (!locks || !Channel || !Socket) return undefined;
  // The number changes with the messages: tabs of another one do not understand them.
  return new Tab(member, new TabStore(store, key), `rosterd-tabs-1 ${key}`, { locks, Channel, Socket });
};

/** The platform's parts that sharing needs. */
interface Platform {
  locks: LockManager;
  Channel: typeof BroadcastChannel;
  Socket: WebSocketConstructor;
}

/** This tab among the others. */
class Tab implements Shared {
  readonly WebSocket: WebSocketConstructor;
  readonly store: Store;
  readonly #store: TabStore;
  readonly #member: Member;
  readonly #name: string;
  readonly #platform: Platform;
  #leads = false;
  // The next login has no token, because another tab led.
  #tokenless = false;
  #release?: () => void;
  // Gives up the place in the queue for the lock.
  #queue?: AbortController;
  #joined?: Promise<void>;
  #all?: BroadcastChannel;
  #line?: Line;
  #hub?: Hub;
  // While the line is another tab's.
  #seeker?: Seeker;
  // Settles when the page wakes up again.
  #asleep?: { promise: Promise<void>; wake(): void };

  constructor(member: Member, store: TabStore, name: string, platform: Platform) {
    this.#member = member;
    this.store = this.#store = store;
    this.#name = name;
    this.#platform = platform;
    store.onSaved = () => this.#hub?.saved();
    store.onWiped = () => this.#wiped();
    const open = (url: string, protocols?: string | string[]): WebSocketLike => this.#open(url, protocols);
    // A constructor that returns an object gives that.
    this.WebSocket = function (url: string, protocols?: string | string[]) {
      return open(url, protocols);
    } as unknown as WebSocketConstructor;
  }

  async follows(): Promise<boolean> {
    this.#watchPage(true);
    do {
      await this.#asleep?.promise;
      await (this.#joined ??= this.#join());
    } while (this.#asleep);
    return (this.#tokenless = !this.#leads);
  }

  leave(): void {
    this.#watchPage(false);
    this.#asleep?.wake();
    this.#asleep = undefined;
    const release = this.#retire();
    let tries = LEAVE_TRIES;
    const wait = (): void => {
      if (this.#store.busy && --tries > 0) return void setTimeout(wait, LEAVE_MS);
      this.#close(release);
    };
    if (release) setTimeout(wait, LEAVE_MS);
    else this.#close();
  }

  /** Leads no more, or does not want to. Returns what gives the lock away, if this tab has it. */
  #retire(): (() => void) | undefined {
    this.#queue?.abort();
    this.#joined = undefined;
    this.#leads = false;
    const release = this.#release;
    this.#release = undefined;
    return release;
  }

  #close(release?: () => void): void {
    // A client that connects again meanwhile uses them.
    if (!this.#joined) {
      this.#all?.close();
      this.#all = undefined;
    }
    if (!release) return;
    this.#store.end();
    release();
  }

  /** Takes the lock if it is free; otherwise waits in line for it, and settles meanwhile. */
  #join(): Promise<void> {
    this.#all ??= this.#channel('', (data: ToAll) => this.#heard(data));
    return new Promise((settle) => {
      const queue = (this.#queue = new AbortController());
      let got = false;
      const take = (lock: Lock | null): Promise<void> | undefined => {
        if (!lock || queue.signal.aborted) return undefined;
        got = true;
        return this.#lead(settle);
      };
      // The lock was stolen, the queue left, or locks are forbidden here.
      const failed = (cause: unknown): void => {
        if (got) return this.#deposed(queue);
        if ((cause as Error | undefined)?.name !== 'AbortError') void this.#lead(settle);
      };
      this.#platform.locks.request(this.#name, { ifAvailable: true }, take).then(() => {
        if (got || queue.signal.aborted) return settle();
        settle();
        return this.#platform.locks.request(this.#name, { signal: queue.signal }, take);
      }).catch(failed);
    });
  }

  /** Takes the place of a leader that is silent. */
  #steal(): void {
    this.#queue?.abort();
    const queue = (this.#queue = new AbortController());
    this.#platform.locks.request(this.#name, { steal: true }, () => (queue.signal.aborted ? undefined : this.#lead())).catch(() => this.#deposed(queue));
  }

  /** Leads until the returned promise settles. */
  #lead(settle?: () => void): Promise<void> {
    this.#leads = true;
    this.#store.begin();
    const held = new Promise<void>((resolve) => (this.#release = resolve));
    settle?.();
    this.#say({ hold: true });
    this.#again({ code: 1006, reason: 'this tab leads now' });
    return held;
  }

  /** Another tab leads, because this one was silent. */
  #deposed(queue: AbortController): void {
    if (queue !== this.#queue || !this.#leads) return;
    this.#leads = false;
    this.#release = undefined;
    this.#store.end();
    this.#joined = undefined;
    this.#again({ code: 1006, reason: 'another tab leads now' });
  }

  /** Ends the line, if there is one, and lets the client begin anew at once. */
  #again(over: Over): void {
    this.#line?.ends(over);
    if (this.#member.snapshot.connection.state === 'reconnecting') void this.#member.connect();
  }

  /** Opens what the client takes for a WebSocket. */
  #open(url: string, protocols?: string | string[]): Line {
    const line = (this.#line = new Line());
    if (!this.#leads) this.#follow(line);
    // It came to lead after the client had begun without a token.
    else if (this.#tokenless) queueMicrotask(() => this.#again({ code: 1006, reason: 'this tab leads now' }));
    else this.#connect(line, url, protocols);
    return line;
  }

  /** Connects the line to the gateway. */
  #connect(line: Line, url: string, protocols?: string | string[]): void {
    const hub: Hub = new Hub(this.#member, line, new this.#platform.Socket(url, protocols), {
      channel: (name) => this.#channel(name),
      live: () => this.#say({ lead: hub.id }),
      stored: () => this.#store.cursor,
      over: (over) => {
        if (this.#hub === hub) this.#hub = undefined;
        this.#say({ over });
      },
    });
    this.#hub = line.carrier = hub;
  }

  /** Connects the line to the leader, as soon as that is live. */
  #follow(line: Line): void {
    let leader: BroadcastChannel | undefined;
    const calm = (): void => clearTimeout(silence);
    const silence = setTimeout(() => this.#steal(), SILENCE_MS * (1 + Math.random() / 3));
    const seeker: Seeker = (this.#seeker = { calm });
    const inbox = this.#channel(line.id, ({ lead, hold, text, saved, over }: ToLine) => {
      if (hold) calm();
      if (lead) seeker.found?.(lead);
      if (text) line.gives(text);
      this.#store.saved(saved);
      if (over) line.ends(over);
    });
    seeker.found = (lead) => {
      delete seeker.found;
      calm();
      seeker.hub = lead;
      leader = this.#channel(lead);
      line.opened();
    };
    const post = (message: Omit<ToHub, 'from'>): void => leader?.postMessage({ from: line.id, ...message } satisfies ToHub);
    line.carrier = {
      send: (text) => post({ text }),
      close: () => {
        calm();
        post({ bye: true });
        leader?.close();
        inbox.close();
        if (this.#seeker === seeker) this.#seeker = undefined;
      },
    };
    this.#say({ ask: line.id, awake: globalThis.document?.visibilityState !== 'hidden' });
  }

  #heard({ ask, awake, lead, hold, over, wiped }: ToAll): void {
    if (wiped) this.#store.wiped();
    if (ask && this.#leads) this.#answer(ask, !!awake);
    const seeker = this.#seeker;
    if (hold) seeker?.calm();
    if (over && seeker?.found) this.#line?.ends(over);
    if (!lead || this.#leads) return;
    if (seeker?.found) seeker.found(lead);
    // The leader that this one had is gone.
    else if (seeker?.hub !== lead) this.#again({ code: 1006, reason: 'another tab leads now' });
  }

  #answer(line: string, awake: boolean): void {
    const channel = this.#channel(line);
    channel.postMessage((this.#hub?.ready ? { lead: this.#hub.id } : { hold: true }) satisfies ToLine);
    channel.close();
    // The timers of a page that nobody sees are slow: one that somebody sees does not wait for them.
    if (awake && this.#member.snapshot.connection.state === 'reconnecting') void this.#member.connect();
  }

  #wiped(): void {
    const all = this.#all ?? this.#channel('');
    all.postMessage({ wiped: true } satisfies ToAll);
    if (all !== this.#all) all.close();
  }

  #say(message: ToAll): void {
    this.#all?.postMessage(message);
  }

  #channel<T>(name: string, heard?: (data: T) => void): BroadcastChannel {
    const channel = new this.#platform.Channel(`${this.#name} ${name}`);
    if (heard) channel.onmessage = ({ data }) => heard(data as T);
    return channel;
  }

  // The page is frozen, or kept for the way back, or goes: another tab leads. It also leaves the queue, because a page that
  // sleeps cannot lead.
  readonly #sleep = (): void => {
    if (this.#asleep) return;
    let wake = (): void => {};
    const promise = new Promise<void>((resolve) => (wake = resolve));
    this.#asleep = { promise, wake };
    const release = this.#retire();
    this.#line?.ends({ code: 1006, reason: 'the page was put to sleep' });
    this.#close(release);
  };

  readonly #wake = (): void => {
    const asleep = this.#asleep;
    this.#asleep = undefined;
    asleep?.wake();
    if (asleep) this.#again({ code: 1006, reason: 'the page woke up' });
  };

  #watchPage(on: boolean): void {
    const method = on ? 'addEventListener' : 'removeEventListener';
    globalThis[method]?.('pagehide', this.#sleep);
    globalThis[method]?.('pageshow', this.#wake);
    globalThis.document?.[method]?.('freeze', this.#sleep);
    globalThis.document?.[method]?.('resume', this.#wake);
  }
}
