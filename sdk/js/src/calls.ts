// Pending commands. Each gets an answer or an error in time. A command that cannot be sent now waits for the next
// connection. The gateway answers first and sends the change afterwards; a call with `here` waits for the change too.

import { Code, RosterdError } from './protocol.js';
import type { Command, ServerFrame } from './protocol.js';
import { after } from './timers.js';

/** One pending command. */
interface Call {
  command: Command;
  /** True if sending it twice does no harm. */
  repeatable: boolean;
  /** Returns whether the held records show the command's effect. */
  here?(): boolean;
  /** The reply, while the call waits for the effect. */
  answer?: ServerFrame;
  sent: boolean;
  cancelTimeout(): void;
  resolve(frame: ServerFrame): void;
  reject(error: RosterdError): void;
}

/** Matches replies to commands, and repeats commands after a lost connection where that is safe. */
export class Calls {
  #calls = new Map<number, Call>();
  #lastId = 0;

  nextId(): number {
    return ++this.#lastId;
  }

  /** Adds a call, which the next {@link flush} sends. */
  add(command: Command, timeoutMs: number, repeatable: boolean, here?: () => boolean): Promise<ServerFrame> {
    const id = this.nextId();
    return new Promise((resolve, reject) => {
      const cancelTimeout = after(timeoutMs, () => {
        const sent = this.#calls.get(id)?.sent;
        this.#end(id, new RosterdError(Code.timeout, 'TIMEOUT', `${sent ? 'no answer' : 'no connection'} within ${timeoutMs} ms`));
      });
      this.#calls.set(id, { command, repeatable, here, sent: false, cancelTimeout, resolve, reject });
    });
  }

  /** Sends waiting calls, oldest first. */
  flush(send: (frame: object) => boolean): void {
    for (const [id, call] of this.#calls) {
      if (!call.sent) call.sent = send({ id, ...call.command });
    }
  }

  /** Hands a reply or an error to its caller; false if there is none. */
  settle(frame: ServerFrame): boolean {
    const id = frame.id ?? 0;
    const call = this.#calls.get(id);
    if (!call) return false;
    call.answer = frame;
    if (frame.error) this.#take(id)?.reject(RosterdError.from(frame.error));
    else if (!call.here || call.here()) this.#end(id);
    return true;
  }

  /** Ends answered calls whose effect is visible; with `all`, every answered one. */
  applied(all: boolean): void {
    for (const [id, { answer, here }] of this.#calls) if (answer && (all || here?.())) this.#end(id);
  }

  /** Handles a lost connection: repeatable calls wait for the next one. */
  interrupted(): void {
    for (const [id, call] of this.#calls) {
      if (!call.sent) continue;
      if (call.repeatable && !call.answer) call.sent = false;
      else this.#end(id, new RosterdError(Code.timeout, 'CONNECTION_LOST', 'the connection was lost before the answer came; it may have been carried out or not'));
    }
  }

  fail(error: RosterdError): void {
    for (const id of [...this.#calls.keys()]) this.#end(id, error);
  }

  /** Resolves an answered call, which took effect, or else rejects it. */
  #end(id: number, error?: RosterdError): void {
    const call = this.#take(id);
    if (call?.answer) call.resolve(call.answer);
    else if (error) call?.reject(error);
  }

  #take(id: number): Call | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.cancelTimeout();
    return call;
  }
}
