// The sample of NIM's reference, in a real browser; a second client makes the changes.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { NIMUser } from '../../src/nim.js';
import { launch, profile, uncaught } from './browser.js';
import { Gateway } from './gateway.js';

type Line = [what: string, value: unknown];

/** The globals of the sample's page. */
interface Sample {
  lines: Line[];
  data: { myInfo: NIMUser; users: NIMUser[] };
  updateMe(): void;
  getUser(account: string): void;
  getUsers(accounts: string[]): void;
}

const SAMPLE = readFileSync(new URL('sample.html', import.meta.url), 'utf8');

let browser: Browser;
let gateway: Gateway;
let context: BrowserContext;

// The application's server has the page; the SDK comes from the gateway.
const server: Server = createServer(({ url = '' }, response) => {
  if (url.startsWith('/sdk/')) response.writeHead(302, { location: gateway.origin + url }).end();
  else response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(SAMPLE);
});

before(async () => {
  browser = await launch();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  await browser.close();
  server.close();
});
beforeEach(async () => {
  gateway = await Gateway.start();
  context = await profile(browser);
});
afterEach(async () => {
  await context.close();
  await gateway.close();
});

/** The page, the lines on its console, and its uncaught errors. */
async function open(account: string, more = ''): Promise<{ page: Page; logged: string[]; errors: Error[] }> {
  const page = await context.newPage();
  const logged: string[] = [];
  page.on('console', (message) => message.type() === 'log' && logged.push(message.text()));
  const errors = uncaught(page);
  const { port } = server.address() as AddressInfo;
  await page.goto(`http://127.0.0.1:${port}/?account=${account}&url=${encodeURIComponent(gateway.url)}${more}`);
  return { page, logged, errors };
}

/** Waits for a line at this position or later, and returns all lines from there on. */
async function lines(page: Page, last: string, from = 0): Promise<Line[]> {
  const here = () => page.evaluate(() => (window as unknown as Sample).lines);
  await page.waitForFunction(
    ([last, from]) => (window as unknown as Sample).lines.slice(from).some(([what]) => what === last),
    [last, from] as const,
  );
  return (await here()).slice(from);
}

const names = (all: Line[]): string[] => all.map(([what]) => what);
const called = <T>(all: Line[], what: string): T => all.find(([name]) => name === what)?.[1] as T;

test('the sample logs its lines in the documented order', async () => {
  const bob = await gateway.client('bob');
  const other = await gateway.client('alice');
  const { page, logged, errors } = await open('alice');

  const first = await lines(page, 'syncdone');
  assert.deepEqual(names(first), ['connect', 'receive my profile', 'receive user information list', 'syncdone']);
  const me = called<NIMUser>(first, 'receive my profile');
  assert.deepEqual([me.account, me.nick, me.gender, me.birth], ['alice', 'Alice', 'female', '1990-05-04']);
  const users = called<NIMUser[]>(first, 'receive user information list');
  assert.deepEqual(users.map((user) => user.account).sort(), ['bob', 'carol', 'dave']);
  assert.equal(await page.title(), 'Alice');
  let seen = first.length;

  await bob.updateMyInfo({ nick: 'Robert' });
  const friend = await lines(page, 'user information is updated', seen);
  assert.deepEqual(names(friend), ['user information is updated']);
  assert.equal((friend[0]?.[1] as NIMUser).nick, 'Robert');
  seen += friend.length;

  await other.updateMyInfo({ sign: 'written elsewhere' });
  const own = await lines(page, 'My profile is updated', seen);
  assert.deepEqual(names(own), ['My profile is updated']);
  assert.equal((own[0]?.[1] as NIMUser).sign, 'written elsewhere');
  seen += own.length;

  // The sample calls its handler when its update is done; an echo from the gateway would be a third line.
  await page.evaluate(() => (window as unknown as Sample).updateMe());
  const updated = await lines(page, 'My profile is updated', seen);
  assert.deepEqual(names(updated), ['update my profilesucceeded', 'My profile is updated']);
  const now = updated[0]?.[1] as NIMUser;
  assert.deepEqual(
    { nick: now.nick, avatar: now.avatar, sign: now.sign, gender: now.gender, email: now.email, birth: now.birth, tel: now.tel, custom: now.custom },
    {
      nick: 'newNick', avatar: 'http://newAvatar', sign: 'newSign', gender: 'male', email: '', birth: '1900-01-01',
      tel: '13523578129', custom: '{type: "newCustom", value: "new"}',
    },
  );
  seen += updated.length;

  await page.evaluate(() => (window as unknown as Sample).getUser('erin'));
  const one = await lines(page, 'get user informationsucceeded', seen);
  assert.deepEqual(names(one), ['get user informationsucceeded']);
  assert.equal((one[0]?.[1] as NIMUser).nick, 'Erin');
  seen += one.length;

  await page.evaluate(() => (window as unknown as Sample).getUsers(['erin', 'bob', 'nobody']));
  const several = await lines(page, 'get user information arraysucceeded', seen);
  assert.deepEqual((several[0]?.[1] as NIMUser[]).map((user) => user.nick), ['Erin', 'Robert']);
  seen += several.length;

  // Nothing else came, and the merged lists are correct.
  assert.equal(await page.evaluate(() => (window as unknown as Sample).lines.length), seen);
  const data = await page.evaluate(() => (window as unknown as Sample).data);
  assert.deepEqual([data.myInfo.nick, data.myInfo.account, await page.title()], ['newNick', 'alice', 'newNick']);
  assert.deepEqual(data.users.map((user) => user.nick).sort(), ['Carol', 'Dave', 'Robert']);
  assert.equal(logged.length, seen);
  assert.deepEqual(errors, []);
});

test('the sample logs the same with the gateway killed and restarted in the middle', async () => {
  const { page } = await open('alice');
  const first = await lines(page, 'syncdone');
  assert.deepEqual(names(first), ['connect', 'receive my profile', 'receive user information list', 'syncdone']);
  await gateway.api('PATCH', '/v1/users/bob', { nick: 'Robert' });
  await lines(page, 'user information is updated', first.length);
  const before = first.length + 1;

  // The page stays disconnected until both changes are made, so the catch-up has to bring them.
  gateway.cut();
  await gateway.kill();
  await gateway.start();
  await gateway.api('PATCH', '/v1/users/carol', { nick: 'Caroline' });
  await gateway.api('PATCH', '/v1/users/alice', { sign: 'changed meanwhile' });
  await gateway.api('DELETE', '/v1/users/alice/friends/dave');
  assert.equal(await page.evaluate(() => (window as unknown as Sample).lines.length), before);
  gateway.mend();

  const again = await lines(page, 'syncdone', before);
  assert.deepEqual(names(again), ['connect', 'receive my profile', 'receive user information list', 'syncdone']);
  assert.equal(called<NIMUser>(again, 'receive my profile').sign, 'changed meanwhile');
  assert.deepEqual(called<NIMUser[]>(again, 'receive user information list').map((user) => user.nick), ['Caroline'], 'only what is new');
  let seen = before + again.length;

  // Everything continues as before.
  const [bob, other] = [await gateway.client('bob'), await gateway.client('alice')];
  await bob.updateMyInfo({ nick: 'Bobby' });
  const friend = await lines(page, 'user information is updated', seen);
  assert.deepEqual(names(friend), ['user information is updated']);
  seen += 1;
  await other.updateMyInfo({ nick: 'Ally' });
  const own = await lines(page, 'My profile is updated', seen);
  assert.deepEqual(names(own), ['My profile is updated']);
  seen += 1;
  await page.evaluate(() => (window as unknown as Sample).updateMe());
  const updated = await lines(page, 'My profile is updated', seen);
  assert.deepEqual(names(updated), ['update my profilesucceeded', 'My profile is updated']);
  const data = await page.evaluate(() => (window as unknown as Sample).data);
  assert.deepEqual(data.users.filter((user) => user.account !== 'dave').map((user) => user.nick).sort(), ['Bobby', 'Caroline']);
});

test('a failed change reports to its caller', async () => {
  const { page } = await open('alice', '&db=no');
  const { length } = await lines(page, 'syncdone');
  await page.evaluate(() => (window as unknown as Sample).getUser('nobody'));
  const failed = await lines(page, 'get user informationfailed', length);
  const error = failed[0]?.[1] as { code: number; message: string; event: { callFunc: string } };
  assert.deepEqual([error.code, error.event.callFunc], [404, 'getUser']);
  assert.match(error.message, /nobody/);
});
