// Events of the feed.

import type { JSX } from 'preact';
import type { RosterEvent } from '../records.js';
import { Account } from '../ui.js';

/** Who asked for a change. */
export function who({ data: { by } }: RosterEvent): JSX.Element | string {
  if (!by) return '';
  if (by.kind === 'key') return <>key <b>{by.key}</b></>;
  if (by.kind === 'client') return <>client <code>{by.session}</code></>;
  return by.kind;
}

/** Whom an event is about. */
export function about(event: RosterEvent): JSX.Element {
  const both = (event.data.accounts ?? [event.subject]).filter((name): name is string => !!name);
  return <>{both.map((name, i) => <span key={name}>{i > 0 && ' and '}<Account of={name} tab="changes" /></span>)}</>;
}
