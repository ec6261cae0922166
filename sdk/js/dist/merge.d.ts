type Account = {
    account: string;
};
/** One object out of several; later fields win, and a field that is `undefined` takes nothing away. */
export declare function merge<T extends object>(...objects: readonly (Partial<T> | null | undefined)[]): T;
/** A new list with `news` merged into `old` by account: known ones keep their place, new ones are appended. */
export declare function mergeByAccount<T extends Account>(old: readonly T[] | T | null | undefined, news: readonly T[] | T | null | undefined): T[];
/** A new list without the accounts of `gone`, which may be records or accounts. */
export declare function cutByAccount<T extends Account>(old: readonly T[] | null | undefined, gone: readonly (Account | string)[] | Account | string | null | undefined): T[];
export { mergeByAccount as mergeUsers, mergeByAccount as mergeFriends, cutByAccount as cutFriends };
