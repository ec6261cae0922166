// Changes of the own profile: those that show before the gateway has answered, and those that wait in the store for a
// connection.

import type { CallOptions } from './calls.js';
import { merge, over } from './merge.js';
import type { UpdateOptions } from './options.js';
import type { Command, MyInfo, RosterdError, ServerFrame, User } from './protocol.js';
import type { Replica } from './replica.js';
import type { Kept } from './store.js';

interface Edit extends Kept {
  fields: MyInfo;
  keep?: boolean | undefined;
  /** A call carries it. */
  running?: boolean;
}

type How = 'pending' | 'rollback' | undefined;

/** Sends changes of the own profile, and holds those that show and are not answered. */
export class Edits {
  #list: readonly Edit[] = [];
  #lastId = 0;

  /** `shown`: the own profile shows otherwise; listeners hear of it if it is clear `how`. `save`: these changes wait, or wait no more. */
  constructor(
    readonly replica: Replica,
    readonly call: (command: Command, options: CallOptions & { timeoutMs?: number }) => Promise<ServerFrame>,
    readonly shown: (how: How) => void,
    readonly save: (kept: Kept[]) => void,
  ) {}

  update(fields: MyInfo, options: UpdateOptions): Promise<ServerFrame> {
    const { ifVersion, optimistic, keep } = options;
    // Other pages have theirs in the same store.
    this.#lastId = Math.max(Date.now() + Math.random(), this.#lastId + 0.001);
    const edit: Edit = { id: this.#lastId, fields: merge<MyInfo>(fields), version: ifVersion ?? this.replica.confirmed?.version, keep };
    if (optimistic || keep) this.#set([...this.#list, edit], 'pending');
    return this.#send(edit, ifVersion, options);
  }

  /** Takes what the store has kept, which is older than what it has not. */
  restore(kept: readonly Kept[] = []): void {
    const older = kept.filter(({ id }) => !this.#list.some((edit) => edit.id === id));
    this.#set([...older.map((edit) => ({ ...edit, keep: true }) as Edit), ...this.#list]);
  }

  /** After a catch-up, sends what no call carries; only now it is known what a change rests on that was made before all else. */
  resume(failed: (error: RosterdError) => void): void {
    for (const edit of this.#list) {
      edit.version ??= this.replica.confirmed?.version;
      if (!edit.running) this.#send(edit).catch(failed);
    }
    this.#save([]);
  }

  clear(): void {
    this.#set([]);
  }

  async #send(edit: Edit, ifVersion?: number, limits?: UpdateOptions): Promise<ServerFrame> {
    const { fields, keep } = edit;
    const me = (): User | undefined => this.replica.confirmed;
    edit.running = true;
    try {
      return await this.call({ updateMyInfo: { ...fields, ifVersion } }, {
        repeatable: false, limits,
        setting: keep || ifVersion === undefined ? {
          key: 'me',
          version: () => me()?.version,
          shown: () => JSON.stringify(over(me(), fields), (_, value) => value ?? undefined) === JSON.stringify(me()),
          reply: () => ({ updateMyInfoReply: { user: me() as User } }),
        } : undefined,
        ...(keep ? { kept: edit, timeoutMs: Infinity } : {}),
        ended: (failed) => this.#list.includes(edit) && this.#set(this.#list.filter((other) => other !== edit), failed ? 'rollback' : undefined),
      });
    } finally {
      edit.running = false;
    }
  }

  #set(list: readonly Edit[], how?: How): void {
    if (!list.length && !this.#list.length) return;
    const gone = this.#list.filter((edit) => !list.includes(edit));
    this.#list = list;
    this.replica.pend(list.length ? Object.freeze(list.reduce<MyInfo>((all, { fields }) => over(all, fields), {})) : undefined);
    this.shown(how);
    this.#save(gone.map(({ id, keep }) => ({ id, keep })));
  }

  #save(gone: (Kept & Pick<Edit, 'keep'>)[]): void {
    const kept = [...gone, ...this.#list].flatMap(({ id, fields, version, keep }) => (keep ? { id, fields, version } : []));
    if (kept.length) this.save(kept);
  }
}
