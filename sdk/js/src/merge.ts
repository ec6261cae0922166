// Helpers for lists of records that an application keeps itself. They never modify their arguments.

type Account = { account: string };

const list = <T>(value: readonly T[] | T | null | undefined): readonly T[] =>
  value === null || value === undefined ? [] : Array.isArray(value) ? value : [value as T];

/** Merges objects into a new one. Later fields win; `undefined` fields are ignored. */
export function merge<T extends object>(...objects: readonly (Partial<T> | null | undefined)[]): T {
  const out: Record<string, unknown> = {};
  for (const object of objects) {
    for (const [key, value] of Object.entries(object ?? {})) if (value !== undefined) out[key] = value;
  }
  return out as T;
}

/** Merges `news` into a copy of `old` by account: known records keep their place, new ones are appended. */
export function mergeByAccount<T extends Account>(old: readonly T[] | T | null | undefined, news: readonly T[] | T | null | undefined): T[] {
  const map = new Map<string, T>();
  for (const record of [...list(old), ...list(news)]) map.set(record.account, merge<T>(map.get(record.account), record));
  return [...map.values()];
}

/** Copies a list without the accounts in `gone`, which may be records or accounts. */
export function cutByAccount<T extends Account>(
  old: readonly T[] | null | undefined,
  gone: readonly (Account | string)[] | Account | string | null | undefined,
): T[] {
  const accounts = new Set(list<Account | string>(gone).map((entry) => (typeof entry === 'string' ? entry : entry.account)));
  return list(old).filter((record) => !accounts.has(record.account));
}

export { mergeByAccount as mergeUsers, mergeByAccount as mergeFriends, cutByAccount as cutFriends };
