// The samples for React, Vue and Svelte in the README, built as their frameworks build them, on a page beside a gateway.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Plugin } from 'esbuild';
import type { Browser } from 'playwright-core';
import { compile } from 'svelte/compiler';
import { compileScript, parse } from 'vue/compiler-sfc';
import { launch, profile, uncaught } from './browser.js';
import { Gateway } from './gateway.js';

const sdk = fileURLToPath(new URL('../../', import.meta.url));
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const section = readme.slice(readme.indexOf('## React'), readme.indexOf('## Coming from NIM'));

/** The sample in this language, of at most ten lines that say something. */
function sample(language: string): string {
  const [, text] = new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(section) ?? [];
  assert.ok(text, `the README has no sample of ${language}`);
  const lines = text.split('\n').filter((line) => /[\w]/.test(line) && !/^<\/?[\w ]*>$/.test(line.trim()));
  assert.ok(lines.length <= 10, `${language}: ${lines.length} lines`);
  return text;
}

const vue = (source: string): string => {
  const { descriptor, errors } = parse(source);
  assert.deepEqual(errors, []);
  return compileScript(descriptor, { id: 'sample', inlineTemplate: true }).content;
};

/** By framework: how its sample becomes a module, and how a page mounts it at `#app`. */
const FRAMEWORKS: Record<string, { component: () => string; main: string }> = {
  React: { component: () => sample('jsx'), main: `import { createElement } from 'react'; import { createRoot } from 'react-dom/client'; createRoot(app).render(createElement(Sample));` },
  Vue: { component: () => vue(sample('vue')), main: `import { createApp } from 'vue'; createApp(Sample).mount(app);` },
  Svelte: { component: () => compile(sample('svelte'), { generate: 'client' }).js.code, main: `import { mount } from 'svelte'; mount(Sample, { target: app });` },
};

/** Builds a page's script. `client.js` is that of the README, with its options. */
async function bundle(component: string, main: string, options: object): Promise<string> {
  const files: Record<string, string> = {
    './sample': component,
    './client.js': `const { url, account, getToken } = ${JSON.stringify(options)};\n${sample('js')}`,
  };
  const here: Plugin = {
    name: 'here',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^\.\/(sample|client\.js)$/ }, ({ path }) => ({ path, namespace: 'here' }));
      onLoad({ filter: /.*/, namespace: 'here' }, ({ path }) => ({ contents: files[path] ?? '', loader: 'jsx', resolveDir: sdk }));
    },
  };
  const stdin = { contents: `import Sample from './sample'; const app = document.querySelector('#app'); ${main}`, resolveDir: sdk, loader: 'js' as const };
  const { outputFiles } = await build({
    stdin, bundle: true, write: false, format: 'iife', jsx: 'automatic', conditions: ['browser'], plugins: [here], logLevel: 'warning',
    define: { 'process.env.NODE_ENV': '"production"', __VUE_OPTIONS_API__: 'true', __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false' },
    logOverride: { 'empty-import-meta': 'silent' },
  });
  return outputFiles[0]?.text ?? '';
}

let browser: Browser;
let gateway: Gateway;
before(async () => {
  browser = await launch();
  gateway = await Gateway.start();
});
after(async () => {
  await browser.close();
  await gateway.close();
});

for (const [name, { component, main }] of Object.entries(FRAMEWORKS)) {
  test(`the sample for ${name} shows the friends, and follows them`, async () => {
    const context = await profile(browser);
    const page = await context.newPage();
    const errors = uncaught(page);
    await page.goto(`${gateway.origin}/sdk/rosterd.js`);
    await page.setContent('<div id="app"></div>');
    await page.addScriptTag({ content: await bundle(component(), main, { url: gateway.url, account: 'alice' }) });
    await page.locator('#app p', { hasText: 'live' }).waitFor();
    assert.equal(await page.locator('#app li').count(), 3);
    await gateway.api('PATCH', '/v1/users/bob', { nick: `Bob on a page of ${name}` });
    await page.locator('#app li', { hasText: `Bob on a page of ${name}` }).waitFor();
    await gateway.api('PUT', '/v1/users/alice/friends/erin');
    await page.locator('#app li', { hasText: 'Erin' }).waitFor();
    await gateway.api('DELETE', '/v1/users/alice/friends/erin');
    await page.locator('#app li', { hasText: 'Erin' }).waitFor({ state: 'detached' });
    assert.deepEqual(errors, []);
    await context.close();
  });
}
