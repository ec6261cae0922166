// The digest of a friend list, which both sides compare at `synced`: equal digests mean equal lists and versions.
// docs/conformance/digest.json has its test vectors.

// Between the steps numbers have a sign: those up to 2^32 would be slow, and a page has 10,000 friends.

/** Mixes all bits, as the end of MurmurHash3 does. */
function fmix32(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Computes FNV-1a. Accounts are ASCII, so a UTF-16 code unit is a byte. */
function fnv1a(account: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < account.length; i++) h = Math.imul(h ^ account.charCodeAt(i), 0x01000193);
  return h;
}

/** Mixes in the lower half of a version, then the upper one. */
const mix = (h: number, version: number): number => fmix32(fmix32(h ^ version) ^ (version / 2 ** 32));

/** Computes one friend's share of the digest. */
export function share(account: string, friendVersion: number, userVersion: number): number {
  return mix(mix(fnv1a(account), friendVersion), userVersion) >>> 0;
}

interface Versioned {
  version: number;
}

/** Computes the digest of a friend list. A friend without a profile counts with user version 0. */
export function digest(friends: ReadonlyMap<string, Versioned>, users: ReadonlyMap<string, Versioned>): number {
  let sum = 0;
  for (const [account, friend] of friends) {
    sum = (sum + share(account, friend.version, users.get(account)?.version ?? 0)) >>> 0;
  }
  return sum;
}

/** The number of buckets of a friend list, which a repair compares one by one. */
const BUCKETS = 64;

/** Returns the bucket of a friend. */
export function bucket(account: string): number {
  return (fnv1a(account) >>> 0) % BUCKETS;
}

/** Computes the digest of each bucket. */
export function digests(friends: ReadonlyMap<string, Versioned>, users: ReadonlyMap<string, Versioned>): number[] {
  const buckets = Array.from({ length: BUCKETS }, () => new Map<string, Versioned>());
  for (const [account, friend] of friends) buckets[bucket(account)]?.set(account, friend);
  return buckets.map((friends) => digest(friends, users));
}
