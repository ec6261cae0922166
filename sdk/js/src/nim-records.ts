// Records under NIM's names and in NIM's shapes. Always copies, because applications modify them.

import { Code } from './protocol.js';
import type { Block, Friend, FriendRequest, Session, User } from './protocol.js';
import type { NIMFriend, NIMLoginPort, NIMRelation, NIMSystemMessage, NIMUser } from './nim-options.js';

/** Converts a profile. */
export function profile({ version: _, muted: __, ...fields }: User): NIMUser {
  return fields;
}

/** Converts the accounts that a profile mutes, of which no times are kept. */
export function muted(me: User | undefined): NIMRelation[] {
  return (me?.muted ?? []).map((account) => ({ account, isMuted: true, createTime: 0, updateTime: 0 }));
}

/** Converts a friendship. */
export function relation({ version: _, ...fields }: Friend): NIMFriend {
  return { ...fields, valid: true };
}

/** Returns the fields that differ from `before`, and the mandatory ones. */
export function changedRelation(friend: Friend, before: Friend): NIMFriend {
  const { account, alias, custom, createTime, updateTime } = friend;
  return {
    account,
    ...(alias === before.alias ? {} : { alias }),
    ...(custom === before.custom ? {} : { custom }),
    createTime, updateTime,
  };
}

/** Converts a block. NIM's second time is the same, as a block does not change. */
export function blocked({ account, createTime }: Block): NIMRelation {
  return { account, isBlack: true, createTime, updateTime: createTime };
}

/** NIM's names for device types, by their lower-case form. */
const DEVICE_TYPES: Record<string, string> = { android: 'Android', ios: 'iOS', pc: 'PC', web: 'Web', mac: 'Mac' };

/** Converts a session. Sessions are the devices here, and `kick` takes their names. */
export function loginPort(account: string, { session, device, connectedAt }: Session, online: boolean): NIMLoginPort {
  return {
    type: DEVICE_TYPES[device.type.toLowerCase()] ?? device.type, os: '', mac: '', deviceId: session, account, connectionId: 0, ip: '', time: connectedAt, online,
    ...(device.tag ? { customTag: device.tag } : {}),
  };
}

/** Converts a request into a system message for the account `own`; `type` names the occasion. */
export function systemMessage(own: string, request: FriendRequest, type: NIMSystemMessage['type']): NIMSystemMessage {
  const { account, message, state, createTime, updateTime } = request;
  const STATES = { open: 'init', accepted: 'passed', rejected: 'rejected', cancelled: 'error', expired: 'error' } as const;
  return {
    // The same for the whole life of a request.
    type, from: account, to: own, time: updateTime, idServer: `${account}-${createTime}`,
    category: 'friend', state: STATES[state], read: false, ps: message,
    ...(STATES[state] === 'error' ? { error: { code: Code.notFound, message: `the request is ${state}`, event: { callFunc: 'applyFriend' } } } : {}),
  };
}
