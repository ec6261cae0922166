// The options and callbacks of NIM that mean something here, under NIM's names and shapes.

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
export type NIMFriends = NIMFriend[] & { invalid?: NIMFriend[] };

/** Why the connection ended and is not tried again: NIM's number, or its word for an end on this side. */
export type NIMDisconnected =
  | { code: number; message: string }
  | { code: 'alreadyDisconnected' | 'allAttemptsFailed'; message: string; callFunc: string };

export interface NIMGetInstanceOptions {
  /** Taken for the sake of old code; there is one application here. */
  appKey?: string;
  account: string;
  /** In development mode it may be left out: the account is the token. */
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
  /** Text about this installation, for the account's other sessions. */
  customTag?: string;
  /** How long a call waits for its answer, in milliseconds. 8000 by default. */
  cmdTimeout?: number;
  /** `getInstance` does not connect yet; `connect` does. */
  skipConnectionOnInitialize?: boolean;

  onconnect?: (data: { lastLoginDeviceId: string; customTag?: string; connectionId: string; ip: string; port: string; country?: string }) => void;
  onwillreconnect?: (data: { retryCount: number; duration: number }) => void;
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
  onfriends?: (friends: NIMFriends) => void;

  // These come with features that are not there yet.
  onsyncfriendaction?: (data: { type: 'addFriend' | 'applyFriend' | 'passFriendApply' | 'rejectFriendApply' | 'deleteFriend' | 'updateFriend'; friend?: NIMFriend; account?: string }) => void;
  onblacklist?: (list: { account: string; createTime: number; updateTime: number }[]) => void;
  onloginportschange?: (sessions: { type: string; os: string; mac: string; deviceId: string; account: string; connectionId: number; ip: string; time: number; online: boolean }[]) => void;
}

/** Every option by name, so that a missing one does not compile. */
const KNOWN: Record<keyof NIMGetInstanceOptions, true> = {
  appKey: true, account: true, token: true, url: true, db: true, needReconnect: true, reconnectionAttempts: true,
  quickReconnect: true, syncFriends: true, syncFriendUsers: true, customTag: true, cmdTimeout: true,
  skipConnectionOnInitialize: true, onconnect: true, onwillreconnect: true, ondisconnect: true, onerror: true,
  onsyncdone: true, onmyinfo: true, onupdatemyinfo: true, onusers: true, onupdateuser: true, onfriends: true,
  onsyncfriendaction: true, onblacklist: true, onloginportschange: true,
};

const warned = new Set<string>();

/** Says once which options do nothing here. */
export function warnOfIgnored(options: object): void {
  const ignored = Object.keys(options).filter((name) => !(name in KNOWN) && !warned.has(name));
  if (!ignored.length) return;
  for (const name of ignored) warned.add(name);
  console.warn(`rosterd: these NIM options do nothing here: ${ignored.join(', ')}`);
}
