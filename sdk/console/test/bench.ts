// Measures every page with many sessions and a user with 10,000 friends: how long until it shows what it has, and the
// longest task meanwhile. `npm run bench`; CLIENTS sets the number of sessions.

import { spawn } from 'node:child_process';
import { Gateway, until } from './gateway.js';
import { launch, open, settled } from './rig.js';

const CLIENTS = Number(process.env['CLIENTS'] ?? 2000);
const FRIENDS = 10_000;
/** The goals, in milliseconds. */
const [CONTENT_MS, TASK_MS] = [500, 100];
const ROUNDS = 5;

const gateway = await Gateway.start(`[limits]\nconnections = 19500\nconnections_per_address = 19500\nlogins_per_second = 100000\nlogins_burst = 100000\n[demo]\nusers = false\n`, '');
const friends = Array.from({ length: FRIENDS }, (_, i) => `friend${i}`);
await gateway.import([{ user: { account: 'star', nick: 'Star' } }, ...friends.map((account) => ({ user: { account, nick: account } }))]);
await gateway.import(friends.map((account) => ({ friendship: ['star', account] })));

const load = spawn(gateway.binary, ['bench', 'fanout', '--config', gateway.config, '--users', String(CLIENTS), '--friends', '10', '--rate', '50', '--seconds', '600', '--url', gateway.clients, '--ops', gateway.ops], { stdio: ['ignore', 'ignore', 'inherit'] });
const browser = await launch();
try {
  const sessions = async (): Promise<number> => Number(/^rosterd_sessions (\d+)/m.exec(await (await fetch(`${gateway.ops}/metrics`)).text())?.[1] ?? 0);
  await until(async () => load.exitCode !== null || (await sessions()) >= CLIENTS, 900_000);
  console.log(`${await sessions()} sessions, 50 updates a second, a user with ${FRIENDS} friends`);
  const page = await open(browser, gateway);
  await page.evaluate(() => {
    const seen = window as unknown as { tasks: number[] };
    seen.tasks = [];
    new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask', buffered: true });
  });
  const places = ['overview', 'sessions', 'sessions?prefix=bench1', 'sessions?pending=1', 'users', 'users/star/profile', 'users/star/friends', 'users/star/changes', 'users/star/sessions',
    'why?account=star&viewer=friend7&field=nick', 'webhooks', 'feed', 'cluster', 'audit', 'settings'];
  const rows: { place: string; median: number; worst: number; task: number }[] = [];
  for (const place of places) {
    const times: number[] = [];
    let task = 0;
    for (let round = 0; round < ROUNDS; round++) {
      await page.evaluate(() => { location.hash = '#/webhooks?blank'; });
      await settled(page);
      await page.evaluate(() => { (window as unknown as { tasks: number[] }).tasks.length = 0; });
      times.push(await page.evaluate(async (hash) => {
        const begin = performance.now();
        location.hash = hash;
        for (;;) {
          await new Promise(requestAnimationFrame);
          const main = document.querySelector('main');
          if (main?.dataset['place'] === location.hash && main.querySelector('h1') && !main.querySelector('[aria-busy="true"]')) return performance.now() - begin;
        }
      }, `#/${place}`));
      // What comes each second, too.
      await page.waitForTimeout(1200);
      task = Math.max(task, ...(await page.evaluate(() => (window as unknown as { tasks: number[] }).tasks)));
    }
    times.sort((a, b) => a - b);
    rows.push({ place, median: Math.round(times[ROUNDS >> 1]!), worst: Math.round(times.at(-1)!), task: Math.round(task) });
  }
  // From nothing: page, script, style, and the first numbers; by the page's own clock, which begins with the navigation.
  const cold: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const context = await browser.newContext();
    await context.addInitScript(() => {
      const look = (): void => {
        const main = document.querySelector('main');
        if (main?.querySelector('h1') && !main.querySelector('[aria-busy="true"]')) performance.mark('settled');
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
    const fresh = await context.newPage();
    await fresh.goto(gateway.console);
    await fresh.waitForFunction(() => performance.getEntriesByName('settled').length > 0);
    cold.push(await fresh.evaluate(() => performance.getEntriesByName('settled')[0]!.startTime));
    await context.close();
  }
  cold.sort((a, b) => a - b);
  rows.push({ place: 'overview, in a new browser', median: Math.round(cold[ROUNDS >> 1]!), worst: Math.round(cold.at(-1)!), task: 0 });
  console.log('| page | median ms | worst ms | longest task ms |\n|---|---|---|---|');
  for (const { place, median, worst, task } of rows) console.log(`| \`${place}\` | ${median} | ${worst} | ${task ? task : '< 50'} |`);
  const slow = rows.filter(({ median, task }) => median > CONTENT_MS || task > TASK_MS);
  if (slow.length) {
    console.error(`slower than ${CONTENT_MS} ms, or a task of more than ${TASK_MS} ms: ${slow.map(({ place }) => place).join(', ')}`);
    process.exitCode = 1;
  }
} finally {
  load.kill('SIGKILL');
  await browser.close();
  await gateway.close();
}
