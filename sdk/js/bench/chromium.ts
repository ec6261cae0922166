// A Chromium that nothing inspects. An inspector keeps stack traces, and V8 parses a script again for each: that alone makes
// React's script a task of 60 ms instead of 20. So pages measure themselves, and the browser is asked only for its tasks.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { executable, FLAGS } from '../test/browser/browser.js';

/** A trace event, as far as it is of use here. */
interface Traced {
  name: string;
  pid: number;
  tid: number;
  tdur?: number;
  args: { name?: string };
}

export class Chromium {
  readonly #socket: WebSocket;
  readonly #close: () => Promise<void>;
  readonly #replies = new Map<number, (result: any) => void>();
  #traced: Traced[] = [];
  #complete = (): void => {};
  #lastId = 0;

  private constructor(socket: WebSocket, close: () => Promise<void>) {
    this.#socket = socket;
    this.#close = close;
    socket.on('message', (data) => {
      const { id, error, result, method, params } = JSON.parse(String(data));
      if (error) throw new Error(error.message);
      this.#replies.get(id)?.(result);
      if (method === 'Tracing.dataCollected') for (const event of params.value) this.#traced.push(event);
      if (method === 'Tracing.tracingComplete') this.#complete();
    });
  }

  static async start(): Promise<Chromium> {
    const directory = mkdtempSync(join(tmpdir(), 'rosterd-bench-'));
    const flags = [...FLAGS, '--headless=new', '--remote-debugging-port=0', '--no-startup-window', '--window-size=1280,800', `--user-data-dir=${directory}`];
    const child = spawn(executable(), flags, { stdio: ['ignore', 'ignore', 'pipe'] });
    const exited = once(child, 'exit');
    let endpoint = '';
    for await (const line of createInterface({ input: child.stderr })) {
      endpoint = /DevTools listening on (\S+)/.exec(line)?.[1] ?? '';
      if (endpoint) break;
    }
    child.stderr.resume();
    const socket = new WebSocket(endpoint, { maxPayload: 2 ** 30 });
    await once(socket, 'open');
    return new Chromium(socket, async () => {
      await exited;
      rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
    });
  }

  #send(method: string, params: object = {}): Promise<any> {
    const id = ++this.#lastId;
    this.#socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => this.#replies.set(id, resolve));
  }

  /** Creates an empty profile; returns its id. */
  async profile(): Promise<string> {
    return (await this.#send('Target.createBrowserContext')).browserContextId;
  }

  dispose(browserContextId: string): Promise<void> {
    return this.#send('Target.disposeBrowserContext', { browserContextId });
  }

  /** Opens a page; returns its id. */
  async open(browserContextId: string, url: string): Promise<string> {
    return (await this.#send('Target.createTarget', { url, browserContextId })).targetId;
  }

  closePage(targetId: string): Promise<void> {
    return this.#send('Target.closeTarget', { targetId });
  }

  /** Returns the processor's time of the longest task of any page meanwhile, in milliseconds. */
  async busiest(work: () => Promise<void>): Promise<number> {
    this.#traced = [];
    await this.#send('Tracing.start', { traceConfig: { includedCategories: ['toplevel', '__metadata'], excludedCategories: ['*'] } });
    await work();
    const complete = new Promise<void>((resolve) => (this.#complete = resolve));
    await this.#send('Tracing.end');
    await complete;
    const thread = ({ pid, tid }: Traced): string => `${pid} ${tid}`;
    const main = new Set(this.#traced.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(thread));
    const tasks = this.#traced.filter((event) => event.name.endsWith('RunTask') && main.has(thread(event)));
    if (tasks.length === 0) throw new Error('the trace has no tasks');
    return tasks.reduce((most, { tdur = 0 }) => Math.max(most, tdur), 0) / 1000;
  }

  async close(): Promise<void> {
    // No answer comes.
    void this.#send('Browser.close');
    await this.#close();
  }
}
