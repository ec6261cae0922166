import type { Gender } from './protocol.js';
import type { NIMError } from './nim-errors.js';
/** A gender. */
export type NIMGender = Gender;
/** A profile in NIM's form. In callbacks and results all fields are set. */
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
/** A friendship in NIM's form. */
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
/** New and changed friendships, to be merged; `invalid` contains ended ones, to be cut. */
export type NIMFriends = NIMFriend[] & {
    invalid?: NIMFriend[];
};
/** A blocked or muted account. */
export interface NIMRelation {
    account: string;
    isBlack?: boolean;
    isMuted?: boolean;
    /** Milliseconds since 1970. */
    createTime: number;
    /** Milliseconds since 1970. */
    updateTime: number;
}
/** New blocks, to be merged; `invalid` contains ended ones, to be cut. */
export type NIMRelations = NIMRelation[] & {
    invalid?: NIMRelation[];
};
/** A change of the blocklist or mute list: an account was added or removed. */
export interface NIMMark {
    account: string;
    isAdd: boolean;
    record: {
        account: string;
        updateTime: number;
    };
}
/** An action of this account about a friend, on another device. */
export interface NIMFriendAction {
    type: 'addFriend' | 'applyFriend' | 'passFriendApply' | 'rejectFriendApply' | 'deleteFriend' | 'updateFriend';
    /** Contains only the changed fields with `updateFriend`. */
    friend?: NIMFriend;
    account?: string;
}
/** Another session of the account. */
export interface NIMLoginPort {
    /** `Web`, `iOS`, `Android`, … or the other session's own word; empty if it gave none. */
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
    /** False if it has just ended. */
    online: boolean;
    customTag?: string;
}
/** A friend came online (`value` 1) or went offline (2), or has another status (10001). */
export interface NIMPushEventInfo {
    type: string;
    value: string;
    account: string;
    /** Milliseconds since 1970. */
    time: string;
    /** Always `Web`, which NIM numbers 16. */
    clientType: string;
    /** The status as `custom[16]`, if there is one. */
    custom: {
        [clientType: number]: string;
    };
    /** JSON: `{"online":[16]}` if the account is online. */
    serverConfig: string;
    idClient: string;
    idServer: string;
}
/** A subscription to the events of a friend. */
export interface NIMSubscribeEventInfo {
    type: string;
    /** Seconds. */
    subscribeTime: string;
    /** The friend. */
    to: string;
    /** Milliseconds since 1970. */
    time: string;
}
/** An action of another account about a friendship. */
export interface NIMSystemMessage {
    type: 'addFriend' | 'applyFriend' | 'passFriendApply' | 'rejectFriendApply';
    from: string;
    to: string;
    /** Milliseconds since 1970. */
    time: number;
    /** Identifies the request; all messages about it share it. */
    idServer?: string;
    category?: string;
    /** `init`: can be answered. `passed`, `rejected`: was answered. `error`: was withdrawn or not answered in time. */
    state?: string;
    error?: NIMError;
    read?: boolean;
    ps?: string;
}
/** The reason of a final end: NIM's number, or its word for an end by this side. */
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
/** The options and callbacks of an instance. */
export interface NIMGetInstanceOptions {
    /** Ignored: there is one application here. */
    appKey?: string;
    /** The account to log in as. */
    account: string;
    /** A token that the backend signed, or the account's secret. Optional in development mode, where the account is the token. */
    token?: string;
    /** The address, `ws://HOST:7678/v1/ws`; by default that of the gateway that served the script. */
    url?: string | null;
    /** Stores records in IndexedDB where the browser allows it, the default; false keeps them in memory. */
    db?: boolean;
    /** Enables reconnecting after a lost connection. True by default. */
    needReconnect?: boolean;
    /** Limits the number of attempts; without it, the client never gives up. */
    reconnectionAttempts?: number;
    /** Ignored: the client always retries at once when the network or the user comes back. */
    quickReconnect?: boolean;
    /** Turns off `onfriends` if false. */
    syncFriends?: boolean;
    /** Turns off `onusers` if false. */
    syncFriendUsers?: boolean;
    /** Turns off `onblacklist` if false. */
    syncRelations?: boolean;
    /** Describes this installation to the account's other sessions. */
    customTag?: string;
    /** Limits the time of a call, in milliseconds. 8000 by default. */
    cmdTimeout?: number;
    /** Makes `getInstance` leave connecting to `connect`. */
    skipConnectionOnInitialize?: boolean;
    /** Reports a login. */
    onconnect?: (data: {
        lastLoginDeviceId: string;
        customTag?: string;
        connectionId: string;
        ip: string;
        port: string;
        country?: string;
    }) => void;
    /** Announces the next attempt after a lost connection. */
    onwillreconnect?: (data: {
        retryCount: number;
        duration: number;
    }) => void;
    /** Reports the final end of the connection. */
    ondisconnect?: (data: NIMDisconnected) => void;
    /** Reports a failure that no `done` waits for. */
    onerror?: (data: NIMError) => void;
    /** Reports that the catch-up after a login is complete. */
    onsyncdone?: () => void;
    /** Brings the account's own profile, at every login. */
    onmyinfo?: (user: NIMUser) => void;
    /** Brings the account's own profile after a change by another client or the backend. */
    onupdatemyinfo?: (user: NIMUser) => void;
    /** Brings friends' profiles that changed since the last time, to be merged. */
    onusers?: (users: NIMUser[]) => void;
    /** Brings a friend's changed profile. */
    onupdateuser?: (user: NIMUser) => void;
    /** Brings friends that are new since the last time, to be merged, and removed ones, to be cut; also when one is added or removed. */
    onfriends?: (friends: NIMFriends) => void;
    /** Reports a request, an answer or a changed alias by another device. `onfriends` reports added and removed friends. */
    onsyncfriendaction?: (action: NIMFriendAction) => void;
    /** Brings blocks that are new since the last time, and in `invalid` those that ended. */
    onblacklist?: (relations: NIMRelations) => void;
    /** Reports a block or its end by another device. */
    onsyncmarkinblacklist?: (mark: NIMMark) => void;
    /** Brings muted accounts that are new since the last time, and in `invalid` those that are muted no more. */
    onmutelist?: (relations: NIMRelations) => void;
    /** Reports an account that another device muted, or mutes no more. */
    onsyncmarkinmutelist?: (mark: NIMMark) => void;
    /** Brings requests and answers that came while this client was offline, and open requests. */
    onofflinesysmsgs?: (messages: NIMSystemMessage[]) => void;
    /** Brings another account's request, answer, or new friendship with a message. */
    onsysmsg?: (message: NIMSystemMessage) => void;
    /** Brings the outcome of a reported `applyFriend`: answered here or on another device, or ended. */
    onupdatesysmsg?: (message: NIMSystemMessage) => void;
    /** Brings the account's other sessions: the current ones, and those that have just ended. */
    onloginportschange?: (ports: NIMLoginPort[]) => void;
    /** Brings who of the subscribed friends came online, went offline or has another status, and at a login who is online. */
    onpushevents?: (result: {
        msgEvents: NIMPushEventInfo[];
    }) => void;
}
/** Warns once about each option that does nothing here. */
export declare function warnOfIgnored(options: object): void;
