// A real gateway, and real clients, for the tests of the console.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Returns ROSTERD_BIN, or else the newest build. */
function binary(): string {
  if (process.env['ROSTERD_BIN']) return process.env['ROSTERD_BIN'];
  const built = ['release', 'debug'].map((kind) => join(root, 'target', kind, 'rosterd')).filter((file) => existsSync(file));
  assert.ok(built.length > 0, 'there is no gateway to test against: run `cargo build`, or set ROSTERD_BIN');
  return built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0] as string;
}

/** Keys with all scopes, and with `read` alone. */
export const ADMIN = 'a-key-that-only-tests-use';
export const VIEWER = 'rk_viewer_only_for_tests';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
/** A section with the viewer's key. */
export const VIEWER_KEY = `[ops.keys.viewer]\nsha256 = "${sha256(VIEWER)}"\nscopes = ["read"]\n`;

/** A gateway with its own store: clients log in with their account as the token. */
export class Gateway {
  readonly #directory = mkdtempSync(join(tmpdir(), 'rosterd-console-'));
  readonly #clients: Client[] = [];
  #process?: ChildProcess;
  /** Settings besides the tests' own. */
  settings = '';
  key = ADMIN;
  ops = '';
  clients = '';
  /** What it said when it was ready. */
  said = '';

  static async start(settings = VIEWER_KEY, key = ADMIN): Promise<Gateway> {
    const gateway = new Gateway();
    Object.assign(gateway, { settings, key });
    mkdirSync(join(gateway.#directory, 'faults'));
    await gateway.start();
    return gateway;
  }

  get binary(): string {
    return binary();
  }

  get config(): string {
    return join(this.#directory, 'config.toml');
  }

  get console(): string {
    return `${this.ops}/console`;
  }

  #write(ops: string, clients: string): string {
    const { config } = this;
    writeFileSync(config, `[clients]\nlisten = "${clients}"\n[ops]\nlisten = "${ops}"\napi_key = "${this.key}"\n[auth]\nmode = "development"\n[store]\nurl = "sqlite:${join(this.#directory, 'rosterd.db')}"\n${this.settings}`);
    return config;
  }

  /** Starts it, at the addresses that it had before if it had any. */
  async start(): Promise<void> {
    const address = (url: string): string => url.replace(/^\w+:\/\//, '').replace(/\/.*/, '') || '127.0.0.1:0';
    const config = this.#write(address(this.ops), address(this.clients));
    const env = { ...process.env, ROSTERD_FAULTS: join(this.#directory, 'faults') };
    const child = spawn(binary(), ['serve', '--config', config], { stdio: ['ignore', 'pipe', 'pipe'], env });
    this.#process = child;
    let log = '';
    child.stderr.on('data', (data) => (log += String(data)));
    const said: Record<string, string> = {};
    this.said = '';
    for await (const line of createInterface({ input: child.stdout })) {
      this.said += `${line}\n`;
      const [, what, url] = /^\s*(clients|ops)\s+(\w+:\/\/\S+)/.exec(line) ?? [];
      if (what && url) said[what] = url;
      // The lines come in one piece; the one with the demo page or the tokens is the last but one.
      if (said['ops'] && /^\s*(page|console|demo)\s/.test(line) && (this.key || /console|demo/.test(line))) break;
    }
    assert.ok(said['clients'] && said['ops'], `the gateway did not start:\n${log}`);
    child.stdout.resume();
    this.ops = said['ops'];
    this.clients = said['clients'];
  }

  get pid(): number {
    return this.#process!.pid!;
  }

  /** Kills it with `kill -9`. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Reads other settings, and waits until they are in force. */
  async reload(settings: string): Promise<void> {
    this.settings = settings;
    const address = (url: string): string => url.replace(/^\w+:\/\//, '').replace(/\/.*/, '');
    this.#write(address(this.ops), address(this.clients));
    const count = async (): Promise<string> => /^rosterd_config_reloads_total.*$/m.exec(await (await fetch(`${this.ops}/metrics`)).text())?.[0] ?? '';
    const before = await count();
    this.#process!.kill('SIGHUP');
    await until(async () => (await count()) !== before);
  }

  /** Stops a task of the gateway for good; debug builds alone can. */
  stall(task: string): void {
    writeFileSync(join(this.#directory, 'faults', task), 'stall');
  }

  /** Sends a request of a backend. */
  async api<T = Record<string, unknown>>(method: string, path: string, body?: object | string, key = this.key): Promise<T> {
    const response = await fetch(this.ops + path, { method, headers: { authorization: `Bearer ${key}` }, ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }) });
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
    return (await response.json()) as T;
  }

  async import(lines: object[]): Promise<void> {
    for (let i = 0; i < lines.length; i += 2000) await this.api('POST', '/v1/import', lines.slice(i, i + 2000).map((line) => JSON.stringify(line)).join('\n'));
  }

  async befriend(one: string, other: string): Promise<void> {
    await this.api('PUT', `/v1/users/${one}/friends/${other}`);
  }

  async login(account: string, device = 'web'): Promise<Client> {
    const client = await Client.login(this.clients, account, device);
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.end();
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Waits for a condition. */
export async function until(holds: () => boolean | Promise<boolean>, patienceMs = 20_000): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `in ${patienceMs} ms this did not become true: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

interface Frame { [kind: string]: unknown }

/** A client that says what it is told to, and nothing by itself. */
export class Client {
  readonly frames: Frame[] = [];
  session = '';

  private constructor(readonly socket: WebSocket) {
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data)) as Frame;
      if (Object.keys(frame).length === 0) return this.send({});
      this.frames.push(frame);
    });
    socket.on('error', () => {});
  }

  static async login(url: string, account: string, device: string): Promise<Client> {
    const socket = new WebSocket(url, 'rosterd.v1.json');
    const client = new Client(socket);
    await once(socket, 'open');
    client.send({ id: 1, login: { token: account, device: { id: `${account}-${device}`, type: device, tag: '' } } });
    await client.until((frame) => 'loginReply' in frame);
    client.session = String((client.frames.find((frame) => 'loginReply' in frame)!['loginReply'] as { session: string }).session);
    await client.until((frame) => 'synced' in frame);
    return client;
  }

  send(frame: object): void {
    this.socket.send(JSON.stringify(frame));
  }

  async until(is: (frame: Frame) => boolean): Promise<void> {
    await until(() => this.frames.some(is));
  }

  /** Reads nothing more, so that its socket fills. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.terminate();
  }
}
