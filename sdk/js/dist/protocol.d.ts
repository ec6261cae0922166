export type Gender = 'unknown' | 'male' | 'female';
/** A profile. Texts that are not set are empty. */
export interface User {
    account: string;
    nick: string;
    avatar: string;
    sign: string;
    gender: Gender;
    email: string;
    /** Empty or `yyyy-mm-dd`. */
    birth: string;
    tel: string;
    custom: string;
    /** Milliseconds since 1970. */
    createTime: number;
    /** Milliseconds since 1970. */
    updateTime: number;
    version: number;
}
/** A relation as its owner sees it; the friend's profile is the {@link User} of the same account. */
export interface Friend {
    account: string;
    alias: string;
    custom: string;
    /** Milliseconds since 1970. */
    createTime: number;
    /** Milliseconds since 1970. */
    updateTime: number;
    version: number;
}
/** A request for friendship, one for each account and direction. */
export interface FriendRequest {
    /** The other side. */
    account: string;
    /** `in`: the other side asks. `out`: this account does. */
    direction: 'in' | 'out';
    message: string;
    /** Only an `open` one can be answered; the others say what became of it. */
    state: 'open' | 'accepted' | 'rejected' | 'cancelled' | 'expired';
    /** Milliseconds since 1970. */
    createTime: number;
    /** Milliseconds since 1970. */
    updateTime: number;
    version: number;
}
/** An account that gets nothing more of this one. */
export interface Block {
    account: string;
    /** Milliseconds since 1970. */
    createTime: number;
    version: number;
    /** True: it was unblocked. */
    removed: boolean;
}
/** Whether somebody is there. */
export interface Presence {
    account: string;
    online: boolean;
    /** When a friend that is offline was last online, or one that is online came; milliseconds since 1970, 0 if not known. */
    lastSeen: number;
    /** Only of the own account: whether it shows as offline to its friends. */
    invisible?: boolean;
}
/** One login of the own account. */
export interface Session {
    session: string;
    device: Required<Device>;
    /** Milliseconds since 1970. */
    connectedAt: number;
    /** Whether it is this client's. */
    current: boolean;
}
/** What `updateMyInfo` can change. A field that is left out stays as it is, an empty text clears. */
export type MyInfo = Partial<Pick<User, 'nick' | 'avatar' | 'sign' | 'gender' | 'email' | 'birth' | 'tel' | 'custom'>>;
/** What the account's other sessions are told of this one; at most 64 characters each. */
export interface Device {
    /** The installation's own name for itself. */
    id?: string;
    /** What kind of device it is, such as `web` or `ios`; a deployment may allow one session of each. */
    type?: string;
    /** A label to show. */
    tag?: string;
}
export interface LoginReply {
    account: string;
    session: string;
    epoch: string;
    serverTime: number;
    heartbeatMs: number;
    sync: 'full' | 'delta' | 'current';
    because?: string;
    expiresAt?: number;
}
export interface Changes {
    me?: User;
    users?: User[];
    friends?: Friend[];
    removed?: string[];
    requests?: FriendRequest[];
    blocks?: Block[];
    cursor?: string;
}
export interface Synced {
    cursor: string;
    count: number;
    digest: number;
}
export interface Goodbye {
    code: number;
    reason: string;
    reconnect: boolean;
    retryAfterMs?: number;
}
export interface ErrorBody {
    code: number;
    reason: string;
    message: string;
    field?: string;
    retryAfterMs?: number;
}
/**
 * One message of the gateway: a reply or an error with its `id`, a push without one, or the empty heartbeat. Replies
 * that are empty are not listed: that they came is all they say.
 */
export interface ServerFrame {
    id?: number;
    loginReply?: LoginReply;
    updateMyInfoReply?: {
        user: User;
    };
    getUsersReply?: {
        users?: User[];
        missing?: string[];
    };
    refreshReply?: {
        expiresAt?: number;
    };
    logoutReply?: object;
    getSessionsReply?: {
        sessions?: Session[];
    };
    kickReply?: {
        kicked?: string[];
    };
    watchReply?: {
        missing?: string[];
    };
    signalReply?: {
        delivered: number;
        dropped: number;
    };
    /** The parts of the friend list that are told again now. */
    repairReply?: {
        parts?: number[];
    };
    error?: ErrorBody;
    changes?: Changes;
    synced?: Synced;
    presence?: {
        users?: Presence[];
    };
    sessions?: {
        sessions?: Session[];
    };
    signal?: {
        from: string;
        payload: string;
    };
    goodbye?: Goodbye;
}
/** One command of a client, without its `id`. */
export interface Command {
    login?: {
        token: string;
        cursor?: string;
        device?: Device;
    };
    updateMyInfo?: MyInfo & {
        ifVersion?: number;
    };
    getUsers?: {
        accounts: string[];
    };
    refresh?: {
        token: string;
    };
    logout?: object;
    addFriend?: {
        account: string;
        message?: string;
    };
    requestFriend?: {
        account: string;
        message?: string;
    };
    acceptFriend?: {
        account: string;
    };
    rejectFriend?: {
        account: string;
    };
    cancelRequest?: {
        account: string;
    };
    deleteFriend?: {
        account: string;
    };
    updateFriend?: {
        account: string;
        alias?: string;
        custom?: string;
    };
    block?: {
        account: string;
    };
    unblock?: {
        account: string;
    };
    getSessions?: object;
    kick?: {
        sessions: string[];
    };
    watch?: {
        accounts: string[];
    };
    signal?: {
        to: string;
        payload: string;
    };
    setPresence?: {
        invisible: boolean;
    };
    /** The digest of each of the 64 parts of the friend list. */
    repair?: {
        leaves: number[];
    };
}
/** Error codes that the client itself gives, and those of the gateway that it acts on. */
export declare const Code: {
    readonly unauthenticated: 302;
    readonly denied: 403;
    readonly notFound: 404;
    readonly timeout: 408;
    readonly internal: 500;
};
/** Close codes that the client acts on by name; the others it only knows by their range. */
export declare const Close: {
    readonly kicked: 3503;
    readonly sessionLimit: 3504;
    readonly tokenExpired: 3506;
};
/** Whether a client should come back by itself after this close code. */
export declare function comesBack(code: number): boolean;
/**
 * Why a call failed, or what an `error` event is about. `code` and `reason` stay the same between versions,
 * `message` is a sentence for a developer.
 */
export declare class RosterdError extends Error {
    readonly code: number;
    readonly reason: string;
    /** The field that was wrong, if one was. */
    readonly field?: string;
    /** When it may work again, if the gateway said so. */
    readonly retryAfterMs?: number;
    constructor(code: number, reason: string, message: string, more?: {
        field?: string;
        retryAfterMs?: number;
        cause?: unknown;
    });
    static from(body: ErrorBody): RosterdError;
}
