// The frames of the client protocol as TypeScript sees them, and the error that a failed call gives.
// docs/protocol.md says what they mean; nothing here does anything.

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
export type MyInfo = Partial<
  Pick<User, 'nick' | 'avatar' | 'sign' | 'gender' | 'email' | 'birth' | 'tel' | 'custom'>
>;

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
  updateMyInfoReply?: { user: User };
  getUsersReply?: { users?: User[]; missing?: string[] };
  refreshReply?: { expiresAt?: number };
  logoutReply?: object;
  error?: ErrorBody;
  changes?: Changes;
  synced?: Synced;
  goodbye?: Goodbye;
}

/** One command of a client, without its `id`. */
export interface Command {
  login?: { token: string; cursor?: string; device?: Device };
  updateMyInfo?: MyInfo & { ifVersion?: number };
  getUsers?: { accounts: string[] };
  refresh?: { token: string };
  logout?: object;
}

/** Error codes that the client itself gives, and those of the gateway that it acts on. */
export const Code = {
  unauthenticated: 302,
  denied: 403,
  notFound: 404,
  timeout: 408,
  internal: 500,
} as const;

/** Close codes that the client acts on by name; the others it only knows by their range. */
export const Close = { tokenExpired: 3506 } as const;

/** Whether a client should come back by itself after this close code. */
export function comesBack(code: number): boolean {
  return code < 3500 || code > 3999;
}

/**
 * Why a call failed, or what an `error` event is about. `code` and `reason` stay the same between versions,
 * `message` is a sentence for a developer.
 */
export class RosterdError extends Error {
  readonly code: number;
  readonly reason: string;
  /** The field that was wrong, if one was. */
  readonly field?: string;
  /** When it may work again, if the gateway said so. */
  readonly retryAfterMs?: number;

  constructor(code: number, reason: string, message: string, more: { field?: string; retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'RosterdError';
    this.code = code;
    this.reason = reason;
    if (more.field !== undefined) this.field = more.field;
    if (more.retryAfterMs !== undefined) this.retryAfterMs = more.retryAfterMs;
  }

  static from(body: ErrorBody): RosterdError {
    return new RosterdError(body.code, body.reason, body.message, body);
  }
}
