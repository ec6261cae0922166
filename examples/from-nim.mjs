// Reads profiles, friendships, notes and blacklists from NIM's server API, as lines for `rosterd import`.
//
//   export NIM_APP_KEY=… NIM_APP_SECRET=…
//   node from-nim.mjs read accounts.txt > nim.ndjson          # accounts.txt: one accid a line; also writes nim-notes.ndjson
//   rosterd import nim.ndjson
//   ROSTERD_OPS=http://127.0.0.1:7679 ROSTERD_API_KEY=… node from-nim.mjs notes nim-notes.ndjson
//
// Both can be repeated: what is there already is not changed. NIM_URL is another address of NIM's API.

import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

const NIM = process.env.NIM_URL ?? 'https://api.netease.im/nimserver';
/** NIM refuses more than 100 calls a second, and then everything for 10 s. */
const [BETWEEN_MS, REFUSED_MS] = [15, 10_000];
const AT_ONCE = 200;

async function nim(action, body) {
  const [nonce, time] = [randomUUID(), String(Math.floor(Date.now() / 1000))];
  const checkSum = createHash('sha1').update(process.env.NIM_APP_SECRET + nonce + time).digest('hex');
  const headers = { AppKey: process.env.NIM_APP_KEY, Nonce: nonce, CurTime: time, CheckSum: checkSum };
  await wait(BETWEEN_MS);
  const response = await fetch(`${NIM}/${action}.action`, { method: 'POST', headers, body: new URLSearchParams(body) });
  const answer = await response.json();
  if (answer.code === 416) return wait(REFUSED_MS).then(() => nim(action, body));
  if (answer.code !== 200) throw new Error(`${action} ${JSON.stringify(body)}: ${JSON.stringify(answer)}`);
  return answer;
}

/** Some fields come as a list, or as a list in a text. */
const list = (value) => (typeof value === 'string' ? JSON.parse(value || '[]') : value ?? []);

async function read(file) {
  // NIM knows accounts in lower case only.
  const accounts = [...new Set(readFileSync(file, 'utf8').split('\n').map((line) => line.trim().toLowerCase()).filter(Boolean))];
  const line = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
  const known = new Set();
  for (let i = 0; i < accounts.length; i += AT_ONCE) {
    const { uinfos } = await nim('user/getUinfos', { accids: JSON.stringify(accounts.slice(i, i + AT_ONCE)) });
    for (const { accid, name, icon, sign, email, birth, mobile, gender, ex } of list(uinfos)) {
      known.add(accid);
      line({ user: { account: accid, nick: name, avatar: icon, sign, email, birth, tel: mobile, gender: ['unknown', 'male', 'female'][gender ?? 0], custom: ex } });
    }
  }
  const [friends, notes, blocks] = [new Map(), [], []];
  for (const account of known) {
    const held = list((await nim('friend/get', { accid: account, updatetime: '0' })).friends);
    friends.set(account, new Set(held.map(({ faccid }) => faccid)));
    for (const { faccid, alias = '', ex = '' } of held) if (alias || ex) notes.push({ account, friend: faccid, alias, custom: ex });
    const { blacklist, mutelist } = await nim('user/listBlackAndMuteList', { accid: account });
    for (const other of list(blacklist)) if (known.has(other)) blocks.push([account, other]);
    const muted = list(mutelist).filter((other) => known.has(other) && other !== account);
    if (muted.length) line({ user: { account, muted } });
  }
  // Friendships have two sides here; one that NIM has on one side alone has ended.
  const both = (a, b) => known.has(b) && friends.get(a).has(b) && friends.get(b).has(a);
  for (const [account, held] of friends) for (const friend of held) if (account < friend && both(account, friend)) line({ friendship: [account, friend] });
  for (const block of blocks) line({ block });
  const kept = notes.filter(({ account, friend }) => both(account, friend));
  writeFileSync('nim-notes.ndjson', kept.map((note) => `${JSON.stringify(note)}\n`).join(''));
  console.error(`${known.size} of ${accounts.length} accounts, ${blocks.length} blocks; nim-notes.ndjson has ${kept.length} notes about friends`);
}

async function notes(file) {
  for (const text of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    const { account, friend, alias, custom } = JSON.parse(text);
    const url = `${process.env.ROSTERD_OPS ?? 'http://127.0.0.1:7679'}/v1/users/${encodeURIComponent(account)}/friends/${encodeURIComponent(friend)}`;
    const headers = { authorization: `Bearer ${process.env.ROSTERD_API_KEY ?? ''}`, 'content-type': 'application/json' };
    const response = await fetch(url, { method: 'PATCH', headers, body: JSON.stringify({ alias, custom }) });
    if (!response.ok) throw new Error(`${text}: ${response.status} ${await response.text()}`);
  }
}

const [what, file] = process.argv.slice(2);
const act = { read, notes }[what];
if (!act || !file) throw new Error('node from-nim.mjs read accounts.txt > nim.ndjson, or node from-nim.mjs notes nim-notes.ndjson');
await act(file);
