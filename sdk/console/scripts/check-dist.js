// Fails if dist/ is not what the sources give, or is larger than it may be.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

/** All files together, in bytes: minified, and as they go over the wire. */
const MINIFIED = 90 * 1024;
const WIRE = 30 * 1024;

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, '../dist');
const fresh = mkdtempSync(join(here, '../.dist-'));
const fail = (message) => {
  console.error(message);
  process.exitCode = 1;
};
try {
  const { status } = spawnSync(process.execPath, [join(here, 'build.js'), fresh], { stdio: 'inherit' });
  if (status !== 0) throw new Error('the build failed');
  // The same contents may be compressed differently.
  const read = (folder, name) => (name.endsWith('.gz') ? gunzipSync(readFileSync(join(folder, name))) : readFileSync(join(folder, name))).toString();
  const names = readdirSync(fresh).sort();
  const same = names.join() === readdirSync(dist).sort().join() && names.every((name) => read(dist, name) === read(fresh, name));
  if (!same) fail('dist/ is not what src/ gives; run "npm run build" and commit it');
  const size = (wanted) => names.filter(wanted).reduce((sum, name) => sum + readFileSync(join(dist, name)).length, 0);
  const minified = size((name) => !name.endsWith('.gz'));
  const wire = size((name) => name.endsWith('.gz') || name.endsWith('.html'));
  console.log(`minified ${minified} of ${MINIFIED} bytes, on the wire ${wire} of ${WIRE}`);
  if (minified > MINIFIED || wire > WIRE) fail('the console is larger than it may be');
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
