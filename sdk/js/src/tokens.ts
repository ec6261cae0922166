// The token that the next login shows, and its renewal while a connection is open.

import type { Options } from './options.js';
import type { LoginReply, ServerFrame } from './protocol.js';

/** The longest time that timers can measure. */
export const TIMER_MAX_MS = 2 ** 31 - 1;
/** A token is renewed when a fifth of its time is left, but not earlier than this before its end. */
const REFRESH_LEAD_MS = 60_000;
const REFRESH_PAUSE_MS = 1_000;

export interface TokenHandlers {
  refresh(token: string): Promise<ServerFrame>;
  failed(cause: unknown): void;
}

export class Tokens {
  readonly #options: Options;
  readonly #handlers: TokenHandlers;
  #token?: string;
  #ended = false;
  #expiresAt?: number;
  // The gateway's clock minus ours.
  #skew = 0;
  #timer?: ReturnType<typeof setTimeout>;
  // Counts connections, so that what was begun on an older one does nothing when it arrives.
  #run = 0;

  constructor(options: Options, handlers: TokenHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#token = options.token;
  }

  async take(): Promise<string> {
    const { getToken, account } = this.#options;
    if (!getToken) return this.#token ?? account;
    const ended = this.#expiresAt !== undefined && Date.now() + this.#skew >= this.#expiresAt;
    if (this.#token === undefined || ended) {
      this.#token = await getToken(this.#ended || ended ? 'expired' : 'connect');
      this.#expiresAt = undefined;
    }
    return this.#token;
  }

  restart(): void {
    this.#ended = false;
  }

  loggedIn({ serverTime, expiresAt }: LoginReply): void {
    this.#ended = false;
    this.#skew = serverTime - Date.now();
    this.#expires(expiresAt);
  }

  /** The connection is over. */
  stop(): void {
    this.#run++;
    clearTimeout(this.#timer);
  }

  /** The next login asks for a better one. */
  refused(): void {
    this.#token = undefined;
  }

  /** The gateway closed because of its end. True only the first time since a login. */
  expired(): boolean {
    const first = !this.#ended;
    this.#token = undefined;
    this.#ended = true;
    return first;
  }

  reset(): void {
    this.#token = this.#options.token;
  }

  /** Sees to it that the token is followed by another before it ends. */
  #expires(at: number | undefined): void {
    this.#expiresAt = at;
    clearTimeout(this.#timer);
    if (at === undefined || !this.#options.getToken) return;
    const left = at - Date.now() - this.#skew;
    const wait = Math.max(REFRESH_PAUSE_MS, left - Math.min(REFRESH_LEAD_MS, left / 5));
    // After its end the gateway closes with the code that asks for a new one.
    if (left <= 0) return;
    if (wait > TIMER_MAX_MS) this.#timer = setTimeout(() => this.#expires(at), TIMER_MAX_MS);
    else this.#timer = setTimeout(() => void this.#renew(at), wait);
  }

  async #renew(endsAt: number): Promise<void> {
    const run = this.#run;
    try {
      const token = await this.#options.getToken?.('refresh');
      if (token === undefined || run !== this.#run) return;
      const { refreshReply } = await this.#handlers.refresh(token);
      this.#token = token;
      if (run === this.#run) this.#expires(refreshReply?.expiresAt);
    } catch (cause) {
      if (run !== this.#run) return;
      this.#handlers.failed(cause);
      this.#expires(endsAt);
    }
  }
}
