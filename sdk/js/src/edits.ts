// Changes of the own profile: those that show before the gateway has answered, and those that wait in the store for a
// connection.

import type { CallOptions } from './calls.js';
import { merge } from './merge.js';
import type { UpdateOptions } from './options.js';
import type { Command, MyInfo, RosterdError, ServerFrame, User } from './protocol.js';
import type { Replica } from './replica.js';
import type { Kept } from './store.js';

interface Edit extends Kept {
  keep?: boolean | undefined;
  /** A call carries it. */
  running?: boolean;
}

type How = 'pending' | 'rollback' | undefined;

/** Sends changes of the own profile, and holds those that show and are not answered. */
export class Edits {
  #list: readonly Edit[] = [];
  // The store was read: before that, a save would overwrite what it has.
  #read = false;

  /** `shown`: the own profile shows otherwise; listeners hear of it if it is clear `how`. `save`: the list in the store is another. */
  constructor(
    readonly replica: Replica,
    readonly call: (command: Command, options: CallOptions & { timeoutMs?: number }) => Promise<ServerFrame>,
    readonly shown: (how: How) => void,
    readonly save: (kept: Kept[]) => void,
  ) {}

  update(fields: MyInfo, { ifVersion, optimistic, keep }: UpdateOptions): Promise<ServerFrame> {
    const edit: Edit = { fields: merge<MyInfo>(fields), version: ifVersion ?? this.replica.confirmed?.version, keep };
    if (optimistic || keep) this.#set([...this.#list, edit], 'pending');
    return this.#send(edit, ifVersion);
  }

  /** Takes what the store had kept, which is older. */
  restore(kept: readonly Kept[] = []): void {
    this.#read = true;
    this.#set([...kept.map((edit) => ({ ...edit, keep: true })), ...this.#list]);
  }

  /** After a catch-up, sends what no call carries, and saves what is kept, for a full sync clears the store. */
  resume(failed: (error: RosterdError) => void): void {
    for (const edit of this.#list) {
      edit.version ??= this.replica.confirmed?.version;
      if (!edit.running) this.#send(edit).catch(failed);
    }
    this.#save();
  }

  clear(): void {
    this.#read = false;
    this.#set([]);
  }

  async #send(edit: Edit, ifVersion?: number): Promise<ServerFrame> {
    const { fields, keep } = edit;
    const me = (): User | undefined => this.replica.confirmed;
    edit.running = true;
    try {
      return await this.call({ updateMyInfo: { ...fields, ifVersion } }, {
        repeatable: false,
        setting: keep || ifVersion === undefined ? {
          key: 'me',
          version: () => me()?.version,
          shown: () => Object.entries(fields).every(([name, value]) => me()?.[name as keyof MyInfo] === value),
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
    const kept = this.#kept.length;
    this.#list = list;
    this.replica.pend(list.length ? Object.freeze(merge<MyInfo>(...list.map(({ fields }) => fields))) : undefined);
    this.shown(how);
    this.#save(kept);
  }

  get #kept(): Kept[] {
    return this.#list.flatMap(({ fields, version, keep }) => (keep ? { fields, version } : []));
  }

  #save(before = 0): void {
    if (this.#read && (before || this.#kept.length)) this.save(this.#kept);
  }
}
