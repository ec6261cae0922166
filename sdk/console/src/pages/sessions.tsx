// All sessions of the gateway, a page at a time, and each by itself.

import type { JSX, TargetedSubmitEvent } from 'preact';
import { at, call, get, query } from '../api.js';
import type { Session, SessionsPage } from '../records.js';
import { go, useLoad, useMay } from '../state.js';
import type { Place } from '../state.js';
import { Account, Ago, Do, Fact, Head, Pager, Show, State, Table, number } from '../ui.js';
import type { Action } from '../ui.js';

export const endSession = ({ account, session }: Session, done: () => void): Action => ({
  title: `End this session of ${account}?`,
  effect: async () => {
    const { sessions } = await get<{ sessions: object[] }>(at`/v1/users/${account}/sessions`);
    return `Ends 1 of the ${sessions.length} sessions of ${account}. Its client does not come back by itself.`;
  },
  verb: 'End session',
  danger: true,
  run: async () => {
    await call({ method: 'DELETE', path: at`/v1/users/${account}/sessions/${session}` });
    done();
  },
});

export function Sessions({ place }: { place: Place }): JSX.Element {
  const { prefix, device, pending, after } = place.query;
  const path = query('/v1/sessions', { prefix, device, pending, after, limit: 50 });
  const page = useLoad(path, () => get<SessionsPage>(path), 5000);
  const may = useMay();
  const filter = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    go('sessions', Object.fromEntries(new FormData(event.currentTarget) as unknown as Iterable<[string, string]>));
  };
  return <>
    <Head title="Sessions" request={{ path }} />
    <form class="filter" key={`${prefix} ${device} ${pending}`} onSubmit={filter}>
      <label>Account begins with<input name="prefix" defaultValue={prefix} autocomplete="off" /></label>
      <label>Device type<input name="device" defaultValue={device} autocomplete="off" /></label>
      <label>Accounts with updates, at least<input name="pending" type="number" min="0" defaultValue={pending} /></label>
      <button type="submit">Filter</button>
    </form>
    <Show of={page}>{({ sessions }) => <>
      <Table name="Sessions" rows={sessions} id={(row) => row.session} empty="No session passes this filter." columns={[
        { name: 'Account', cell: (row) => <Account of={row.account} tab="sessions" /> },
        { name: 'Device', cell: (row) => [row.device.type, row.device.tag].filter(Boolean).join(' · ') || '–' },
        { name: 'Session', cell: (row) => <SessionLink of={row.session} /> },
        { name: 'Connected', cell: (row) => <Ago time={row.connectedAt} /> },
        { name: 'Waiting', digits: true, cell: (row) => <Waiting of={row} /> },
        { name: 'Delivered up to', digits: true, cell: (row) => row.told ?? 'catching up' },
        ...(may('sessions') ? [{ name: '', cell: (row: Session) => <Do small action={() => endSession(row, page.reload)}>End</Do> }] : []),
      ]} />
    </>}</Show>
    <Pager next={page.data?.next} after={after} go={(after) => go('sessions', { ...place.query, after })} />
  </>;
}

export const SessionLink = ({ of }: { of: string }): JSX.Element => <a href={`#/sessions/${of}`}><code>{of}</code></a>;

/** One session, for as long as it is connected. */
export function SessionPage({ place }: { place: Place }): JSX.Element {
  const path = at`/v1/sessions/${place.path[1]!}`;
  const loaded = useLoad(path, () => get<Session & { horizon: number }>(path), 2000);
  const may = useMay();
  return <>
    <Head title={<>Session <code>{place.path[1]}</code></>} request={{ path }} />
    <Show of={loaded}>{(session) => <>
      <article class="card"><dl>
        <Fact name="Account"><Account of={session.account} tab="sessions" /></Fact>
        <Fact name="Device type">{session.device.type || '–'}</Fact>
        <Fact name="Device tag">{session.device.tag || '–'}</Fact>
        <Fact name="Device id">{session.device.id || '–'}</Fact>
        <Fact name="Connected"><Ago time={session.connectedAt} /></Fact>
        <Fact name="Accounts with updates that wait"><Waiting of={session} /></Fact>
        <Fact name="Delivered up to">{session.told ?? 'catching up'}</Fact>
        <Fact name="Marked up to">{session.horizon}</Fact>
      </dl></article>
      {may('sessions') && <p class="actions"><Do action={() => endSession(session, loaded.reload)}>End session</Do></p>}
      <p class="dim">Changes that do not concern a session do not move what it was delivered up to. <a href={`#/why?viewer=${encodeURIComponent(session.account)}`}>Why did {session.account} not see a change?</a></p>
    </>}</Show>
    {loaded.error?.status === 404 && <p><a href="#/sessions">All sessions</a></p>}
  </>;
}

/** How many accounts have updates that wait for a session. */
export const Waiting = ({ of: { pending } }: { of: Session }): JSX.Element => (pending ? <State tone={pending < 100 ? 'dim' : 'warn'}>{number(pending)}</State> : <span class="dim">nothing</span>);
