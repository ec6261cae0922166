// Changes of the own profile that show at once, and those that wait for a connection, against a real gateway.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { MemoryStore } from '../../src/index.js';
import type { RosterdClient, User } from '../../src/index.js';
import { Gateway, next, until } from './gateway.js';

/** Waits for something that no event of a client announces. */
async function eventually(test: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await test());) {
    assert.ok(Date.now() < end, 'not in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const FIELDS = ['nick', 'avatar', 'sign', 'gender', 'email', 'birth', 'tel', 'custom'] as const;

/** What a client shows, without its version. */
const shown = ({ me }: RosterdClient): (string | undefined)[] => FIELDS.map((field) => me?.[field as keyof User] as string | undefined);

describe('changes of the own profile', () => {
  let gateway: Gateway;
  before(async () => (gateway = await Gateway.start()));
  after(() => gateway.end());

  test('an optimistic change shows before the gateway has it, and then everywhere', async () => {
    const [phone, laptop] = [await gateway.connected('alice'), await gateway.connected('alice')];
    const call = phone.updateMyInfo({ sign: 'at once' }, { optimistic: true });
    assert.deepEqual([phone.me?.sign, phone.pending, phone.snapshot.pending], ['at once', { sign: 'at once' }, { sign: 'at once' }]);
    assert.equal((await call).sign, 'at once');
    assert.deepEqual([phone.me?.sign, phone.pending], ['at once', undefined]);
    await until(laptop, () => laptop.me?.sign === 'at once');
    assert.deepEqual(shown(phone), shown(laptop));
  });

  test('one that the gateway refuses is taken back', async () => {
    const [phone, laptop] = [await gateway.connected('bob'), await gateway.connected('bob')];
    const held = phone.me;
    const back = next(phone, 'me', (_, how) => how === 'rollback');
    const call = phone.updateMyInfo({ birth: 'tomorrow', sign: 'never' }, { optimistic: true });
    assert.equal(phone.me?.birth, 'tomorrow');
    await assert.rejects(call, { code: 414, field: 'birth' });
    assert.equal((await back)[0], held);
    assert.deepEqual([phone.me, phone.pending], [held, undefined]);
    assert.deepEqual(shown(phone), shown(laptop));
  });

  test('a stale one is taken back', async () => {
    const [phone, laptop] = [await gateway.connected('carol'), await gateway.connected('carol')];
    const base = phone.me?.version;
    await laptop.updateMyInfo({ sign: 'newer' });
    await until(phone, () => phone.me?.sign === 'newer');
    const call = phone.updateMyInfo({ sign: 'old' }, { optimistic: true, ifVersion: base });
    assert.equal(phone.me?.sign, 'old');
    await assert.rejects(call, { code: 412 });
    assert.deepEqual([phone.me?.sign, phone.pending], ['newer', undefined]);
  });
});

/** A page that was closed while offline, with changes that it had made. */
async function closed(gateway: Gateway, store: MemoryStore, ...changes: object[]): Promise<void> {
  const page = await gateway.connected('alice', { store });
  await page.disconnect();
  for (const change of changes) page.updateMyInfo(change, { keep: true }).catch(() => {});
  await eventually(async () => (await store.load(gateway.key('alice')))?.kept?.length === changes.length);
}

const isKept = async (gateway: Gateway, store: MemoryStore): Promise<boolean> => !!(await store.load(gateway.key('alice')))?.kept?.length;

describe('changes that wait', () => {
  let gateway: Gateway;
  before(async () => (gateway = await Gateway.start()));
  after(() => gateway.end());

  test('made while the gateway is gone, shown after a restart of the page, carried out when it is back', async () => {
    const store = new MemoryStore();
    await closed(gateway, store, { sign: 'from the train' }, { tel: '7' });
    await gateway.signal('SIGKILL');
    const page = gateway.client('alice', { store });
    const cached = next(page, 'me', (_, how) => how === 'cache');
    const connected = page.connect();
    assert.equal((await cached)[0].sign, 'from the train');
    await next(page, 'willReconnect');
    assert.deepEqual(page.pending, { sign: 'from the train', tel: '7' });
    await gateway.start();
    await connected;
    const laptop = await gateway.connected('alice');
    await until(laptop, () => laptop.me?.sign === 'from the train' && laptop.me.tel === '7');
    await eventually(async () => page.pending === undefined && !(await isKept(gateway, store)));
    assert.deepEqual(shown(page), shown(laptop));
  });

  test('superseded by what another device wrote meanwhile', async () => {
    const store = new MemoryStore();
    const laptop = await gateway.connected('alice');
    await closed(gateway, store, { sign: 'from the tunnel' });
    await laptop.updateMyInfo({ nick: 'Alice the newer' });
    const page = gateway.client('alice', { store });
    const refused = next(page, 'error');
    await page.connect();
    assert.equal((await refused)[0].reason, 'SUPERSEDED');
    assert.deepEqual([page.me?.nick, page.pending], ['Alice the newer', undefined]);
    assert.deepEqual(shown(page), shown(laptop));
    await eventually(async () => !(await isKept(gateway, store)));
  });

  test('refused: it is taken back, and not tried again', async () => {
    const store = new MemoryStore();
    await closed(gateway, store, { birth: 'tomorrow' });
    const page = gateway.client('alice', { store });
    const refused = next(page, 'error');
    await page.connect();
    assert.equal((await refused)[0].field, 'birth');
    assert.deepEqual([page.me?.birth, page.pending], ['1990-05-04', undefined]);
    await eventually(async () => !(await isKept(gateway, store)));
  });
});
