// Several tabs in one process: each with its own view of the platform's locks and channels, so that one can be killed.

import { setImmediate as immediate } from 'node:timers/promises';
import { shareTabs } from '../../src/tabs.js';
import type { Options, Tabs } from '../../src/index.js';
import { rig, settle } from './rig.js';
import type { Rig } from './rig.js';

/** How a tab fares. A dead one does nothing any more; a deaf one keeps what it has, and hears and says nothing. */
export interface Place {
  dead: boolean;
  deaf: boolean;
}

interface Waiting {
  place: Place;
  take(): void;
}

/** The locks and channels of one origin. */
export class Origin {
  readonly #channels = new Map<string, Set<FakeChannel>>();
  readonly #held = new Map<string, { place: Place; stolen(): unknown }>();
  readonly #queues = new Map<string, Waiting[]>();
  #untold: { place: Place; lost(): void }[] = [];

  channel(place: Place): typeof BroadcastChannel {
    const channels = this.#channels;
    return class extends FakeChannel {
      constructor(name: string) {
        super(name, channels, place);
      }
    } as unknown as typeof BroadcastChannel;
  }

  locks(place: Place): LockManager {
    const request = (name: string, options: LockOptions, run: (lock: object | null) => Promise<void> | undefined): Promise<void> =>
      new Promise((resolve, reject) => {
        const take = (): void => {
          const lost = (): void => reject(new DOMException('stolen', 'AbortError'));
          const hold = { place, stolen: () => (place.deaf ? this.#untold.push({ place, lost }) : lost()) };
          this.#held.set(name, hold);
          Promise.resolve(run({ name })).then(() => {
            if (this.#held.get(name) === hold) this.#next(name);
            resolve();
          });
        };
        queueMicrotask(() => {
          const held = this.#held.get(name);
          if (options.steal) {
            held?.stolen();
            take();
          } else if (!held) take();
          else if (options.ifAvailable) Promise.resolve(run(null)).then(resolve);
          else {
            const waiting = { place, take };
            this.#queues.set(name, [...(this.#queues.get(name) ?? []), waiting]);
            options.signal?.addEventListener('abort', () => {
              const queue = this.#queues.get(name) ?? [];
              if (!queue.includes(waiting)) return;
              this.#queues.set(name, queue.filter((other) => other !== waiting));
              reject(new DOMException('aborted', 'AbortError'));
            });
          }
        });
      });
    return { request } as unknown as LockManager;
  }

  /** The platform takes away what a tab had. */
  kill(place: Place): void {
    place.dead = true;
    for (const [name, held] of this.#held) if (held.place === place) this.#next(name);
  }

  /** A deaf tab hears again, and learns what was taken from it. */
  hears(place: Place): void {
    place.deaf = false;
    for (const { place: whose, lost } of this.#untold) if (whose === place) lost();
  }

  #next(name: string): void {
    this.#held.delete(name);
    const next = (this.#queues.get(name) ?? []).find(({ place }) => !place.dead);
    if (!next) return;
    this.#queues.set(name, (this.#queues.get(name) ?? []).filter((other) => other !== next));
    next.take();
  }
}

class FakeChannel {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  #closed = false;

  constructor(readonly name: string, readonly channels: Map<string, Set<FakeChannel>>, readonly place: Place) {
    channels.set(name, (channels.get(name) ?? new Set()).add(this));
  }

  postMessage(data: unknown): void {
    if (this.#closed) throw new DOMException('closed', 'InvalidStateError');
    if (this.place.dead || this.place.deaf) return;
    for (const other of this.channels.get(this.name) ?? []) if (other !== this) other.#hear(structuredClone(data));
  }

  close(): void {
    this.#closed = true;
    this.channels.get(this.name)?.delete(this);
  }

  #hear(data: unknown): void {
    void immediate().then(() => {
      if (!this.#closed && !this.place.dead && !this.place.deaf) this.onmessage?.({ data });
    });
  }
}

export interface TabRig extends Rig {
  place: Place;
  origin: Origin;
  /** Ends it without a word, as a killed process does. */
  kill(): void;
}

/** Makes a tab of an origin. */
export function tab(origin: Origin, options: Partial<Options> = {}): TabRig {
  const place = { dead: false, deaf: false };
  const tabs: Tabs = (...args) => {
    const kept = Object.getOwnPropertyDescriptors(globalThis);
    Object.defineProperty(globalThis, 'navigator', { value: { locks: origin.locks(place) }, configurable: true });
    Object.defineProperty(globalThis, 'BroadcastChannel', { value: origin.channel(place), configurable: true });
    try {
      return shareTabs(...args);
    } finally {
      for (const name of ['navigator', 'BroadcastChannel'] as const) {
        if (kept[name]) Object.defineProperty(globalThis, name, kept[name]);
        else delete (globalThis as Record<string, unknown>)[name];
      }
    }
  };
  const it = rig({ tabs, ...options });
  return Object.defineProperties({ place, origin, kill: () => origin.kill(place) }, Object.getOwnPropertyDescriptors(it)) as TabRig;
}

/** Connects a tab, and lets it find its leader. */
export async function join(origin: Origin, options: Partial<Options> = {}): Promise<TabRig> {
  const it = tab(origin, options);
  it.client.connect().catch(() => {});
  await settled();
  return it;
}

/** Runs all work that is ready, messages between tabs included. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 6; i++) await settle();
}
