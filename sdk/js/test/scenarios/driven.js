// The JavaScript client under the scenarios of docs/conformance/scenarios: a client that is driven by lines of JSON.
// docs/conformance/scenarios/README.md describes the lines. Whoever runs the scenarios starts this program.

import { mkdirSync, readFileSync, rmSync, writeFileSync, renameSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { MemoryStore, RosterdClient, RosterdError, UnauthorizedError } from '../../dist/esm/index.js';

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const described = ({ code, reason, message }) => ({ code, reason, message });

/** A store in a file for each key. A whole file takes the place of the one before. */
class FileStore {
  #memory = new MemoryStore();

  constructor(folder) {
    this.folder = folder;
  }

  #file(key) {
    return join(this.folder, `${createHash('sha256').update(key).digest('hex')}.json`);
  }

  async load(key) {
    let text;
    try {
      text = readFileSync(this.#file(key), 'utf8');
    } catch (error) {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }
    const stored = JSON.parse(text);
    await this.#memory.save(key, { clear: true, ...stored });
    return stored;
  }

  async save(key, change) {
    await this.#memory.save(key, change);
    mkdirSync(this.folder, { recursive: true });
    const file = this.#file(key);
    writeFileSync(`${file}.new`, JSON.stringify(await this.#memory.load(key)));
    renameSync(`${file}.new`, file);
  }

  async wipe(key) {
    await this.#memory.wipe(key);
    for (const file of [this.#file(key), `${this.#file(key)}.new`]) rmSync(file, { force: true });
  }
}

let client;
let questions = 0;
const asked = new Map();
const holds = new Map();

function getToken(why) {
  const ask = ++questions;
  say({ event: 'token', ask, why });
  return new Promise((resolve, reject) => asked.set(ask, { resolve, reject }));
}

function open({ url, account, token, asksForTokens, device, cache, requestTimeoutMs }) {
  client = new RosterdClient({
    url, account, device, requestTimeoutMs, WebSocket,
    ...(token === undefined ? {} : { token }),
    ...(asksForTokens ? { getToken } : {}),
    store: cache ? new FileStore(cache) : 'memory',
    backoff: { minMs: 20, maxMs: 200 },
  });
  client.on('change', ({ connection, me, pending, users, friends, requests, blocks, presence, sessions, watched }) => {
    say({
      event: 'change',
      snapshot: {
        phase: connection.state, lastError: connection.lastError?.reason ?? null, me: me ?? null, pending: pending ?? null,
        users: [...users.values()], friends: [...friends.values()], requests, blocks: [...blocks.values()],
        presence: [...presence.values()], sessions, watched: [...watched].sort(),
      },
    });
  });
  client.on('signal', ({ from, payload }) => say({ event: 'signal', from, payload }));
  client.on('error', (error) => say({ event: 'error', error: described(error) }));
  return {};
}

/** Makes a call by the command's name on the wire, and returns the reply as it is on the wire. */
async function call(command, body, options) {
  const { account, message, accounts } = body;
  switch (command) {
    case 'updateMyInfo': {
      const { ifVersion, ...fields } = body;
      return { user: await client.updateMyInfo(fields, { ifVersion, ...options }) };
    }
    case 'getUsers': return client.getUsers(accounts, { fresh: true });
    case 'watch': return client.watch(accounts);
    case 'getSessions': return { sessions: await client.getSessions() };
    case 'getSchema': return client.getSchema();
    case 'kick': return { kicked: await client.kick(body.sessions) };
    case 'signal': return client.signal(body.to, body.payload);
    case 'setMuted': return client.setMuted(account, body.muted);
    case 'setPresence': return client.setPresence(body);
    case 'updateFriend': return client.updateFriend(account, body);
    case 'addFriend':
    case 'requestFriend': return client[command](account, message);
    default: return client[command](account);
  }
}

const operations = {
  open,
  connect: () => client.connect(),
  disconnect: () => client.disconnect(),
  logout: () => client.logout(),
  forget: () => client.logout({ forget: true }),
  // It does that by itself, when the page shows again or the network is back.
  wake: () => {},
  call: ({ command, body, options }) => call(command, body, options),
  hold: ({ name, accounts }) => void holds.set(name, client.hold(accounts)),
  release: ({ name }) => holds.get(name)(),
  clock: ({ offsetMs }) => {
    const { now } = Date;
    Date.now = () => now() + offsetMs;
  },
};

async function take(line) {
  const { id, op } = line;
  if (op === 'exit') process.exit(0);
  if (op === 'token') {
    const { resolve, reject } = asked.get(line.ask);
    if (line.token !== undefined) resolve(line.token);
    else reject(line.unauthorized ? new UnauthorizedError() : new Error('no token now'));
    return;
  }
  try {
    say({ id, result: (await operations[op](line)) ?? {} });
  } catch (error) {
    if (!(error instanceof RosterdError)) throw error;
    say({ id, error: described(error) });
  }
}

createInterface({ input: process.stdin }).on('line', (line) => void take(JSON.parse(line)));
say({ event: 'ready' });
