// Builds what is committed in dist/, which the gateway has in its binary: the page, its script and its style, minified, and
// the last two compressed. The same sources always give the same bytes; check-dist.js relies on it.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzip } from '@gfx/zopfli';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = resolve(root, process.argv[2] ?? 'dist');

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: { console: 'src/main.tsx' },
  outdir: out,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  logLevel: 'warning',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  banner: { js: '/* rosterd console, MIT OR Apache-2.0; Preact, MIT */' },
});
copyFileSync(join(root, 'src/index.html'), join(out, 'index.html'));
for (const name of ['console.js', 'console.css']) {
  const bytes = await new Promise((resolve, reject) => gzip(readFileSync(join(out, name)), {}, (error, bytes) => (error ? reject(error) : resolve(bytes))));
  writeFileSync(join(out, `${name}.gz`), bytes);
}
