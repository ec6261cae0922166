import type { Goodbye, ServerFrame } from './protocol.js';
/** The part of the platform's WebSocket that is used; `ws` for Node has it too. */
export interface WebSocketLike {
    readonly readyState: number;
    onopen: ((event: any) => void) | null;
    onmessage: ((event: any) => void) | null;
    onclose: ((event: any) => void) | null;
    onerror: ((event: any) => void) | null;
    send(data: string): void;
    close(code?: number, reason?: string): void;
}
export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocketLike;
export interface End {
    code: number;
    reason: string;
    goodbye?: Goodbye;
}
export interface Handlers {
    opened(): void;
    frame(frame: ServerFrame): void;
    ended(end: End): void;
    trace(direction: 'in' | 'out', frame: object): void;
}
export declare class Connection {
    #private;
    /** Throws what the platform throws, for an address that is none. */
    constructor(url: string, Socket: WebSocketConstructor, handlers: Handlers);
    get paused(): boolean;
    /** From now on the gateway is heard every `heartbeatMs`. */
    loggedIn(heartbeatMs: number): void;
    /** Takes the connection for dead if nothing at all is heard that soon; afterwards all is as before. */
    expectWithin(ms: number): void;
    /** False if it cannot go out now. True is no promise that it arrives. */
    send(frame: object): boolean;
    /** Ends in order, without telling the handlers. */
    close(): void;
    /** Ends as if the network had. */
    drop(reason: string): void;
    /** Stops reading. Where that is impossible, frames are held back; heartbeats are still answered. */
    pause(): void;
    resume(): void;
}
