import { RosterdError } from './protocol.js';
/** An error: a number, a message, and what failed. */
export interface NIMError {
    code: number;
    message: string;
    /** Names the failed method, with the gateway's `reason`, `field` and `detail` if there are any. */
    event: {
        callFunc: string;
        reason?: string;
        field?: string;
        detail?: string;
    };
}
/** NIM's number for a refused account or token. */
export declare const WRONG_TOKEN = 302;
/** Converts an error into a plain object, which survives JSON and prints well. */
export declare function failure(error: unknown, callFunc: string): NIMError;
/** Returns NIM's number for an unexpected end of the connection. */
export declare function networkCode(close: number, error: RosterdError | undefined): number;
