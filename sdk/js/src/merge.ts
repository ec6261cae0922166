// Helpers for lists of records that an application keeps by itself. They never change what they are given.

type Account = { account: string };

const list = <T>(value: readonly T[] | T | null | undefined): readonly T[] =>
  value === null || value === undefined ? [] : Array.isArray(value) ? value : [value as T];

/** One object out of several; later fields win, and a field that is `undefined` takes nothing away. */
export function merge<T extends object>(...objects: readonly (Partial<T> | null | undefined)[]): T {
  const out: Record<string, unknown> = {};
  for (const object of objects) {
    for (const [key, value] of Object.entries(object ?? {})) if (value !== undefined) out[key] = value;
  }
  return out as T;
}

/** A new list with `news` merged into `old` by account: known ones keep their place, new ones are appended. */
export function mergeByAccount<T extends Account>(old: readonly T[] | T | null | undefined, news: readonly T[] | T | null | undefined): T[] {
  const map = new Map<string, T>();
  for (const record of [...list(old), ...list(news)]) map.set(record.account, merge<T>(map.get(record.account), record));
  return [...map.values()];
}

/** A new list without the accounts of `gone`, which may be records or accounts. */
export function cutByAccount<T extends Account>(
  old: readonly T[] | null | undefined,
  gone: readonly (Account | string)[] | Account | string | null | undefined,
): T[] {
  const accounts = new Set(list<Account | string>(gone).map((entry) => (typeof entry === 'string' ? entry : entry.account)));
  return list(old).filter((record) => !accounts.has(record.account));
}

export { mergeByAccount as mergeUsers, mergeByAccount as mergeFriends, cutByAccount as cutFriends };
