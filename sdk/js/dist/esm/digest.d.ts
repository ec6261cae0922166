/** Computes one friend's share of the digest. */
export declare function share(account: string, friendVersion: number, userVersion: number): number;
interface Versioned {
    version: number;
}
/** Computes the digest of a friend list. A friend without a profile counts with user version 0. */
export declare function digest(friends: ReadonlyMap<string, Versioned>, users: ReadonlyMap<string, Versioned>): number;
/** Returns the bucket of a friend. */
export declare function bucket(account: string): number;
/** Computes the digest of each bucket. */
export declare function digests(friends: ReadonlyMap<string, Versioned>, users: ReadonlyMap<string, Versioned>): number[];
export {};
