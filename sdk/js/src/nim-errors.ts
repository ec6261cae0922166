// Errors as NIM gives them: a number, a message, and what failed. The gateway's numbers are NIM's already.

import { RosterdError } from './protocol.js';

export interface NIMError {
  code: number;
  message: string;
  /** `callFunc` is the method that failed; `reason` and `field` are there if the gateway gave them. */
  event: { callFunc: string; reason?: string; field?: string };
}

/** NIM's number for an account or a token that is not accepted. */
export const WRONG_TOKEN = 302;
/** NIM's number for a fault of the network. */
const NETWORK = 415;

/** NIM's numbers for the gateway's close codes that have one. */
const CLOSE: Record<number, number> = { 3500: WRONG_TOKEN, 3501: 509, 3502: 408, 3505: 422, 3506: WRONG_TOKEN };

/** Refusals of a login; NIM has one number for all of them. */
const REFUSALS = [302, 403, 404];

/** A plain object, so that it survives JSON and a look at the console. */
export function failure(error: unknown, callFunc: string): NIMError {
  const { code = 500, message = String(error) } = (error ?? {}) as { code?: number; message?: string };
  const { reason, field } = error instanceof RosterdError ? error : {};
  const event: NIMError['event'] = { callFunc };
  if (reason !== undefined) event.reason = reason;
  if (field !== undefined) event.field = field;
  return { code, message, event };
}

/** The number for an end of the connection that nobody asked for. */
export function networkCode(close: number, error: RosterdError | undefined): number {
  return CLOSE[close] ?? (error && REFUSALS.includes(error.code) ? WRONG_TOKEN : NETWORK);
}
