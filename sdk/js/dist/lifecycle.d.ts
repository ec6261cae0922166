import { Connection } from './connection.js';
import type { Emitter } from './emitter.js';
import type { Events, Options, State } from './options.js';
import type { Command, ServerFrame } from './protocol.js';
import type { Replica } from './replica.js';
export declare class Lifecycle {
    #private;
    constructor(options: Options, url: string, emitter: Emitter<Events>, replica: Replica);
    get state(): State;
    get connection(): Connection | undefined;
    connect(): Promise<void>;
    disconnect(): Promise<void>;
    logout(forget: boolean): Promise<void>;
    call(command: Command, { repeatable, timeoutMs, here }: {
        repeatable: boolean;
        timeoutMs?: number;
        here?: () => boolean;
    }): Promise<ServerFrame>;
}
