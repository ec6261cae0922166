/** One friend's share. */
export declare function leaf(account: string, friendVersion: number, userVersion: number): number;
interface Versioned {
    version: number;
}
/** The digest of a friend list; a friend whose card is missing counts with user version 0. */
export declare function digest(friends: ReadonlyMap<string, Versioned>, users: ReadonlyMap<string, Versioned>): number;
/** In which part a friend is. */
export declare function part(account: string): number;
/** The digest of each part. */
export declare function leaves(friends: ReadonlyMap<string, Versioned>, users: ReadonlyMap<string, Versioned>): number[];
export {};
