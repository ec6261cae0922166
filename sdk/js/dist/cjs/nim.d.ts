import { RosterdClient } from './client.js';
import { merge } from './merge.js';
import type { NIMError } from './nim-errors.js';
import type { NIMDisconnected, NIMFriend, NIMFriendAction, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMLoginPort, NIMMark, NIMPushEventInfo, NIMRelation, NIMRelations, NIMSubscribeEventInfo, NIMSystemMessage, NIMUser } from './nim-options.js';
import type { MyInfo } from './protocol.js';
export type { NIMDisconnected, NIMError, NIMFriend, NIMFriendAction, NIMFriends, NIMGender, NIMGetInstanceOptions, NIMLoginPort, NIMMark, NIMPushEventInfo, NIMRelation, NIMRelations, NIMSubscribeEventInfo, NIMSystemMessage, NIMUser, };
/** Receives the result of a call: `error` is null if it succeeded, and only then `data` is set. */
export type Done<T> = (error: NIMError | null, data: T) => void;
/** The fields for `updateMyInfo`: a missing field stays unchanged, an empty text clears it. */
export type NIMMyInfo = MyInfo & {
    antiSpamBusinessId?: string;
};
type OneOrMore<T> = T | T[];
/** The options of a call that makes or answers a request. `ps`, of at most 256 characters, becomes its message. */
export interface NIMApply {
    account: string;
    ps?: string;
    /** Names the answered system message; the account alone is enough. */
    idServer?: string;
}
/** The options of a call about events. There is one type, 1. */
export interface NIMEventCall<T> {
    type: number;
    done?: Done<T>;
}
/** One NIM instance, for one account. */
export declare class NIM {
    #private;
    static readonly util: {
        merge: typeof merge;
    };
    /** The class itself, for pages that write `SDK.NIM`. */
    static get NIM(): typeof NIM;
    /** Returns the account's instance. A later call gives it the new options and connects it if it is down. */
    static getInstance<T extends NIMGetInstanceOptions>(options: T): NIM;
    /** The underlying client, for features that NIM does not have: `watch`, `signal`. */
    readonly client: RosterdClient;
    private constructor();
    get account(): string;
    /** Replaces options and callbacks at once, and the token at the next login. */
    setOptions<T extends Partial<NIMGetInstanceOptions>>(options: T): void;
    /** Connects. Callbacks report the result. */
    connect(): void;
    /** Ends the connection; `connect` continues with the held records. */
    disconnect(options?: {
        done?: Done<object>;
    }): void;
    /** Ends the connection and the instance; the next `getInstance` creates another. */
    destroy(options?: {
        done?: Done<object>;
    }): void;
    /** Ends the session in an orderly way; `connect` starts another with the held records. */
    logout(options?: {
        done?: Done<object>;
    }): void;
    /** Returns 0 without a login, 1 with one, 2 during a login, and 3 while the client waits before the next attempt. */
    getLoginStatus(): 0 | 1 | 2 | 3;
    /** Changes fields of the account's own profile. */
    updateMyInfo(options: NIMMyInfo & {
        done?: Done<NIMUser>;
    }): void;
    /** Returns a profile: a held one if the client keeps it up to date, unless `sync`. */
    getUser(options: {
        account: string;
        sync?: boolean;
        done?: Done<NIMUser>;
    }): void;
    /** Returns at most 150 profiles, like `getUser`, without accounts that do not exist. */
    getUsers(options: {
        accounts: string[];
        sync?: boolean;
        done?: Done<NIMUser[]>;
    }): void;
    /** Makes friends without a request; 403 where `friends.policy` forbids it. */
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
    /** Changes a friend's `alias` and `custom`: a missing field stays, an empty text clears it. */
    updateFriend(options: {
        account: string;
        alias?: string;
        custom?: string;
        done?: Done<NIMFriend | undefined>;
    }): void;
    /** Returns the held friend list, or those that changed after `updateTime`. */
    getFriends(options: {
        updateTime?: number;
        done?: Done<NIMFriend[]>;
    }): void;
    /** Checks the held friend list. */
    isMyFriend(options: {
        account: string;
        done?: Done<boolean>;
    }): void;
    /** Blocks an account, or with `isAdd: false` unblocks it. */
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
    /** Checks the held blocklist. */
    isUserInBlackList(options: {
        account: string;
        done?: Done<boolean>;
    }): void;
    /** Mutes an account, or with `isAdd: false` no longer. */
    markInMutelist(options: {
        account: string;
        isAdd?: boolean;
        done?: Done<NIMMark>;
    }): void;
    addToMutelist(options: {
        account: string;
        done?: Done<NIMMark>;
    }): void;
    removeFromMutelist(options: {
        account: string;
        done?: Done<NIMMark>;
    }): void;
    /** Returns the held blocklist and mute list. */
    getRelations(options: {
        done?: Done<{
            blacklist: NIMRelation[];
            mutelist: NIMRelation[];
        }>;
    }): void;
    /** Ends other sessions by their `deviceId`; `done` receives those that existed. */
    kick(options: {
        deviceIds: string[];
        done?: Done<{
            deviceIds: string[];
        }>;
    }): void;
    /** Sets the own status to `custom`, for `validTime` seconds; friends and the own other devices get it as an event. */
    publishEvent(options: NIMEventCall<{
        idClient: string;
        idServer: string;
        time: number;
    }> & {
        value: number;
        custom?: string;
        validTime?: number;
        broadcastType?: number;
        sync?: boolean;
    }): void;
    /** Has `onpushevents` called for friends, for at most `subscribeTime` seconds; `failedAccounts` are no friends. */
    subscribeEvent(options: NIMEventCall<{
        failedAccounts: string[];
    }> & {
        accounts: string[];
        subscribeTime?: number;
        sync?: boolean;
    }): void;
    unSubscribeEventsByAccounts(options: NIMEventCall<{
        failedAccounts: string[];
    }> & {
        accounts?: string[];
    }): void;
    unSubscribeEventsByType(options: NIMEventCall<void>): void;
    querySubscribeEventsByAccounts(options: NIMEventCall<NIMSubscribeEventInfo[]> & {
        accounts: string[];
    }): void;
    querySubscribeEventsByType(options: NIMEventCall<NIMSubscribeEventInfo[]>): void;
    /** Returns a new list: known accounts get the newer fields, others are appended. */
    mergeUsers(users: NIMUser[] | null | undefined, news: OneOrMore<NIMUser> | null | undefined): NIMUser[];
    /** Merges friends like `mergeUsers`. */
    mergeFriends(friends: NIMFriend[] | null | undefined, news: OneOrMore<NIMFriend> | null | undefined): NIMFriend[];
    /** Returns a new list without `gone`, the `invalid` of `onfriends`. */
    cutFriends(friends: NIMFriend[] | null | undefined, gone: OneOrMore<{
        account: string;
    }> | null | undefined): NIMFriend[];
    /** Returns a new list without these accounts. */
    cutFriendsByAccounts(friends: NIMFriend[] | null | undefined, accounts: OneOrMore<string> | null | undefined): NIMFriend[];
    /** Merges relations like `mergeUsers`. */
    mergeRelations<T extends object>(relations: T[] | null | undefined, news: OneOrMore<T> | null | undefined): T[];
    /** Returns a new list without `gone`, the `invalid` of `onblacklist`. */
    cutRelations<T extends object>(relations: T[] | null | undefined, gone: OneOrMore<T> | null | undefined): T[];
    findRelation<T extends object>(relations: T[] | null | undefined, account: string): T | null;
    findUser(users: NIMUser[] | null | undefined, account: string): NIMUser | null;
    findFriend(friends: NIMFriend[] | null | undefined, account: string): NIMFriend | null;
    /** Returns a new list: system messages of the same request are merged, others appended. */
    mergeSysMsgs<T extends {
        idServer?: string;
    }>(messages: T[] | null | undefined, news: OneOrMore<T> | null | undefined): T[];
    /** Returns a new list without `gone`. */
    cutSysMsgs<T extends {
        idServer?: string;
    }>(messages: T[] | null | undefined, gone: OneOrMore<T> | null | undefined): T[];
    findSysMsg<T extends {
        idServer?: string;
    }>(messages: T[] | null | undefined, idServer: string): T | null;
    /** Returns a new list of sessions, merged by `deviceId`. */
    mergeLoginPorts<T extends object>(ports: T[] | null | undefined, news: OneOrMore<T> | null | undefined): T[];
    /** Returns a new list without `gone`. */
    cutLoginPorts<T extends object>(ports: T[] | null | undefined, gone: OneOrMore<T> | null | undefined): T[];
    /** Returns the address of an image as it is: the gateway keeps no images, so it cannot change one. */
    viewImageSync({ url }: {
        url: string;
        [option: string]: unknown;
    }): string;
    viewImageThumbnail: ({ url }: {
        url: string;
        [option: string]: unknown;
    }) => string;
    viewImageCrop: ({ url }: {
        url: string;
        [option: string]: unknown;
    }) => string;
    viewImageQuality: ({ url }: {
        url: string;
        [option: string]: unknown;
    }) => string;
    viewImageRotate: ({ url }: {
        url: string;
        [option: string]: unknown;
    }) => string;
    viewImageBlur: ({ url }: {
        url: string;
        [option: string]: unknown;
    }) => string;
    viewImageInterlace: ({ url }: {
        url: string;
        [option: string]: unknown;
    }) => string;
    viewImageStripMeta: ({ url }: {
        url: string;
        [option: string]: unknown;
    }) => string;
}
export default NIM;
