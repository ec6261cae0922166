// One WebSocket: frames to text and back, answers to heartbeats, and a watchdog.
// It reports its end exactly once and does not wait for the peer: after a network failure, close events come minutes late.

import type { Goodbye, ServerFrame } from './protocol.js';
import { after } from './timers.js';

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

/** Methods of some implementations: to stop reading, and to drop a connection without a close handshake. */
interface Extras {
  pause?(): void;
  resume?(): void;
  terminate?(): void;
}

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

/** The limit for network, upgrade and login together; the gateway's limit for a login is 10 s. */
const LOGIN_MS = 12_000;
/** How long to wait for the gateway's close after its goodbye. */
const GOODBYE_MS = 2_000;

/** Carries frames over one WebSocket. */
export class Connection {
  readonly #socket: WebSocketLike & Extras;
  readonly #handlers: Handlers;
  #over = false;
  #goodbye?: Goodbye;
  // Cancels the timer that ends a silence of #patience.
  #silence = (): void => {};
  #patience = LOGIN_MS;
  #paused = false;
  // Frames that arrived while paused, if the socket cannot pause.
  #held: string[] = [];

  /** Opens the WebSocket; throws if the address is invalid. */
  constructor(url: string, Socket: WebSocketConstructor, handlers: Handlers) {
    this.#handlers = handlers;
    const socket = (this.#socket = new Socket(url, ['rosterd.v1.json']));
    this.#listen();
    socket.onopen = () => !this.#over && handlers.opened();
    socket.onmessage = ({ data }) => this.#message(data);
    socket.onclose = ({ code, reason }) => this.#end({ code: code ?? 1006, reason: String(reason ?? '') });
    // A close event follows; some implementations throw if this one has no listener.
    socket.onerror = () => {};
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Expects a frame every `heartbeatMs` from now on. */
  loggedIn(heartbeatMs: number): void {
    if (heartbeatMs > 0) this.#patience = heartbeatMs * 2.5;
    this.#listen();
  }

  /** Expects any frame within `ms`, once. */
  expectWithin(ms: number): void {
    this.#listen(ms);
  }

  /** Sends a frame; false if that is impossible now. True does not mean that it arrives. */
  send(frame: object): boolean {
    if (this.#over || this.#socket.readyState !== 1) return false;
    this.#handlers.trace('out', frame);
    try {
      this.#socket.send(JSON.stringify(frame));
      return true;
    } catch {
      return false;
    }
  }

  /** Closes without calling the handlers. */
  close(): void {
    this.#release();
    this.#quietly(() => this.#socket.close(1000));
  }

  /** Ends like a network failure. */
  drop(reason: string): void {
    const { terminate } = this.#socket;
    if (this.#over) return;
    this.#quietly(() => (terminate ? terminate.call(this.#socket) : this.#socket.close()));
    this.#end({ code: 1006, reason });
  }

  /** Stops reading, or holds frames back and still answers heartbeats. */
  pause(): void {
    if (this.#over || this.#paused) return;
    this.#paused = true;
    this.#silence();
    this.#socket.pause?.();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#listen();
    this.#socket.resume?.();
    const held = this.#held;
    this.#held = [];
    for (const data of held) this.#message(data);
  }

  #message(data: unknown): void {
    if (this.#over) return;
    if (this.#paused && data !== '{}') {
      this.#held.push(data as string);
      return;
    }
    this.#listen();
    let frame: ServerFrame;
    try {
      frame = JSON.parse(data as string) as ServerFrame;
      if (typeof frame !== 'object' || frame === null) throw new TypeError('not an object');
      freeze(frame);
    } catch {
      // Something is lost; the next login brings it.
      this.drop('a frame could not be read');
      return;
    }
    this.#handlers.trace('in', frame);
    if (Object.keys(frame).length === 0) {
      this.send({});
      return;
    }
    if (frame.goodbye) {
      this.#goodbye = frame.goodbye;
      this.#patience = GOODBYE_MS;
      this.#listen();
    }
    this.#handlers.frame(frame);
  }

  #listen(patience = this.#patience): void {
    this.#silence();
    if (this.#over || this.#paused) return;
    this.#silence = after(patience, () => this.drop('nothing was heard for too long'));
  }

  #end(end: End): void {
    if (this.#over) return;
    this.#release();
    const goodbye = this.#goodbye;
    // The close frame has the same code, unless it was lost.
    this.#handlers.ended(goodbye ? { code: goodbye.code, reason: goodbye.reason, goodbye } : end);
  }

  #release(): void {
    this.#over = true;
    this.#silence();
    this.#held = [];
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
  }

  #quietly(action: () => void): void {
    try {
      action();
    } catch {
      // It was not open, or is closed already.
    }
  }
}

/**
 * Freezes the records in a frame. Listeners get the records that the client keeps and stores; if one changed a record in
 * place, contents and version would disagree, which no comparison with the gateway finds.
 */
function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const part of Object.values(value)) freeze(part);
  if (!Array.isArray(value)) Object.freeze(value);
}
