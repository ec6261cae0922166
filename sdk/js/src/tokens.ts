// The token for the next login, and its renewal while a connection is open.

import type { Options } from './options.js';
import type { LoginReply, ServerFrame } from './protocol.js';

/** The longest time that timers support, in milliseconds. */
export const TIMER_MAX_MS = 2 ** 31 - 1;
/** The earliest renewal before a token's end; otherwise a fifth of its time must be left. */
const REFRESH_LEAD_MS = 60_000;
/** The shortest wait before a renewal. */
const REFRESH_PAUSE_MS = 1_000;

/** The actions that renewing needs. */
export interface TokenHandlers {
  refresh(token: string): Promise<ServerFrame>;
  failed(cause: unknown): void;
}

/** Keeps the token and replaces it before it expires. */
export class Tokens {
  readonly #options: Options;
  readonly #handlers: TokenHandlers;
  #token?: string;
  // The gateway ended a connection because of the token; no login has succeeded since.
  #ended = false;
  #expiresAt?: number;
  // The gateway's clock minus the local one.
  #skew = 0;
  #timer?: ReturnType<typeof setTimeout>;
  // Counts connections, to ignore a renewal that began on an earlier one.
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

  stop(): void {
    this.#run++;
    clearTimeout(this.#timer);
  }

  /** Drops an expired token; returns whether it is the first since a login. */
  expired(): boolean {
    const first = !this.#ended;
    this.#token = undefined;
    this.#ended = true;
    return first;
  }

  reset(token?: string): void {
    this.#token = token;
  }

  #expires(at: number | undefined): void {
    this.#expiresAt = at;
    clearTimeout(this.#timer);
    if (at === undefined || !this.#options.getToken) return;
    const left = at - Date.now() - this.#skew;
    const wait = Math.max(REFRESH_PAUSE_MS, left - Math.min(REFRESH_LEAD_MS, left / 5));
    // The gateway closes the connection after the token's end, with the code that requests a new token.
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
