// Errors in NIM's form. The gateway's numbers are NIM's already, except that of a refusal by the operator's hook.

import { RosterdError } from './protocol.js';

/** An error: a number, a message, and what failed. */
export interface NIMError {
  code: number;
  message: string;
  /** Names the failed method, with the gateway's `reason`, `field` and `detail` if there are any. */
  event: { callFunc: string; reason?: string; field?: string; detail?: string };
}

/** NIM's number for a refused account or token. */
export const WRONG_TOKEN = 302;
/** NIM's number for a network failure. */
const NETWORK = 415;
/** NIM's numbers for a profile and for a request that its content check refuses. */
const PROFILE_CONTENT = 103451;
const FRIEND_CONTENT = 104451;

/** NIM's numbers for close codes of the gateway. */
const CLOSE: Record<number, number> = { 3500: WRONG_TOKEN, 3501: 509, 3502: 408, 3505: 422, 3506: WRONG_TOKEN };

/** Refusals of a login, for which NIM has one number. */
const REFUSALS = [302, 403, 404];

/** Converts an error into a plain object, which survives JSON and prints well. */
export function failure(error: unknown, callFunc: string): NIMError {
  const { code = 500, message = String(error) } = (error ?? {}) as { code?: number; message?: string };
  const { reason, field, detail } = error instanceof RosterdError ? error : {};
  const event: NIMError['event'] = { callFunc };
  if (reason !== undefined) event.reason = reason;
  if (field !== undefined) event.field = field;
  if (detail !== undefined) event.detail = detail;
  const refused = callFunc === 'updateMyInfo' ? PROFILE_CONTENT : callFunc === 'publishEvent' ? code : FRIEND_CONTENT;
  return { code: reason === 'REJECTED' ? refused : code, message, event };
}

/** Returns NIM's number for an unexpected end of the connection. */
export function networkCode(close: number, error: RosterdError | undefined): number {
  return CLOSE[close] ?? (error && REFUSALS.includes(error.code) ? WRONG_TOKEN : NETWORK);
}
