import { RosterdClient } from './client.js';
import { merge } from './merge.js';
import type { NIMError } from './nim-errors.js';
import type { NIMDisconnected, NIMFriend, NIMFriendAction, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMLoginPort, NIMMark, NIMRelation, NIMRelations, NIMSystemMessage, NIMUser } from './nim-options.js';
import type { MyInfo } from './protocol.js';
export type { NIMDisconnected, NIMError, NIMFriend, NIMFriendAction, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMLoginPort, NIMMark, NIMRelation, NIMRelations, NIMSystemMessage, NIMUser, };
/** `error` is null if the call succeeded, and only then there is `data`. */
export type Done<T> = (error: NIMError | null, data: T) => void;
/** What `updateMyInfo` takes besides `done`: a field that is left out stays as it is, an empty text clears. */
export type NIMMyInfo = MyInfo & {
    antiSpamBusinessId?: string;
};
type OneOrMore<T> = T | T[];
/** One of the calls that answer or make a request. `ps` travels as its message, at most 256 characters. */
export interface NIMApply {
    account: string;
    ps?: string;
    /** Of the system message that is answered; the account says enough. */
    idServer?: string;
}
export declare class NIM {
    #private;
    static readonly util: {
        merge: typeof merge;
    };
    /** The instance of this account. A later call returns the same one, with the new options, and connects it if it is down. */
    static getInstance(options: NIMGetInstanceOptions): NIM;
    /** For what NIM has no name for: presence, `watch`, `signal`. */
    readonly client: RosterdClient;
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
    /** Makes friends without asking; 403 where `friends.policy` does not allow it. */
    addFriend(options: NIMApply & {
        done?: Done<NIMApply & {
            friend?: NIMFriend;
        }>;
    }): void;
    applyFriend(options: NIMApply & {
        done?: Done<NIMApply>;
    }): void;
    passFriendApply(options: NIMApply & {
        done?: Done<NIMApply & {
            friend?: NIMFriend;
        }>;
    }): void;
    rejectFriendApply(options: NIMApply & {
        done?: Done<NIMApply>;
    }): void;
    deleteFriend(options: {
        account: string;
        delAlias?: boolean;
        done?: Done<{
            account: string;
        }>;
    }): void;
    /** Alias and `custom` of a friend: a field that is left out stays as it is, an empty text clears. */
    updateFriend(options: {
        account: string;
        alias?: string;
        custom?: string;
        done?: Done<NIMFriend | undefined>;
    }): void;
    /** The friend list as it is held, or what of it changed after `updateTime`. */
    getFriends(options: {
        updateTime?: number;
        done?: Done<NIMFriend[]>;
    }): void;
    isMyFriend(options: {
        account: string;
        done?: Done<boolean>;
    }): void;
    /** As `addToBlacklist`, or with `isAdd: false` as `removeFromBlacklist`. */
    markInBlacklist(options: {
        account: string;
        isAdd?: boolean;
        done?: Done<NIMMark>;
    }): void;
    addToBlacklist(options: {
        account: string;
        done?: Done<NIMMark>;
    }): void;
    removeFromBlacklist(options: {
        account: string;
        done?: Done<NIMMark>;
    }): void;
    /** Who is blocked, as it is held. Nobody is muted here. */
    getRelations(options: {
        done?: Done<{
            blacklist: NIMRelation[];
            mutelist: NIMRelation[];
        }>;
    }): void;
    /** Ends other sessions of the account, by the `deviceId` of `onloginportschange`; `done` is given those that were there. */
    kick(options: {
        deviceIds: string[];
        done?: Done<{
            deviceIds: string[];
        }>;
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
    /** A new list, as `mergeUsers` does it. */
    mergeRelations<T extends object>(relations: T[] | null | undefined, news: OneOrMore<T> | null | undefined): T[];
    /** A new list without those in `gone`, which is the `invalid` of what `onblacklist` brought. */
    cutRelations<T extends object>(relations: T[] | null | undefined, gone: OneOrMore<T> | null | undefined): T[];
    findRelation<T extends object>(relations: T[] | null | undefined, account: string): T | null;
    findUser(users: NIMUser[] | null | undefined, account: string): NIMUser | null;
    findFriend(friends: NIMFriend[] | null | undefined, account: string): NIMFriend | null;
}
