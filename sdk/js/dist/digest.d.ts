/** One friend's share. Accounts are ASCII, so that a UTF-16 code unit is a byte. */
export declare function leaf(account: string, friendVersion: number, userVersion: number): number;
interface Versioned {
    version: number;
}
/** The digest of a friend list; a friend whose card is missing counts with user version 0. */
export declare function digest(friends: ReadonlyMap<string, Versioned>, users: ReadonlyMap<string, Versioned>): number;
export {};
