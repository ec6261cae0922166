// What operators did, newest first.

import type { JSX, TargetedSubmitEvent } from 'preact';
import { get, query } from '../api.js';
import type { AuditEntry } from '../records.js';
import { go, useLoad } from '../state.js';
import type { Place } from '../state.js';
import { Account, Head, Moment, Show, Table } from '../ui.js';

interface Page { entries: AuditEntry[]; next?: string }

export function Audit({ place }: { place: Place }): JSX.Element {
  const { caller = '', subject = '', before } = place.query;
  const filter = { ...(caller && { caller }), ...(subject && { subject }) };
  const path = query('/v1/audit', { ...filter, order: 'desc', after: before, limit: 50 });
  const page = useLoad(path, () => get<Page>(path));
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    go('audit', Object.fromEntries(new FormData(event.currentTarget) as unknown as Iterable<[string, string]>));
  };
  return <>
    <Head title="Audit" request={{ path }} />
    <form class="filter" key={`${caller} ${subject}`} onSubmit={submit}>
      <label>Key<input name="caller" defaultValue={caller} autocomplete="off" /></label>
      <label>Account<input name="subject" defaultValue={subject} autocomplete="off" /></label>
      <button type="submit">Filter</button>
    </form>
    <Show of={page}>{({ entries, next }) => <>
      <Table name="Audit log" rows={entries} id={(row) => row.number} empty="Nothing like this was done." columns={[
        { name: 'Number', digits: true, cell: (row) => row.number },
        { name: 'Time (UTC)', cell: (row) => <Moment time={row.time} /> },
        { name: 'Key', cell: (row) => row.caller || <span class="dim">none</span> },
        { name: 'What', cell: (row) => <code>{row.action}</code> },
        { name: 'Account', cell: (row) => (row.subject.startsWith('erased:') ? <span class="dim" title={row.subject}>erased</span> : row.subject ? <Account of={row.subject} /> : '') },
        { name: 'More', cell: (row) => row.detail },
      ]} />
      {(next || before) && <p class="pager"><button disabled={!before} onClick={() => go('audit', filter)}>Newest</button><button disabled={!next} onClick={() => go('audit', { ...filter, before: next })}>Older</button></p>}
    </>}</Show>
  </>;
}
