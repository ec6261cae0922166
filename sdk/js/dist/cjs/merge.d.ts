type Account = {
    account: string;
};
/** Merges objects into a new one. Later fields win; `undefined` fields are ignored. */
export declare function merge<T extends object>(...objects: readonly (Partial<T> | null | undefined)[]): T;
type Info = {
    readonly fields?: object | undefined;
};
/** Puts changes over a profile, or over earlier changes: own fields one by one. One that is cleared is `null`. */
export declare function over<T extends Info>(before: T | undefined, changes: Info): T;
/** Merges `news` into a copy of `old` by the field `by`: known records keep their place, new ones are appended. */
export declare function mergeBy<T extends object>(by: keyof T, old: readonly T[] | T | null | undefined, news: readonly T[] | T | null | undefined): T[];
/** Copies a list without the records in `gone`, which may be records or values of the field `by`. */
export declare function cutBy<T extends object>(by: keyof T, old: readonly T[] | null | undefined, gone: readonly (object | string)[] | object | string | null | undefined): T[];
/** Merges `news` into a copy of `old` by account. */
export declare function mergeByAccount<T extends Account>(old: readonly T[] | T | null | undefined, news: readonly T[] | T | null | undefined): T[];
/** Copies a list without the accounts in `gone`, which may be records or accounts. */
export declare function cutByAccount<T extends Account>(old: readonly T[] | null | undefined, gone: readonly (Account | string)[] | Account | string | null | undefined): T[];
export { mergeByAccount as mergeUsers, mergeByAccount as mergeFriends, cutByAccount as cutFriends };
