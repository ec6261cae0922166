// examples/game: its page in Chromium, its server, and a gateway with its settings.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { Gateway, until } from '../gateway/gateway.js';
import { launch, profile, uncaught } from './browser.js';

const example = join(dirname(fileURLToPath(import.meta.url)), '../../../../examples/game');
const KEY = 'the-key-of-the-game-server';

let browser: Browser;
let gateway: Gateway;
let server: ChildProcess;
let origin: string;

async function freePort(): Promise<number> {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  taken.close();
  await once(taken, 'close');
  return port;
}

before(async () => {
  [browser, gateway] = await Promise.all([launch(), Gateway.start(`--config=${join(example, 'config.toml')}`, 'presence.linger=100ms')]);
  const port = await freePort();
  origin = `http://127.0.0.1:${port}`;
  server = spawn('python3', [join(example, 'server.py'), gateway.ops, KEY, String(port)], { stdio: 'ignore' });
  for (let answers = false; !answers; ) {
    assert.equal(server.exitCode, null, 'the game server ended');
    answers = await fetch(origin).then(({ ok }) => ok, () => false);
  }
});
after(async () => {
  server.kill();
  await browser.close();
  await gateway.end();
});

async function enter(account: string): Promise<{ page: Page; errors: Error[] }> {
  const page = await (await profile(browser)).newPage();
  const errors = uncaught(page);
  await page.goto(`${origin}/?gateway=${new URL(gateway.url).origin.replace('http', 'ws')}`);
  await page.fill('#enter [name="account"]', account);
  await page.click('#enter button');
  await page.locator('main').waitFor();
  return { page, errors };
}

const friend = (page: Page, account: string, text: RegExp): Promise<void> => page.locator(`#friends [data-account="${account}"]`, { hasText: text }).waitFor();

test('a level by the server alone, pronouns for friends, and a status while a player is there', { timeout: 60_000 }, async () => {
  const [ann, ben] = [await enter('ann'), await enter('ben')];
  await ann.page.fill('#add [name="account"]', 'ben');
  await ann.page.click('#add button');
  await friend(ben.page, 'ann', /ann · level 1 · online$/);
  await ann.page.click('#win');
  await friend(ben.page, 'ann', /level 2 /);
  await ann.page.locator('#level', { hasText: 'level 2' }).waitFor();
  await ann.page.fill('#profile [name="pronouns"]', 'she/her');
  await ann.page.click('#profile button');
  await friend(ben.page, 'ann', /\(she\/her\)/);
  await ann.page.click('#group');
  await friend(ben.page, 'ann', /looking for a group$/);
  await ann.page.locator('#group[aria-pressed="true"]').waitFor();

  // A stranger sees the level alone, and nobody sets it but the server.
  const eve = await gateway.connected('eve', { token: 'eve' });
  await eve.watch(['ann']);
  await until(eve, () => eve.users.has('ann'));
  assert.deepEqual(eve.users.get('ann')?.fields, { level: 2 });
  assert.equal(eve.presence.get('ann'), undefined);
  await assert.rejects(eve.updateMyInfo({ fields: { level: 99 } }), { code: 403, field: 'fields.level' });
  await assert.rejects(eve.updateMyInfo({ fields: { pronouns: 'x'.repeat(21) } }), { field: 'fields.pronouns' });
  assert.deepEqual(eve.me?.fields, { level: 1 });
  for (const [body, status] of [['{}', 400], ['[', 400], ['{"account": "nobody"}', 404], ['{"account": "../../nodes"}', 400]] as const) {
    assert.equal((await fetch(`${origin}/win`, { method: 'POST', body })).status, status, body);
  }

  await ann.page.close();
  await friend(ben.page, 'ann', /level 2 · offline$/);
  assert.deepEqual([ann.errors, ben.errors], [[], []]);
});
