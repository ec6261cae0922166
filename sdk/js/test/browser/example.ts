// The example for React, as `vite build` makes it, served on loopback.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const sdk = fileURLToPath(new URL('../../', import.meta.url));
const TYPES: Record<string, string> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css' };

export class Example {
  readonly #directory = mkdtempSync(join(tmpdir(), 'rosterd-example-'));
  readonly #server: Server = createServer(({ url = '/' }, response) => {
    const { pathname } = new URL(url, 'http://example');
    const file = join(this.#directory, 'dist', pathname === '/' ? 'index.html' : pathname);
    if (!existsSync(file)) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(readFileSync(file));
  });

  static async serve(): Promise<Example> {
    const example = new Example();
    cpSync(join(sdk, '../../examples/react'), example.#directory, { recursive: true, filter: (source) => !/examples\/react\/(node_modules|dist)/.test(source) });
    const modules = join(example.#directory, 'node_modules');
    mkdirSync(modules);
    for (const name of ['react', 'react-dom', 'scheduler', 'vite']) symlinkSync(join(sdk, 'node_modules', name), join(modules, name));
    symlinkSync(sdk, join(modules, 'rosterd'));
    await promisify(execFile)(process.execPath, [join(sdk, 'node_modules/vite/bin/vite.js'), 'build', '--logLevel', 'warn'], { cwd: example.#directory });
    example.#server.listen(0, '127.0.0.1');
    await once(example.#server, 'listening');
    return example;
  }

  /** The address of the page of an account, with the gateway that it is to use. */
  page(account: string, gateway: string): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}/?${new URLSearchParams({ as: account, gateway })}`;
  }

  close(): void {
    this.#server.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
