// Checks own fields by the schema of the deployment, as the gateway does.

import { Code, RosterdError } from './protocol.js';
import type { FieldSchema, MyInfo, Schema } from './protocol.js';

/** Throws what the gateway would answer to these own fields: 403 for one of the backend, 414 for any other that is wrong. */
export function checkFields(schema: Schema, fields: MyInfo['fields']): void {
  for (const [name, value] of Object.entries(fields ?? {})) {
    if (value === undefined) continue;
    const known = schema.fields?.[name];
    const field = `fields.${name}`;
    if (known?.write === 'backend') throw new RosterdError(Code.denied, 'PERMISSION_DENIED', `only the backend may write ${field}`, { field });
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
