// The browser client of docs/protocol.md, in Chromium, beside a client in the terminal.
// argv: the gateway's URL, the rosterd binary. Standard input: the code of the page.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [url, binary] = process.argv.slice(2);
const code = readFileSync(0, "utf8");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
flags.push("--disable-background-networking", "--disable-component-update", "--disable-sync");

function terminal(account) {
  const child = spawn(binary, ["connect", account, "--url", url], { stdio: ["pipe", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (data) => (text += data));
  return {
    type: (line) => child.stdin.write(`${line}\n`),
    leave: () => child.stdin.end(),
    shows: (part) => until(`the terminal shows ${part}`, () => text.includes(part)),
  };
}

async function until(what, condition) {
  for (const end = Date.now() + 10_000; Date.now() < end; await new Promise((r) => setTimeout(r, 20))) {
    if (await condition()) return;
  }
  throw new Error(`never: ${what}`);
}

const said = (what) => console.log(`  browser: ${what}`);
const browser = await chromium.launch({ executablePath, args: flags, headless: true });
const bob = terminal("bob");
try {
  await bob.shows("in sync: 2 friends");
  const page = await browser.newPage();
  page.on("pageerror", (error) => assert.fail(error));
  await page.addScriptTag({ content: code });
  const inPage = (what, ...rest) => page.waitForFunction(what, ...rest, { timeout: 10_000 });

  await page.evaluate((url) => void (window.alice = new Client(url, "alice")), url);
  await inPage(() => alice.cursor !== null);
  assert.deepEqual(await page.evaluate(() => [...alice.held.friends.keys()].sort()), ["bob", "carol", "dave"]);
  said(`${browser.version()} logs in, and the digest agrees`);

  bob.type("nick Bobby 🦀");
  await inPage(() => alice.held.users.get("bob").nick === "Bobby 🦀");
  said("a nick changed in the terminal arrives");

  const nick = await page.evaluate(async () => {
    const reply = await alice.request({ updateMyInfo: { nick: "Ally", gender: "female" } });
    return reply.updateMyInfoReply.user.nick;
  });
  assert.equal(nick, "Ally");
  await bob.shows('"nick":"Ally"');
  said("a nick changed in the page arrives in the terminal");

  const error = await page.evaluate(() => alice.request({ updateMyInfo: { email: "x" } }).catch((error) => error));
  assert.deepEqual([error.code, error.field], [414, "email"]);
  said("a wrong field is refused by name");

  // Away and back: a delta on what is held, the same as a fresh full sync.
  await page.evaluate(() => (window.before = alice.socket).close());
  bob.type("sign while alice was away");
  await inPage(() => alice.socket !== before && alice.held.users.get("bob").sign === "while alice was away");
  await page.evaluate((url) => void (window.fresh = new Client(url, "alice")), url);
  await inPage(() => fresh.cursor !== null);
  const sums = await page.evaluate(() => [alice, fresh].map(({ held }) => digest(held.friends, held.users)));
  assert.equal(sums[0], sums[1]);
  said("back after a lost connection, it holds what a full sync gives");

  const held = await page.evaluate(() => alice.held.users.size);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.equal(await page.evaluate(() => alice.socket.readyState), 1);
  assert.equal(held, 3);
  said("it answers heartbeats and stays");

  await page.evaluate(() => Promise.all([alice, fresh].map((client) => client.request({ logout: {} }))));
  said("it logs out");
} finally {
  bob.leave();
  await browser.close();
}
