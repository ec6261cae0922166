// The Content-Security-Policy of docs/proxies.md: both scripts work under it, and it is in force.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { launch, profile } from './browser.js';
import { Gateway } from './gateway.js';

const [, documented = ''] = /Content-Security-Policy: (.*)/.exec(readFileSync(new URL('../../../../docs/proxies.md', import.meta.url), 'utf8')) ?? [];
const RECORD = `var seen = []; document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => seen.push('refused ' + effectiveDirective));`;
const SCRIPTS = {
  'rosterd.js': `import { RosterdClient } from 'GATEWAY/sdk/rosterd.js';
    const client = new RosterdClient({ account: 'alice' });
    client.on('synced', () => seen.push('live ' + [...client.friends.keys()].sort()));
    client.connect();`,
  'nim.js': `NIM.getInstance({ account: 'alice', onfriends: (friends) => seen.push('live ' + friends.map(({ account }) => account).sort()) });`,
};

let browser: Browser;
let gateway: Gateway;
let policy = '';
let script: keyof typeof SCRIPTS = 'rosterd.js';

const server = createServer(({ url }, response) => {
  const has = (type: string, text: string): unknown =>
    response.writeHead(200, { 'content-type': `text/${type}; charset=utf-8`, 'content-security-policy': policy }).end(text.replaceAll('GATEWAY', gateway.origin));
  if (url === '/record.js') has('javascript', RECORD);
  else if (url === '/app.js') has('javascript', SCRIPTS[script]);
  else {
    const [sdk, type] = script === 'nim.js' ? ['<script src="GATEWAY/sdk/nim.js"></script>', ''] : ['', ' type="module"'];
    has('html', `<!doctype html><script src="/record.js"></script>${sdk}<script${type} src="/app.js"></script>`);
  }
});

before(async () => {
  browser = await launch();
  gateway = await Gateway.start();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  await browser.close();
  await gateway.close();
  server.close();
});

/** Opens the page under a policy; returns the first things that it saw. */
async function opened(name: keyof typeof SCRIPTS, under: string): Promise<string[]> {
  [script, policy] = [name, under];
  const context = await profile(browser);
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const seen = await page.waitForFunction(() => {
    const { seen } = window as unknown as { seen: string[] };
    return seen.length > 0 && seen;
  });
  const list = (await seen.jsonValue()) as string[];
  await context.close();
  return list;
}

for (const name of ['rosterd.js', 'nim.js'] as const) {
  test(`${name} under the documented policy`, async () => {
    assert.ok(documented.includes('wss://rosterd.example.com'));
    const own = documented.replaceAll('wss://rosterd.example.com', gateway.url.replace('/v1/ws', '')).replaceAll('https://rosterd.example.com', gateway.origin);
    assert.deepEqual(await opened(name, `${own}; require-trusted-types-for 'script'`), ['live bob,carol,dave']);
    // Without its parts nothing goes: the policy is in force.
    assert.deepEqual((await opened(name, own.replace(/; connect-src.*/, ''))).slice(0, 1), ['refused connect-src']);
    assert.match((await opened(name, own.replace(/ script-src[^;]*/, '')))[0] ?? '', /^refused script-src/);
  });
}
