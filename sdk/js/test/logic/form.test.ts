// The built files: their size and independence; and the helpers for lists.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { transform } from 'esbuild';
import ts from 'typescript';
import { cutFriends, merge, mergeUsers } from '../../src/index.js';

const dist = new URL('../../dist/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, dist), 'utf8');

for (const [name, kilobytes] of [['rosterd.js', 14], ['nim.js', 18.5], ['tabs.js', 5]] as const) {
  test(`${name} is at most ${kilobytes} KB on the wire`, (t) => {
    const wire = readFileSync(new URL(`${name}.gz`, dist));
    assert.equal(String(gunzipSync(wire)), read(name));
    t.diagnostic(`${wire.length} bytes`);
    assert.ok(wire.length <= kilobytes * 1024, `${wire.length} bytes`);
  });
}

test('the hooks for React are at most 3 KB, minified and compressed', async (t) => {
  const { code } = await transform(read('esm/react.js'), { minify: true, format: 'esm' });
  const bytes = gzipSync(code, { level: 9 }).length;
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes <= 3 * 1024, `${bytes} bytes`);
  assert.match(read('esm/react.js'), /^"use client";/);
});

for (const name of ['rosterd.js', 'tabs.js']) test(`${name} needs no imports, packages or window`, () => {
  const source = read(name);
  assert.ok(!/^\s*import\b|\brequire\(|\bimport\(/m.test(source));
  assert.ok(!/\bwindow\b/.test(source.replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '')));
  const { dependencies = {}, peerDependencies, peerDependenciesMeta } = JSON.parse(readFileSync(new URL('../package.json', dist), 'utf8'));
  assert.deepEqual([dependencies, Object.keys(peerDependencies), peerDependenciesMeta], [{}, ['react'], { react: { optional: true } }]);
});

test('the built module loads and exports the documented names', async () => {
  const built = await import(new URL('rosterd.js', dist).href);
  assert.deepEqual(Object.keys(built).sort(), [
    'IndexedDbStore', 'MemoryStore', 'RosterdClient', 'RosterdError', 'UnauthorizedError', 'cutFriends', 'digest', 'merge', 'mergeFriends', 'mergeUsers',
  ]);
});

test('merge: later fields win, undefined is ignored, arguments stay unchanged', () => {
  const a = { nick: 'a', sign: 's' };
  assert.deepEqual(merge(a, { nick: 'b', sign: undefined }, null, undefined), { nick: 'b', sign: 's' });
  assert.deepEqual(a, { nick: 'a', sign: 's' });
});

test('mergeUsers and cutFriends work on lists and on single records', () => {
  const old = [{ account: 'a', nick: '1' }, { account: 'b', nick: '2' }];
  assert.deepEqual(mergeUsers(old, [{ account: 'c', nick: '3' }, { account: 'a', nick: '4' }]), [{ account: 'a', nick: '4' }, { account: 'b', nick: '2' }, { account: 'c', nick: '3' }]);
  assert.deepEqual(mergeUsers(undefined, { account: 'c', nick: '3' }), [{ account: 'c', nick: '3' }]);
  assert.deepEqual(cutFriends(old, [{ account: 'a' }]), [old[1]]);
  assert.deepEqual(cutFriends(old, 'b'), [old[0]]);
  assert.deepEqual(old.length, 2);
});

test('the reference names every option, event, property and method of the types', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const text = read('esm/client.d.ts') + read('esm/options.d.ts');
  const missed = new Set(['Options', 'Events', 'RosterdClient']);
  const documented: string[] = [];
  for (const statement of ts.createSourceFile('client.d.ts', text, ts.ScriptTarget.Latest).statements) {
    const isOne = ts.isInterfaceDeclaration(statement) || ts.isClassDeclaration(statement);
    if (!isOne || !missed.delete(statement.name?.text ?? '')) continue;
    for (const member of statement.members) {
      const hidden = ts.canHaveModifiers(member) && ts.getModifiers(member)?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword);
      if (member.name && ts.isIdentifier(member.name) && !hidden) documented.push(member.name.text);
    }
  }
  assert.deepEqual([...missed], []);
  assert.ok(documented.length > 30, `only ${documented.length} names were found`);
  const missing = documented.filter((name) => !new RegExp(`\`${name}\\b`).test(readme));
  assert.deepEqual(missing, []);
});
