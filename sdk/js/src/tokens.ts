// The token for the next login, and its renewal while a connection is open.

import type { Options, TokenReason } from './options.js';
import type { LoginReply, ServerFrame } from './protocol.js';
import { after, within } from './timers.js';

/** How long `getToken` may take. */
const TOKEN_MS = 15_000;
/** The earliest renewal before a token's end; otherwise a fifth of its time must be left. */
const REFRESH_LEAD_MS = 60_000;
/** The shortest wait before a renewal. */
const REFRESH_PAUSE_MS = 1_000;

/** The actions that renewing needs. */
export interface TokenHandlers {
  /** Returns whether the next login needs no token. */
  needless(): Promise<boolean> | undefined;
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
  #cancel = (): void => {};
  // Counts connections, to ignore a renewal that began on an earlier one.
  #run = 0;

  constructor(options: Options, handlers: TokenHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#token = options.token;
  }

  async take(): Promise<string> {
    if (await this.#handlers.needless()) return '';
    const { account } = this.#options;
    if (!this.#options.getToken) return this.#token ?? account;
    const ended = this.#expiresAt !== undefined && Date.now() + this.#skew >= this.#expiresAt;
    if (this.#token === undefined || ended) {
      this.#token = await this.#ask(this.#ended || ended ? 'expired' : 'connect');
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
    this.#cancel();
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
    this.#cancel();
    if (at === undefined || !this.#options.getToken) return;
    const left = at - Date.now() - this.#skew;
    const wait = Math.max(REFRESH_PAUSE_MS, left - Math.min(REFRESH_LEAD_MS, left / 5));
    // The gateway closes the connection after the token's end, with the code that requests a new token.
    if (left > 0) this.#cancel = after(wait, () => void this.#renew(at));
  }

  async #renew(endsAt: number): Promise<void> {
    const run = this.#run;
    try {
      const token = await this.#ask('refresh');
      if (run !== this.#run) return;
      const { refreshReply } = await this.#handlers.refresh(token);
      this.#token = token;
      if (run === this.#run) this.#expires(refreshReply?.expiresAt);
    } catch (cause) {
      if (run !== this.#run) return;
      this.#handlers.failed(cause);
      this.#expires(endsAt);
    }
  }

  /** Calls `getToken`. An answer that cannot be a token is a failure: the gateway would refuse the login for good. */
  async #ask(why: TokenReason): Promise<string> {
    const token: unknown = await within(TOKEN_MS, 'getToken', () => this.#options.getToken?.(why));
    if (typeof token === 'string' && token !== '') return token;
    throw new TypeError(`getToken returned ${token === '' ? 'an empty text' : `no text but ${token === null ? 'null' : typeof token}`}`);
  }
}
