// What the JavaScript client costs in Node: `make clients-table` runs it beside the Rust client. See
// crates/client/examples/footprint.rs, which takes and prints the same. Node has no cache of its own, so the store is a
// file that is read at the start.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import WebSocket from 'ws';
import { MemoryStore, RosterdClient } from '../dist/esm/index.js';

const begun = performance.now();
const [url, account, cache, mark] = process.argv.slice(2);
const memory = new MemoryStore();
const store = {
  async load(key) {
    if (!existsSync(cache)) return undefined;
    await memory.save(key, JSON.parse(readFileSync(cache, 'utf8')));
    return memory.load(key);
  },
  save: (key, change) => memory.save(key, change),
  wipe: (key) => memory.wipe(key),
};
const client = new RosterdClient({ url, account, store, WebSocket });
const passed = () => (performance.now() - begun).toFixed(1);
client.once('friends', () => console.log(`cached ${passed()}`));
await client.connect();
console.log(`live ${passed()}`);
const before = process.cpuUsage();
let count = 0;
await new Promise((resolve) => {
  client.on('change', () => void count++);
  client.on('userUpdated', ({ sign }) => sign === `${mark} last` && setImmediate(resolve));
});
const { user, system } = process.cpuUsage(before);
console.log(`processor ${((user + system) / 1000).toFixed(1)} snapshots ${count}`);
console.log(`memory ${Math.round(process.memoryUsage().rss / 1024)}`);
await client.disconnect();
writeFileSync(cache, JSON.stringify(await memory.load(`${account} ${url}`)));
