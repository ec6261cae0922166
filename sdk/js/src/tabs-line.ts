// What a client gets for a WebSocket: a line to the gateway through the leading tab, whichever that is.

import type { WebSocketLike } from './connection.js';

/** What carries the frames of a line: the leader's WebSocket, or the channel to the leader. */
export interface Carrier {
  send(text: string): void;
  /** The line has ended: on the client's wish with its code, or by {@link Line.ends}. */
  close(code?: number): void;
}

/** The end of a connection, with the text of the gateway's goodbye. */
export interface Over {
  code: number;
  reason: string;
  goodbye?: string | undefined;
}

/** A WebSocket without a network. */
export class Line implements WebSocketLike {
  readonly id = crypto.randomUUID();
  readyState = 0;
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  carrier?: Carrier;

  send(text: string): void {
    this.carrier?.send(text);
  }

  close(code?: number): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.carrier?.close(code);
  }

  opened(): void {
    if (this.readyState) return;
    this.readyState = 1;
    this.onopen?.({});
  }

  gives(text: string): void {
    if (this.readyState !== 3) this.onmessage?.({ data: text });
  }

  ends({ code, reason, goodbye }: Over): void {
    if (goodbye) this.gives(goodbye);
    if (this.readyState === 3) return;
    this.close();
    this.onclose?.({ code, reason });
  }
}
