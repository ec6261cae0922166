// The records under NIM's names and in NIM's shapes. Always copies, for applications write into what they are given.

import { Code } from './protocol.js';
import type { Block, Friend, FriendRequest, Session, User } from './protocol.js';
import type { NIMFriend, NIMLoginPort, NIMRelation, NIMSystemMessage, NIMUser } from './nim-options.js';

export function card({ version: _, ...fields }: User): NIMUser {
  return fields;
}

export function relation({ version: _, ...fields }: Friend): NIMFriend {
  return { ...fields, valid: true };
}

/** What differs from `before`, and what a record has to have. */
export function changedRelation(friend: Friend, before: Friend): NIMFriend {
  const { account, alias, custom, createTime, updateTime } = friend;
  return {
    account,
    ...(alias === before.alias ? {} : { alias }),
    ...(custom === before.custom ? {} : { custom }),
    createTime, updateTime,
  };
}

/** NIM has a second time in it; a block does not change. */
export function blocked({ account, createTime }: Block): NIMRelation {
  return { account, isBlack: true, createTime, updateTime: createTime };
}

/** NIM's words for kinds of devices that others write differently. */
const DEVICE_TYPES: Record<string, string> = { android: 'Android', ios: 'iOS', pc: 'PC', web: 'Web', mac: 'Mac' };

/** Sessions are the devices here: the session's name is what `kick` takes. */
export function loginPort(account: string, { session, device, connectedAt }: Session, online: boolean): NIMLoginPort {
  return {
    type: DEVICE_TYPES[device.type.toLowerCase()] ?? device.type, os: '', mac: '', deviceId: session, account, connectionId: 0, ip: '', time: connectedAt, online,
    ...(device.tag ? { customTag: device.tag } : {}),
  };
}

/** What a request means to the account `own`; `type` says on which occasion. */
export function systemMessage(own: string, request: FriendRequest, type: NIMSystemMessage['type']): NIMSystemMessage {
  const { account, message, state, createTime, updateTime } = request;
  const STATES = { open: 'init', accepted: 'passed', rejected: 'rejected', cancelled: 'error', expired: 'error' } as const;
  return {
    // The same as long as the request is the same.
    type, from: account, to: own, time: updateTime, idServer: `${account}-${createTime}`,
    category: 'friend', state: STATES[state], read: false, ps: message,
    ...(STATES[state] === 'error' ? { error: { code: Code.notFound, message: `the request is ${state}`, event: { callFunc: 'applyFriend' } } } : {}),
  };
}
