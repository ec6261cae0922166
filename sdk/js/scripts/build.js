// Builds what is committed in dist/: the ES module, the classic script, and the declarations.
// The same sources always give the same bytes; check-dist.js relies on it.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = resolve(root, process.argv[2] ?? 'dist');

const common = {
  absWorkingDir: root,
  bundle: true,
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  logLevel: 'warning',
  // The classic script has no import.meta; what reads it copes with its absence.
  logOverride: { 'empty-import-meta': 'silent' },
};

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({ ...common, entryPoints: ['src/index.ts'], format: 'esm', outfile: join(out, 'rosterd.js') });
if (existsSync(join(root, 'src/nim.ts'))) {
  await build({ ...common, entryPoints: ['src/nim.ts'], format: 'esm', outfile: join(out, 'nim.module.js') });
  // The entry exports NIM; as a classic script that becomes the global of the same name.
  const footer = { js: 'var NIM = rosterdNim.NIM, SDK = Object.assign(globalThis.SDK ?? {}, { NIM });' };
  await build({ ...common, entryPoints: ['src/nim.ts'], format: 'iife', globalName: 'rosterdNim', footer, outfile: join(out, 'nim.js') });
}

const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const types = ['--declaration', '--emitDeclarationOnly', '--outDir', out];
const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), ...types], { stdio: 'inherit' });
process.exitCode = status ?? 1;

// Declarations that no entry reaches are of no use: the package exports only the entries.
const reached = new Set();
const reach = (name) => {
  if (reached.has(name)) return;
  reached.add(name);
  for (const [, next] of readFileSync(join(out, name), 'utf8').matchAll(/['"]\.\/([^'"]+)\.js['"]/g)) reach(`${next}.d.ts`);
};
if (status === 0) {
  for (const name of ['index.d.ts', 'nim.d.ts']) reach(name);
  for (const name of readdirSync(out)) if (name.endsWith('.d.ts') && !reached.has(name)) rmSync(join(out, name));
}
