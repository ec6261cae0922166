// The entry of the package: the client, its types, the stores, and helpers for plain lists.

export { RosterdClient } from './client.js';
export type { WebSocketConstructor, WebSocketLike } from './connection.js';
export type { ListenerOptions } from './emitter.js';
export { digest } from './digest.js';
export { cutFriends, merge, mergeFriends, mergeUsers } from './merge.js';
export type { Events, LookupOptions, Options, TokenReason, UpdateOptions } from './options.js';
export type { ConnectionState, State } from './state.js';
export { RosterdError, UnauthorizedError } from './protocol.js';
export type {
  Block, CloseCode, CloseReason, Device, ErrorBody, ErrorCode, ErrorReason, FieldSchema, FieldValue, Friend, FriendRequest, Gender, MyInfo, OwnFields, OwnPresence, Presence, Schema, Session, SyncReason, User,
} from './protocol.js';
export type { Member, Shared, Tabs } from './sharing.js';
export type { Snapshot } from './snapshot.js';
export { IndexedDbStore, MemoryStore } from './store.js';
export type { Change, Kept, Store, Stored } from './store.js';
export type { CallLimits } from './timers.js';
