// The feed of changes, live.

import type { JSX, TargetedSubmitEvent } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiError, follow, query } from '../api.js';
import type { RosterEvent } from '../records.js';
import { go, useShared } from '../state.js';
import type { Place } from '../state.js';
import { Head, Moment, State, Table } from '../ui.js';
import { about, who } from './event.js';

/** More than anybody reads. */
const KEPT = 200;
const TYPES = ['', 'user.*', 'friend.*', 'request.*', 'block.*', 'token.*', 'tokens.*', 'presence.*'];

export function Feed({ place }: { place: Place }): JSX.Element {
  const { types = '', account = '' } = place.query;
  const { revival } = useShared();
  const [events, setEvents] = useState<RosterEvent[]>([]);
  const [paused, setPaused] = useState(false);
  const [state, setState] = useState<{ live: boolean; problem?: string }>({ live: false });
  const path = query('/v1/feed', { after: 'now', types, account });
  useEffect(() => {
    if (paused) return;
    const abort = new AbortController();
    // Drawn once a frame, however many come.
    let came: RosterEvent[] = [];
    let frame = 0;
    const draw = (): void => {
      const now = came;
      [came, frame] = [[], 0];
      setEvents((had) => [...now, ...had].slice(0, KEPT));
    };
    follow(path, abort.signal, (type, data) => {
      setState({ live: true });
      if (type === 'position' || type === 'error') return;
      came.unshift(JSON.parse(data) as RosterEvent);
      came.length = Math.min(came.length, KEPT);
      frame ||= requestAnimationFrame(draw);
    }).then(() => setState({ live: false }), (error: Error) => {
      if (!abort.signal.aborted) setState({ live: false, ...(error instanceof ApiError && error.status > 0 && { problem: error.message }) });
    });
    return () => {
      abort.abort();
      cancelAnimationFrame(frame);
    };
  }, [path, paused, revival]);
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    setEvents([]);
    go('feed', Object.fromEntries(new FormData(event.currentTarget) as unknown as Iterable<[string, string]>));
  };
  return <>
    <Head title="Feed" request={{ path: query('/v1/feed', { wait: 60, after: 'now', types, account }) }}>
      {paused ? <State tone="dim">paused</State> : state.live ? <State tone="good">live</State> : <State tone="dim">waiting</State>}
    </Head>
    <form class="filter" key={`${types} ${account}`} onSubmit={submit}>
      <label>Types<select name="types">{TYPES.map((name) => <option key={name} value={name} selected={name === types}>{name || 'all'}</option>)}</select></label>
      <label>About account<input name="account" defaultValue={account} autocomplete="off" /></label>
      <button type="submit">Filter</button>
      <button type="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>{paused ? 'Go on' : 'Pause'}</button>
    </form>
    {state.problem && <p class="problem" role="alert">{state.problem}</p>}
    <Table name="Events" rows={events} id={(row) => row.id} empty="No event yet: changes are shown as they happen." columns={[
      { name: 'Time (UTC)', cell: (row) => <Moment time={row.time} /> },
      { name: 'Stamp', digits: true, cell: (row) => row.stamp ?? '' },
      { name: 'Type', cell: (row) => <code>{row.type}</code> },
      { name: 'About', cell: about },
      { name: 'Fields', cell: (row) => row.data.changed?.join(', ') ?? row.data.how ?? '' },
      { name: 'By', cell: who },
    ]} />
  </>;
}
