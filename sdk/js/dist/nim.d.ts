import { merge } from './merge.js';
import type { NIMError } from './nim-errors.js';
import type { NIMDisconnected, NIMFriend, NIMFriends, NIMGetInstanceOptions, NIMGender, NIMUser } from './nim-options.js';
import type { MyInfo } from './protocol.js';
export type { NIMDisconnected, NIMError, NIMFriend, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMUser };
/** `error` is null if the call succeeded, and only then there is `data`. */
export type Done<T> = (error: NIMError | null, data: T) => void;
/** What `updateMyInfo` takes besides `done`: a field that is left out stays as it is, an empty text clears. */
export type NIMMyInfo = MyInfo & {
    antiSpamBusinessId?: string;
};
type OneOrMore<T> = T | T[];
export declare class NIM {
    #private;
    static readonly util: {
        merge: typeof merge;
    };
    /** The instance of this account. A later call returns the same one, with the new options, and connects it if it is down. */
    static getInstance(options: NIMGetInstanceOptions): NIM;
    private constructor();
    get account(): string;
    /** Other values for options, callbacks included: they count from now on, a token from the next login on. */
    setOptions(options: Partial<NIMGetInstanceOptions>): void;
    connect(): void;
    /** Ends the connection; `connect` comes back and goes on from what is held. */
    disconnect(options?: {
        done?: Done<object>;
    }): void;
    /** Ends the connection and the instance; the next `getInstance` makes another. */
    destroy(options?: {
        done?: Done<object>;
    }): void;
    updateMyInfo(options: NIMMyInfo & {
        done?: Done<NIMUser>;
    }): void;
    /** From what is held if that is kept up to date, unless `sync`; otherwise from the gateway. */
    getUser(options: {
        account: string;
        sync?: boolean;
        done?: Done<NIMUser>;
    }): void;
    /** As `getUser`, at most 150. Accounts that do not exist are left out. */
    getUsers(options: {
        accounts: string[];
        sync?: boolean;
        done?: Done<NIMUser[]>;
    }): void;
    /** A new list: profiles of known accounts get the newer fields, others are appended. */
    mergeUsers(users: NIMUser[] | null | undefined, news: OneOrMore<NIMUser> | null | undefined): NIMUser[];
    /** A new list, as `mergeUsers` does it. */
    mergeFriends(friends: NIMFriend[] | null | undefined, news: OneOrMore<NIMFriend> | null | undefined): NIMFriend[];
    /** A new list without those in `gone`, which is the `invalid` of what `onfriends` brought. */
    cutFriends(friends: NIMFriend[] | null | undefined, gone: OneOrMore<{
        account: string;
    }> | null | undefined): NIMFriend[];
    cutFriendsByAccounts(friends: NIMFriend[] | null | undefined, accounts: OneOrMore<string> | null | undefined): NIMFriend[];
    findUser(users: NIMUser[] | null | undefined, account: string): NIMUser | null;
    findFriend(friends: NIMFriend[] | null | undefined, account: string): NIMFriend | null;
}
