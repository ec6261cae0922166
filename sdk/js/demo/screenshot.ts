// Creates docs/images/demo.png: the windows of two friends, side by side. It needs the same as the browser tests:
//   node --import ./scripts/ts.js demo/screenshot.ts

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch } from '../test/browser/browser.js';
import { Gateway } from '../test/browser/gateway.js';

const IMAGE = fileURLToPath(new URL('../../../docs/images/demo.png', import.meta.url));
const WINDOW = { width: 860, height: 620 };

const gateway = await Gateway.start();
const browser = await launch();
try {
  const open = async (account: string, colorScheme: 'light' | 'dark') => {
    const context = await browser.newContext({ viewport: WINDOW, deviceScaleFactor: 2, colorScheme, locale: 'en-GB', reducedMotion: 'no-preference' });
    const page = await context.newPage();
    await page.goto(`${gateway.origin}/?as=${account}`);
    await page.locator('#state[data-state="live"]').waitFor();
    return page;
  };
  const alice = await open('alice', 'light');
  const bob = await open('bob', 'dark');
  const save = async (sign: string) => {
    await bob.fill('#edit [name="sign"]', sign);
    await bob.click('#edit button');
    await alice.locator('#friends [data-account="bob"] .sign', { hasText: sign }).waitFor();
  };
  await alice.fill('#edit [name="nick"]', 'Alice Liddell');
  await alice.click('#edit button');
  await bob.locator('#friends [data-account="alice"] .nick', { hasText: 'Alice Liddell' }).waitFor();
  await save('Yes we can!');
  await alice.locator('#trace .in details').last().evaluate((details) => ((details as HTMLDetailsElement).open = true));
  const shots = [await alice.screenshot(), await bob.screenshot()];

  const page = await browser.newPage({ viewport: { width: 2 * WINDOW.width + 72, height: WINDOW.height + 48 }, deviceScaleFactor: 1.25 });
  const images = shots.map((shot) => `<img width="${WINDOW.width}" src="data:image/png;base64,${shot.toString('base64')}">`);
  await page.setContent(`<style>
    body { margin: 0; padding: 24px; display: flex; gap: 24px; background: linear-gradient(120deg, #d9d3f7, #c9e4da); }
    img { display: block; border-radius: 12px; box-shadow: 0 8px 30px #1d1d2640; }
  </style>${images.join('')}`);
  mkdirSync(new URL('.', `file://${IMAGE}`), { recursive: true });
  await page.screenshot({ path: IMAGE });
} finally {
  await browser.close();
  await gateway.close();
}
