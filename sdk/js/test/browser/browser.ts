// A real Chromium, and helpers to inspect its pages.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { ServerFrame } from '../../src/protocol.js';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
/** The limit for every wait; generous, for a busy machine. */
const PATIENCE_MS = 20_000;

export async function launch(...flags: string[]): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) throw new Error(`there is no ${executablePath}: apt-get install chromium, or set CHROMIUM`);
  return chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...flags] });
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
