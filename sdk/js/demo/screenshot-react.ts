// Creates examples/react/screenshot.png: the example for React as two users, side by side. It needs the same as the browser tests:
//   node --import ./scripts/ts.js demo/screenshot-react.ts

import { fileURLToPath } from 'node:url';
import { launch } from '../test/browser/browser.js';
import { Example } from '../test/browser/example.js';
import { Gateway } from '../test/browser/gateway.js';

const IMAGE = fileURLToPath(new URL('../../../examples/react/screenshot.png', import.meta.url));
const WINDOW = { width: 440, height: 420 };

const gateway = await Gateway.start();
const browser = await launch();
const example = await Example.serve();
try {
  const open = async (account: string) => {
    const page = await (await browser.newContext({ viewport: WINDOW, locale: 'en-GB' })).newPage();
    await page.goto(example.page(account, gateway.url));
    await page.getByRole('status').filter({ hasText: 'live' }).waitFor();
    return page;
  };
  const [alice, bob] = [await open('alice'), await open('bob')];
  await (await gateway.client('erin')).requestFriend('alice', 'We met at the lake');
  await alice.getByText('erin asks').waitFor();
  await bob.getByLabel('Look at').fill('erin');
  await bob.locator('output', { hasText: 'Erin' }).waitFor();
  await bob.getByLabel('Sign').fill('Yes we can!');
  await bob.getByRole('button', { name: 'Save' }).click();
  await alice.getByRole('listitem').filter({ hasText: 'Yes we can!' }).waitFor();
  const images = [await alice.screenshot(), await bob.screenshot()].map((shot) => `<img src="data:image/png;base64,${shot.toString('base64')}">`);
  const page = await browser.newPage({ viewport: { width: 2 * WINDOW.width + 24, height: WINDOW.height } });
  await page.setContent(`<body style="margin: 0; display: flex; gap: 24px; background: #d9d3f7">${images.join('')}</body>`);
  await page.screenshot({ path: IMAGE });
} finally {
  await browser.close();
  await gateway.close();
  example.close();
}
