// The SDK without a window: in a worker, as a module and as a classic script.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { launch, profile } from './browser.js';
import { Gateway } from './gateway.js';

let browser: Browser;
let gateway: Gateway;

before(async () => {
  browser = await launch();
  gateway = await Gateway.start();
});
after(async () => {
  await browser.close();
  await gateway.close();
});

const MODULE = `
  import { RosterdClient } from 'GATEWAY/sdk/rosterd.js';
  const client = new RosterdClient({ account: 'alice' });
  client.on('userUpdated', (user) => postMessage(user.nick));
  await client.connect();
  postMessage([...client.users.keys()].sort().join());`;
const CLASSIC = `
  importScripts('GATEWAY/sdk/nim.js');
  var users;
  var nim = NIM.getInstance({
    account: 'alice', url: 'URL', onusers: function (news) { users = nim.mergeUsers(users, news); },
    onupdateuser: function (user) { postMessage(user.nick); },
    onsyncdone: function () { postMessage(users.map(function (user) { return user.account; }).sort().join()); }
  });`;

for (const [type, source] of [['module', MODULE], ['classic', CLASSIC]] as const) {
  test(`in a ${type} worker`, async () => {
    const context = await profile(browser);
    const page = await context.newPage();
    await page.goto(gateway.origin);
    const script = source.replace('GATEWAY', gateway.origin).replace('URL', gateway.url);
    const said = (count: number) =>
      page.waitForFunction((count) => {
        const { said } = window as unknown as { said: string[] };
        return said.length >= count && said;
      }, count).then((handle) => handle.jsonValue());
    await page.evaluate(
      ([script, type]) => {
        const page = window as unknown as { said: string[] };
        page.said = [];
        const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), { type });
        worker.onmessage = ({ data }) => page.said.push(data);
        worker.onerror = ({ message }) => page.said.push(`error: ${message}`);
      },
      [script, type] as const,
    );
    assert.deepEqual(await said(1), ['bob,carol,dave']);
    await gateway.api('PATCH', '/v1/users/bob', { nick: `Bob, for a ${type} worker` });
    assert.deepEqual(await said(2), ['bob,carol,dave', `Bob, for a ${type} worker`]);
    await context.close();
  });
}
