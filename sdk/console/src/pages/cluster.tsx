// The gateways that serve this store.

import type { JSX } from 'preact';
import { get } from '../api.js';
import type { Node } from '../records.js';
import { useLoad } from '../state.js';
import { Ago, Fact, Head, Show, State, duration, number } from '../ui.js';

/** Clocks that differ by more than this are worth a word. */
const SKEW_MS = 2000;

export function Cluster(): JSX.Element {
  const nodes = useLoad('nodes', async () => {
    const asked = Date.now();
    const { nodes } = await get<{ nodes: Node[] }>('/v1/nodes');
    // In the middle of the round trip.
    return nodes.map((node) => ({ ...node, skew: node.time - (asked + Date.now()) / 2 }));
  }, 2000);
  const tone = (phase: string): 'good' | 'warn' | 'bad' => (phase === 'ready' ? 'good' : phase === 'failed' ? 'bad' : 'warn');
  return <>
    <Head title="Cluster" request={{ path: '/v1/nodes' }} />
    <Show of={nodes}>{(rows) => <>
      {rows.map((row) => <article class="card" key={row.name} aria-labelledby={`node-${row.name}`}>
        <h2 id={`node-${row.name}`}>{row.name} <State tone={tone(row.phase)}>{row.phase}</State></h2>
        <dl>
          <Fact name="Version">{row.version}</Fact>
          <Fact name="Started"><Ago time={row.startedAt} /></Fact>
          <Fact name="Clock">{Math.abs(row.skew) < SKEW_MS ? 'agrees with yours' : <State tone="warn">{duration(row.skew)} {row.skew > 0 ? 'ahead of' : 'behind'} yours</State>}</Fact>
          <Fact name="Sessions">{number(row.sessions)}</Fact>
          <Fact name="Connections">{number(row.connections)}</Fact>
          <Fact name="Accounts followed">{number(row.watchedAccounts)}</Fact>
          <Fact name="Committed up to">{row.committed}</Fact>
          <Fact name="Not applied yet">{number(row.committed - row.applied)}</Fact>
          <Fact name="Not marked yet">{number(Math.max(0, row.committed - row.horizon))}</Fact>
        </dl>
      </article>)}
      <p class="dim">A change is committed when the store has it, applied when this gateway answers with it, and marked when every session that follows it will get it.</p>
    </>}</Show>
  </>;
}
