// What operators did, newest first.

import type { JSX, TargetedSubmitEvent } from 'preact';
import { get, query } from '../api.js';
import type { AuditEntry } from '../records.js';
import { go, useLoad } from '../state.js';
import type { Place } from '../state.js';
import { Account, Head, Moment, Show, Table } from '../ui.js';

interface Page { entries: AuditEntry[]; next?: string }

const SOME = 50;
/** Above every number that the log will have. */
const ABOVE = 2 ** 40;

/** The number of the newest entry. The API lists the oldest first, so it is found by halves. */
async function newest(filter: Record<string, string>): Promise<number> {
  const after = async (number: number): Promise<number | undefined> => (await get<Page>(query('/v1/audit', { ...filter, after: number, limit: 1 }))).entries[0]?.number;
  let [low, step] = [0, 1024];
  // Doubling first: most logs are short.
  for (let found = await after(0); found !== undefined; found = await after(low + step)) {
    low = Math.max(found, low);
    if (low > ABOVE) break;
    step = low;
  }
  let high = low + step;
  while (low + 1 < high) {
    const middle = Math.floor((low + high) / 2);
    const found = await after(middle);
    if (found === undefined) high = middle;
    else low = found;
  }
  return (await after(low)) ?? low;
}

export function Audit({ place }: { place: Place }): JSX.Element {
  const { caller = '', subject = '', before } = place.query;
  const filter = { ...(caller && { caller }), ...(subject && { subject }) };
  const path = query('/v1/audit', { ...filter, limit: SOME });
  const page = useLoad(`${path} ${before}`, async () => {
    const first = await get<Page>(path);
    if (!first.next) return { entries: first.entries.reverse(), older: false };
    // An unfiltered log has no gaps; a filtered page may have fewer entries than there are numbers.
    const end = before ? Number(before) : (await newest(filter)) + 1;
    const start = Math.max(0, end - SOME - 1);
    const { entries } = await get<Page>(query('/v1/audit', { ...filter, after: start, limit: SOME }));
    return { entries: entries.filter(({ number }) => number < end).reverse(), older: start > 0, end: start + 1 };
  });
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    go('audit', Object.fromEntries(new FormData(event.currentTarget) as unknown as Iterable<[string, string]>));
  };
  return <>
    <Head title="Audit" request={{ path }} />
    <form class="filter" key={`${caller} ${subject}`} onSubmit={submit}>
      <label>Key<input name="caller" value={caller} autocomplete="off" /></label>
      <label>Account<input name="subject" value={subject} autocomplete="off" /></label>
      <button type="submit">Filter</button>
    </form>
    <Show of={page}>{({ entries, older, end }) => <>
      <Table name="Audit log" rows={entries} id={(row) => row.number} empty="Nothing like this was done." columns={[
        { name: 'Number', digits: true, cell: (row) => row.number },
        { name: 'Time (UTC)', cell: (row) => <Moment time={row.time} /> },
        { name: 'Key', cell: (row) => row.caller || <span class="dim">none</span> },
        { name: 'What', cell: (row) => <code>{row.action}</code> },
        { name: 'Account', cell: (row) => (row.subject.startsWith('erased:') ? <span class="dim" title={row.subject}>erased</span> : row.subject ? <Account of={row.subject} /> : '') },
        { name: 'More', cell: (row) => row.detail },
      ]} />
      {(older || before) && <p class="pager"><button disabled={!before} onClick={() => go('audit', filter)}>Newest</button><button disabled={!older} onClick={() => go('audit', { ...filter, before: String(end) })}>Older</button></p>}
    </>}</Show>
  </>;
}
