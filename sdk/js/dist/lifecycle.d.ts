import { Connection } from './connection.js';
import type { Emitter } from './emitter.js';
import type { Events, Options, State } from './options.js';
import type { Command, ServerFrame } from './protocol.js';
import type { Replica } from './replica.js';
/** Connects, logs in, keeps the replica up to date, and reconnects. */
export declare class Lifecycle {
    #private;
    readonly options: Options;
    readonly url: string;
    state: State;
    connection?: Connection;
    constructor(options: Options, emitter: Emitter<Events>, replica: Replica);
    connect(): Promise<void>;
    disconnect(): Promise<void>;
    logout(forget: boolean): Promise<void>;
    call(command: Command, { repeatable, timeoutMs, here }: {
        repeatable: boolean;
        timeoutMs?: number;
        here?: () => boolean;
    }): Promise<ServerFrame>;
}
