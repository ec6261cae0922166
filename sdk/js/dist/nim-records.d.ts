import type { Block, Friend, FriendRequest, Session, User } from './protocol.js';
import type { NIMFriend, NIMLoginPort, NIMRelation, NIMSystemMessage, NIMUser } from './nim-options.js';
export declare function card({ version: _, ...fields }: User): NIMUser;
export declare function relation({ version: _, ...fields }: Friend): NIMFriend;
/** What differs from `before`, and what a record has to have. */
export declare function changedRelation(friend: Friend, before: Friend): NIMFriend;
/** NIM has a second time in it; a block does not change. */
export declare function blocked({ account, createTime }: Block): NIMRelation;
/** Sessions are the devices here: the session's name is what `kick` takes. */
export declare function loginPort(account: string, { session, device, connectedAt }: Session, online: boolean): NIMLoginPort;
/** What a request means to the account `own`; `type` says on which occasion. */
export declare function systemMessage(own: string, request: FriendRequest, type: NIMSystemMessage['type']): NIMSystemMessage;
