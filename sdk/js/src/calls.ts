// Commands on their way: each is answered, or fails with an error, within its time. Those that cannot be sent now
// wait for the next connection.

import { Code, RosterdError } from './protocol.js';
import type { Command, ServerFrame } from './protocol.js';

interface Call {
  command: Command;
  /** Whether sending it a second time does no harm. */
  repeatable: boolean;
  sent: boolean;
  timer: ReturnType<typeof setTimeout>;
  resolve(frame: ServerFrame): void;
  reject(error: RosterdError): void;
}

export class Calls {
  #calls = new Map<number, Call>();
  #lastId = 0;

  nextId(): number {
    return ++this.#lastId;
  }

  /** Calls that wait are sent by the next {@link flush}. */
  add(command: Command, timeoutMs: number, repeatable: boolean): Promise<ServerFrame> {
    const id = this.nextId();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const { sent } = this.#calls.get(id) ?? {};
        this.#calls.delete(id);
        reject(new RosterdError(Code.timeout, 'TIMEOUT', `${sent ? 'no answer' : 'no connection'} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#calls.set(id, { command, repeatable, sent: false, timer, resolve, reject });
    });
  }

  /** Sends what waits, oldest first. */
  flush(send: (frame: object) => boolean): void {
    for (const [id, call] of this.#calls) {
      if (!call.sent) call.sent = send({ id, ...call.command });
    }
  }

  /** Hands a reply or an error to its caller. False if nobody waits for it. */
  settle(frame: ServerFrame): boolean {
    const call = frame.id === undefined ? undefined : this.#take(frame.id);
    if (!call) return false;
    if (frame.error) call.reject(RosterdError.from(frame.error));
    else call.resolve(frame);
    return true;
  }

  /** The connection is lost: what may be repeated waits for the next one. */
  interrupted(): void {
    for (const [id, call] of this.#calls) {
      if (!call.sent) continue;
      if (call.repeatable) call.sent = false;
      else this.#take(id)?.reject(new RosterdError(Code.timeout, 'CONNECTION_LOST', 'the connection was lost before the answer came; it may have been carried out or not'));
    }
  }

  /** No connection is to be expected. */
  fail(error: RosterdError): void {
    for (const id of [...this.#calls.keys()]) this.#take(id)?.reject(error);
  }

  #take(id: number): Call | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    clearTimeout(call?.timer);
    return call;
  }
}
