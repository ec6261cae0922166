// The JavaScript digest of docs/protocol.md, against docs/conformance/digest.json; both come on standard input.
import { readFileSync } from "node:fs";

const { code, vectors } = JSON.parse(readFileSync(0, "utf8"));
const { leaf, digest, leaves: parts } = new Function(`${code}; return { leaf, digest, leaves };`)();
for (const [at, { friends, leaves, digest: expected, repair }] of vectors.entries()) {
  const each = friends.map((f) => leaf(f.account, f.friendVersion, f.userVersion));
  if (JSON.stringify(each) !== JSON.stringify(leaves)) throw new Error(`vector ${at}: leaves ${each}, not ${leaves}`);
  const lists = ["friendVersion", "userVersion"].map((v) => new Map(friends.map((f) => [f.account, { version: f[v] }])));
  if (JSON.stringify(parts(...lists)) !== JSON.stringify(repair)) throw new Error(`vector ${at}: parts ${parts(...lists)}`);
  if (digest(...lists) !== expected) throw new Error(`vector ${at}: ${digest(...lists)}, not ${expected}`);
}
console.log(`  javascript: ${vectors.length} digest vectors`);
