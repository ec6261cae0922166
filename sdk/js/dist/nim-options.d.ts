import type { Gender } from './protocol.js';
import type { NIMError } from './nim-errors.js';
export type NIMGender = Gender;
/** A profile as NIM shows it. From callbacks and calls all fields are there. */
export interface NIMUser {
    account: string;
    nick?: string;
    avatar?: string;
    sign?: string;
    gender?: NIMGender;
    email?: string;
    /** Empty or `yyyy-mm-dd`. */
    birth?: string;
    tel?: string;
    custom?: string;
    /** Milliseconds since 1970. */
    createTime: number;
    /** Milliseconds since 1970. */
    updateTime: number;
}
/** A relation as NIM shows it. */
export interface NIMFriend {
    account: string;
    alias?: string;
    custom?: string;
    valid?: boolean;
    /** Milliseconds since 1970. */
    createTime: number;
    /** Milliseconds since 1970. */
    updateTime: number;
}
/** What is new among the relations, to be merged; those in `invalid` are friends no more, to be cut. */
export type NIMFriends = NIMFriend[] & {
    invalid?: NIMFriend[];
};
/** An account that is blocked. */
export interface NIMRelation {
    account: string;
    isBlack?: boolean;
    isMuted?: boolean;
    /** Milliseconds since 1970. */
    createTime: number;
    /** Milliseconds since 1970. */
    updateTime: number;
}
/** What is new on the blocklist, to be merged; those in `invalid` are blocked no more, to be cut. */
export type NIMRelations = NIMRelation[] & {
    invalid?: NIMRelation[];
};
/** One account entered the blocklist or left it. */
export interface NIMMark {
    account: string;
    isAdd: boolean;
    record: {
        account: string;
        updateTime: number;
    };
}
/** What the own account did about a friend on another device. */
export interface NIMFriendAction {
    type: 'addFriend' | 'applyFriend' | 'passFriendApply' | 'rejectFriendApply' | 'deleteFriend' | 'updateFriend';
    /** With `updateFriend` only the fields that changed. */
    friend?: NIMFriend;
    account?: string;
}
/** Another session of the account. */
export interface NIMLoginPort {
    /** `Web`, `iOS`, `Android`, … or whatever the other session said it is; empty if it said nothing. */
    type: string;
    os: string;
    mac: string;
    /** The session's name, for `kick`. */
    deviceId: string;
    account: string;
    connectionId: number;
    ip: string;
    /** Milliseconds since 1970. */
    time: number;
    /** False: it has just gone. */
    online: boolean;
    customTag?: string;
}
/** What others did about a friendship. */
export interface NIMSystemMessage {
    type: 'addFriend' | 'applyFriend' | 'passFriendApply' | 'rejectFriendApply';
    from: string;
    to: string;
    /** Milliseconds since 1970. */
    time: number;
    /** The same for all that becomes of one request. */
    idServer?: string;
    category?: string;
    /** `init`: it can be answered. `error`: it was taken back, or nobody answered for too long. */
    state?: string;
    error?: NIMError;
    read?: boolean;
    ps?: string;
}
/** Why the connection ended and is not tried again: NIM's number, or its word for an end on this side. */
export type NIMDisconnected = {
    code: number;
    message: string;
} | {
    code: 'kicked';
    reason: string;
    message: string;
    custom: string;
    from: 'Server';
    customClientType: number;
} | {
    code: 'alreadyDisconnected' | 'allAttemptsFailed';
    message: string;
    callFunc: string;
};
export interface NIMGetInstanceOptions {
    /** Taken for the sake of old code; there is one application here. */
    appKey?: string;
    account: string;
    /** What the backend signed, or the account's secret. In development mode it may be left out: the account is the token. */
    token?: string;
    /** `ws://HOST:7678/v1/ws`; by default the gateway that the script came from. */
    url?: string | null;
    /** False keeps everything in memory; true, the default, keeps it in IndexedDB where the browser allows it. */
    db?: boolean;
    /** Whether to come back after a lost connection. True by default. */
    needReconnect?: boolean;
    /** Give up after so many attempts; without it, never. */
    reconnectionAttempts?: number;
    /** Always so: coming online, or back to the page, tries at once. */
    quickReconnect?: boolean;
    /** False: no `onfriends`. */
    syncFriends?: boolean;
    /** False: no `onusers`. */
    syncFriendUsers?: boolean;
    /** False: no `onblacklist`. */
    syncRelations?: boolean;
    /** Text about this installation, for the account's other sessions. */
    customTag?: string;
    /** How long a call waits for its answer, in milliseconds. 8000 by default. */
    cmdTimeout?: number;
    /** `getInstance` does not connect yet; `connect` does. */
    skipConnectionOnInitialize?: boolean;
    onconnect?: (data: {
        lastLoginDeviceId: string;
        customTag?: string;
        connectionId: string;
        ip: string;
        port: string;
        country?: string;
    }) => void;
    onwillreconnect?: (data: {
        retryCount: number;
        duration: number;
    }) => void;
    /** The connection ended and is not tried again. */
    ondisconnect?: (data: NIMDisconnected) => void;
    /** Something failed that no `done` waits for. */
    onerror?: (data: NIMError) => void;
    /** The catch-up after a login is complete. */
    onsyncdone?: () => void;
    /** The own profile, at every login. */
    onmyinfo?: (user: NIMUser) => void;
    /** The own profile was changed by another client or by the backend. */
    onupdatemyinfo?: (user: NIMUser) => void;
    /** Friends' profiles that are new since the last time, to be merged. */
    onusers?: (users: NIMUser[]) => void;
    /** A friend's profile changed. */
    onupdateuser?: (user: NIMUser) => void;
    /** Friends that are new since the last time, to be merged, and those that are gone, to be cut; also when one comes or goes. */
    onfriends?: (friends: NIMFriends) => void;
    /** The own account asked, answered or changed an alias on another device. Friends who come and go are told by `onfriends`. */
    onsyncfriendaction?: (action: NIMFriendAction) => void;
    /** Who is blocked: what is new since the last time, and in `invalid` what is gone. */
    onblacklist?: (relations: NIMRelations) => void;
    /** Blocked or unblocked on another device. */
    onsyncmarkinblacklist?: (mark: NIMMark) => void;
    /** Requests and answers of others that came while this client was away, and requests that are open. */
    onofflinesysmsgs?: (messages: NIMSystemMessage[]) => void;
    /** Somebody asks for friendship, answered a request, or made friends with a message. */
    onsysmsg?: (message: NIMSystemMessage) => void;
    /** What became of an `applyFriend` that was told: answered here or on another device, or over. */
    onupdatesysmsg?: (message: NIMSystemMessage) => void;
    /** Other sessions of the account: those that are there, and those that have just gone. */
    onloginportschange?: (ports: NIMLoginPort[]) => void;
}
/** Says once which options do nothing here. */
export declare function warnOfIgnored(options: object): void;
