import { RosterdError } from './protocol.js';
import type { Command, ServerFrame } from './protocol.js';
/** Matches replies to commands, and repeats commands after a lost connection where that is safe. */
export declare class Calls {
    #private;
    nextId(): number;
    /** Adds a call, which the next {@link flush} sends. */
    add(command: Command, timeoutMs: number, repeatable: boolean, here?: () => boolean): Promise<ServerFrame>;
    /** Sends waiting calls, oldest first. */
    flush(send: (frame: object) => boolean): void;
    /** Hands a reply or an error to its caller; false if there is none. */
    settle(frame: ServerFrame): boolean;
    /** Ends answered calls whose effect is visible; with `all`, every answered one. */
    applied(all: boolean): void;
    /** Handles a lost connection: repeatable calls wait for the next one. */
    interrupted(): void;
    fail(error: RosterdError): void;
}
