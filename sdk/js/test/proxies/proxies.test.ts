// The recipes of deploy/proxies, each with its program in front of a gateway: TLS, the prefix, Host with its port, the
// client's address, and time-outs.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { networkInterfaces } from 'node:os';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import WebSocket from 'ws';
import type { RosterdClient } from '../../src/index.js';
import type { WebSocketConstructor } from '../../src/connection.js';
import { launch } from '../browser/browser.js';
import { API_KEY, Gateway, next, SECRET, token } from '../gateway/gateway.js';
import { KINDS, Proxy } from './proxy.js';

// Not in development mode, so that a page must come from the gateway's own address.
const SETTINGS = [
  'auth.mode=jwt', `auth.hs256_secret=${SECRET}`, `ops.api_key=${API_KEY}`, 'clients.trusted_proxies=["127.0.0.1"]', 'limits.connections_per_address=1',
];
const HOUR_MS = 3_600_000;

/** A WebSocket that trusts the tests' certificate. */
class Trusting extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols, { rejectUnauthorized: false, family: 4 });
  }
}

/** Opens a WebSocket; returns the HTTP status of a refusal, or 101 and the socket. */
async function knock(url: string, options: WebSocket.ClientOptions): Promise<{ status: number; socket: WebSocket }> {
  const socket = new WebSocket(url, 'rosterd.v1.json', { rejectUnauthorized: false, family: 4, ...options });
  const refused = once(socket, 'unexpected-response').then(([, response]) => (response as IncomingMessage).statusCode ?? 0);
  const status = await Promise.race([once(socket, 'open').then(() => 101), refused]);
  socket.on('error', () => {});
  return { status, socket };
}

const close = (socket: WebSocket): Promise<unknown> => {
  const gone = once(socket, 'close');
  socket.close();
  return gone;
};

let browser: Browser;
before(async () => (browser = await launch()));
after(() => browser.close());

for (const kind of KINDS) {
  describe(kind.name, () => {
    let gateway: Gateway;
    let proxy: Proxy;
    const client = (account: string, via: Proxy, own: Gateway): RosterdClient =>
      own.client(account, { url: via.url, token: token(account, HOUR_MS), WebSocket: Trusting as unknown as WebSocketConstructor });

    before(async () => {
      gateway = await Gateway.start('clients.heartbeat=1s', ...SETTINGS);
      for (const account of ['alice', 'bob']) await gateway.api('PUT', `users/${account}`, { nick: account });
      await gateway.api('PUT', 'users/alice/friends/bob');
      proxy = await Proxy.start(kind, new URL(gateway.url).host);
    });
    after(async () => {
      await gateway?.end();
      await proxy?.end();
    });

    test('a page below the prefix connects without an address, and follows', async () => {
      const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
      await page.goto(`${proxy.origin}/rosterd/sdk/rosterd.js`);
      const address = await page.evaluate(async (token) => {
        const { RosterdClient } = await import('/rosterd/sdk/rosterd.js' as never) as typeof import('../../src/index.js');
        const client = new RosterdClient({ account: 'alice', token });
        Object.assign(window, { client });
        await client.connect();
        return client.url;
      }, token('alice', HOUR_MS));
      assert.equal(address, proxy.url);
      await gateway.api('PATCH', 'users/bob', { nick: `Bob behind ${kind.name}` });
      await page.waitForFunction((nick) => (window as unknown as { client: RosterdClient }).client.users.get('bob')?.nick === nick, `Bob behind ${kind.name}`);
      await page.context().close();
    });

    test('the gateway hears the Host with its port: pages of other origins are refused', async () => {
      const own = await knock(proxy.url, { origin: proxy.origin });
      assert.equal(own.status, 101);
      await close(own.socket);
      for (const origin of ['https://localhost', `https://elsewhere.example:${proxy.port}`]) assert.equal((await knock(proxy.url, { origin })).status, 403, origin);
    });

    test('the gateway hears the address of the client, and not what the client claims', async (t) => {
      const headers = { 'x-forwarded-for': '203.0.113.9' };
      // The gateway itself believes the header of this machine, and lets one connection of each address through.
      const direct = [await knock(gateway.url, { headers }), await knock(gateway.url, { headers })];
      assert.deepEqual(direct.map(({ status }) => status), [101, 429]);
      const claimed = [await knock(proxy.url, { headers }), await knock(proxy.url, { headers })];
      assert.deepEqual(claimed.map(({ status }) => status), [101, 101]);
      for (const { socket } of [...direct.slice(0, 1), ...claimed]) await close(socket);

      // Loopback is not limited, so the clients need another address of this machine.
      const address = Object.values(networkInterfaces()).flat().find((entry) => entry?.family === 'IPv4' && !entry.internal)?.address;
      if (!address) return t.diagnostic('this machine has no other address than loopback: not tried');
      const own = { localAddress: address };
      const forwarded = [await knock(proxy.url, own), await knock(proxy.url, own)];
      assert.deepEqual(forwarded.map(({ status }) => status), [101, 429]);
      await close(forwarded[0]?.socket as WebSocket);
    });

    test('heartbeats keep a quiet connection', async () => {
      const bob = client('bob', proxy, gateway);
      await bob.connect();
      let ends = 0;
      bob.on('disconnected', () => ends++);
      // More than two of the proxy's time-outs.
      let heartbeats = 0;
      await next(bob, 'frame', ({ direction, frame }) => direction === 'in' && Object.keys(frame as object).length === 0 && ++heartbeats === 7);
      assert.deepEqual([ends, bob.state], [0, 'live']);
      await bob.disconnect();
    });

    test('without heartbeats the proxy ends it', { skip: kind.timesOut ? false : 'it has no such time-out' }, async () => {
      const quiet = await Gateway.start('clients.heartbeat=10m', ...SETTINGS);
      const own = await Proxy.start(kind, new URL(quiet.url).host);
      try {
        await quiet.api('PUT', 'users/bob', { nick: 'bob' });
        const bob = client('bob', own, quiet);
        const ended = next(bob, 'disconnected');
        await bob.connect();
        const [{ code }] = await ended;
        assert.equal(code, 1006);
      } finally {
        await quiet.end();
        await own.end();
      }
    });
  });
}
