import type { RosterdClient } from './client.js';
import type { NIMDisconnected, NIMFriend, NIMGetInstanceOptions } from './nim-options.js';
/** Calls the application's callbacks. */
export declare class Callbacks {
    #private;
    options: NIMGetInstanceOptions;
    leaving?: NIMDisconnected;
    readonly own: string[];
    constructor(client: RosterdClient, options: NIMGetInstanceOptions);
    friend(account: string): {
        friend?: NIMFriend;
    };
}
/** Runs a callback and reports its error, so that nothing else stops. */
export declare function safely(callback: () => unknown): void;
