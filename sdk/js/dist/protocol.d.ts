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
/** What `updateMyInfo` can change. A field that is left out stays as it is, an empty text clears. */
export type MyInfo = Partial<Pick<User, 'nick' | 'avatar' | 'sign' | 'gender' | 'email' | 'birth' | 'tel' | 'custom'>>;
export interface Device {
    id?: string;
    type?: string;
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
/** One message of the gateway: a reply or an error with its `id`, a push without one, or the empty heartbeat. */
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
    error?: ErrorBody;
    changes?: Changes;
    synced?: Synced;
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
