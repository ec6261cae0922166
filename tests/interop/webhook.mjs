// The requests of a webhook, with the code of docs/events.md and the libraries for JavaScript.

import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";

const { code, secret, previous, received, vectors } = JSON.parse(await text(process.stdin));
// Here, so that it finds the libraries.
const file = new URL(`./webhook-of-the-page-${process.pid}.mjs`, import.meta.url);
writeFileSync(file, code);
const { events } = await import(file).finally(() => rmSync(file));

for (const { headers, body } of received) {
  for (const good of [secret, previous]) {
    for (const event of events(good, headers, body)) event.validate();
  }
  assert.throws(() => events(secret, headers, `${body} `));
  assert.throws(() => events(`${secret.slice(0, -4)}AAAA`, headers, body));
}
for (const { secret, previousSecret, id, timestamp, body, signature } of vectors) {
  const secrets = previousSecret === undefined ? [secret] : [secret, previousSecret];
  const signed = secrets.map((one) => new Webhook(one).sign(id, new Date(timestamp * 1000), body));
  assert.equal(signed.join(" "), signature);
}
console.log(`  javascript: ${received.length} requests of a webhook, ${vectors.length} vectors`);
