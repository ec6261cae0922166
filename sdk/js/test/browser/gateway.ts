// A real gateway behind a proxy that can be cut. The gateway's ports change with a restart, the proxy's does not:
// browsers see one address that is sometimes unreachable.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { RosterdClient } from '../../src/index.js';
import type { WebSocketConstructor } from '../../src/index.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

/** Returns ROSTERD_BIN, or else the newest build. */
function binary(): string {
  if (process.env['ROSTERD_BIN']) return process.env['ROSTERD_BIN'];
  const built = ['release', 'debug'].map((kind) => join(root, 'target', kind, 'rosterd')).filter((file) => existsSync(file));
  assert.ok(built.length > 0, 'there is no gateway to test against: run `cargo build`, or set ROSTERD_BIN');
  return built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0] as string;
}

/** Signs the tokens of a gateway that is not in development mode. */
const SECRET = 'a secret that only these tests use';
const API_KEY = 'a-key-that-only-tests-use';

/** Signs a token that is valid for so many seconds. */
export function token(account: string, seconds: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: account, exp: Math.ceil(Date.now() / 1000) + seconds })}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

/** A gateway with its own store: in development mode with demo users, or with tokens and no users. */
export class Gateway {
  readonly #auth: 'development' | 'jwt';
  readonly #directory = mkdtempSync(join(tmpdir(), 'rosterd-browser-'));
  readonly #wire = new Wire();
  readonly #clients: RosterdClient[] = [];
  #process?: ChildProcess;
  #ops = '';

  readonly #settings: string[];

  private constructor(auth: 'development' | 'jwt', settings: string[]) {
    this.#auth = auth;
    this.#settings = settings;
  }

  static async start(auth: 'development' | 'jwt' = 'development', ...settings: string[]): Promise<Gateway> {
    const gateway = new Gateway(auth, settings);
    await gateway.#wire.listen();
    await gateway.start();
    return gateway;
  }

  /** The origin of pages. */
  get origin(): string {
    return `http://127.0.0.1:${this.#wire.port}`;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#wire.port}/v1/ws`;
  }

  async start(): Promise<void> {
    const config = join(this.#directory, 'config.toml');
    const store = join(this.#directory, 'rosterd.db');
    const [key, auth] = this.#auth === 'jwt' ? [API_KEY, `mode = "jwt"\nhs256_secret = "${SECRET}"\nexpiry_grace = "0s"`] : ['', ''];
    // The tests' own servers serve the pages; outside development mode their origins must be listed.
    writeFileSync(config, `[clients]
listen = "127.0.0.1:0"
origins = ["*"]
[ops]
listen = "127.0.0.1:0"
api_key = "${key}"
[auth]
${auth}
[store]
url = "sqlite:${store}"
`);
    const process = spawn(binary(), ['serve', '--config', config, ...this.#settings.flatMap((setting) => ['--set', setting])], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = process;
    let log = '';
    process.stderr.on('data', (data) => (log += String(data)));
    const said: Record<string, string> = {};
    for await (const line of createInterface({ input: process.stdout })) {
      const [, what, address] = /^\s*(clients|ops)\s+\w+:\/\/([^/\s]+)/.exec(line) ?? [];
      if (what && address) said[what] = address;
      if (said['clients'] && said['ops']) break;
    }
    assert.ok(said['clients'] && said['ops'], `the gateway did not start:\n${log}`);
    this.#wire.target = Number(said['clients'].split(':')[1]);
    this.#ops = `http://${said['ops']}`;
  }

  /** Kills the gateway with `kill -9`: no goodbye, no flush. */
  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    if (!process || process.exitCode !== null) return;
    const gone = once(process, 'exit');
    process.kill('SIGKILL');
    await gone;
  }

  /** Cuts all connections and lets none through until {@link mend}. */
  cut(): void {
    this.#wire.cut();
  }

  mend(): void {
    this.#wire.mend();
  }

  /** The number of connection attempts so far. */
  get attempts(): number {
    return this.#wire.attempts;
  }

  /** Sends a request of a backend. */
  async api(method: string, path: string, body?: object | string): Promise<unknown> {
    const response = await fetch(this.#ops + path, {
      method,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}` },
      body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
    });
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
    return response.json();
  }

  async import(lines: object[]): Promise<void> {
    for (let i = 0; i < lines.length; i += 1000) {
      await this.api('POST', '/v1/import', lines.slice(i, i + 1000).map((line) => JSON.stringify(line)).join('\n'));
    }
  }

  /** Returns another client, in this process, through the same proxy. */
  async client(account: string): Promise<RosterdClient> {
    const client = new RosterdClient({ url: this.url, account, store: 'memory', WebSocket: WebSocket as unknown as WebSocketConstructor });
    this.#clients.push(client);
    await client.connect();
    return client;
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.disconnect()));
    await this.kill();
    await this.#wire.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Forwards bytes in both directions. */
class Wire {
  target = 0;
  attempts = 0;
  readonly #ends = new Set<Socket>();
  #whole = true;
  readonly #server: Server = createServer((near) => this.#join(near));

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  cut(): void {
    this.#whole = false;
    for (const end of this.#ends) end.destroy();
  }

  mend(): void {
    this.#whole = true;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(near: Socket): void {
    this.attempts++;
    if (!this.#whole) return void near.destroy();
    const far = connect(this.target, '127.0.0.1');
    for (const [end, other] of [[near, far], [far, near]] as const) {
      end.setNoDelay(true);
      this.#ends.add(end);
      end.pipe(other);
      end.on('error', () => {});
      end.on('close', () => {
        this.#ends.delete(end);
        other.destroy();
      });
    }
  }
}
