// The packed package in webpack and in Next: built for production without a warning, and driven in Chromium.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { launch, profile } from '../browser/browser.js';
import { Gateway } from '../browser/gateway.js';

const here = fileURLToPath(new URL('./', import.meta.url));
const sdk = join(here, '../..');
const scratch = mkdtempSync(join(tmpdir(), 'rosterd-bundlers-'));
const env = { ...process.env, NODE_OPTIONS: '', NEXT_TELEMETRY_DISABLED: '1' };
const require = createRequire(import.meta.url);
const NEXT = (): string => require.resolve('next/dist/bin/next');

let browser: Browser;
let gateway: Gateway;

before(async () => {
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', scratch, '--silent'], { cwd: sdk, env });
  const tarball = join(scratch, readdirSync(scratch).find((name) => name.endsWith('.tgz')) ?? '');
  // Where an installation puts it.
  const installed = join(here, 'node_modules/rosterd');
  rmSync(installed, { recursive: true, force: true });
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  [browser, gateway] = [await launch(), await Gateway.start()];
});
after(async () => {
  await browser?.close();
  await gateway?.close();
  rmSync(scratch, { recursive: true, force: true });
});

async function open(address: string): Promise<{ page: Page; errors: string[] }> {
  const page = await (await profile(browser)).newPage();
  const errors: string[] = [];
  page.on('pageerror', ({ message }) => errors.push(message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.goto(address);
  return { page, errors };
}

/** The page shows the friends of alice, and a change of one of them. */
async function follows(page: Page, nick: string): Promise<void> {
  await page.locator('#state', { hasText: 'live' }).waitFor();
  await gateway.api('PATCH', '/v1/users/bob', { nick });
  await page.locator('#friends', { hasText: `${nick},Carol,Dave` }).waitFor();
}

test('webpack', async () => {
  const webpack = require('webpack') as (config: object) => { run(done: (error: Error | null, stats: any) => void): void; close(done: () => void): void };
  const output = join(scratch, 'webpack');
  const compiler = webpack({ mode: 'production', context: join(here, 'webpack'), entry: './entry.js', output: { path: output, filename: 'app.js' }, target: ['web', 'es2022'] });
  const stats = await new Promise<any>((resolve, reject) => compiler.run((error, stats) => (error ? reject(error) : resolve(stats))));
  await new Promise<void>((resolve) => compiler.close(resolve));
  const { errors: wrong, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
  assert.deepEqual([wrong, warnings], [[], []]);

  const app = readFileSync(join(output, 'app.js'));
  const server = createServer(({ url }, response) => {
    if (url === '/app.js') response.writeHead(200, { 'content-type': 'text/javascript; charset=utf-8' }).end(app);
    else response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
      .end('<!doctype html><link rel="icon" href="data:,"><p id="missing"><p id="state"><p id="friends"><p id="same"><p id="nim"><script src="/app.js"></script>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { page, errors } = await open(`http://127.0.0.1:${(server.address() as AddressInfo).port}/?gateway=${gateway.url}`);
    await follows(page, 'A1 by webpack');
    await page.locator('#nim', { hasText: 'bob' }).waitFor();
    // One core for both entries; and a bundle does not take its own address for a gateway's.
    assert.equal(await page.locator('#same').textContent(), 'true');
    assert.match((await page.locator('#missing').textContent()) ?? '', /options\.url is missing/);
    assert.deepEqual(errors, []);
    await page.context().close();
  } finally {
    server.close();
  }
});

test('Next, on the server and on the page', async () => {
  const app = join(here, 'next');
  rmSync(join(app, '.next'), { recursive: true, force: true });
  let log = execFileSync(process.execPath, [NEXT(), 'build', app], { cwd: app, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  assert.doesNotMatch(log, /warn/i);
  const server: ChildProcess = spawn(process.execPath, [NEXT(), 'start', app, '--hostname', '127.0.0.1', '--port', '0'], { cwd: app, env, stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    server.stderr?.on('data', (data) => (log += data));
    let origin = '';
    for await (const line of createInterface({ input: server.stdout! })) {
      log += `${line}\n`;
      origin = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0] ?? origin;
      if (/Ready/.test(line)) break;
    }
    assert.ok(origin, log);
    server.stdout?.resume();
    const address = `${origin}/?gateway=${encodeURIComponent(gateway.url)}`;
    const drawn = await (await fetch(address)).text();
    assert.match(drawn, /function(<!-- -->)? ?(<!-- -->)?0/, 'the server imports the package');
    assert.match(drawn, /<p id="state">disconnected<\/p>/, 'the server draws the hooks, and nothing connects');
    const { page, errors } = await open(address);
    await follows(page, 'A1 by Next');
    assert.deepEqual(errors, []);
    await page.context().close();
  } finally {
    const gone = once(server, 'exit');
    server.kill('SIGTERM');
    await gone;
  }
});
