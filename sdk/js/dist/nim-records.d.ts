import type { Block, Friend, FriendRequest, Session, User } from './protocol.js';
import type { NIMFriend, NIMLoginPort, NIMRelation, NIMSystemMessage, NIMUser } from './nim-options.js';
/** Converts a profile. */
export declare function profile({ version: _, ...fields }: User): NIMUser;
/** Converts a friendship. */
export declare function relation({ version: _, ...fields }: Friend): NIMFriend;
/** Returns the fields that differ from `before`, and the mandatory ones. */
export declare function changedRelation(friend: Friend, before: Friend): NIMFriend;
/** Converts a block. NIM's second time is the same, as a block does not change. */
export declare function blocked({ account, createTime }: Block): NIMRelation;
/** Converts a session. Sessions are the devices here, and `kick` takes their names. */
export declare function loginPort(account: string, { session, device, connectedAt }: Session, online: boolean): NIMLoginPort;
/** Converts a request into a system message for the account `own`; `type` names the occasion. */
export declare function systemMessage(own: string, request: FriendRequest, type: NIMSystemMessage['type']): NIMSystemMessage;
