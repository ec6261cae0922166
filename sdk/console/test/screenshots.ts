// Takes the pictures of docs/console.md: `npm run screenshots`.
// With a folder as the argument they go there, and every page is taken in both colors.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chromium } from 'playwright-core';
import { Gateway } from './gateway.js';

const docs = new URL('../../../docs/images/', import.meta.url).pathname;
const folder = process.argv[2];
if (folder) mkdirSync(folder, { recursive: true });
const [FLAGS, executablePath] = [['--no-sandbox', '--disable-gpu'], process.env['CHROMIUM'] ?? '/usr/bin/chromium'];

// One endpoint that answers, one that fails.
const receiver = createServer((request, response) => {
  request.resume();
  response.statusCode = request.url === '/down' ? 502 : 204;
  response.end(request.url === '/down' ? 'the worker is down' : undefined);
}).listen(0, '127.0.0.1');
await once(receiver, 'listening');
const port = (receiver.address() as AddressInfo).port;
const secret = (fill: number): string => `whsec_${Buffer.alloc(24, fill).toString('base64')}`;
const settings = `[webhooks.crm]\nurl = "http://127.0.0.1:${port}/crm"\nsecret = "${secret(1)}"
[webhooks.warehouse]\nurl = "http://127.0.0.1:${port}/down"\nsecret = "${secret(2)}"
[hooks.profile]\nurl = "http://127.0.0.1:${port}/moderate"\nsecret = "${secret(3)}"\non_failure = "allow"\n
[profile.visibility]\ntel = "self"\nemail = "friends"\n`;

const gateway = await Gateway.start(settings, '');
const browser = await chromium.launch({ executablePath, args: FLAGS });
const names = ['Alice Liddell', 'Bob Ross', 'Carol Shaw', 'Dave Bowman', 'Erin Brockovich', 'Frank Herbert', 'Grace Hopper', 'Heidi Klum', 'Ivan Illich', 'Judy Garland', 'Ken Thompson', 'Leslie Lamport', 'Mallory Archer', 'Niels Bohr'];
const people = names.map((name) => ({ account: name.split(' ')[0]!.toLowerCase(), nick: name, sign: 'Yes we can!', email: `${name.split(' ')[0]!.toLowerCase()}@example.com`, tel: '+49 30 1234567', birth: '1990-05-04' }));
await gateway.import(people.map((user) => ({ user })));
await gateway.import(people.slice(1).map(({ account }) => ({ friendship: ['alice', account] })));
await gateway.import(people.slice(2, 9).map(({ account }) => ({ friendship: ['bob', account] })));
await gateway.api('PUT', '/v1/users/carol/blocks/mallory');
await gateway.api('PUT', '/v1/users/mallory/requests/grace', { message: 'We met at the lake.' });
const clients = await Promise.all(people.slice(0, 12).flatMap(({ account }, i) => [gateway.login(account, ['web', 'ios', 'android'][i % 3]), ...(i % 4 === 0 ? [gateway.login(account, 'desktop')] : [])]));

// Traffic for the charts, and a client that reads nothing.
const many = Array.from({ length: 300 }, (_, i) => `friend${i}`);
await gateway.import(many.map((account) => ({ user: { account, nick: account } })));
await gateway.import(many.map((account) => ({ friendship: ['niels', account] })));
const slow = await gateway.login('niels', 'ios');
slow.pause();
const large = 'x'.repeat(900);
let [second, written] = [0, 0];
async function traffic(seconds: number): Promise<void> {
  for (const until = second + seconds; second < until; second++) {
    const end = Date.now() + 1000;
    const busy = 6 + Math.round(5 * Math.sin(second / 9) + 4 * Math.random()) + (second % 23 === 0 ? 25 : 0);
    for (let i = 0; i < busy; i++) {
      const { account } = people[written++ % 12]!;
      await gateway.api('PATCH', `/v1/users/${account}`, { sign: `Yes we can! ${written}` });
    }
    if (second < 12) for (let i = 0; i < 300; i += 150) await gateway.api('POST', '/v1/users:batchUpdate', { users: many.slice(i, i + 150).map((account) => ({ account, custom: `${large}${second}` })) });
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, end - Date.now())));
  }
}
await traffic(Number(process.env['SECONDS'] ?? 60));
await gateway.api('PATCH', '/v1/users/alice', { nick: 'Alice P. Liddell', sign: 'Yes we can!' });
clients[0]!.send({ id: 7, updateMyInfo: { sign: 'Curiouser and curiouser' } });
await gateway.api('DELETE', '/v1/users/mallory/sessions');
await gateway.api('POST', '/v1/users/mallory/tokens:revoke', {});

const PAGES: Record<string, string> = {
  overview: '#/overview', sessions: '#/sessions', session: `#/sessions/${slow.session}`, user: '#/users/alice/profile', friends: '#/users/alice/friends', changes: '#/users/alice/changes',
  why: '#/why?account=friend7&viewer=niels&field=nick', webhooks: '#/webhooks', feed: '#/feed', cluster: '#/cluster', audit: '#/audit', settings: '#/settings',
};
try {
  for (const theme of folder ? (['light', 'dark'] as const) : (['light'] as const)) {
    const context = await browser.newContext({ viewport: { width: 1180, height: 720 }, colorScheme: theme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    for (const [name, place] of Object.entries(PAGES)) {
      await page.goto(`${gateway.console}${place}`);
      await page.locator('main h1').waitFor();
      await page.locator('[aria-busy="true"]').first().waitFor({ state: 'detached' });
      if (name === 'overview') await traffic(7);
      if (name === 'feed') {
        await page.locator('.head .state.good').waitFor();
        for (let i = 0; i < 14; i++) await gateway.api('PATCH', `/v1/users/${people[i % 14]!.account}`, { sign: `Hello ${theme} ${i}` });
        await gateway.befriend('heidi', 'ivan');
        await page.locator('tbody tr').nth(14).waitFor();
      }
      const path = folder ? `${folder}/${name}-${theme}.png` : `${docs}console-${name}.png`;
      await page.waitForTimeout(200);
      await page.screenshot({ path });
      if (!folder) await small(path);
    }
    await context.close();
  }
  // The page that asks for a key.
  await gateway.kill();
  gateway.key = 'a-key-that-only-tests-use';
  await gateway.start();
  const page = await browser.newPage({ viewport: { width: 1180, height: 720 } });
  await page.goto(gateway.console);
  await page.getByLabel('API key').waitFor();
  const path = folder ? `${folder}/login.png` : `${docs}console-login.png`;
  await page.screenshot({ path });
  if (!folder) await small(path);
} finally {
  await browser.close();
  await gateway.close();
  receiver.closeAllConnections();
  receiver.close();
}

/** Takes out what nobody sees, if pngquant is there. */
async function small(path: string): Promise<void> {
  await new Promise((resolve) => spawn('pngquant', ['--force', '--skip-if-larger', '--quality=70-95', '--strip', '--output', path, path], { stdio: 'inherit' }).on('close', resolve).on('error', resolve));
}
