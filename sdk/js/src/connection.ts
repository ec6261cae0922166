// One WebSocket from its opening to its end: text to frames and back, the heartbeat's answer, and the watchdog.
// What the frames mean is the client's business. It tells of its end exactly once, without waiting for a peer
// that may be gone: close events of a dead network come minutes late.

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

/** Some implementations can stop reading, and drop a connection without a word. */
interface Extras {
  pause?(): void;
  resume?(): void;
  terminate?(): void;
}

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

/** For the network, the upgrade and the login together; the gateway gives a login 10 s. */
const LOGIN_MS = 12_000;
/** After a goodbye the gateway closes. If that gets lost, this is how long it is waited for. */
const GOODBYE_MS = 2_000;

export class Connection {
  readonly #socket: WebSocketLike & Extras;
  readonly #handlers: Handlers;
  #over = false;
  #goodbye?: Goodbye;
  // Fires if nothing was heard for #patience.
  #silence?: ReturnType<typeof setTimeout>;
  #patience = LOGIN_MS;
  #paused = false;
  // What arrived while paused, where the socket itself cannot be paused.
  #held: string[] = [];

  /** Throws what the platform throws, for an address that is none. */
  constructor(url: string, Socket: WebSocketConstructor, handlers: Handlers) {
    this.#handlers = handlers;
    const socket = (this.#socket = new Socket(url, ['rosterd.v1.json']));
    this.#listen();
    socket.onopen = () => !this.#over && handlers.opened();
    socket.onmessage = ({ data }) => this.#message(data);
    socket.onclose = ({ code, reason }) => this.#end({ code: code ?? 1006, reason: String(reason ?? '') });
    // A close event follows; some implementations throw if nobody listens to this one.
    socket.onerror = () => {};
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** From now on the gateway is heard every `heartbeatMs`. */
  loggedIn(heartbeatMs: number): void {
    if (heartbeatMs > 0) this.#patience = Math.min(heartbeatMs * 2.5, 2 ** 31 - 1);
    this.#listen();
  }

  /** Takes the connection for dead if nothing at all is heard that soon; afterwards all is as before. */
  expectWithin(ms: number): void {
    this.#listen(ms);
  }

  /** False if it cannot go out now. True is no promise that it arrives. */
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

  /** Ends in order, without telling the handlers. */
  close(): void {
    this.#release();
    this.#quietly(() => this.#socket.close(1000));
  }

  /** Ends as if the network had. */
  drop(reason: string): void {
    const { terminate } = this.#socket;
    if (this.#over) return;
    this.#quietly(() => (terminate ? terminate.call(this.#socket) : this.#socket.close()));
    this.#end({ code: 1006, reason });
  }

  /** Stops reading. Where that is impossible, frames are held back; heartbeats are still answered. */
  pause(): void {
    if (this.#over || this.#paused) return;
    this.#paused = true;
    clearTimeout(this.#silence);
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
    } catch {
      // Something is lost, and nobody knows what: the next login brings it.
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
    clearTimeout(this.#silence);
    if (this.#over || this.#paused) return;
    this.#silence = setTimeout(() => this.drop('nothing was heard for too long'), patience);
  }

  #end(end: End): void {
    if (this.#over) return;
    this.#release();
    const goodbye = this.#goodbye;
    // The close frame has the same code, unless it got lost.
    this.#handlers.ended(goodbye ? { code: goodbye.code, reason: goodbye.reason, goodbye } : end);
  }

  #release(): void {
    this.#over = true;
    clearTimeout(this.#silence);
    this.#held = [];
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
  }

  #quietly(action: () => void): void {
    try {
      action();
    } catch {
      // It was not open, or is closed already: either way it is over.
    }
  }
}
