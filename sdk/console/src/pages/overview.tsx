// The numbers that who is on call asks for first, and what needs attention, in sentences.

import type { ComponentChildren, JSX } from 'preact';
import { useRef } from 'preact/hooks';
import { get, query, text } from '../api.js';
import { Chart } from '../chart.js';
import type { Hook, SessionsPage, Webhook } from '../records.js';
import { useLoad, useShared } from '../state.js';
import { Account, Ago, Head, Show, Table, bytes, count, duration, number } from '../ui.js';

/** As the shipped alerts have it. */
const PENDING = 100;
const SESSIONS = query('/v1/sessions', { pending: 1, limit: 1000 });

/** The time within which 99 % were delivered since the call before, out of the histogram's buckets; undefined if none was. */
function percentile(metrics: string, before: Map<number, number>): number | undefined {
  const buckets = [...metrics.matchAll(/^rosterd_delivery_duration_seconds_bucket\{le="([^"]+)"\} (\S+)/gm)].map(([, le, count]) => [Number(le === '+Inf' ? Infinity : le), Number(count)] as const);
  const grown = buckets.map(([le, count]) => [le, count - (before.get(le) ?? 0)] as const);
  for (const [le, count] of buckets) before.set(le, count);
  const all = grown.at(-1)?.[1] ?? 0;
  return all > 0 ? grown.find(([, count]) => count >= all * 0.99)?.[0] : undefined;
}

export function Overview(): JSX.Element {
  const { live } = useShared();
  const before = useRef(new Map<number, number>());
  const held = useRef<number | undefined>(undefined);
  const p99 = useLoad('metrics', async () => (held.current = percentile(await text('/metrics'), before.current) ?? held.current) ?? -1, 5000);
  const slow = useLoad('slow', () => get<SessionsPage>(SESSIONS), 5000);
  const times = live.times();
  const second = (values: number[]): number => {
    const few = values.slice(-5);
    return few.reduce((sum, value) => sum + value, 0) / Math.max(1, few.length);
  };
  const rate = (name: string, title: string, format: (value: number) => string): JSX.Element => {
    const values = live.rates(name);
    return <Tile title={title} value={format(second(values))}><Chart name={title} values={values} times={times} format={format} /></Tile>;
  };
  const each = (value: number): string => `${number(value)}/s`;
  const milliseconds = p99.data === undefined || p99.data < 0 ? '–' : p99.data === Infinity ? '> 8 s' : `≤ ${number(p99.data * 1000)} ms`;
  return <>
    <Head title="Overview" request={{ path: '/v1/live' }} />
    <div class="tiles">
      <Tile title="Sessions" value={number(live.last('sessions'))}><Chart name="Sessions" values={live.series('sessions')} times={times} format={number} /></Tile>
      {rate('changes', 'Writes', each)}
      {rate('records', 'Pushes', each)}
      {rate('opened', 'New connections', each)}
      {rate('sentBytes', 'Sent', (value) => `${bytes(value)}/s`)}
      <Tile title="Commit to socket, p99" value={milliseconds}><p class="dim">99 of 100 changes since the page last asked were written to their clients within this time.</p></Tile>
    </div>
    <section><h2>Attention</h2><Attention slow={slow.data} /></section>
    <section><h2>Sessions that wait the most</h2>
      <Show of={slow}>{(page) => <Table name="Sessions that wait the most" rows={page.sessions.sort((a, b) => b.pending - a.pending).slice(0, 8)} id={(row) => row.session} empty="No session waits for anything." columns={[
        { name: 'Account', cell: (row) => <Account of={row.account} tab="sessions" /> },
        { name: 'Device', cell: (row) => row.device.type || '–' },
        { name: 'Connected', cell: (row) => <Ago time={row.connectedAt} /> },
        { name: 'Accounts with updates', digits: true, cell: (row) => number(row.pending) },
        { name: 'Delivered up to', digits: true, cell: (row) => row.told ?? 'catching up' },
      ]} />}</Show>
    </section>
  </>;
}

function Tile({ title, value, children }: { title: string; value: string; children: ComponentChildren }): JSX.Element {
  return <section class="tile" aria-label={title}><h2>{title}</h2><p class="value">{value}</p>{children}</section>;
}

function Attention({ slow }: { slow: SessionsPage | undefined }): JSX.Element {
  const { live } = useShared();
  const webhooks = useLoad('webhooks', () => get<{ webhooks: Webhook[] }>('/v1/webhooks'), 5000);
  const hooks = useLoad('hooks', () => get<{ hooks: Hook[] }>('/v1/hooks'), 5000);
  const found: [string, ComponentChildren][] = [];
  const phase = live.last('phase');
  if (live.samples.length && phase !== 1) found.push(['phase', `This gateway is ${['starting', '', 'draining', 'failed'][phase]}.`]);
  const committed = live.series('committed');
  const applied = live.last('applied');
  // Waiting for five seconds is more than a burst.
  if (committed.length > 5 && committed.at(-6)! > applied) found.push(['applied', `Of what is committed, ${count(live.last('committed') - applied, 'change')} wait to be applied here.`]);
  const failed = live.last('failedWrites') - (live.series('failedWrites')[0] ?? 0);
  if (failed > 0) found.push(['writes', `${count(failed, 'write')} could not be made durable in the last ten minutes.`]);
  for (const hook of webhooks.data?.webhooks ?? []) {
    const why = hook.lastFailure && (hook.nextTry ?? 0) > 0 ? ` · ${hook.lastFailure.status ?? hook.lastFailure.text}` : '';
    const link = <a href={`#/webhooks?name=${hook.name}`}>open</a>;
    if (hook.enabled && hook.state !== 'running') found.push([hook.name, <>Webhook {hook.name} is {hook.state}{why}, {count(hook.behind.changes, 'change')} waiting. {link}</>]);
    else if (hook.behind.seconds > 60 || hook.nextTry) found.push([hook.name, <>Webhook {hook.name} is {duration(hook.behind.seconds * 1000)} behind{why}{hook.nextTry && <> · next try <Ago time={hook.nextTry} /></>}. {link}</>]);
  }
  for (const hook of hooks.data?.hooks ?? []) if (hook.state !== 'closed') found.push([`hook ${hook.name}`, <>Hook {hook.name} mostly failed and is not called: writes are {hook.onFailure === 'deny' ? 'denied' : 'allowed'}. <a href="#/webhooks">open</a></>]);
  const waiting = (slow?.sessions ?? []).filter(({ pending }) => pending >= PENDING).length;
  if (waiting) found.push(['pending', <>{count(waiting, 'session')} {waiting === 1 ? 'waits' : 'wait'} for updates of {PENDING} accounts or more. <a href={`#/sessions?pending=${PENDING}`}>show</a></>]);
  if (!found.length) return <p class="state good"><span aria-hidden="true">✓</span> Nothing needs attention.</p>;
  return <ul class="attention">{found.map(([key, what]) => <li key={key}><span class="state warn" aria-hidden="true">▲</span> {what}</li>)}</ul>;
}
