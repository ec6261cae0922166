// The lists of one account.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { at, call, get, query } from '../api.js';
import type { AuditEntry, Block, Changes as ChangesPage, Explanation, Friend, FriendRequest, RosterEvent } from '../records.js';
import { go, useLoad, useMay } from '../state.js';
import type { Place } from '../state.js';
import { Account, Ago, Do, Moment, Pager, Show, State, Table, Text, number } from '../ui.js';
import type { Action, Column } from '../ui.js';
import { SessionLink, Waiting, endSession } from './sessions.js';
import { who } from './event.js';

interface Tab { account: string; place: Place; changed: () => void }

const here = (account: string, tab: string, query: Record<string, string | undefined>): void => go(`users/${encodeURIComponent(account)}/${tab}`, query);

/** A record's private text: absent without the scope, and covered. */
const covered = (text: string | undefined): JSX.Element => (text === undefined ? <span class="covered">•••<span class="hidden"> covered</span></span> : <Text of={text} />);

export function Friends({ account, place, changed }: Tab): JSX.Element {
  const { after } = place.query;
  const [reveals, setReveals] = useState(false);
  const may = useMay();
  const path = query(at`/v1/users/${account}/friends`, { after, limit: 50 });
  const page = useLoad(`${path} ${reveals}`, () => get<{ friends: Friend[]; next?: string }>(path, reveals));
  const unfriend = (peer: string): Action => ({
    title: `End the friendship of ${account} and ${peer}?`,
    effect: async () => 'Ends 1 friendship, in both directions. Sessions of both are told at once.',
    verb: 'End friendship',
    danger: true,
    run: async () => {
      await call({ method: 'DELETE', path: at`/v1/users/${account}/friends/${peer}` });
      await page.reload();
      changed();
    },
  });
  return <>
    <Show of={page}>{({ friends }) => <>
      {may('private') && <p class="actions"><button onClick={() => setReveals(!reveals)}>{reveals ? 'Cover aliases and notes' : 'Show aliases and notes'}</button> <span class="dim">{reveals ? '' : 'Showing them is written into the audit log.'}</span></p>}
      <Table name="Friends" rows={friends} id={(row) => row.account} empty="It has no friends." columns={[
        { name: 'Account', cell: (row) => <Account of={row.account} /> },
        ...(may('private') ? [{ name: 'Alias', cell: (row: Friend) => covered(row.alias) }, { name: 'Note', cell: (row: Friend) => covered(row.custom) }] : []),
        { name: 'Friends since', cell: (row) => <Ago time={row.createTime} /> },
        { name: 'Version', digits: true, cell: (row) => row.version },
        { name: 'Sees it change?', cell: (row) => <a href={why(account, row.account)}>why, why not</a> },
        ...(may('write') ? [{ name: '', cell: (row: Friend) => <Do small action={() => unfriend(row.account)}>End</Do> }] : []),
      ]} />
    </>}</Show>
    <Pager next={page.data?.next} after={after} go={(after) => here(account, 'friends', { after })} />
  </>;
}

const why = (account: string, viewer: string, field = 'nick'): string => `#/why?${new URLSearchParams({ account, viewer, field })}`;

export function Requests({ account }: Tab): JSX.Element {
  const may = useMay();
  const [reveals, setReveals] = useState(false);
  const path = at`/v1/users/${account}/requests`;
  const loaded = useLoad(`${path} ${reveals}`, () => get<{ requests: (FriendRequest & { account: string; direction: string })[] }>(path, reveals));
  return <Show of={loaded}>{({ requests }) => <>
    {may('private') && requests.length > 0 && <p class="actions"><button onClick={() => setReveals(!reveals)}>{reveals ? 'Cover messages' : 'Show messages'}</button> <span class="dim">{reveals ? '' : 'Showing them is written into the audit log.'}</span></p>}
    <Table name="Requests" rows={requests} id={(row) => row.account + row.direction} empty="No request is open." columns={[
      { name: 'Other side', cell: (row) => <Account of={row.account} /> },
      { name: 'Direction', cell: (row) => row.direction },
      ...(may('private') ? [{ name: 'Message', cell: (row: FriendRequest) => covered(row.message) }] : []),
      { name: 'Since', cell: (row) => <Ago time={row.createTime} /> },
      { name: 'Version', digits: true, cell: (row) => row.version },
    ]} />
  </>}</Show>;
}

export function Blocks({ account, place }: Tab): JSX.Element {
  const { after } = place.query;
  const path = query(at`/v1/users/${account}/blocks`, { after, limit: 50 });
  const page = useLoad(path, () => get<{ blocks: Block[]; next?: string }>(path));
  return <>
    <Show of={page}>{({ blocks }) => <>
      <Table name="Blocks" rows={blocks} id={(row) => row.account} empty="It blocks nobody." columns={[
        { name: 'Blocks', cell: (row) => <Account of={row.account} /> },
        { name: 'Since', cell: (row) => <Ago time={row.createTime} /> },
        { name: 'Version', digits: true, cell: (row) => row.version },
      ]} />
    </>}</Show>
    <Pager next={page.data?.next} after={after} go={(after) => here(account, 'blocks', { after })} />
  </>;
}

export function Sessions({ account, changed }: Tab): JSX.Element {
  const may = useMay();
  const path = at`/v1/accounts/${account}/explain?viewer=${account}`;
  const loaded = useLoad(path, () => get<Explanation>(path), 3000);
  type Row = Explanation['sessions'][number];
  return <Show of={loaded}>{({ sessions, committed }) => <>
    <Table name="Sessions" rows={sessions} id={(row) => row.session} empty="It is logged in nowhere on this gateway." columns={[
      { name: 'Device', cell: (row) => [row.device.type, row.device.tag, row.device.id].filter(Boolean).join(' · ') || '–' },
      { name: 'Session', cell: (row) => <SessionLink of={row.session} /> },
      { name: 'Connected', cell: (row) => <Ago time={row.connectedAt} /> },
      { name: 'Waiting', digits: true, cell: (row) => <Waiting of={row} /> },
      { name: 'Delivered up to', digits: true, cell: (row) => row.told ?? 'catching up' },
      ...(may('sessions') ? [{ name: '', cell: (row: Row) => <Do small action={() => endSession(row, () => { void loaded.reload(); changed(); })}>End</Do> }] : []),
    ]} />
    <p class="dim">The last change of this store is {committed}. Changes that do not concern a session do not move what it was delivered up to.</p>
  </>}</Show>;
}

export function Changes({ account, place }: Tab): JSX.Element {
  const { before } = place.query;
  const path = query(at`/v1/users/${account}/changes`, { before, limit: 50 });
  const page = useLoad(path, () => get<ChangesPage>(path), before ? 0 : 5000);
  const columns: Column<RosterEvent>[] = [
    { name: 'Stamp', digits: true, cell: (row) => row.stamp },
    { name: 'Time (UTC)', cell: (row) => <Moment time={row.time} /> },
    { name: 'What', cell: (row) => <code>{row.type}</code> },
    { name: 'Fields', cell: (row) => row.data.changed?.join(', ') ?? '' },
    { name: 'By', cell: (row) => who(row) },
    { name: '', cell: (row) => (row.type === 'user.updated' && row.subject === account ? <a href={`#/why?${new URLSearchParams({ account, field: row.data.changed?.[0] ?? 'nick', stamp: String(row.stamp) })}`}>who saw it?</a> : null) },
  ];
  return <>
    <Show of={page}>{({ changes, next, cut }) => <>
      <Table name="Changes" rows={changes} id={(row) => row.id} columns={columns} empty="The change log has no change of it." />
      {cut && !next && <p class="dim">Older changes are not kept any more: <code>feed.retention</code> says for how long.</p>}
    </>}</Show>
    <Pager next={page.data?.next} after={before} go={(before) => here(account, 'changes', { before })} />
  </>;
}

const TOKENS = /^token/;

export function Tokens({ account, sessions }: Tab & { sessions: number }): JSX.Element {
  const may = useMay();
  const path = at`/v1/users/${account}`;
  const audit = query('/v1/audit', { subject: account, order: 'desc', limit: 1000 });
  const done = useLoad(may('operate') ? audit : '', async () => (may('operate') ? (await get<{ entries: AuditEntry[] }>(audit)).entries.filter(({ action }) => TOKENS.test(action)) : []));
  const action = (title: string, effect: string, verb: string, run: () => Promise<JSX.Element>): Action => ({
    title, effect: async () => effect, verb, danger: verb !== 'Set token',
    run: async () => {
      const said = await run();
      await done.reload();
      return said;
    },
  });
  const revoke = (): Action => action(`Revoke the tokens of ${account}?`, `No token issued before now is accepted any more. Up to ${number(sessions)} sessions that go by one end.`, 'Revoke', async () => {
    const { issuedBefore } = await call<{ issuedBefore: number }>({ method: 'POST', path: `${path}/tokens:revoke`, body: {} });
    return <p>Tokens issued before <Moment time={issuedBefore} /> UTC are not accepted any more.</p>;
  });
  const set = (): Action => action(`Set a new static token for ${account}?`, `Replaces 1 static token, if there is one. ${number(sessions)} sessions stay.`, 'Set token', async () => {
    const { token } = await call<{ token: string }>({ method: 'PUT', path: `${path}/token`, body: {} });
    return <><p>The token, which is shown this once:</p><p><code class="token">{token}</code></p></>;
  });
  const withdraw = (): Action => action(`Withdraw the static token of ${account}?`, `Nobody logs in with it any more. ${number(sessions)} sessions stay.`, 'Withdraw', async () => {
    await call({ method: 'DELETE', path: `${path}/token` });
    return <p>It has no static token.</p>;
  });
  return <>
    <p class="dim">Of tokens the gateway keeps hashes alone, so none can be shown.</p>
    {may('tokens') ? <p class="actions"><Do action={revoke}>Revoke tokens</Do> <Do action={set}>Set static token</Do> <Do action={withdraw}>Withdraw static token</Do></p> : <State tone="dim">Your key may not change tokens.</State>}
    {may('operate') && <Show of={done}>{(entries) => <Table name="What was done to its tokens" rows={entries} id={(row) => row.number} empty="Nothing was done to its tokens." columns={[
      { name: 'Time (UTC)', cell: (row) => <Moment time={row.time} /> },
      { name: 'What', cell: (row) => <code>{row.action}</code> },
      { name: 'By', cell: (row) => row.caller },
      { name: 'More', cell: (row) => row.detail },
    ]} />}</Show>}
  </>;
}
