// Commands on their way: each is answered, or fails with an error, within its time. Those that cannot be sent now
// wait for the next connection. The gateway answers first and then tells what changed; a call that says when its
// effect is here is not done before.

import { Code, RosterdError } from './protocol.js';
import type { Command, ServerFrame } from './protocol.js';

interface Call {
  command: Command;
  /** Whether sending it a second time does no harm. */
  repeatable: boolean;
  /** Whether what the command does can be seen in what is held. */
  here?(): boolean;
  /** The reply, while the effect is waited for. */
  answer?: ServerFrame;
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
  add(command: Command, timeoutMs: number, repeatable: boolean, here?: () => boolean): Promise<ServerFrame> {
    const id = this.nextId();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const sent = this.#calls.get(id)?.sent;
        this.#end(id, new RosterdError(Code.timeout, 'TIMEOUT', `${sent ? 'no answer' : 'no connection'} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#calls.set(id, { command, repeatable, here, sent: false, timer, resolve, reject });
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
    const id = frame.id ?? 0;
    const call = this.#calls.get(id);
    if (!call) return false;
    call.answer = frame;
    if (frame.error) this.#take(id)?.reject(RosterdError.from(frame.error));
    else if (!call.here || call.here()) this.#end(id);
    return true;
  }

  /** Something was applied; `all`: everything that the gateway has done so far. */
  applied(all: boolean): void {
    for (const [id, { answer, here }] of this.#calls) if (answer && (all || here?.())) this.#end(id);
  }

  /** The connection is lost: what may be repeated waits for the next one. */
  interrupted(): void {
    for (const [id, call] of this.#calls) {
      if (!call.sent) continue;
      if (call.repeatable && !call.answer) call.sent = false;
      else this.#end(id, new RosterdError(Code.timeout, 'CONNECTION_LOST', 'the connection was lost before the answer came; it may have been carried out or not'));
    }
  }

  /** No connection is to be expected. */
  fail(error: RosterdError): void {
    for (const id of [...this.#calls.keys()]) this.#end(id, error);
  }

  /** One that was answered was carried out, whatever came of the connection since. */
  #end(id: number, error?: RosterdError): void {
    const call = this.#take(id);
    if (call?.answer) call.resolve(call.answer);
    else if (error) call?.reject(error);
  }

  #take(id: number): Call | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    clearTimeout(call?.timer);
    return call;
  }
}
