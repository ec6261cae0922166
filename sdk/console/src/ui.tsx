// Parts of pages.

import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, curl } from './api.js';
import type { Request } from './api.js';
import { useShared } from './state.js';
import type { Loaded } from './state.js';

/** Characters that show nothing, or change the order of others: a name must not look like another one. */
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]/;

/** A text that users wrote, by itself: it moves nothing beside it, and what cannot be seen is named. */
export function Text({ of }: { of: string }): JSX.Element {
  const parts = of.split(new RegExp(`(${UNSEEN.source})`));
  const code = (part: string): string => `U+${part.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
  return <bdi class="text">{parts.map((part, i) => (i % 2 ? <span class="unseen" key={i} title="a character that shows nothing">{code(part)}</span> : part))}</bdi>;
}

export const number = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 });

/** A number of things. */
export const count = (many: number, what: string): string => `${number(many)} ${what}${many === 1 ? '' : 's'}`;

export function bytes(value: number): string {
  const unit = Math.min(4, Math.floor(Math.log2(Math.max(1, value)) / 10));
  return `${number(value / 1024 ** unit)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}

export function duration(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1000);
  for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'min']] as const) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${seconds} s`;
}

/** How long ago, by the gateway's clock: ours may differ. The time itself until that is known. */
export function Ago({ time }: { time?: number | undefined }): JSX.Element {
  const { live } = useShared();
  if (!time) return <span class="dim">never</span>;
  const now = live.last('time');
  if (!now) return <Moment time={time} />;
  const past = now - time;
  const stamp = new Date(time).toISOString();
  return <time dateTime={stamp} title={stamp.replace('T', ' ').replace('Z', ' UTC')}>{past < -1500 ? `in ${duration(past)}` : past < 1500 ? 'now' : `${duration(past)} ago`}</time>;
}

/** The time itself, to the millisecond. */
export function Moment({ time }: { time: number | string }): JSX.Element {
  const stamp = new Date(time).toISOString();
  return <time dateTime={stamp} title={`${stamp.slice(0, 10)} UTC`}>{stamp.slice(0, 10) === new Date().toISOString().slice(0, 10) ? '' : `${stamp.slice(0, 10)} `}{stamp.slice(11, 23)}</time>;
}

/** One thing that is known, in a list of them. */
export const Fact = ({ name, children }: { name: string; children: ComponentChildren }): JSX.Element => <div><dt>{name}</dt><dd>{children}</dd></div>;

export type Tone = 'good' | 'warn' | 'bad' | 'dim';
const SIGNS: Record<Tone, string> = { good: '✓', warn: '▲', bad: '✕', dim: '–' };

/** A state, as a sign and a word: never a color alone. */
export function State({ tone, children }: { tone: Tone; children: ComponentChildren }): JSX.Element {
  return <span class={`state ${tone}`}><span aria-hidden="true">{SIGNS[tone]}</span> {children}</span>;
}

export const Account = ({ of, tab }: { of: string; tab?: string }): JSX.Element => <a href={`#/users/${encodeURIComponent(of)}${tab ? `/${tab}` : ''}`}><Text of={of} /></a>;

/** Shows what was loaded, or why it was not. */
export function Show<T>({ of, children }: { of: Loaded<T>; children: (data: T) => ComponentChildren }): JSX.Element {
  if (of.error) return <p class="problem" role="alert">{of.error.status === 403 ? 'Your key may not see this. ' : ''}{of.error.message}</p>;
  if (of.data === undefined) return <p class="dim loading" aria-busy="true">Loading …</p>;
  return <>{children(of.data)}</>;
}

export interface Column<T> {
  name: string;
  cell: (row: T) => ComponentChildren;
  /** Digits stand below each other. */
  digits?: boolean;
}

export function Table<T>({ name, rows, columns, id, empty }: { name: string; rows: T[]; columns: Column<T>[]; id: (row: T) => string | number; empty: string }): JSX.Element {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={name}>
      <table>
        <thead><tr>{columns.map((column) => <th key={column.name} scope="col" class={column.digits ? 'digits' : ''}>{column.name || <span class="hidden">Actions</span>}</th>)}</tr></thead>
        <tbody>{rows.map((row) => <tr key={id(row)}>{columns.map((column) => <td key={column.name} class={column.digits ? 'digits' : ''}>{column.cell(row)}</td>)}</tr>)}</tbody>
      </table>
      {rows.length === 0 && <p class="dim empty">{empty}</p>}
    </div>
  );
}

/** Leads through pages that only know what comes next. It stands beside what shows them, not in it: it has to remember. */
export function Pager({ next, after, go }: { next?: string | undefined; after?: string | undefined; go: (after?: string) => void }): JSX.Element | null {
  const before = useRef(new Map<string, string | undefined>());
  if (!next && !after) return null;
  return (
    <p class="pager">
      <button disabled={!after} onClick={() => go(before.current.get(after!))}>Previous page</button>
      <button disabled={!next} onClick={() => { before.current.set(next!, after); go(next); }}>Next page</button>
    </p>
  );
}

/** Shows the request of a view as a command, and copies it. */
export function Curl({ request }: { request: Request }): JSX.Element {
  const { me } = useShared();
  const [shown, setShown] = useState<'' | 'shown' | 'copied'>('');
  const command = curl(request, me.console === 'open');
  const toggle = async (): Promise<void> => {
    if (shown) return setShown('');
    setShown('shown');
    await navigator.clipboard?.writeText(command).then(() => setShown('copied'), () => {});
  };
  return (
    <span class="curl">
      <button class="small" aria-expanded={!!shown} onClick={toggle}>Copy as curl</button>
      {shown && <span class="command" role="status"><code tabIndex={0}>{command}</code>{shown === 'copied' && <span class="dim"> copied</span>}</span>}
    </span>
  );
}

export function Head({ title, request, children }: { title: ComponentChildren; request?: Request; children?: ComponentChildren }): JSX.Element {
  return <div class="head"><h1>{title}</h1>{children}<span class="space" />{request && <Curl request={request} />}</div>;
}

export interface Action {
  title: string;
  /** What it will do, in numbers, found out before it is offered. */
  effect: () => Promise<ComponentChildren>;
  /** The word on the button. */
  verb: string;
  danger?: boolean;
  /** What has to be typed first, if it cannot be taken back. */
  typed?: string;
  fields?: JSX.Element;
  run: () => Promise<ComponentChildren | void>;
}

/** A button that says what it will do before it does it. */
export function Do({ action, children, small }: { action: () => Action; children: ComponentChildren; small?: boolean }): JSX.Element {
  const [open, setOpen] = useState<Action>();
  return <>
    <button class={small ? 'small' : ''} onClick={() => setOpen(action())}>{children}</button>
    {open && <Dialog action={open} close={() => setOpen(undefined)} />}
  </>;
}

function Dialog({ action, close }: { action: Action; close: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [effect, setEffect] = useState<ComponentChildren>();
  const [typed, setTyped] = useState('');
  const [said, setSaid] = useState<{ done?: ComponentChildren; problem?: string; busy?: boolean }>({});
  useEffect(() => {
    dialog.current?.showModal();
    action.effect().then(setEffect, (error: Error) => setSaid({ problem: error.message }));
  }, []);
  const run = async (event: Event): Promise<void> => {
    event.preventDefault();
    setSaid({ busy: true });
    try {
      const done = await action.run();
      if (done) setSaid({ done });
      else close();
    } catch (error) {
      setSaid({ problem: error instanceof ApiError ? error.message : String(error) });
    }
  };
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="dialog-title">
      <form onSubmit={run}>
        <h2 id="dialog-title">{action.title}</h2>
        {said.done ? <div role="status">{said.done}</div> : <>
          <div class="effect">{effect ?? <span class="dim" aria-busy="true">Counting …</span>}</div>
          {action.fields}
          {action.typed && <label class="field">Type <b>{action.typed}</b> to confirm<input value={typed} onInput={(e) => setTyped(e.currentTarget.value)} autocomplete="off" /></label>}
          <p class="dim">This is written into the audit log.</p>
        </>}
        {said.problem && <p class="problem" role="alert">{said.problem}</p>}
        <p class="buttons">
          <button type="button" onClick={close}>{said.done ? 'Close' : 'Cancel'}</button>
          {!said.done && <button type="submit" class={action.danger ? 'danger' : 'primary'} disabled={effect === undefined || !!said.busy || (!!action.typed && typed !== action.typed)}>{action.verb}</button>}
        </p>
      </form>
    </dialog>
  );
}
