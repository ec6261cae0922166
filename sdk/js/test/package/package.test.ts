// The package as others get it: packed, installed without a network, and used in Node, Jest and Vite.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const sdk = fileURLToPath(new URL('../../', import.meta.url));
const place = mkdtempSync(join(tmpdir(), 'rosterd-package-'));
const env = { ...process.env, NODE_OPTIONS: '' };
const run = (command: string, ...args: string[]): void => {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: place, env, encoding: 'utf8' });
  assert.equal(status, 0, `${command} ${args.join(' ')}:\n${stdout}${stderr}`);
};
const write = (name: string, text: string): void => writeFileSync(join(place, name), text);

before(() => {
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', place, '--silent'], { cwd: sdk, env });
  const tarball = readdirSync(place).find((name) => name.endsWith('.tgz'));
  write('package.json', '{ "private": true }');
  run('npm', 'install', '--offline', '--no-audit', '--no-fund', '--silent', '--omit=peer', `./${tarball}`);
  // React is the application's.
  for (const name of ['react', 'react-dom', 'scheduler']) symlinkSync(join(sdk, 'node_modules', name), join(place, 'node_modules', name));
});
after(() => rmSync(place, { recursive: true, force: true }));

const PROGRAM = `
  const client = new RosterdClient({ url: 'ws://127.0.0.1:1/v1/ws', account: 'alice', store: 'memory', reconnect: false, tabs: shareTabs, WebSocket: class { readyState = 0; close() {} } });
  if (!(NIM.getInstance({ account: 'bob', url: 'ws://127.0.0.1:1/v1/ws', skipConnectionOnInitialize: true }).client instanceof RosterdClient)) throw new Error('two cores');
  if (typeof useFriends !== 'function' || client.snapshot.friends.size !== 0) throw new Error('incomplete');`;

test('an ES module of Node, all entries with one core', () => {
  write('module.mjs', `import { RosterdClient } from 'rosterd'; import NIM from 'rosterd/nim'; import { useFriends } from 'rosterd/react'; import { shareTabs } from 'rosterd/tabs';${PROGRAM}`);
  run(process.execPath, 'module.mjs');
});

test('CommonJS of Node, without import.meta', () => {
  write('script.cjs', `const { RosterdClient } = require('rosterd'); const { NIM } = require('rosterd/nim'); const { useFriends } = require('rosterd/react'); const { shareTabs } = require('rosterd/tabs');${PROGRAM}`);
  run(process.execPath, 'script.cjs');
  const directory = join(place, 'node_modules/rosterd/dist/cjs');
  for (const name of readdirSync(directory).filter((name) => name.endsWith('.js'))) assert.ok(!readFileSync(join(directory, name), 'utf8').includes('import.meta'), name);
});

for (const kind of ['mts', 'cts']) {
  test(`the types in a .${kind} file, as strictly as TypeScript can`, () => {
    const tests = readFileSync(join(sdk, 'test/types/client.ts'), 'utf8');
    const more = "\nnew RosterdClient({ account: 'alice', url: undefined, device: { id: undefined } }).updateMyInfo({ nick: undefined }, { ifVersion: undefined });\n";
    write(`types.${kind}`, tests + more);
    const compilerOptions = {
      strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, noEmit: true,
      target: 'es2022', module: 'nodenext', lib: ['es2022', 'dom', 'esnext.disposable'], types: [],
    };
    write('tsconfig.json', JSON.stringify({ compilerOptions, files: [`types.${kind}`] }));
    run(process.execPath, join(sdk, 'node_modules/typescript/bin/tsc'), '-p', '.');
  });
}

test('Jest, as it comes', () => {
  mkdirSync(join(place, 'jest'), { recursive: true });
  write('jest/client.test.js', `test('it loads', () => { const { RosterdClient } = require('rosterd'); const { NIM } = require('rosterd/nim'); const { useFriends } = require('rosterd/react'); const { shareTabs } = require('rosterd/tabs');${PROGRAM} });`);
  run(process.execPath, join(sdk, 'node_modules/jest/bin/jest.js'), '--rootDir', join(place, 'jest'), '--testEnvironment', 'node');
});

test('Vite builds the example for React, and its types hold', () => {
  const app = join(place, 'app');
  cpSync(join(sdk, '../../examples/react'), app, { recursive: true, filter: (source) => !/node_modules|dist/.test(source.slice(sdk.length)) });
  mkdirSync(join(place, 'node_modules/@types'), { recursive: true });
  for (const name of ['vite', '@types/react', '@types/react-dom', 'csstype']) symlinkSync(join(sdk, 'node_modules', name), join(place, 'node_modules', name));
  run(process.execPath, join(sdk, 'node_modules/vite/bin/vite.js'), 'build', app);
  const [script] = readdirSync(join(app, 'dist/assets')).filter((name) => name.endsWith('.js'));
  assert.ok(readFileSync(join(app, 'dist/assets', script as string), 'utf8').includes('rosterd.v1.json'));
  run(process.execPath, join(sdk, 'node_modules/typescript/bin/tsc'), '-p', app);
});

test('the package has licences, and maps whose sources are there', () => {
  const root = join(place, 'node_modules/rosterd');
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE', 'README.md']) assert.ok(readFileSync(join(root, name)).length > 0);
  for (const file of ['esm/core.js', 'cjs/core.js']) {
    const { sources } = JSON.parse(readFileSync(join(root, 'dist', `${file}.map`), 'utf8')) as { sources: string[] };
    assert.ok(sources.length > 10);
    for (const source of sources) readFileSync(join(root, 'dist', file, '..', source));
  }
});
