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

type Info = { readonly fields?: object | undefined };

/** Puts changes over a profile, or over earlier changes: own fields one by one. One that is cleared is `null`. */
export function over<T extends Info>(before: T | undefined, changes: Info): T {
  return { ...before, ...changes, ...(changes.fields && { fields: { ...before?.fields, ...changes.fields } }) } as T;
}

/** Merges `news` into a copy of `old` by the field `by`: known records keep their place, new ones are appended. */
export function mergeBy<T extends object>(by: keyof T, old: readonly T[] | T | null | undefined, news: readonly T[] | T | null | undefined): T[] {
  const map = new Map<unknown, T>();
  for (const record of [...list(old), ...list(news)]) map.set(record[by], merge<T>(map.get(record[by]), record));
  return [...map.values()];
}

/** Copies a list without the records in `gone`, which may be records or values of the field `by`. */
export function cutBy<T extends object>(by: keyof T, old: readonly T[] | null | undefined, gone: readonly (object | string)[] | object | string | null | undefined): T[] {
  const keys = new Set(list<object | string>(gone).map((entry) => (typeof entry === 'string' ? entry : (entry as T)[by])));
  return list(old).filter((record) => !keys.has(record[by]));
}

/** Merges `news` into a copy of `old` by account. */
export function mergeByAccount<T extends Account>(old: readonly T[] | T | null | undefined, news: readonly T[] | T | null | undefined): T[] {
  return mergeBy('account', old, news);
}

/** Copies a list without the accounts in `gone`, which may be records or accounts. */
export function cutByAccount<T extends Account>(
  old: readonly T[] | null | undefined,
  gone: readonly (Account | string)[] | Account | string | null | undefined,
): T[] {
  return cutBy('account', old, gone);
}

export { mergeByAccount as mergeUsers, mergeByAccount as mergeFriends, cutByAccount as cutFriends };
