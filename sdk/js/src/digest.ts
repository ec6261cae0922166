// The sum over a friend list that both sides compare at `synced`: equal sums, equal lists and versions.
// docs/conformance/digest.json has its test vectors.

function fmix32(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** One friend's share. Accounts are ASCII, so that a UTF-16 code unit is a byte. */
export function leaf(account: string, friendVersion: number, userVersion: number): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < account.length; i++) h = Math.imul(h ^ account.charCodeAt(i), 0x01000193);
  for (const version of [friendVersion, userVersion]) {
    h = fmix32(fmix32(h ^ (version >>> 0)) ^ Math.floor(version / 2 ** 32));
  }
  return h;
}

interface Versioned {
  version: number;
}

/** The digest of a friend list; a friend whose card is missing counts with user version 0. */
export function digest(friends: ReadonlyMap<string, Versioned>, users: ReadonlyMap<string, Versioned>): number {
  let sum = 0;
  for (const [account, friend] of friends) {
    sum = (sum + leaf(account, friend.version, users.get(account)?.version ?? 0)) >>> 0;
  }
  return sum;
}
