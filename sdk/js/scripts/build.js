// Builds what is committed in dist/:
//   rosterd.js, nim.js, tabs.js, .gz    what the gateway serves: two ES modules and a classic script, minified
//   esm/, cjs/                          what the package exports, with declarations; all entries share core.js
// The same sources always give the same bytes; check-dist.js relies on it.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzip } from '@gfx/zopfli';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = resolve(root, process.argv[2] ?? 'dist');
const ENTRIES = ['index', 'nim', 'react', 'tabs'];

const common = {
  absWorkingDir: root,
  bundle: true,
  target: 'es2022',
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
  charset: 'utf8',
  legalComments: 'none',
  logLevel: 'warning',
  // A classic script and CommonJS have no import.meta; what reads it copes with its absence.
  logOverride: { 'empty-import-meta': 'silent' },
};
// Methods of classes that no application sees, by names that stand for nothing else.
const INTERNAL = /^(blockVersion|cancelTimeout|caughtUp|expectWithin|interrupted|isKnown|loggedIn|needless|nextId|reconsider)$/;
const served = { ...common, minify: true, mangleProps: INTERNAL, banner: { js: '/* rosterd, MIT OR Apache-2.0 */' } };

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({ ...served, entryPoints: ['src/index.ts'], format: 'esm', outfile: join(out, 'rosterd.js') });
// The entry exports NIM; as a classic script that becomes the global of the same name, and part of NIM's SDK.
const footer = { js: 'var NIM=rosterdNim.NIM,SDK=Object.assign(globalThis.SDK??{},{NIM});' };
await build({ ...served, entryPoints: ['src/nim.ts'], format: 'iife', globalName: 'rosterdNim', footer, outfile: join(out, 'nim.js') });
await build({ ...served, entryPoints: ['src/tabs.ts'], format: 'esm', outfile: join(out, 'tabs.js') });
// Zopfli writes ordinary gzip, and takes a second to find a form that is 3 % shorter than zlib's.
for (const name of ['rosterd.js', 'nim.js', 'tabs.js']) {
  const bytes = await new Promise((resolve, reject) => gzip(readFileSync(join(out, name)), {}, (error, bytes) => (error ? reject(error) : resolve(bytes))));
  writeFileSync(join(out, `${name}.gz`), bytes);
}

/** Leaves what core.js has to core.js. */
const shared = {
  name: 'shared',
  setup({ onResolve }) {
    const own = new Set([...ENTRIES, 'core', 'nim-callbacks', 'nim-errors', 'nim-events', 'nim-options', 'nim-records', 'tabs-hub', 'tabs-line', 'tabs-store']);
    onResolve({ filter: /^\.\/[\w-]+\.js$/ }, ({ path }) => (own.has(path.slice(2, -3)) ? undefined : { path: './core.js', external: true }));
  },
};
for (const [format, directory] of [['esm', 'esm'], ['cjs', 'cjs']]) {
  const here = { ...common, format, sourcemap: true, sourcesContent: false, outdir: join(out, directory), external: ['react'] };
  await build({ ...here, entryPoints: ['src/core.ts'] });
  await build({ ...here, entryPoints: ENTRIES.map((name) => `src/${name}.ts`), plugins: [shared] });
}

const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const types = ['--declaration', '--emitDeclarationOnly', '--outDir', join(out, 'esm')];
const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), ...types], { stdio: 'inherit' });
process.exitCode = status ?? 1;

// Declarations that no entry reaches are of no use: the package exports only the entries.
const reached = new Set();
const reach = (name) => {
  if (reached.has(name)) return;
  reached.add(name);
  for (const [, next] of readFileSync(join(out, 'esm', name), 'utf8').matchAll(/['"]\.\/([^'"]+)\.js['"]/g)) reach(`${next}.d.ts`);
};
if (status === 0) {
  for (const entry of ENTRIES) reach(`${entry}.d.ts`);
  for (const name of readdirSync(join(out, 'esm')).filter((name) => name.endsWith('.d.ts'))) {
    if (reached.has(name)) copyFileSync(join(out, 'esm', name), join(out, 'cjs', name));
    else rmSync(join(out, 'esm', name));
  }
}
// Says that these are no modules, whatever the package says.
writeFileSync(join(out, 'cjs', 'package.json'), '{ "type": "commonjs" }\n');
