import type { Goodbye, ServerFrame } from './protocol.js';
/** The part of the platform's WebSocket that the client uses; `ws` for Node has it too. */
export interface WebSocketLike {
    readonly readyState: number;
    onopen: ((event: any) => void) | null;
    onmessage: ((event: any) => void) | null;
    onclose: ((event: any) => void) | null;
    onerror: ((event: any) => void) | null;
    send(data: string): void;
    close(code?: number, reason?: string): void;
}
/** A WebSocket class. */
export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocketLike;
/** The end of a connection; with the gateway's goodbye, if one came. */
export interface End {
    code: number;
    reason: string;
    goodbye?: Goodbye;
}
/** The receiver of a connection's events. */
export interface Handlers {
    opened(): void;
    frame(frame: ServerFrame): void;
    ended(end: End): void;
    trace(direction: 'in' | 'out', frame: object): void;
}
/** Carries frames over one WebSocket. */
export declare class Connection {
    #private;
    /** Opens the WebSocket; throws if the address is invalid. */
    constructor(url: string, Socket: WebSocketConstructor, handlers: Handlers);
    get paused(): boolean;
    /** Expects a frame every `heartbeatMs` from now on. */
    loggedIn(heartbeatMs: number): void;
    /** Expects any frame within `ms`, once. */
    expectWithin(ms: number): void;
    /** Sends a frame; false if that is impossible now. True does not mean that it arrives. */
    send(frame: object): boolean;
    /** Closes without calling the handlers. */
    close(): void;
    /** Ends like a network failure. */
    drop(reason: string): void;
    /** Stops reading, or holds frames back and still answers heartbeats. */
    pause(): void;
    resume(): void;
}
