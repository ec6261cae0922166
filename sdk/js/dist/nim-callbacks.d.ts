import type { RosterdClient } from './client.js';
import type { NIMDisconnected, NIMFriend, NIMGetInstanceOptions } from './nim-options.js';
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
/** An application's callback that throws is its own affair: the console hears of it, and nothing else stops. */
export declare function safely(callback: () => unknown): void;
