// The events that say what became different, in the order in which an application can take them.

import type { Emitter } from './emitter.js';
import type { Events } from './options.js';
import type { Difference } from './replica.js';
import type { Stored } from './store.js';

export function announceStored(emitter: Emitter<Events>, { me, users, friends, requests, blocks }: Stored): void {
  if (me) emitter.emit('me', me, 'cache');
  if (!me && !users.length && !friends.length) return;
  emitter.emit('users', users, 'cache');
  emitter.emit('friends', friends, 'cache');
  if (requests.length) emitter.emit('requests', requests, 'cache');
  if (blocks.length) emitter.emit('blocks', blocks, 'cache');
}

export function announceSync(emitter: Emitter<Events>, { me, users, friends, removed, requests, blocks, presence, sessions, full }: Difference): void {
  if (me) emitter.emit('me', me, 'sync');
  if (full || users.length) emitter.emit('users', users, 'sync');
  if (full || friends.length) emitter.emit('friends', friends, 'sync');
  for (const account of removed) emitter.emit('friendRemoved', account);
  if (full || requests.length) emitter.emit('requests', requests, 'sync');
  if (full || blocks.length) emitter.emit('blocks', blocks, 'sync');
  if (presence) emitter.emit('presence', presence, 'sync');
  if (sessions) emitter.emit('sessions', sessions);
}

export function announceUpdate(emitter: Emitter<Events>, { how, me, users, friends, removed, requests, blocks, presence, sessions }: Difference): void {
  for (const account of removed) emitter.emit('friendRemoved', account);
  if (me) emitter.emit('me', me, how);
  for (const user of users) emitter.emit('userUpdated', user);
  if (friends.length) emitter.emit('friends', friends, 'update');
  if (requests.length) emitter.emit('requests', requests, 'update');
  if (blocks.length) emitter.emit('blocks', blocks, 'update');
  if (presence) emitter.emit('presence', presence, 'update');
  if (sessions) emitter.emit('sessions', sessions);
}
