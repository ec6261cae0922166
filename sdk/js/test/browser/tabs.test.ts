// Tabs that share one connection, in a real browser: the leader is killed, frozen and closed, in the middle of commands.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { RosterdClient, Snapshot } from '../../src/index.js';
import { launch, ordinary, profile } from './browser.js';
import { Gateway } from './gateway.js';

/** How often the leader is killed. */
const KILLS = Number(process.env['ROSTERD_TAB_KILLS'] ?? 5);
const TABS = 5;
const PATIENCE_MS = 60_000;

let browser: Browser;
let gateway: Gateway;
let pages: { origin: string; close(): void };

before(async () => {
  // Every tab has a process of its own, which begins with the tab.
  browser = await launch('--renderer-process-limit=60', '--disable-features=SpareRendererForSitePerProcess');
  const device = ['sessions.policy=one_per_device_id', 'limits.commands_per_second=2000', 'limits.commands_burst=4000'];
  gateway = await Gateway.start('development', ...device);
  pages = await serve();
});
after(async () => {
  await browser.close();
  pages.close();
  await gateway.close();
});

/** What a tab of these tests has on its window. */
interface TabWindow {
  client: RosterdClient;
  sockets: WebSocket[];
  /** Records written to IndexedDB. */
  writes: number;
  lives: number;
  errors: string[];
  /** How calls ended: `NAME REASON`. */
  ended: Record<string, number>;
  /** The numbers of the last alias that was sent and of the last that was acknowledged. */
  sent: number;
  acknowledged: number;
  running: boolean;
  /** Settles when no call is open. */
  stopped: Promise<unknown>;
  heard: string[];
}

const PAGE = (): string => `<!doctype html><title>tab</title><script type="module">
  import { RosterdClient } from '${sdk()}/rosterd.js';
  import { shareTabs } from '${sdk()}/tabs.js';
  window.sockets = []; window.writes = 0;
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = function (...args) { writes++; return put.apply(this, args); };
  class Counted extends WebSocket {
    constructor(...args) { super(...args); sockets.push(this); }
  }
  const account = new URLSearchParams(location.search).get('account');
  window.client = new RosterdClient({ account, url: '${gateway.url}', tabs: shareTabs, WebSocket: Counted, device: { id: 'browser-1' } });
  window.errors = []; window.heard = []; window.lives = 0; window.ended = {}; window.sent = window.acknowledged = 0;
  client.on('error', ({ reason, message }) => errors.push(reason + ': ' + message));
  client.on('synced', () => lives++);
  client.on('disconnected', ({ code, reason, willReconnect }) => willReconnect || heard.push(code + ' ' + reason));
  client.connect().catch(() => {});
</script>`;

const sdk = (): string => `${gateway.origin}/sdk`;

/** Serves the page, at an origin of its own. */
async function serve(): Promise<{ origin: string; close(): void }> {
  const server = createServer(({ url = '' }, response) => {
    response.setHeader('content-type', 'text/html').end(url === '/empty' ? '<title>another page</title>' : PAGE());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => void server.close() };
}

const FRIENDS = Array.from({ length: 40 }, (_, n) => `friend${n}`);

/** Opens pages of one origin, and knows the process of each. */
class Tabs {
  readonly pids = new Map<Page, number[]>();

  constructor(readonly context: BrowserContext, readonly account: string) {}

  static async of(account: string): Promise<Tabs> {
    const context = await profile(browser);
    return new Tabs(context, account);
  }

  async open(): Promise<Page> {
    const before = renderers();
    const page = await this.context.newPage();
    await page.goto(`${pages.origin}/?account=${this.account}`);
    await page.waitForFunction(() => (window as unknown as TabWindow).client?.state === 'live', undefined, { timeout: PATIENCE_MS, polling: 50 });
    this.pids.set(page, [...renderers()].filter((pid) => !before.has(pid)));
    return page;
  }

  get pages(): Page[] {
    return [...this.pids.keys()];
  }

  /** Waits until one tab has the only open connection. */
  async leader(): Promise<Page> {
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      const open = await Promise.all(this.pages.map((page) => page.evaluate(() => (window as unknown as TabWindow).sockets.filter(({ readyState }) => readyState === 1).length)));
      if (open.reduce((sum, n) => sum + n) === 1) return this.pages[open.indexOf(1)] as Page;
      assert.ok(Date.now() < until, `connections of the tabs: ${open.join()}`);
    }
  }

  /** Kills the process of a tab, and waits until the browser has noticed. */
  async kill(page: Page): Promise<void> {
    const [pid, ...others] = this.pids.get(page) ?? [];
    assert.ok(pid !== undefined && !others.length, 'the tab has one process, which began with it');
    const crashed = page.waitForEvent('crash', { timeout: PATIENCE_MS });
    process.kill(pid, 'SIGKILL');
    await crashed;
    this.pids.delete(page);
    await page.close();
  }

  async all(what: (tab: TabWindow) => boolean): Promise<void> {
    const source = `(${what})(window)`;
    await Promise.all(this.pages.map((page) => page.waitForFunction(source, undefined, { timeout: PATIENCE_MS, polling: 50 })));
  }

  async close(): Promise<void> {
    await this.context.close();
  }
}

/** The renderers of this test's browsers. */
function renderers(): Set<number> {
  const isRenderer = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--type=renderer') && descends(Number(pid));
    } catch {
      // It has just ended.
      return false;
    }
  };
  return new Set(readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isRenderer(name)).map(Number));
}

/** Returns whether a process is a child of this one, in any generation. */
function descends(pid: number): boolean {
  for (let at = pid; at > 1;) {
    if (at === process.pid) return true;
    at = Number(/\) \w (\d+)/.exec(readFileSync(`/proc/${at}/stat`, 'utf8'))?.[1] ?? 0);
  }
  return false;
}

/** What a tab shows, in a form to compare. */
function view({ me, users, friends, requests, blocks, presence }: Snapshot): unknown {
  const sorted = <T>(map: Iterable<[string, T]>): [string, T][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  // The gateway may say of a friend that it was never online, or nothing.
  const seen = sorted(presence).filter(([account, { online, lastSeen }]) => friends.has(account) && (online || lastSeen));
  const known = [...users].filter(([account]) => friends.has(account));
  return { me, users: sorted(known), friends: sorted(friends), requests: [...requests], blocks: sorted(blocks), presence: seen };
}

const VIEW = `(${view})(client.snapshot)`;

/** Makes an account with friends. */
async function populate(account: string): Promise<void> {
  const others = Array.from({ length: TABS }, (_, n) => `stranger${n}`);
  await gateway.import([account, ...FRIENDS, ...others].map((account) => ({ user: { account, nick: account } })));
  for (const friend of FRIENDS) await gateway.api('PUT', `/v1/users/${account}/friends/${friend}`, {});
}

/** Compares all tabs with a client that has a connection of its own. */
async function compare(tabs: Tabs): Promise<void> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const fresh = await gateway.client(tabs.account);
    const truth = JSON.stringify(view(fresh.snapshot));
    await fresh.disconnect();
    const shown = await Promise.all(tabs.pages.map((page) => page.evaluate(VIEW)));
    const wrong = shown.filter((view) => !isDeepStrictEqual(view, JSON.parse(truth)));
    if (!wrong.length) return;
    // Presence takes its time after the comparing client has come and gone.
    if (Date.now() > until) assert.deepEqual(wrong[0], JSON.parse(truth));
  }
}

/** Compares what the browser has stored with what the tabs show. */
async function compareCache(tabs: Tabs): Promise<void> {
  const [page] = tabs.pages as [Page];
  const read = (): Promise<unknown> => page.evaluate(`(async () => {
    const { IndexedDbStore } = await import('${sdk()}/rosterd.js');
    const { me, users, friends } = await new IndexedDbStore().load(client.account + ' ' + client.url);
    const sorted = (records) => Object.fromEntries(records.map((record) => [record.account, record]).sort(([a], [b]) => (a < b ? -1 : 1)));
    const { snapshot } = client;
    const shown = { me: snapshot.me, users: sorted([...snapshot.users.values()].filter(({ account }) => snapshot.friends.has(account))), friends: sorted([...snapshot.friends.values()]) };
    const stored = { me, users: sorted(users.filter(({ account }) => snapshot.friends.has(account))), friends: sorted(friends) };
    return [JSON.stringify(stored), JSON.stringify(shown)];
  })()`);
  for (const until = Date.now() + PATIENCE_MS; ;) {
    const [stored, shown] = (await read()) as [string, string];
    if (stored === shown) return;
    if (Date.now() > until) assert.deepEqual(JSON.parse(stored), JSON.parse(shown));
  }
}

/** Lets a tab work: it renames its own friend as often as it can, and writes what the others write as well. */
function work(slot: number): void {
  const tab = window as unknown as TabWindow;
  const { client } = tab;
  tab.running = true;
  const count = async (name: string, call: Promise<unknown>): Promise<boolean> => {
    const reason = await call.then(() => 'done', (error: { reason: string }) => error.reason);
    tab.ended[`${name} ${reason}`] = (tab.ended[`${name} ${reason}`] ?? 0) + 1;
    return reason === 'done';
  };
  const loop = async (step: (n: number) => Promise<unknown>): Promise<void> => {
    for (let n = Number(client.friends.get(`friend${slot}`)?.alias || 0) + 1; tab.running; n++) await step(n);
  };
  tab.stopped = Promise.all([
    loop(async (n) => {
      tab.sent = n;
      if (await count('alias', client.updateFriend(`friend${slot}`, { alias: String(n) }))) tab.acknowledged = n;
    }),
    loop((n) => count('me', client.updateMyInfo({ sign: `tab ${slot} says ${n}` }))),
    loop((n) => (n % 2 ? count('block', client.block(`stranger${slot}`)) : count('unblock', client.unblock(`stranger${slot}`)))),
    loop((n) => count('lookup', client.getUsers([`stranger${n % 5}`], { fresh: true }))),
  ]);
}

test(`${TABS} tabs under load, whose leader is killed ${KILLS} times`, { timeout: 30_000 + KILLS * 30_000 }, async (t) => {
  await populate('shared');
  const online = await gateway.client('friend39');
  const tabs = await Tabs.of('shared');
  const slots = new Map<Page, number>();
  const ended: Record<string, number> = {};
  const start = async (slot: number): Promise<void> => {
    const page = await tabs.open();
    slots.set(page, slot);
    await page.evaluate(`(${work})(${slot})`);
  };
  const gather = async (page: Page): Promise<void> => {
    for (const [reason, n] of Object.entries(await page.evaluate(() => (window as unknown as TabWindow).ended))) ended[reason] = (ended[reason] ?? 0) + n;
  };
  for (let slot = 0; slot < TABS; slot++) await start(slot);

  // Others change what the tabs see, and somebody counts the sessions.
  let busy = true;
  let most = 0;
  let changes = 0;
  const seen = new Set<string>();
  const others = (async () => {
    for (; busy; changes++) {
      await gateway.api('PATCH', `/v1/users/${FRIENDS[changes % FRIENDS.length]}`, { nick: `change ${changes}` });
      const { sessions } = (await gateway.api('GET', '/v1/users/shared/sessions')) as { sessions: { session: string }[] };
      most = Math.max(most, sessions.length);
      for (const { session } of sessions) seen.add(session);
    }
  })();

  const acknowledged = new Map<number, number>();
  let longest = 0;
  let inFlight = 0;
  for (let kill = 1; kill <= KILLS; kill++) {
    const leader = await tabs.leader();
    const slot = slots.get(leader) as number;
    const before = await leader.evaluate(() => {
      const { ended, sent, acknowledged } = window as unknown as TabWindow;
      return { done: ended['alias done'] ?? 0, sent, acknowledged };
    });
    assert.ok(before.done > 0, 'the leader works');
    if (before.sent > before.acknowledged) inFlight++;
    acknowledged.set(slot, before.acknowledged);
    await gather(leader);
    const others = tabs.pages.filter((page) => page !== leader);
    const lives = await Promise.all(others.map((page) => page.evaluate(() => (window as unknown as TabWindow).lives)));
    const at = Date.now();
    await tabs.kill(leader);
    // All others are live again: the leader's connection was theirs.
    await Promise.all(others.map((page, i) => page.waitForFunction((lives) => {
      const tab = window as unknown as TabWindow;
      return tab.lives > lives && tab.client.state === 'live';
    }, lives[i] as number, { timeout: PATIENCE_MS, polling: 50 })));
    longest = Math.max(longest, Date.now() - at);
    await start(slot);
    if (kill % 10 && kill !== KILLS) continue;

    // Everything comes to rest, and is compared.
    await Promise.all(tabs.pages.map((page) => page.evaluate(() => {
      const tab = window as unknown as TabWindow;
      tab.running = false;
      return tab.stopped;
    })));
    if (kill === KILLS) busy = false;
    for (const page of tabs.pages) {
      const { acknowledged: n, errors } = await page.evaluate(() => ({ acknowledged: (window as unknown as TabWindow).acknowledged, errors: (window as unknown as TabWindow).errors }));
      const slot = slots.get(page) as number;
      acknowledged.set(slot, Math.max(n, acknowledged.get(slot) ?? 0));
      assert.deepEqual(errors, []);
    }
    if (kill === KILLS) {
      await Promise.all(tabs.pages.map((page) => gather(page)));
      break;
    }
    for (const page of tabs.pages) await page.evaluate(`(${work})(${slots.get(page)})`);
  }
  await others;
  await compare(tabs);
  await compareCache(tabs);
  // What was acknowledged is in force, or what was sent after it.
  const fresh = await gateway.client('shared');
  for (const [slot, n] of acknowledged) assert.ok(Number(fresh.friends.get(`friend${slot}`)?.alias) >= n, `friend${slot}: ${fresh.friends.get(`friend${slot}`)?.alias}, acknowledged ${n}`);
  await fresh.disconnect();
  t.diagnostic(`calls ${JSON.stringify(ended)}; ${changes} changes of others; ${seen.size} sessions, at most ${most} at once; all live again within ${longest} ms; in flight at ${inFlight} kills`);
  // No call is left over or too late. What others write as well may be superseded; an alias has one writer, and is done also
  // if the gateway had read the first copy after all. Only the end of an unknown block cannot be told.
  const allowed = ['me', 'block', 'unblock'].flatMap((name) => [`${name} done`, `${name} SUPERSEDED`]);
  assert.deepEqual(Object.keys(ended).filter((end) => ![...allowed, 'alias done', 'block CONNECTION_LOST', 'lookup done'].includes(end)), []);
  assert.ok(inFlight > 0, 'some kill was in the middle of a command');
  assert.equal(most, 1);
  await online.disconnect();
  await tabs.close();
});


const sessions = async (account: string): Promise<number> => ((await gateway.api('GET', `/v1/users/${account}/sessions`)) as { sessions: unknown[] }).sessions.length;

test('twenty tabs are one session, and one cache that the leader alone writes', { timeout: 240_000 }, async () => {
  await populate('twenty');
  const tabs = await Tabs.of('twenty');
  for (let n = 0; n < 20; n++) await tabs.open();
  assert.equal(await sessions('twenty'), 1);
  await gateway.api('PATCH', '/v1/users/friend0', { nick: 'for twenty' });
  await tabs.all(({ client }) => client.users.get('friend0')?.nick === 'for twenty');
  await compare(tabs);
  await compareCache(tabs);
  const leader = await tabs.leader();
  for (const page of tabs.pages) {
    const { opened, writes } = await page.evaluate(() => ({ opened: (window as unknown as TabWindow).sockets.length, writes: (window as unknown as TabWindow).writes }));
    assert.deepEqual([opened, writes > 0], page === leader ? [1, true] : [0, false]);
  }
  await tabs.close();
});

test('a leader that is closed hands over', { timeout: 120_000 }, async () => {
  await populate('closing');
  const tabs = await Tabs.of('closing');
  for (let n = 0; n < 3; n++) await tabs.open();
  const leader = await tabs.leader();
  tabs.pids.delete(leader);
  await leader.close({ runBeforeUnload: true });
  await tabs.leader();
  await tabs.all(({ client }) => client.state === 'live');
  assert.equal(await sessions('closing'), 1);
  await compare(tabs);
  await tabs.close();
});

test('a leader that is frozen hands over, and follows when it wakes up', { timeout: 120_000 }, async () => {
  await populate('frozen');
  const { context, close } = await ordinary();
  const tabs = new Tabs(context, 'frozen');
  for (let n = 0; n < 3; n++) await tabs.open();
  const leader = await tabs.leader();
  assert.equal(await leader.evaluate(() => document.visibilityState), 'hidden');
  const devtools = await context.newCDPSession(leader);
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
  const pids = tabs.pids.get(leader) as number[];
  tabs.pids.delete(leader);
  const next = await tabs.leader();
  await tabs.all(({ client }) => client.state === 'live');
  assert.equal(await sessions('frozen'), 1);
  await gateway.api('PATCH', '/v1/users/friend0', { nick: 'while one slept' });
  await tabs.all(({ client }) => client.users.get('friend0')?.nick === 'while one slept');
  await devtools.send('Page.setWebLifecycleState', { state: 'active' });
  tabs.pids.set(leader, pids);
  await tabs.all(({ client }) => client.state === 'live' && client.users.get('friend0')?.nick === 'while one slept');
  assert.equal(await tabs.leader(), next);
  await compare(tabs);
  await close();
});

test('a leader that is kept for the way back hands over, and follows when the user is back', { timeout: 120_000 }, async () => {
  await populate('back');
  const { context, close } = await ordinary();
  const tabs = new Tabs(context, 'back');
  for (let n = 0; n < 2; n++) await tabs.open();
  const leader = await tabs.leader();
  await leader.bringToFront();
  await leader.evaluate(() => window.addEventListener('pageshow', ({ persisted }) => ((window as unknown as { kept: boolean }).kept = persisted)));
  await leader.goto(`${pages.origin}/empty`);
  const pids = tabs.pids.get(leader) as number[];
  tabs.pids.delete(leader);
  await tabs.leader();
  await tabs.all(({ client }) => client.state === 'live');
  await leader.goBack({ waitUntil: 'commit' });
  tabs.pids.set(leader, pids);
  await tabs.all(({ client }) => client?.state === 'live');
  await tabs.leader();
  assert.equal(await leader.evaluate(() => (window as unknown as { kept?: boolean }).kept), true, 'the browser kept the page');
  assert.equal(await sessions('back'), 1);
  await compare(tabs);
  await close();
});

test('a leader that hangs is replaced, and follows when it is back', { timeout: 120_000 }, async () => {
  await populate('hanging');
  const tabs = await Tabs.of('hanging');
  for (let n = 0; n < 2; n++) await tabs.open();
  const leader = await tabs.leader();
  const pids = tabs.pids.get(leader) as number[];
  tabs.pids.delete(leader);
  process.kill(pids[0] as number, 'SIGSTOP');
  try {
    const next = await tabs.open();
    assert.equal(await tabs.leader(), next);
    await tabs.all(({ client }) => client.state === 'live');
    assert.equal(await sessions('hanging'), 1);
  } finally {
    process.kill(pids[0] as number, 'SIGCONT');
  }
  const next = await tabs.leader();
  tabs.pids.set(leader, pids);
  // Its session ended for the new one's, which is no kick.
  await tabs.all(({ client, sockets }) => client.state === 'live' && sockets.every(({ readyState }) => readyState === 1 || readyState === 3));
  await gateway.api('PATCH', '/v1/users/friend0', { nick: 'all are back' });
  await tabs.all(({ client }) => client.users.get('friend0')?.nick === 'all are back');
  assert.equal(await tabs.leader(), next);
  await compare(tabs);
  await tabs.close();
});

test('one tab logs out and forgets: all tabs do, and nothing is left', { timeout: 120_000 }, async () => {
  await populate('leaving');
  const tabs = await Tabs.of('leaving');
  for (let n = 0; n < 3; n++) await tabs.open();
  const leader = await tabs.leader();
  const other = tabs.pages.find((page) => page !== leader) as Page;
  await other.evaluate(() => (window as unknown as TabWindow).client.logout({ forget: true }));
  await tabs.all(({ client }) => client.state === 'disconnected' && client.friends.size === 0 && client.me === undefined);
  for (const page of tabs.pages) {
    const { heard, names } = await page.evaluate(async () => ({ heard: (window as unknown as TabWindow).heard, names: (await indexedDB.databases()).map(({ name }) => name) }));
    assert.deepEqual([heard, names], [[page === other ? '1000 CLIENT' : '1000 FORGOTTEN'], []]);
  }
  assert.equal(await sessions('leaving'), 0);
  await tabs.close();
});

test('a kick ends all tabs', { timeout: 120_000 }, async () => {
  await populate('kicked');
  const tabs = await Tabs.of('kicked');
  for (let n = 0; n < 3; n++) await tabs.open();
  await gateway.api('DELETE', '/v1/users/kicked/sessions');
  await tabs.all(({ heard }) => heard.length > 0);
  for (const page of tabs.pages) assert.deepEqual(await page.evaluate(() => (window as unknown as TabWindow).heard), ['3503 KICKED']);
  assert.equal(await sessions('kicked'), 0);
  await tabs.close();
});

test('what tabs watch is one watch', { timeout: 120_000 }, async () => {
  await populate('watching');
  const tabs = await Tabs.of('watching');
  for (let n = 0; n < 3; n++) await tabs.open();
  await tabs.leader();
  const [first, second] = tabs.pages as [Page, Page];
  for (const page of [first, second]) await page.evaluate(() => void ((window as unknown as { release: unknown }).release = (window as unknown as TabWindow).client.hold(['stranger3'])));
  const shows = (page: Page, nick: string) => page.waitForFunction((nick) => (window as unknown as TabWindow).client.users.get('stranger3')?.nick === nick, nick, { timeout: PATIENCE_MS, polling: 50 });
  await Promise.all([first, second].map((page) => shows(page, 'stranger3')));
  await first.evaluate(() => (window as unknown as { release(): void }).release());
  await first.waitForFunction(() => !(window as unknown as TabWindow).client.watched.size, undefined, { timeout: PATIENCE_MS, polling: 50 });
  await gateway.api('PATCH', '/v1/users/stranger3', { nick: 'still watched' });
  await shows(second, 'still watched');
  await tabs.close();
});
