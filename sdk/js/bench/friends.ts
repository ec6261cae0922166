// Measures a page with 10,000 friends in Chromium: how long until the first friends are painted from the cache, and the
// longest task of the main thread, at a first login, from the cache, and when a thousand friends change.
//   npm run bench            (ROSTERD_BIN: the gateway; FRIENDS=10000; ROUNDS=5)

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Gateway } from '../test/browser/gateway.js';
import { Chromium } from './chromium.js';

const FRIENDS = Number(process.env['FRIENDS'] ?? 10_000);
const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
/** A page that draws the first fifty names, and nothing else: what the client itself costs. */
const PLAIN = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">WATCH<p id="count"></p><ul id="friends"></ul><script type="module">
  import { RosterdClient } from 'GATEWAY/sdk/rosterd.js';
  const client = (window.client = new RosterdClient({ account: 'erin' }));
  client.on('users', () => {
    const rows = [...client.friends.keys()].slice(0, 50).map((account) => {
      const row = Object.assign(document.createElement('li'), { textContent: client.users.get(account)?.nick });
      row.dataset.account = account;
      return row;
    });
    document.querySelector('#friends').replaceChildren(...rows);
  });
  client.on('synced', ({ count }) => (document.querySelector('#count').textContent = count));
  client.connect();
</script>`;

/** The same with the hooks for React: all friends sorted by name, and the first fifty drawn. */
const REACT = `
  import { createElement as draw } from 'react';
  import { createRoot } from 'react-dom/client';
  import { RosterdClient } from 'rosterd';
  import { RosterdProvider, useConnection, useFriends } from 'rosterd/react';

  const client = (window.client = new RosterdClient({ account: 'erin', url: new URLSearchParams(location.search).get('gateway') }));
  function Friends() {
    const friends = useFriends();
    const { state } = useConnection();
    return [
      draw('p', { id: 'count', key: 'count' }, state === 'live' ? friends.length : ''),
      draw('ul', { id: 'friends', key: 'friends' }, friends.slice(0, 50).map(({ account, name }) => draw('li', { key: account, 'data-account': account }, name))),
    ];
  }
  createRoot(document.querySelector('#app')).render(draw(RosterdProvider, { client }, draw(Friends)));
  client.connect();`;

/** What a page measures of itself, and posts when the list is complete, the store has it, and nothing is left to do. */
interface Measured {
  /** From the start of the navigation to the paint of the first friends, in milliseconds. */
  paint: number;
  /** The longest task by the clock, as PerformanceObserver reports it: 0 if none took 50 ms. */
  longest: number;
}

interface Row extends Measured {
  /** The longest task by the processor's time, which other programs on the machine do not lengthen. */
  busiest: number;
}

/** Runs in the pages, before anything else. */
function watch(friends: number): void {
  let [longest, paint] = [0, 0];
  new PerformanceObserver((list) => (longest = Math.max(longest, ...list.getEntries().map(({ duration }) => duration)))).observe({ type: 'longtask', buffered: true });
  new MutationObserver((_, observer) => {
    if (!document.querySelector('#friends [data-account]')) return;
    observer.disconnect();
    // The frame with the first friends is painted after its callbacks; a message comes after that.
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => (paint = performance.now());
      port2.postMessage(0);
    });
  }).observe(document, { subtree: true, childList: true });
  const client = (): any => (window as any).client;
  const stored = (nick: string): Promise<boolean> => new Promise((resolve) => {
    const request = indexedDB.open(`rosterd:erin ${client().url}`);
    request.onsuccess = () => {
      const get = request.result.transaction('changes').objectStore('changes').getAll();
      get.onsuccess = () => {
        request.result.close();
        resolve(get.result.some((text) => text.includes(`${nick} friend-00999`)));
      };
    };
  });
  const settled = async (nick: string): Promise<boolean> => client()?.state === 'live' && document.querySelector('#count')?.textContent === String(friends)
    && [...client().users.values()].filter((user: any) => user.nick.startsWith(nick)).length >= 1000 && stored(nick);
  void (async () => {
    for (const nick of ['First', 'Second']) {
      while (!(await settled(nick))) await new Promise((resolve) => setTimeout(resolve, 100));
      await new Promise((resolve) => requestIdleCallback(resolve));
      await fetch('/measured', { method: 'POST', body: JSON.stringify({ paint, longest }) });
      longest = 0;
    }
  })();
}

const gateway = await Gateway.start();
const browser = await Chromium.start();
const sdk = fileURLToPath(new URL('../', import.meta.url));
const { outputFiles } = await build({
  stdin: { contents: REACT, resolveDir: sdk }, bundle: true, minify: true, write: false, format: 'iife', target: 'es2022', logLevel: 'error',
  define: { 'process.env.NODE_ENV': '"production"' },
});
const WATCH = `<script>(${watch})(${FRIENDS})</script>`;
// The demo page as the gateway serves it, but watched; the script is the gateway's own.
const demo = (await (await fetch(gateway.origin)).text()).replace('<head>', `<head>${WATCH}`).replace("'./sdk/", `'${gateway.origin}/sdk/`);
let posted: (measured: Measured) => void = () => {};
const server = createServer(async (request, response) => {
  const has = (type: string, text: string): unknown => response.writeHead(200, { 'content-type': `text/${type}; charset=utf-8` }).end(text);
  const { url = '' } = request;
  if (url === '/measured') {
    let body = '';
    for await (const part of request) body += part;
    response.end();
    posted(JSON.parse(body));
  } else if (url === '/react.js') has('javascript', outputFiles[0]?.text ?? '');
  else if (url.startsWith('/react')) has('html', `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">${WATCH}<div id="app"></div><script src="/react.js"></script>`);
  else if (url.startsWith('/demo')) has('html', demo);
  else has('html', PLAIN.replace('GATEWAY', gateway.origin).replace('WATCH', WATCH));
}).listen(0, '127.0.0.1');
await once(server, 'listening');

const accounts = Array.from({ length: FRIENDS }, (_, i) => `friend-${String(i).padStart(5, '0')}`);
const user = (account: string, nick: string): object => ({ user: { account, nick, sign: 'One of many, with something to say about it', email: `${account}@example.com`, custom: '{"team":"everyone","color":"#3b7dd8"}' } });
const rename = (nick: string): Promise<void> => gateway.import(accounts.slice(0, 1000).map((account) => user(account, `${nick} ${account}`)));

const rows = new Map<string, Row[]>();
/** Does something, and adds what it cost until the page has posted. */
async function measure<T>(name: string, work: () => Promise<T>): Promise<T> {
  let done: [T, Measured] | undefined;
  const busiest = await browser.busiest(async () => {
    const measured = new Promise<Measured>((resolve) => (posted = resolve));
    done = [await work(), await measured];
  });
  const [result, measured] = done as unknown as [T, Measured];
  rows.set(name, [...(rows.get(name) ?? []), { ...measured, busiest }]);
  return result;
}

try {
  await gateway.import(accounts.map((account) => user(account, `Nick ${account}`)));
  await gateway.import(accounts.map((account) => ({ friendship: ['erin', account] })));
  const own = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const pages = { 'plain page': `${own}/`, 'page with React': `${own}/react?gateway=${encodeURIComponent(gateway.url)}`, 'demo page': `${own}/demo?as=erin` };
  for (const [name, address] of Object.entries(pages)) {
    for (let round = 0; round < ROUNDS; round++) {
      const profile = await browser.profile();
      await rename('First');
      await browser.closePage(await measure(`${name}, first login`, () => browser.open(profile, address)));
      const page = await measure(`${name}, from the cache`, () => browser.open(profile, address));
      await measure(`${name}, 1000 friends change`, () => rename('Second'));
      await browser.closePage(page);
      await browser.dispose(profile);
    }
  }
} finally {
  await browser.close();
  await gateway.close();
  server.close();
  server.closeAllConnections();
}

const middle = (values: number[]): string => (values.sort((a, b) => a - b)[values.length >> 1] ?? 0).toFixed(0);
console.log(`| ${FRIENDS} friends, median of ${ROUNDS} | first friends painted | longest task | longest task, processor |`);
console.log('|---|--:|--:|--:|');
for (const [name, all] of rows) {
  const longest = middle(all.map(({ longest }) => longest));
  const paint = name.endsWith('change') ? '' : `${middle(all.map(({ paint }) => paint))} ms`;
  console.log(`| ${name} | ${paint} | ${longest === '0' ? 'below 50 ms' : `${longest} ms`} | ${middle(all.map(({ busiest }) => busiest))} ms |`);
}
