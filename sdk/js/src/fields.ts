// Checks changes of a profile by the schema of the deployment, as the gateway does.

import { Code, RosterdError } from './protocol.js';
import type { FieldSchema, MyInfo, Schema } from './protocol.js';

/** Throws what the gateway would answer to this change: 403 for a field of the backend, 414 for an own field that is wrong. */
export function checkFields({ fields = {}, backendOnly = [] }: Schema, info: MyInfo): void {
  const own = Object.entries(info.fields ?? {}).filter(([, value]) => value !== undefined);
  const ofBackend = backendOnly.filter((name) => info[name as keyof MyInfo] !== undefined)
    .concat(own.filter(([name]) => fields[name]?.write === 'backend').map(([name]) => `fields.${name}`));
  for (const field of ofBackend) throw new RosterdError(Code.denied, 'PERMISSION_DENIED', `only the backend may write ${field}`, { field });
  for (const [name, value] of own) {
    const known = fields[name];
    const field = `fields.${name}`;
    if (value === null || (known && holds(known, value))) continue;
    throw new RosterdError(Code.invalid, 'INVALID_ARGUMENT', known ? `${field} must be ${JSON.stringify(known)}` : `there is no field ${field}`, { field });
  }
}

function holds({ type, min = -Infinity, max = Infinity, maxLength = Infinity, maxItems = Infinity, values }: FieldSchema, value: unknown): boolean {
  const isText = (text: unknown): boolean => typeof text === 'string' && [...text].length <= maxLength && !text.includes('\0') && (!values || values.includes(text));
  switch (type) {
    case 'text': return isText(value);
    case 'list': return Array.isArray(value) && value.length <= maxItems && value.every(isText);
    case 'boolean': return typeof value === 'boolean';
    case 'integer': case 'number': return typeof value === 'number' && value >= min && value <= max && (type === 'number' || Number.isInteger(value));
    default: return true;
  }
}
