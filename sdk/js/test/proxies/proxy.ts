// The recipes of deploy/proxies with the proxies that Debian has: as an ordinary user, in a folder of their own, on loopback.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const recipes = new URL('../../../../deploy/proxies/', import.meta.url);
/** The user `nobody` of Debian, for the proxies of a test that root runs. */
const NOBODY = 65534;
const PATIENCE_MS = 20_000;

/** Says how to run a recipe: its file, what the test changes of it, and the program with its arguments. */
export interface Kind {
  name: string;
  file: string;
  /** Puts addresses, port and certificates of the test into the recipe, and what belongs around it. */
  around(recipe: string, place: Place): string;
  command: (file: string, directory: string) => string[];
  /** False if the program has no time-out for WebSockets. */
  timesOut: boolean;
}

interface Place {
  port: number;
  gateway: string;
  directory: string;
}

/** Replaces a text that must be there. */
function swap(text: string, from: string, to: string): string {
  assert.ok(text.includes(from), `the recipe has no ${from}`);
  return text.replaceAll(from, to);
}

/** What all recipes have in common. Their time-outs become a twenty-fifth, as the tests' heartbeat is 1s in the place of 25s. */
function common(recipe: string, { gateway, directory }: Place): string {
  return swap(swap(recipe, '127.0.0.1:7678', gateway), '/etc/ssl/rosterd', directory).replaceAll('75s', '3s');
}

export const KINDS: readonly Kind[] = [
  {
    name: 'nginx', file: 'nginx.conf', timesOut: true,
    around(recipe, place) {
      const inner = swap(common(recipe, place), 'listen 443', `listen 127.0.0.1:${place.port}`).replace('rosterd.example.com;', 'localhost;');
      const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${place.directory}/${name};`).join('\n');
      return `daemon off; pid ${place.directory}/pid; worker_processes 1;\nevents {}\nhttp {\naccess_log off;\n${paths}\n${inner}\n}\n`;
    },
    command: (file, directory) => ['nginx', '-p', directory, '-c', file, '-e', 'stderr'],
  },
  {
    name: 'Caddy', file: 'Caddyfile', timesOut: false,
    around(recipe, place) {
      const site = swap(common(recipe, place), '\nrosterd.example.com {', `\nhttps://localhost:${place.port} {`);
      return `{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n\tskip_install_trust\n}\n${site}`;
    },
    command: (file) => ['caddy', 'run', '--config', file, '--adapter', 'caddyfile'],
  },
  {
    name: 'HAProxy', file: 'haproxy.cfg', timesOut: true,
    around: (recipe, place) => swap(common(recipe, place), 'bind :443', `bind 127.0.0.1:${place.port}`),
    command: (file) => ['haproxy', '-db', '-f', file],
  },
];

/** A running proxy. */
export class Proxy {
  readonly port: number;
  readonly #directory: string;
  readonly #process: ChildProcess;
  #log = '';

  private constructor(kind: Kind, port: number, gateway: string) {
    this.port = port;
    this.#directory = mkdtempSync(join(tmpdir(), 'rosterd-proxy-'));
    certificate(this.#directory);
    const file = join(this.#directory, kind.file);
    writeFileSync(file, kind.around(readFileSync(new URL(kind.file, recipes), 'utf8'), { port, gateway, directory: this.#directory }));
    const asRoot = process.getuid?.() === 0;
    if (asRoot) for (const name of ['.', ...readdirSync(this.#directory)]) chownSync(join(this.#directory, name), NOBODY, NOBODY);
    const [program, ...args] = kind.command(file, this.#directory);
    this.#process = spawn(installed(program as string), args, {
      cwd: this.#directory, env: { PATH: process.env['PATH'], HOME: this.#directory, XDG_DATA_HOME: this.#directory, XDG_CONFIG_HOME: this.#directory },
      stdio: ['ignore', 'pipe', 'pipe'], ...(asRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) stream?.on('data', (data: Buffer) => (this.#log += String(data)));
  }

  /** Starts it in front of the gateway at this address, and waits until it answers. */
  static async start(kind: Kind, gateway: string): Promise<Proxy> {
    const proxy = new Proxy(kind, await freePort(), gateway);
    const end = Date.now() + PATIENCE_MS;
    while (!(await proxy.#answers())) {
      assert.ok(Date.now() < end && proxy.#process.exitCode === null, `${kind.name} does not answer:\n${proxy.#log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return proxy;
  }

  get origin(): string {
    return `https://localhost:${this.port}`;
  }

  get url(): string {
    return `wss://localhost:${this.port}/rosterd/v1/ws`;
  }

  async end(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const gone = once(this.#process, 'exit');
      // To nginx this is a stop without waiting for connections; its worker ends with it.
      this.#process.kill('SIGTERM');
      await gone;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      get(`${this.origin}/rosterd/sdk/rosterd.js`, { rejectUnauthorized: false, family: 4 }, (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      }).on('error', () => resolve(false));
    });
  }
}

/** Finds a program; those for root are not in everybody's path. */
function installed(program: string): string {
  const found = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'].map((directory) => join(directory, program)).find((file) => existsSync(file));
  assert.ok(found, `there is no ${program}: apt-get install nginx caddy haproxy`);
  return found;
}

/** Makes a certificate for localhost in the forms that the recipes name. */
function certificate(directory: string): void {
  const [key, chain] = [join(directory, 'privkey.pem'), join(directory, 'fullchain.pem')];
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', chain,
  ], { stdio: 'ignore' });
  const both = join(directory, 'rosterd.pem');
  writeFileSync(both, readFileSync(chain, 'utf8') + readFileSync(key, 'utf8'));
  for (const file of [key, both]) chmodSync(file, 0o600);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
