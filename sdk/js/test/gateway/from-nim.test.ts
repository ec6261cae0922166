// examples/from-nim.mjs against a double of NIM's server API, and docs/from-nim.md against the gateway's.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { API_KEY, Gateway } from './gateway.js';

const SCRIPT = fileURLToPath(new URL('../../../../examples/from-nim.mjs', import.meta.url));
const [APP_KEY, APP_SECRET] = ['a key', 'a secret'];

const PROFILES: Record<string, object> = {
  ann: { accid: 'ann', name: 'Ann', icon: 'https://images/ann', sign: 'Hello', email: 'ann@example.com', birth: '1990-05-04', mobile: '+49 1', gender: 2, ex: '{"team":1}' },
  ben: { accid: 'ben', name: 'Ben', gender: 1 },
  cleo: { accid: 'cleo', gender: 0 },
};
const FRIENDS: Record<string, object[]> = {
  ann: [{ faccid: 'ben', alias: 'Benny', ex: 'from work', createtime: 1 }, { faccid: 'cleo' }, { faccid: 'gone', alias: 'Nobody' }],
  ben: [{ faccid: 'ann' }],
  // Ended by cleo: it is on one side alone.
  cleo: [],
};

/** Answers as NIM does. */
function nim(actions: string[]) {
  return createServer((request, response) => {
    let body = '';
    request.on('data', (data) => (body += data));
    request.on('end', () => {
      const action = request.url?.replace('/nimserver/', '') ?? '';
      actions.push(action);
      const { nonce = '', curtime = '', appkey, checksum } = request.headers as Record<string, string>;
      assert.deepEqual([appkey, checksum], [APP_KEY, createHash('sha1').update(APP_SECRET + nonce + curtime).digest('hex')]);
      const form = new URLSearchParams(body);
      const accid = form.get('accid') ?? '';
      const answers: Record<string, () => object> = {
        'user/getUinfos.action': () => ({ uinfos: (JSON.parse(form.get('accids') ?? '') as string[]).flatMap((name) => PROFILES[name] ?? []) }),
        'friend/get.action': () => ({ friends: FRIENDS[accid] }),
        // As a text, which the script takes as well.
        'user/listBlackAndMuteList.action': () => ({ blacklist: JSON.stringify(accid === 'ben' ? ['cleo'] : []), mutelist: '["ann"]' }),
      };
      const found = answers[action];
      response.end(JSON.stringify(found ? { code: 200, ...found() } : { code: 404 }));
    });
  });
}

test('profiles, friendships, notes and blocks come from NIM as the documentation says', async () => {
  const actions: string[] = [];
  const server = nim(actions).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const directory = mkdtempSync(join(tmpdir(), 'rosterd-nim-'));
  const gateway = await Gateway.start('auth.mode=static', `ops.api_key=${API_KEY}`);
  const run = async (...args: string[]): Promise<string> => {
    const { port } = server.address() as AddressInfo;
    const env = { ...process.env, NIM_URL: `http://127.0.0.1:${port}/nimserver`, NIM_APP_KEY: APP_KEY, NIM_APP_SECRET: APP_SECRET, ROSTERD_OPS: gateway.ops, ROSTERD_API_KEY: API_KEY };
    const child = spawn(process.execPath, [SCRIPT, ...args], { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, errors] = ['', ''];
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => (errors += data));
    const [code] = await once(child, 'close');
    assert.equal(code, 0, errors);
    return out;
  };
  try {
    writeFileSync(join(directory, 'accounts.txt'), 'Ann\nben\ncleo\nunknown\n');
    const lines = await run('read', 'accounts.txt');
    assert.equal(lines.trim().split('\n').length, 7, lines);
    assert.equal(actions.length, 1 + 2 * 3);
    // The second time changes nothing.
    for (let round = 0; round < 2; round++) {
      await gateway.api('POST', 'import', lines);
      await run('notes', 'nim-notes.ndjson');
    }
    await gateway.api('PUT', 'users/ann/token', { secret: 'the-token-from-nim-of-ann' });
    const ann = await gateway.connected('ann', { token: 'ann:the-token-from-nim-of-ann' });
    const { version, createTime, updateTime, ...profile } = ann.me!;
    assert.deepEqual(profile, {
      account: 'ann', nick: 'Ann', avatar: 'https://images/ann', sign: 'Hello', gender: 'female', email: 'ann@example.com', birth: '1990-05-04', tel: '+49 1', custom: '{"team":1}',
    });
    assert.deepEqual([...ann.friends.values()].map(({ account, alias, custom }) => [account, alias, custom]), [['ben', 'Benny', 'from work']]);
    assert.deepEqual((await gateway.api('GET', 'users/ben/blocks')).blocks.map(({ account }: { account: string }) => account), ['cleo']);
    assert.equal((await gateway.api('GET', 'users/cleo')).gender, 'unknown');
    assert.deepEqual((await gateway.api('GET', 'users/ben')).muted, ['ann']);
  } finally {
    await gateway.end();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  }
});

test('every call of the table exists', async () => {
  const gateway = await Gateway.start();
  try {
    const { paths } = await gateway.api('GET', 'openapi.json') as { paths: Record<string, object> };
    const known = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
    const text = readFileSync(new URL('../../../../docs/from-nim.md', import.meta.url), 'utf8');
    const named = [...text.matchAll(/`((?:GET|PUT|PATCH|POST|DELETE) \/v1\/[^`]*)`/g)].map(([, call]) => call as string);
    assert.ok(named.length > 15);
    for (const call of named) if (call !== 'GET /v1/openapi.json') assert.ok(known.includes(call), `${call} is not in ${known.join(', ')}`);
  } finally {
    await gateway.end();
  }
});
