// A real gateway for tests, with its own store: server API calls, stops, and restarts at the same address.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { RosterdClient } from '../../src/index.js';
import type { Events, Options, State, WebSocketConstructor } from '../../src/index.js';

const target = fileURLToPath(new URL('../../../../target/', import.meta.url));

/** Returns ROSTERD_BIN, or else the newest build. */
function binary(): string {
  const asked = process.env['ROSTERD_BIN'];
  if (asked) return asked;
  const built = ['release', 'debug'].map((kind) => join(target, kind, 'rosterd')).filter((file) => existsSync(file));
  assert.ok(built.length > 0, 'no gateway to test against: run `cargo build`, or set ROSTERD_BIN');
  return built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0] as string;
}

export const SECRET = 'a secret of thirty-two bytes or more';
/** The API key, for gateways configured with it. */
export const API_KEY = 'the-key-of-a-backend-in-these-tests';

/** Signs a token that expires in `endsInMs`; the claim has whole seconds. */
export function token(account: string, endsInMs: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: account, exp: Math.floor((Date.now() + endsInMs) / 1000) })}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

export class Gateway {
  url = '';
  #ops = '';

  /** The address of the server API. */
  get ops(): string {
    return this.#ops;
  }

  #process?: ChildProcess;
  /** The log since the last start. */
  log = '';
  #clients: RosterdClient[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), 'rosterd-js-'));
  readonly #settings: string[];

  private constructor(settings: string[]) {
    this.#settings = settings;
  }

  /** `settings` are as in `--set`; one that begins with `--` is an argument of its own. */
  static async start(...settings: string[]): Promise<Gateway> {
    const gateway = new Gateway(settings);
    await gateway.start();
    return gateway;
  }

  /** Starts the gateway; after a stop at the same address, with the same store. */
  async start(): Promise<void> {
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const settings = [`clients.listen=${listen}`, 'ops.listen=127.0.0.1:0', `store.url=sqlite:${join(this.#directory, 'rosterd.db')}`, ...this.#settings];
    const child = spawn(binary(), settings.flatMap((setting) => (setting.startsWith('--') ? [setting] : ['--set', setting])), { cwd: this.#directory, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    this.log = '';
    child.stderr.on('data', (data: Buffer) => (this.log += String(data)));
    for await (const line of createInterface({ input: child.stdout })) {
      this.url = /ws:\S+/.exec(line)?.[0] ?? this.url;
      this.#ops = /ops\s+(http:\S+)/.exec(line)?.[1] ?? this.#ops;
      if (line.includes('tokens')) break;
    }
    assert.ok(this.url && this.#ops, `the gateway did not start:\n${this.log}`);
    child.stdout.resume();
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    child?.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT' && child && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  /** Calls the server API; fails the test unless the call succeeds. */
  async api(method: string, path: string, body?: object | string): Promise<any> {
    const text = typeof body === 'object' ? JSON.stringify(body) : body;
    const response = await fetch(`${this.#ops}/v1/${path}`, { method, body: text ?? null, headers: { authorization: `Bearer ${API_KEY}` } });
    const answer = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${answer}`);
    return answer ? JSON.parse(answer) : undefined;
  }

  /** Returns a metric, summed over its labels. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.#ops}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith(name) && !line.startsWith('#'));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  client(account: string, options: Partial<Options> = {}): RosterdClient {
    const socket = WebSocket as unknown as WebSocketConstructor;
    const backoff = { minMs: 20, maxMs: 200 };
    const client = new RosterdClient({ url: this.url, account, store: 'memory', WebSocket: socket, backoff, ...options });
    this.#clients.push(client);
    return client;
  }

  /** Returns a live client. */
  async connected(account: string, options: Partial<Options> = {}): Promise<RosterdClient> {
    const client = this.client(account, options);
    await client.connect();
    return client;
  }

  /** Returns the key under which clients store the records of an account. */
  key(account: string): string {
    return `${account} ${this.url}`;
  }

  raw(): WebSocket {
    return new WebSocket(this.url, 'rosterd.v1.json');
  }

  async end(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.disconnect()));
    await this.signal('SIGCONT');
    await this.signal('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

const PATIENCE_MS = 20_000;

/** Waits for the next event that `test` accepts. */
export function next<K extends keyof Events>(client: RosterdClient, event: K, test: (...args: any[]) => boolean = () => true): Promise<any[]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} in time`)), PATIENCE_MS);
    const off = client.on(event, ((...args: any[]) => {
      if (!test(...args)) return;
      clearTimeout(timer);
      off();
      resolve(args);
    }) as never);
  });
}

export async function reaches(client: RosterdClient, state: State): Promise<void> {
  if (client.state !== state) await next(client, 'state', (now) => now === state);
}

/** Waits until `test` is true; checks it after every relevant event. */
export async function until(client: RosterdClient, test: () => boolean): Promise<void> {
  const events = ['me', 'users', 'userUpdated', 'friends', 'friendRemoved', 'requests', 'blocks', 'presence', 'sessions', 'synced', 'state'] as const;
  while (!test()) {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`not in time: ${test}`)), PATIENCE_MS);
      const offs = events.map((event) => client.on(event, (() => {
        clearTimeout(timer);
        for (const off of offs) off();
        resolve();
      }) as never));
    });
  }
}
