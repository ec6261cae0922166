// Fails if dist/ is not what the sources give: it is committed so that the gateway needs no npm to serve it.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, '../dist');
// Beside dist/: the maps name the sources by relative paths.
const fresh = mkdtempSync(join(here, '../.dist-'));

function files(directory) {
  try {
    return readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(directory.length + 1));
  } catch {
    return [];
  }
}

try {
  const { status } = spawnSync(process.execPath, [join(here, 'build.js'), fresh], { stdio: 'inherit' });
  if (status !== 0) throw new Error('the build failed');
  const names = new Set([...files(dist), ...files(fresh)]);
  const read = (directory, name) => {
    try {
      const bytes = readFileSync(join(directory, name));
      // The same contents may be compressed differently.
      return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    } catch {
      return undefined;
    }
  };
  const different = [...names].filter((name) => read(dist, name) !== read(fresh, name)).sort();
  if (different.length > 0) {
    console.error(`dist/ is not what src/ gives; run "npm run build" and commit it:\n  ${different.join('\n  ')}`);
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
