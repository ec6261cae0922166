import { RosterdError } from './protocol.js';
export interface NIMError {
    code: number;
    message: string;
    /** `callFunc` is the method that failed; `reason` and `field` are there if the gateway gave them. */
    event: {
        callFunc: string;
        reason?: string;
        field?: string;
    };
}
/** NIM's number for an account or a token that is not accepted. */
export declare const WRONG_TOKEN = 302;
/** A plain object, so that it survives JSON and a look at the console. */
export declare function failure(error: unknown, callFunc: string): NIMError;
/** The number for an end of the connection that nobody asked for. */
export declare function networkCode(close: number, error: RosterdError | undefined): number;
