import type { Options } from './options.js';
import type { LoginReply, ServerFrame } from './protocol.js';
/** The longest time that timers support, in milliseconds. */
export declare const TIMER_MAX_MS: number;
/** The actions that renewing needs. */
export interface TokenHandlers {
    refresh(token: string): Promise<ServerFrame>;
    failed(cause: unknown): void;
}
/** Keeps the token and replaces it before it expires. */
export declare class Tokens {
    #private;
    constructor(options: Options, handlers: TokenHandlers);
    take(): Promise<string>;
    restart(): void;
    loggedIn({ serverTime, expiresAt }: LoginReply): void;
    stop(): void;
    /** Drops an expired token; returns whether it is the first since a login. */
    expired(): boolean;
    reset(token?: string): void;
}
