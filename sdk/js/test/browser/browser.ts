// A real Chromium, and helpers to inspect its pages.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { ServerFrame } from '../../src/protocol.js';

export const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
/** The limit for every wait; generous, for a busy machine. */
const PATIENCE_MS = 20_000;

export function executable(): string {
  const path = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
  if (!existsSync(path)) throw new Error(`there is no ${path}: apt-get install chromium, or set CHROMIUM`);
  return path;
}

export async function launch(...flags: string[]): Promise<Browser> {
  return chromium.launch({ executablePath: executable(), headless: true, args: [...FLAGS, ...flags] });
}

/**
 * Starts a Chromium that treats tabs as it does for users: those that are not in front are hidden and can be frozen, and
 * pages are kept for the way back.
 */
export async function ordinary(): Promise<{ context: BrowserContext; close(): Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'rosterd-chromium-'));
  const flags = [...FLAGS, '--headless=new', '--remote-debugging-port=0', `--user-data-dir=${directory}`, 'about:blank'];
  const child = spawn(executable(), flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  let endpoint = '';
  for await (const line of createInterface({ input: child.stderr })) {
    endpoint = /DevTools listening on (\S+)/.exec(line)?.[1] ?? '';
    if (endpoint) break;
  }
  child.stderr.resume();
  const browser = await chromium.connectOverCDP(endpoint, { noDefaults: true });
  const [context] = browser.contexts() as [BrowserContext];
  const close = async (): Promise<void> => {
    await (await browser.newBrowserCDPSession()).send('Browser.close');
    await exited;
    // Some of its processes end a moment later.
    rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
  };
  return { context, close };
}

/** Creates an empty browser profile, separate from other tests. */
export async function profile(browser: Browser): Promise<BrowserContext> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(PATIENCE_MS);
  return context;
}

/** Records the WebSocket traffic of a page, as the browser saw it. */
export class Frames {
  readonly received: ServerFrame[] = [];
  sockets = 0;

  constructor(page: Page) {
    page.on('websocket', (socket) => {
      this.sockets++;
      socket.on('framereceived', ({ payload }) => this.received.push(JSON.parse(String(payload)) as ServerFrame));
    });
  }

  /** Returns the frames since the last login, beginning with its reply. */
  sinceLogin(): ServerFrame[] {
    return this.received.slice(this.received.findLastIndex((frame) => frame.loginReply));
  }
}

/** Collects uncaught errors of the page. */
export function uncaught(page: Page): Error[] {
  const errors: Error[] = [];
  page.on('pageerror', (error) => errors.push(error));
  return errors;
}
