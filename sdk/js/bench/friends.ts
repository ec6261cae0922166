// Measures a page with 10,000 friends in Chromium: how long until the first friends are painted from the cache, and the
// longest task of the main thread, at a first login, from the cache, and when a thousand friends change.
//   npm run bench            (ROSTERD_BIN: the gateway; FRIENDS=10000; ROUNDS=5)

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { launch, profile } from '../test/browser/browser.js';
import { Gateway } from '../test/browser/gateway.js';

const FRIENDS = Number(process.env['FRIENDS'] ?? 10_000);
const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
/** A page that draws the first fifty names, and nothing else: what the client itself costs. */
const PLAIN = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><p id="count"></p><ul id="friends"></ul><script type="module">
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

interface Measured {
  /** From the start of the navigation to the paint of the first friends, in milliseconds. */
  paint: number;
  /** The longest task by the clock, as PerformanceObserver reports it: 0 if none took 50 ms. */
  longest: number;
  /** The longest task by the processor's time, which other programs on the machine do not lengthen. */
  busiest: number;
}

/** Watches a page from its start. */
async function watch(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const seen = Object.assign(window, { tasks: [] as number[], paint: 0 });
    new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask', buffered: true });
    new MutationObserver((_, observer) => {
      if (!document.querySelector('#friends [data-account]')) return;
      observer.disconnect();
      // The frame with the first friends is painted after its callbacks; a message comes after that.
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => (seen.paint = performance.now());
        port2.postMessage(0);
      });
    }).observe(document, { subtree: true, childList: true });
  });
}

/** Does something with a page, and returns what it cost. */
async function measured(browser: Browser, page: Page, work: () => Promise<void>): Promise<Measured> {
  await browser.startTracing(page, { categories: ['toplevel', 'disabled-by-default-devtools.timeline', 'devtools.timeline', '__metadata'] });
  await work();
  const trace = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: { name: string; pid: number; tid: number; ph: string; tdur?: number; args: any }[] };
  const main = new Set(trace.traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`));
  const tasks = trace.traceEvents.filter(({ name, pid, tid }) => name.endsWith('RunTask') && main.has(`${pid} ${tid}`));
  if (tasks.length === 0) throw new Error('the trace has no tasks');
  const { tasks: long, paint } = await page.evaluate(() => {
    const { tasks, paint } = window as unknown as { tasks: number[]; paint: number };
    return { tasks: tasks.splice(0), paint };
  });
  return { paint, longest: Math.max(0, ...long), busiest: Math.max(...tasks.map(({ tdur = 0 }) => tdur)) / 1000 };
}

/** Waits until the list is complete, the store has it, and nothing is left to do. */
async function settled(page: Page, nick: string): Promise<void> {
  await page.waitForFunction((count) => document.querySelector('#count')?.textContent === String(count), FRIENDS, { timeout: 120_000 });
  await page.waitForFunction((nick) => [...(window as any).client.users.values()].filter((user: any) => user.nick.startsWith(nick)).length >= 1000, nick, { timeout: 120_000 });
  await page.waitForFunction((nick) => new Promise((resolve) => {
    const request = indexedDB.open(`rosterd:erin ${(window as any).client.url}`);
    request.onsuccess = () => {
      const get = request.result.transaction('changes').objectStore('changes').getAll();
      get.onsuccess = () => {
        request.result.close();
        resolve(get.result.some((text) => text.includes(`${nick} friend-00999`)));
      };
    };
  }), nick, { timeout: 120_000, polling: 250 });
  await page.evaluate(() => new Promise((resolve) => requestIdleCallback(resolve)));
}

const gateway = await Gateway.start();
const browser = await launch();
const sdk = fileURLToPath(new URL('../', import.meta.url));
const { outputFiles } = await build({
  stdin: { contents: REACT, resolveDir: sdk }, bundle: true, minify: true, write: false, format: 'iife', target: 'es2022', logLevel: 'error',
  define: { 'process.env.NODE_ENV': '"production"' },
});
const server = createServer(({ url }, response) => {
  const has = (type: string, text: string): unknown => response.writeHead(200, { 'content-type': `text/${type}; charset=utf-8` }).end(text);
  if (url === '/react.js') has('javascript', outputFiles[0]?.text ?? '');
  else if (url?.startsWith('/react')) has('html', '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="app"></div><script src="/react.js"></script>');
  else has('html', PLAIN.replace('GATEWAY', gateway.origin));
}).listen(0, '127.0.0.1');
await once(server, 'listening');

const accounts = Array.from({ length: FRIENDS }, (_, i) => `friend-${String(i).padStart(5, '0')}`);
const user = (account: string, nick: string): object => ({ user: { account, nick, sign: 'One of many, with something to say about it', email: `${account}@example.com`, custom: '{"team":"everyone","color":"#3b7dd8"}' } });
const rename = (nick: string): Promise<void> => gateway.import(accounts.slice(0, 1000).map((account) => user(account, `${nick} ${account}`)));

const rows = new Map<string, Measured[]>();
const add = (name: string, row: Measured): void => void rows.set(name, [...(rows.get(name) ?? []), row]);

try {
  await gateway.import(accounts.map((account) => user(account, `Nick ${account}`)));
  await gateway.import(accounts.map((account) => ({ friendship: ['erin', account] })));
  const own = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const pages = { 'plain page': `${own}/`, 'page with React': `${own}/react?gateway=${encodeURIComponent(gateway.url)}`, 'demo page': `${gateway.origin}/?as=erin` };
  for (const [name, address] of Object.entries(pages)) {
    for (let round = 0; round < ROUNDS; round++) {
      const context: BrowserContext = await profile(browser);
      let page = await context.newPage();
      await watch(page);
      await rename('First');
      add(`${name}, first login`, await measured(browser, page, async () => {
        await page.goto(address);
        await settled(page, 'First');
      }));
      await page.close();
      page = await context.newPage();
      await watch(page);
      add(`${name}, from the cache`, await measured(browser, page, async () => {
        await page.goto(address);
        await settled(page, 'First');
      }));
      add(`${name}, 1000 friends change`, await measured(browser, page, async () => {
        await rename('Second');
        await settled(page, 'Second');
      }));
      await context.close();
    }
  }
} finally {
  await browser.close();
  await gateway.close();
  server.close();
}

const middle = (values: number[]): string => (values.sort((a, b) => a - b)[values.length >> 1] ?? 0).toFixed(0);
console.log(`| ${FRIENDS} friends, median of ${ROUNDS} | first friends painted | longest task | longest task, processor |`);
console.log('|---|--:|--:|--:|');
for (const [name, all] of rows) {
  const longest = middle(all.map(({ longest }) => longest));
  const paint = name.endsWith('change') ? '' : `${middle(all.map(({ paint }) => paint))} ms`;
  console.log(`| ${name} | ${paint} | ${longest === '0' ? 'below 50 ms' : `${longest} ms`} | ${middle(all.map(({ busiest }) => busiest))} ms |`);
}
