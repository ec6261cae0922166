import type { Options } from './options.js';
import type { LoginReply, ServerFrame } from './protocol.js';
/** The longest time that timers can measure. */
export declare const TIMER_MAX_MS: number;
export interface TokenHandlers {
    refresh(token: string): Promise<ServerFrame>;
    failed(cause: unknown): void;
}
export declare class Tokens {
    #private;
    constructor(options: Options, handlers: TokenHandlers);
    take(): Promise<string>;
    restart(): void;
    loggedIn({ serverTime, expiresAt }: LoginReply): void;
    /** The connection is over. */
    stop(): void;
    /** The next login asks for a better one. */
    refused(): void;
    /** The gateway closed because of its end. True only the first time since a login. */
    expired(): boolean;
    reset(): void;
}
