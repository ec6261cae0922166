export { RosterdClient } from './client.js';
export type { WebSocketConstructor, WebSocketLike } from './connection.js';
export { digest } from './digest.js';
export { cutFriends, merge, mergeFriends, mergeUsers } from './merge.js';
export type { Events, Options, State, TokenReason } from './options.js';
export { RosterdError, UnauthorizedError } from './protocol.js';
export type { Block, Device, Friend, FriendRequest, Gender, MyInfo, Presence, Session, User } from './protocol.js';
export { IndexedDbStore, MemoryStore } from './store.js';
export type { Change, Store, Stored } from './store.js';
