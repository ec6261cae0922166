// Pending commands. Each gets an answer or an error in time. A command that cannot be sent now waits for the next
// connection. The gateway answers first and sends the change afterwards; a call with `here` waits for the change too.
//
// A command whose answer was lost may have been carried out, and another device may have written since. Commands that only
// read are sent again. A command that sets state waits in doubt for the end of the next catch-up, and is then settled by
// what came: docs/protocol.md has the rule. Commands about the same record keep their order meanwhile.

import { Code, RosterdError } from './protocol.js';
import type { Command, ServerFrame } from './protocol.js';
import { after, onAbort } from './timers.js';
import type { CallLimits } from './timers.js';

/** A command that sets a record. It takes an `ifVersion`. */
export interface Setting {
  /** Names the record. */
  key: string;
  /** The version of the record as held; nothing if there is none, and the command makes none. */
  version(): number | undefined;
  /** Returns whether what is held is what the command sets. */
  shown(): boolean;
  /** The reply of a command that is in effect, but whose reply was lost. */
  reply?(): ServerFrame;
}

/** How to treat a call. */
export interface CallOptions {
  /** True if sending it twice does no harm. */
  repeatable: boolean;
  /** Returns whether the held records show the command's effect. */
  here?: (() => boolean) | undefined;
  /** Settles the call after a lost answer. */
  setting?: Setting | undefined;
  limits?: CallLimits | undefined;
  /** Sends the command only if the record still has this version, which moves with this client's own writes. */
  kept?: { version?: number | undefined } | undefined;
  /** Called before the promise settles, but not for a `kept` command that waits on after the end of the connection. */
  ended?: ((failed: boolean) => unknown) | undefined;
}

/** One pending command. */
interface Call extends CallOptions {
  command: Command;
  /** The reply, while the call waits for the effect. */
  answer?: ServerFrame;
  sent: boolean;
  /** The version of the record when the command was first sent; not set before. */
  base?: { version?: number | undefined } | undefined;
  /**
   * `yes`: the answer was lost, and the catch-up is not complete. `repeated`: it was sent again. `refused`: the record has
   * another version by now, which has not come yet.
   */
  doubt: 'no' | 'yes' | 'repeated' | 'refused';
  cancelTimeout(): void;
  resolve(frame: ServerFrame): void;
  reject(error: unknown): void;
}

type Send = (frame: object) => boolean;

/** Matches replies to commands, and repeats commands after a lost connection where that is safe. */
export class Calls {
  #calls = new Map<number, Call>();
  #lastId = 0;

  nextId(): number {
    return ++this.#lastId;
  }

  /** Adds a call, which the next {@link flush} sends. */
  add(command: Command, timeoutMs: number, options: CallOptions): Promise<ServerFrame> {
    const id = this.nextId();
    return new Promise((resolve, reject) => {
      const cancel = after(timeoutMs, () => {
        const sent = this.#calls.get(id)?.sent;
        this.#end(id, new RosterdError(Code.timeout, 'TIMEOUT', `${sent ? 'no answer' : 'no connection'} within ${timeoutMs} ms`));
      });
      const { kept, limits = {} } = options;
      const call: Call = { ...options, command, sent: false, base: kept, doubt: kept ? 'yes' : 'no', cancelTimeout: cancel, resolve, reject };
      this.#calls.set(id, call);
      const stop = onAbort(limits, (reason) => this.#end(id, reason));
      call.cancelTimeout = () => (cancel(), stop());
    });
  }

  /** Sends waiting calls, oldest first; those about a record that is in doubt wait for its settlement. */
  flush(send: Send): void {
    const doubtful = new Set<string>();
    for (const [id, call] of this.#calls) {
      const { setting, doubt } = call;
      const waits = setting && doubtful.has(setting.key);
      if (setting && doubt !== 'no') doubtful.add(setting.key);
      if (call.sent || doubt === 'yes' || waits) continue;
      call.base ??= { version: setting?.version() };
      call.sent = send({ id, ...call.command });
    }
  }

  /** Notes the versions of a complete catch-up: the gateway executes what was sent before its end after it. */
  caughtUp(): void {
    for (const { setting, base, sent, doubt } of this.#calls.values()) if (base && sent && doubt === 'no') base.version = setting?.version();
  }

  /** Settles commands in doubt after a catch-up, the oldest of each record first. */
  reconsider(send: Send): void {
    const busy = new Set<string>();
    for (const [id, call] of [...this.#calls]) {
      const { setting, doubt, base } = call;
      if (!setting || (doubt === 'no' && !call.sent)) continue;
      if (doubt === 'yes' && !busy.has(setting.key)) {
        if (this.#compared(id, call)) continue;
        const [[name, body]] = Object.entries(call.command) as [[string, object]];
        call.command = { [name]: { ...body, ifVersion: base?.version } };
        call.doubt = 'repeated';
      }
      busy.add(setting.key);
    }
    this.flush(send);
  }

  /** Hands a reply or an error to its caller; false if there is none. */
  settle(frame: ServerFrame): boolean {
    const id = frame.id ?? 0;
    const call = this.#calls.get(id);
    if (!call) return false;
    if (call.doubt === 'repeated' && frame.error?.code === Code.mismatch) {
      // The first one was carried out after all, or somebody else was faster: the change may come after this answer.
      call.doubt = 'refused';
      // A block may have ended before this client knew of any: no change need come.
      if (!this.#compared(id, call) && call.command.block?.ifVersion === 0) this.#end(id, lost());
      return true;
    }
    if (frame.error) {
      this.#end(id, RosterdError.from(frame.error));
    } else {
      call.answer = frame;
      if (!call.here || call.here()) this.#end(id);
    }
    return true;
  }

  /** Ends answered calls whose effect is visible; with `all`, every answered one. */
  applied(all: boolean): void {
    for (const [id, call] of this.#calls) {
      if (call.doubt === 'refused') this.#compared(id, call);
      else if (call.answer && (all || call.here?.())) this.#end(id);
    }
  }

  /** Ends a command in doubt if what is held shows it, or is not what the command rests on. */
  #compared(id: number, call: Call): boolean {
    const { setting, base } = call;
    const version = setting?.version();
    if (setting?.shown()) call.answer = setting.reply?.() ?? {};
    else if (version !== undefined && version === base?.version) return false;
    this.#end(id, superseded());
    return true;
  }

  /** Returns whether commands wait, for a connection or for others about the same record. */
  get waiting(): boolean {
    return [...this.#calls.values()].some(({ sent }) => !sent);
  }

  /** Handles a lost connection: calls wait for the next one, or for what it brings. */
  interrupted(): void {
    for (const [id, call] of this.#calls) {
      if (!call.sent) continue;
      if (call.answer || !(call.repeatable || call.setting)) {
        this.#end(id, lost());
        continue;
      }
      call.sent = false;
      if (call.setting) call.doubt = 'yes';
    }
  }

  fail(error: RosterdError): void {
    for (const [id, call] of [...this.#calls]) {
      if (call.kept) call.ended = undefined;
      this.#end(id, error);
    }
  }

  /** Resolves an answered call, which took effect, or else rejects it. */
  #end(id: number, error?: unknown): void {
    const call = this.#take(id);
    if (!call) return;
    const { answer, setting, ended } = call;
    if (answer && setting) {
      // The record now has a version of this client's own: later commands that rest on the one before rest on that.
      const from = call.base?.version;
      for (const { setting: other, base } of this.#calls.values()) if (base && base.version === from && other?.key === setting.key) base.version = setting.version();
    }
    ended?.(!answer);
    if (answer) call.resolve(answer);
    else if (error) call.reject(error);
  }

  #take(id: number): Call | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.cancelTimeout();
    return call;
  }
}

function lost(): RosterdError {
  return new RosterdError(Code.timeout, 'CONNECTION_LOST', 'the connection was lost before the answer; it may have been carried out');
}

function superseded(): RosterdError {
  return new RosterdError(Code.mismatch, 'SUPERSEDED', 'another device has changed the same record since; what is held now is in force');
}
