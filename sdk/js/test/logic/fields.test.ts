// Changes of the profile that the schema of the deployment does not allow are not sent.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { MyInfo, RosterdError, Schema } from '../../src/index.js';
import { frozenTime, live, pass, settle, user } from './rig.js';
import type { Rig } from './rig.js';

frozenTime({ beforeEach, afterEach });

const both = { visibility: 'everyone', write: 'self' };
const schema: Schema = {
  hash: '00000000000000ab',
  fields: {
    about: { type: 'text', ...both, maxLength: 3 },
    colour: { type: 'text', ...both, maxLength: 9, values: ['red'] },
    level: { type: 'integer', visibility: 'everyone', write: 'backend', min: 1, max: 9 },
    age: { type: 'integer', ...both, min: 1, max: 99 },
    score: { type: 'number', ...both, min: 0.5, max: 1.5 },
    tags: { type: 'list', ...both, maxLength: 3, maxItems: 2 },
    vip: { type: 'boolean', ...both },
    later: { type: 'place', ...both },
  },
  backendOnly: ['nick', 'of a later version'],
};

/** Logs in where the deployment has these fields, and asks which. */
async function knowing(): Promise<Rig> {
  const it = await live([], {}, { schema: schema.hash });
  const asked = it.client.getSchema();
  it.socket.gives({ id: it.socket.last('getSchema').id, getSchemaReply: schema });
  assert.deepEqual(await asked, schema);
  return it;
}

/** Tries to change own fields: nothing if that was sent, otherwise the error. */
const refused = (it: Rig, fields: MyInfo['fields']): Promise<RosterdError | undefined> => refusedInfo(it, { fields });

async function refusedInfo(it: Rig, info: MyInfo): Promise<RosterdError | undefined> {
  const before = it.socket.sent.length;
  const call = it.client.updateMyInfo(info);
  if (it.socket.sent.length > before) {
    it.socket.gives({ id: it.socket.last('updateMyInfo').id, updateMyInfoReply: { user: user('alice', before) } });
    await call;
    return;
  }
  return call.then(() => assert.fail('neither sent nor refused'), (error: RosterdError) => error);
}

test('what the schema allows is sent, and all else is refused with its field', async () => {
  const it = await knowing();
  for (const fields of [
    { about: '\u{1f600}\u{1f600}\u{1f600}' }, { about: '' }, { about: null }, { about: undefined }, { colour: 'red' }, { age: 1 }, { score: 1 }, { tags: [] }, { tags: ['a', 'abc'] },
    { vip: false }, { later: { any: 1 } as never }, { gone: null }, undefined,
  ] as MyInfo['fields'][]) {
    assert.equal(await refused(it, fields), undefined, JSON.stringify(fields));
  }
  for (const [fields, code] of [
    [{ about: 'abcd' }, 414], [{ about: 1 }, 414], [{ about: 'a\0' }, 414], [{ colour: 'blue' }, 414], [{ level: 2 }, 403], [{ level: null }, 403], [{ age: 0 }, 414],
    [{ age: 1.5 }, 414], [{ age: NaN }, 414], [{ age: '7' }, 414], [{ score: 2 }, 414], [{ score: Infinity }, 414], [{ tags: ['a', 'b', 'c'] }, 414], [{ tags: ['abcd'] }, 414],
    [{ tags: 'a' }, 414], [{ tags: [['a']] }, 414], [{ vip: 1 }, 414], [{ leve: 1 }, 414],
  ] as [MyInfo['fields'], number][]) {
    const error = await refused(it, fields);
    assert.deepEqual([error?.code, error?.field], [code, `fields.${Object.keys(fields as object)[0]}`], JSON.stringify(fields));
  }
});

test('other fields that only the backend may write are refused with their names', async () => {
  const it = await knowing();
  for (const info of [{ sign: 'x' }, { nick: undefined, sign: 'x' }, {}] as MyInfo[]) assert.equal(await refusedInfo(it, info), undefined);
  for (const info of [{ nick: 'x' }, { nick: '' }, { sign: 'x', nick: 'x', fields: { about: 'abcd' } }]) {
    const error = await refusedInfo(it, info);
    assert.deepEqual([error?.code, error?.field, error?.reason], [403, 'nick', 'PERMISSION_DENIED'], JSON.stringify(info));
  }
});

test('nothing is checked before the schema is known, nor by one that is not in force any more', async () => {
  const it = await live([], {}, { schema: schema.hash });
  assert.equal(await refused(it, { level: 2 }), undefined);
  const known = await knowing();
  assert.equal((await refused(known, { level: 2 }))?.code, 403);
  known.socket.ends(1006);
  await pass(20_000);
  known.socket.login({ sync: 'current', because: undefined, schema: '00000000000000cd' });
  known.socket.gives({ synced: { cursor: 'e-1', count: 0, digest: 0 } });
  await settle();
  assert.equal(await refused(known, { level: 2 }), undefined);
});
