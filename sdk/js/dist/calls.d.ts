import { RosterdError } from './protocol.js';
import type { Command, ServerFrame } from './protocol.js';
export declare class Calls {
    #private;
    nextId(): number;
    /** Calls that wait are sent by the next {@link flush}. */
    add(command: Command, timeoutMs: number, repeatable: boolean, here?: () => boolean): Promise<ServerFrame>;
    /** Sends what waits, oldest first. */
    flush(send: (frame: object) => boolean): void;
    /** Hands a reply or an error to its caller. False if nobody waits for it. */
    settle(frame: ServerFrame): boolean;
    /** Something was applied; `all`: everything that the gateway has done so far. */
    applied(all: boolean): void;
    /** The connection is lost: what may be repeated waits for the next one. */
    interrupted(): void;
    /** No connection is to be expected. */
    fail(error: RosterdError): void;
}
