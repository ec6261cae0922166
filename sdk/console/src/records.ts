// The records of the server API that the console shows.

export interface Me { name: string; scopes: string[]; until?: number; console?: 'open' | 'cookie' }
export type OwnValue = string | number | boolean | string[];
export interface User { account: string; version: number; createTime: number; updateTime: number; fields?: Record<string, OwnValue>; [field: string]: string | number | Record<string, OwnValue> | undefined }
/** What an own field may hold, by `GET /v1/schema`. */
export interface FieldSchema { type: string; visibility: string; write: string; min?: number; max?: number; maxLength?: number; maxItems?: number; values?: string[] }
export interface Schema { hash: string; fields?: Record<string, FieldSchema> }
export interface Device { id: string; type: string; tag: string }
export interface Session { account: string; session: string; device: Device; connectedAt: number; pending: number; told?: number }
export interface SessionsPage { sessions: Session[]; horizon: number; next?: string }
export interface Presence { account: string; online: boolean; lastSeen?: number; invisible?: boolean; status?: string; until?: number; devices?: string[] }
export interface Friend { account: string; alias?: string; custom?: string; createTime: number; updateTime: number; version: number; muted?: boolean }
export interface FriendRequest { sender?: string; receiver?: string; account?: string; incoming?: boolean; message?: string; createTime: number; version: number }
export interface Block { account: string; createTime: number; version: number }
export interface Explanation {
  account: string;
  viewer: string;
  reasons: string[];
  because: string[];
  viewerLists: { state: string; version?: number };
  accountLists: { state: string; version?: number };
  blockedSince?: number;
  audience: 'self' | 'friends' | 'everyone';
  fields: { name: string; visibleTo: string; viewerSees: boolean }[];
  views: { audience: string; version: number; updateTime: number }[];
  frozenVersion?: number;
  liveVersion?: number;
  committed: number;
  applied: number;
  unreached?: string[];
  sessions: (Session & { asFriend: boolean; watches: boolean; waiting: string[] })[];
}
export interface RosterEvent {
  id: string;
  type: string;
  time: string;
  subject?: string;
  stamp?: number;
  data: { changed?: string[]; by?: { kind: string; session?: string; key?: string; name?: string }; accounts?: string[]; how?: string; [more: string]: unknown };
}
export interface Changes { changes: RosterEvent[]; next?: string; cut: boolean }
export interface Webhook {
  name: string; url: string; enabled: boolean; state: string; since: number; position: string; behind: { changes: number; seconds: number };
  lastSuccess?: number; lastFailure?: { time: number; status?: number; text: string }; nextTry?: number; replayUntil?: string; dead: number;
}
export interface Hook {
  name: string; url: string; onFailure: string; state: string; opensInMs?: number; inFlight: number; waiting: number; calls: Record<string, number>;
  lastCall?: { time: number; result: string; [more: string]: unknown };
}
export interface Node {
  name: string; version: string; startedAt: number; time: number; phase: string; connections: number; sessions: number; watchedAccounts: number;
  committed: number; applied: number; horizon: number;
}
export interface AuditEntry { number: number; time: number; caller: string; action: string; subject: string; detail: string }
export interface Setting { key: string; value: unknown; source: string }
