/** A gender. */
export type Gender = 'unknown' | 'male' | 'female';
/** A profile. Unset texts are empty. Records are frozen: an application that changes one changes a copy. */
export interface User<Custom extends string = string> {
    readonly account: string;
    readonly nick: string;
    readonly avatar: string;
    readonly sign: string;
    readonly gender: Gender;
    readonly email: string;
    /** Empty or `yyyy-mm-dd`. */
    readonly birth: string;
    readonly tel: string;
    readonly custom: Custom;
    /** Milliseconds since 1970. */
    readonly createTime: number;
    /** Milliseconds since 1970. */
    readonly updateTime: number;
    readonly version: number;
    /** The deployment's own fields that have a value and that this client may see; absent if there are none. */
    readonly fields?: Readonly<Partial<Own>>;
    /** Only in the account's own profile: the accounts that it mutes; absent if there are none. */
    readonly muted?: readonly string[];
}
/** The types of the deployment's own fields. The file that `rosterd schema --typescript` writes adds them; without it, any name has any value. */
export interface OwnFields {
}
type Own = keyof OwnFields extends never ? Record<string, FieldValue> : OwnFields;
/** The value of an own field. */
export type FieldValue = string | number | boolean | readonly string[];
/** An own field: what it may hold, who sees it, and who writes it. */
export interface FieldSchema {
    /** A later version may add types. */
    readonly type: Open<'text' | 'integer' | 'number' | 'boolean' | 'list'>;
    readonly visibility: Open<'everyone' | 'friends' | 'self'>;
    readonly write: Open<'self' | 'backend'>;
    readonly min?: number;
    readonly max?: number;
    /** The most characters of a text, and of each text of a list. */
    readonly maxLength?: number;
    readonly maxItems?: number;
    /** The texts that there are; absent: any. */
    readonly values?: readonly string[];
    /** What a new profile has, and one whose field was cleared. */
    readonly default?: FieldValue;
}
/** The fields of a deployment's profiles. */
export interface Schema {
    /** Another one after every change to them. */
    readonly hash: string;
    /** The own fields, by their names. */
    readonly fields?: Readonly<Record<string, FieldSchema>>;
    /** The other fields of a profile that only the backend may write. */
    readonly backendOnly?: readonly string[];
}
/** A friendship from its owner's side. The friend's profile is the {@link User} of the same account. */
export interface Friend<Custom extends string = string> {
    readonly account: string;
    readonly alias: string;
    readonly custom: Custom;
    /** Milliseconds since 1970. */
    readonly createTime: number;
    /** Milliseconds since 1970. */
    readonly updateTime: number;
    readonly version: number;
}
/** A friend request; there is one for each account and direction. */
export interface FriendRequest {
    /** The other account. */
    readonly account: string;
    /** `in`: from the other account. `out`: from this one. */
    readonly direction: 'in' | 'out';
    readonly message: string;
    /** `open` requests can be answered; the other states name the outcome. */
    readonly state: 'open' | 'accepted' | 'rejected' | 'cancelled' | 'expired';
    /** Milliseconds since 1970. */
    readonly createTime: number;
    /** Milliseconds since 1970. */
    readonly updateTime: number;
    readonly version: number;
}
/** A blocked account, which receives nothing from this one. */
export interface Block {
    readonly account: string;
    /** Milliseconds since 1970. */
    readonly createTime: number;
    readonly version: number;
    /** True if the block has ended. */
    readonly removed: boolean;
}
/** The presence of an account. */
export interface Presence {
    readonly account: string;
    readonly online: boolean;
    /** The time at which an offline friend was last online, or an online one came online. Milliseconds since 1970, 0 if unknown. */
    readonly lastSeen: number;
    /** Only for this account: true if it appears offline to its friends. */
    readonly invisible?: boolean;
    /** Only for this account: the version of `invisible` and `status`, 0 if neither was ever set. */
    readonly version?: number;
    /** The text that the account shows beside it. */
    readonly status?: string;
    /** The time at which the status ends, if it has an end of its own. Milliseconds since 1970. */
    readonly until?: number;
    /** Only for friends, and only if the deployment shows them: the kinds of devices on which they are online, such as `ios`. */
    readonly devices?: readonly string[];
}
/** A change to what this account shows of its presence; see {@link RosterdClient.setPresence}. */
export interface OwnPresence {
    invisible?: boolean | undefined;
    status?: string | undefined;
    /** Milliseconds since 1970. */
    until?: number | undefined;
}
/** A session of this account. */
export interface Session {
    readonly session: string;
    readonly device: Readonly<Record<keyof Device, string>>;
    /** Milliseconds since 1970. */
    readonly connectedAt: number;
    /** True for this client's session. */
    readonly current: boolean;
}
/** The fields that `updateMyInfo` changes. A missing field stays unchanged, an empty text clears it. */
export type MyInfo<Custom extends string = string> = {
    -readonly [K in 'nick' | 'avatar' | 'sign' | 'gender' | 'email' | 'birth' | 'tel' | 'custom']?: User<Custom>[K] | undefined;
} & {
    /** Own fields, each by itself: a missing one stays unchanged, `null` clears it. */
    fields?: {
        readonly [K in keyof Own]?: Own[K] | null;
    } | undefined;
};
/** The description of this session for the account's other sessions, of at most 64 characters each. */
export interface Device {
    /** An identifier of the installation. */
    id?: string | undefined;
    /** The type of the device, such as `web` or `ios`; a deployment may allow one session of each. */
    type?: string | undefined;
    /** A label to show. */
    tag?: string | undefined;
}
/** A text or number that a later version may extend: known values complete in an editor, others are allowed. */
type Open<T extends string | number> = T | (T extends string ? string & {} : number & {});
/** The gateway's words for its close codes. */
type CloseWords = 'SHUTDOWN' | 'NO_HEARTBEAT' | 'INTERNAL' | 'TOO_MANY_REQUESTS' | 'OVERLOADED' | 'BAD_TOKEN' | 'MALFORMED_FRAME' | 'LOGIN_TIMEOUT' | 'KICKED' | 'SESSION_LIMIT' | 'ACCOUNT_DISABLED' | 'TOKEN_EXPIRED';
/** The number of an error: the gateway's, the client's, or a close code of 3501 and above. */
export type ErrorCode = Open<302 | 403 | 404 | 408 | 412 | 414 | 416 | 417 | 419 | 422 | 451 | 500 | 503 | 509 | 3501 | 3502 | 3503 | 3504 | 3505>;
/** The word of an error. */
export type ErrorReason = Open<'UNAUTHENTICATED' | 'PERMISSION_DENIED' | 'NOT_FOUND' | 'VERSION_MISMATCH' | 'INVALID_ARGUMENT' | 'RATE_LIMITED' | 'ALREADY_EXISTS' | 'LIMIT_EXCEEDED' | 'REJECTED' | 'UNAVAILABLE' | 'TIMEOUT' | 'CONNECTION_LOST' | 'SUPERSEDED' | 'DISCONNECTED' | 'NO_TOKEN' | 'REFRESH_FAILED' | 'UNAUTHORIZED' | 'OTHER_ACCOUNT' | 'STORE' | 'OUT_OF_STEP' | 'BAD_FRAME' | 'NO_CONNECTION' | CloseWords>;
/** A close code, 1006 for a lost connection, or 1000 for an end that this side asked for. */
export type CloseCode = Open<1000 | 1006 | 3000 | 3001 | 3002 | 3003 | 3004 | 3500 | 3501 | 3502 | 3503 | 3504 | 3505 | 3506>;
/** The word of an end. */
export type CloseReason = Open<CloseWords | 'CLIENT' | 'FORGOTTEN' | 'UNAUTHORIZED' | 'OTHER_ACCOUNT' | 'NO_CONNECTION'>;
/** Says why the gateway sent everything. */
export type SyncReason = Open<'NO_CURSOR' | 'CURSOR_MALFORMED' | 'CURSOR_FOREIGN' | 'CURSOR_FROM_FUTURE' | 'CURSOR_EXPIRED'>;
/** The reply to a login. */
export interface LoginReply {
    account: string;
    session: string;
    epoch: string;
    serverTime: number;
    heartbeatMs: number;
    sync: 'full' | 'delta' | 'current';
    because?: SyncReason;
    expiresAt?: number;
    /** The hash of the {@link Schema}, unless that has no fields. */
    schema?: string;
}
/** Changed records. */
export interface Changes {
    me?: User;
    users?: User[];
    friends?: Friend[];
    removed?: string[];
    requests?: FriendRequest[];
    blocks?: Block[];
    cursor?: string;
}
/** The end of a catch-up, with count and digest of the friend list. */
export interface Synced {
    cursor: string;
    count: number;
    digest: number;
}
/** The announcement of a close. */
export interface Goodbye {
    code: number;
    reason: string;
    reconnect: boolean;
    retryAfterMs?: number;
}
/** An error reply. */
export interface ErrorBody {
    code: number;
    reason: string;
    message: string;
    field?: string;
    retryAfterMs?: number;
    detail?: string;
}
/**
 * A message from the gateway: a reply or an error with its `id`, a push without one, or the empty heartbeat.
 *
 * Empty replies are not listed.
 */
export interface ServerFrame {
    id?: number;
    loginReply?: LoginReply;
    updateMyInfoReply?: {
        user: User;
    };
    setMutedReply?: {
        user: User;
    };
    getSchemaReply?: Schema;
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
    /** Lists the buckets of the friend list that the gateway now sends again. */
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
/** A command of a client, without its `id`. */
export interface Command {
    login?: {
        token: string;
        cursor?: string;
        device?: Device;
    };
    updateMyInfo?: MyInfo & {
        ifVersion?: number;
    };
    getSchema?: object;
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
        ifVersion?: number;
    };
    block?: {
        account: string;
        ifVersion?: number;
    };
    unblock?: {
        account: string;
        ifVersion?: number;
    };
    setMuted?: {
        account: string;
        muted: boolean;
        ifVersion?: number;
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
    setPresence?: OwnPresence & {
        ifVersion?: number;
    };
    /** Contains the digest of each of the 64 buckets of the friend list. */
    repair?: {
        leaves: number[];
    };
}
/** Error codes that the client creates, and codes of the gateway that it handles. */
export declare const Code: {
    readonly unauthenticated: 302;
    readonly denied: 403;
    readonly notFound: 404;
    readonly timeout: 408;
    readonly mismatch: 412;
    readonly invalid: 414;
    readonly internal: 500;
};
/** Close codes that the client handles by name; it handles others by their range. */
export declare const Close: {
    readonly kicked: 3503;
    readonly sessionLimit: 3504;
    readonly tokenExpired: 3506;
};
/** Returns whether a client should reconnect after this close code. */
export declare function comesBack(code: number): boolean;
/**
 * Describes a failed call or the cause of an `error` event.
 *
 * `code` and `reason` stay the same between versions; `message` is a sentence for developers.
 */
export declare class RosterdError extends Error {
    readonly code: ErrorCode;
    readonly reason: ErrorReason;
    /** The invalid field, if any. */
    readonly field?: string | undefined;
    /** The wait before a retry, if the gateway named one. */
    readonly retryAfterMs?: number | undefined;
    /** With `REJECTED`, the word of the operator's hook that refused, if it gave one. */
    readonly detail?: string | undefined;
    constructor(code: ErrorCode, reason: ErrorReason, message: string, more?: {
        field?: string;
        retryAfterMs?: number;
        detail?: string;
        cause?: unknown;
    });
    static from(body: ErrorBody): RosterdError;
}
/**
 * Thrown by `getToken`, says that this user gets no token, whatever is tried: the session has ended, or never was. The
 * client stops, and does not retry.
 */
export declare class UnauthorizedError extends RosterdError {
    constructor(message?: string, more?: {
        cause?: unknown;
    });
    /** Recognizes the error by its name as well, because a page may have loaded this library twice. */
    static is(error: unknown): error is Error;
}
export {};
