// Emits changed records as events, in an order that applications can rely on.

import type { Emitter } from './emitter.js';
import type { Events } from './options.js';
import type { Difference } from './replica.js';
import type { Stored } from './store.js';

/** Emits the records that a store had kept. */
export function announceStored(emitter: Emitter<Events>, { me, users, friends, requests, blocks }: Stored): void {
  if (me) emitter.emit('me', me, 'cache');
  if (!me && !users.length && !friends.length) return;
  emitter.emit('users', users, 'cache');
  emitter.emit('friends', friends, 'cache');
  if (requests.length) emitter.emit('requests', requests, 'cache');
  if (blocks.length) emitter.emit('blocks', blocks, 'cache');
}

/** Emits the result of a catch-up. */
export function announceSync(emitter: Emitter<Events>, difference: Difference): void {
  const { me, users, friends, removed, full } = difference;
  if (me) emitter.emit('me', me, 'sync');
  if (full || users.length) emitter.emit('users', users, 'sync');
  if (full || friends.length) emitter.emit('friends', friends, 'sync');
  for (const account of removed) emitter.emit('friendRemoved', account);
  announceRest(emitter, difference, 'sync');
}

/** Emits a change that came while live: removals first, and profiles before friendships. */
export function announceUpdate(emitter: Emitter<Events>, difference: Difference): void {
  const { how, me, users, friends, removed } = difference;
  for (const account of removed) emitter.emit('friendRemoved', account);
  if (me) emitter.emit('me', me, how);
  for (const user of users) emitter.emit('userUpdated', user);
  if (friends.length) emitter.emit('friends', friends, 'update');
  announceRest(emitter, difference, 'update');
}

/** Emits the rest, which is the same in both cases. */
function announceRest(emitter: Emitter<Events>, { requests, blocks, presence, sessions, full }: Difference, how: 'sync' | 'update'): void {
  if (full || requests.length) emitter.emit('requests', requests, how);
  if (full || blocks.length) emitter.emit('blocks', blocks, how);
  if (presence) emitter.emit('presence', presence, how);
  if (sessions) emitter.emit('sessions', sessions);
}
