// Endpoints that are sent events, and hooks that are asked before a write.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { at, call, get, query } from '../api.js';
import type { Hook, Webhook } from '../records.js';
import { useLoad, useMay } from '../state.js';
import type { Place } from '../state.js';
import { Ago, Curl, Do, Head, Pager, Show, State, Table, duration, number } from '../ui.js';
import type { Action, Tone } from '../ui.js';

export function Webhooks({ place }: { place: Place }): JSX.Element {
  const list = useLoad('webhooks', () => get<{ webhooks: Webhook[] }>('/v1/webhooks'), 2000);
  const hooks = useLoad('hooks', () => get<{ hooks: Hook[] }>('/v1/hooks'), 2000);
  return <>
    <Head title="Webhooks" request={{ path: '/v1/webhooks' }} />
    <Show of={list}>{({ webhooks }) => <>
      {/* Anew where the address names another one, which then opens. */}
      {webhooks.map((hook) => <Endpoint key={`${hook.name} ${place.query['name'] === hook.name}`} hook={hook} open={place.query['name'] === hook.name} changed={list.reload} />)}
      {!webhooks.length && <p class="dim">There is no endpoint: a section <code>[webhooks.NAME]</code> in the settings makes one.</p>}
    </>}</Show>
    <div class="head"><h2 class="second">Hooks</h2><span class="space" /><Curl request={{ path: '/v1/hooks' }} /></div>
    <Show of={hooks}>{({ hooks }) => <Table name="Hooks" rows={hooks} id={(row) => row.name} empty="No hook is asked: the section [hooks.profile] or [hooks.friend] in the settings makes one." columns={[
      { name: 'Hook', cell: (row) => <b>{row.name}</b> },
      { name: 'State', cell: (row) => <HookState of={row} /> },
      { name: 'Calls', cell: (row) => Object.entries(row.calls).map(([result, count]) => `${result} ${number(count)}`).join(', ') || 'none yet' },
      { name: 'Denied', digits: true, cell: ({ calls }) => share(calls['deny'], calls) },
      { name: 'Out', digits: true, cell: (row) => row.inFlight },
      { name: 'Waiting', digits: true, cell: (row) => row.waiting },
      { name: 'Last call', cell: ({ lastCall }) => (lastCall ? <><Ago time={lastCall.time} />: {lastCall.result}</> : 'none yet') },
      { name: 'Without an answer', cell: (row) => `writes are ${row.onFailure === 'deny' ? 'denied' : 'allowed'}` },
      { name: 'Address', cell: (row) => <code>{row.url}</code> },
    ]} />}</Show>
  </>;
}

const share = (some = 0, calls: Record<string, number>): string => {
  const all = Object.values(calls).reduce((sum, count) => sum + count, 0);
  return all ? `${number((some / all) * 100)} %` : '–';
};

const HookState = ({ of }: { of: Hook }): JSX.Element => (of.state === 'closed' ? <State tone="good">called</State> : <State tone="bad">{of.state === 'open' ? `not called, for ${duration(of.opensInMs ?? 0)}` : 'being tried'}</State>);

function stateOf(hook: Webhook): [Tone, string] {
  if (!hook.enabled) return ['dim', 'disabled'];
  if (hook.state !== 'running') return [hook.state === 'paused' ? 'dim' : 'bad', hook.state];
  return hook.nextTry ? ['warn', 'failing'] : ['good', 'running'];
}

function Endpoint({ hook, open, changed }: { hook: Webhook; open: boolean; changed: () => Promise<void> }): JSX.Element {
  const may = useMay();
  const [more, setMore] = useState(open && hook.dead > 0);
  const path = at`/v1/webhooks/${hook.name}`;
  const act = (title: string, verb: string, effect: string, run: () => Promise<JSX.Element | void>): Action => ({ title, verb, effect: async () => effect, run });
  const post = (what: string, body?: object): Promise<{ status?: number; text?: string }> => call({ method: 'POST', path: `${path}/${what}`, ...(body && { body }) });
  const waiting = `${number(hook.behind.changes)} changes`;
  const [tone, state] = stateOf(hook);
  const pause = (): Action => act(`Pause ${hook.name}?`, 'Pause', `No events are sent until it is resumed. ${waiting} wait now; the change log keeps them as long as feed.retention says.`, async () => { await post('pause'); await changed(); });
  const resume = (): Action => act(`Resume ${hook.name}?`, 'Resume', `Sends the events of ${waiting}, from where it stopped.`, async () => { await post('resume'); await changed(); });
  const test = (): Action => act(`Send ${hook.name} a test?`, 'Send', 'Sends 1 event of the type webhook.test, at once and beside all others.', async () => {
    const { status, text } = await post('test');
    return <p>{status ? `It answered ${status}. ` : 'It did not answer. '}<code>{text}</code></p>;
  });
  return (
    <article class="card" aria-labelledby={`webhook-${hook.name}`}>
      <h2 id={`webhook-${hook.name}`}>{hook.name} <State tone={tone}>{state}</State><span class="space" /><code>{hook.url}</code></h2>
      <dl>
        <div><dt>Behind</dt><dd>{hook.behind.changes ? `${waiting}, ${duration(hook.behind.seconds * 1000)}` : 'nothing waits'}</dd></div>
        <div><dt>Position</dt><dd><code>{hook.position}</code></dd></div>
        <div><dt>Last success</dt><dd><Ago time={hook.lastSuccess} /></dd></div>
        <div><dt>Last failure</dt><dd>{hook.lastFailure ? <><Ago time={hook.lastFailure.time} />: {hook.lastFailure.status ?? ''} {hook.lastFailure.text}</> : <span class="dim">never</span>}</dd></div>
        {hook.nextTry && <div><dt>Next try</dt><dd><Ago time={hook.nextTry} /></dd></div>}
        {hook.replayUntil && <div><dt>Replays until</dt><dd><code>{hook.replayUntil}</code></dd></div>}
        <div><dt>Refused events</dt><dd>{hook.dead ? <button class="small" aria-expanded={more} onClick={() => setMore(!more)}>{number(hook.dead)}</button> : '0'}</dd></div>
      </dl>
      {may('operate') && hook.enabled && <p class="actions">
        {hook.state === 'running' ? <Do action={pause}>Pause</Do> : <Do action={resume}>Resume</Do>}
        <Do action={test}>Test</Do>
        <Replay hook={hook} />
      </p>}
      {more && <Dead hook={hook} />}
    </article>
  );
}

/** The events since a number of changes ago, or those that were refused. */
function Replay({ hook }: { hook: Webhook }): JSX.Element {
  const [last, setLast] = useState('100');
  const path = at`/v1/webhooks/${hook.name}/replay`;
  const [history = '', stamp = '0', seen = '0'] = hook.position.split('-');
  const reached = Number(stamp.split('.')[0]);
  const count = Math.min(Math.max(0, Math.floor(Number(last)) || 0), reached);
  const replay = (): Action => ({
    title: `Send ${hook.name} events again?`,
    effect: async () => `Sends the events of ${number(count)} changes again, before the ${number(hook.behind.changes)} changes that wait.`,
    verb: 'Replay',
    run: async () => {
      await call({ method: 'POST', path, body: { after: `${history}-${reached - count}-${seen}` } });
    },
  });
  const dead = (): Action => ({
    title: `Send ${hook.name} the refused events again?`,
    effect: async () => `Sends ${number(hook.dead)} events again, before the ${number(hook.behind.changes)} changes that wait.`,
    verb: 'Replay',
    run: async () => {
      await call({ method: 'POST', path, body: { dead: true } });
    },
  });
  return <>
    <span class="replay"><Do action={replay}>Replay the last</Do><label><span class="hidden">Changes to replay for {hook.name}</span><input type="number" min="1" value={last} onInput={(event) => setLast(event.currentTarget.value)} /></label> changes</span>
    {hook.dead > 0 && <Do action={dead}>Replay {number(hook.dead)} refused</Do>}
  </>;
}

function Dead({ hook }: { hook: Webhook }): JSX.Element {
  const [after, setAfter] = useState<string>();
  const may = useMay();
  const path = query(at`/v1/webhooks/${hook.name}/dead`, { after, limit: 50 });
  const page = useLoad(`${path} ${hook.dead}`, () => get<{ dead: { event: string; time: number; status: number }[]; next?: string }>(path));
  const forget = (event: string): Action => ({
    title: 'Forget this event?',
    effect: async () => `${hook.name} will never get 1 event that it refused: ${event}.`,
    verb: 'Forget',
    danger: true,
    run: async () => {
      await call({ method: 'DELETE', path: at`/v1/webhooks/${hook.name}/dead/${event}` });
      await page.reload();
    },
  });
  return <>
    <Show of={page}>{({ dead }) => (
      <Table name={`Events that ${hook.name} refused`} rows={dead} id={(row) => row.event} empty="None." columns={[
        { name: 'Event', cell: (row) => <code>{row.event}</code> },
        { name: 'Skipped', cell: (row) => <Ago time={row.time} /> },
        { name: 'Answer', digits: true, cell: (row) => row.status },
        ...(may('operate') ? [{ name: '', cell: (row: { event: string }) => <Do small action={() => forget(row.event)}>Forget</Do> }] : []),
      ]} />
    )}</Show>
    <Pager next={page.data?.next} after={after} go={setAfter} />
  </>;
}
