// Why did one account not see what another one changed: a ladder of checks, each with its evidence. The first that fails is
// the reason.

import type { ComponentChildren, JSX, TargetedSubmitEvent } from 'preact';
import { ApiError, at, call, get, query } from '../api.js';
import type { AuditEntry, Explanation } from '../records.js';
import { go, useLoad, useMay } from '../state.js';
import type { Place } from '../state.js';
import { Account, Ago, Do, Head, Moment, Show, Text, number } from '../ui.js';

const FIELDS = ['nick', 'avatar', 'sign', 'gender', 'custom', 'email', 'birth', 'tel', 'presence'];

interface Rung {
  /** The reason that it is if this check fails. */
  reason: string;
  /** `undefined`: it does not matter any more, or cannot be said. */
  holds: boolean | undefined;
  says: ComponentChildren;
  evidence?: ComponentChildren;
}

interface Asked { account: string; viewer: string; field: string; stamp: string }

export function Why({ place }: { place: Place }): JSX.Element {
  const { account = '', viewer = '', field = 'nick', stamp = '' } = place.query;
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.currentTarget) as unknown as Iterable<[string, string]>);
    go('why', Object.fromEntries(Object.entries(given).map(([name, value]) => [name, value.trim()])));
  };
  const path = query(at`/v1/accounts/${account}/explain`, { viewer, field });
  return <>
    <Head title="Why" {...(account && viewer && { request: { path } })} />
    <form class="filter sentence" key={JSON.stringify(place.query)} onSubmit={submit}>
      <span>Why did</span><label><span class="hidden">Viewer</span><input name="viewer" defaultValue={viewer} placeholder="viewer" required autocomplete="off" /></label>
      <span>not see the</span><label><span class="hidden">Field</span><select name="field">{FIELDS.map((name) => <option key={name} selected={name === field}>{name}</option>)}</select></label>
      <span>of</span><label><span class="hidden">Account</span><input name="account" defaultValue={account} placeholder="account" required autocomplete="off" /></label>
      <label><span class="hidden">Stamp</span><input name="stamp" defaultValue={stamp} placeholder="of stamp (optional)" inputMode="numeric" pattern="[0-9]*" autocomplete="off" /></label>
      <button type="submit" class="primary">Explain</button>
    </form>
    {account && viewer ? <Ladder asked={{ account, viewer, field, stamp }} path={path} /> : <p class="dim">The answer is a ladder of checks, from the store to the viewer's socket. The first that fails is the reason.</p>}
  </>;
}

function Ladder({ asked, path }: { asked: Asked; path: string }): JSX.Element {
  const may = useMay();
  const loaded = useLoad(`${path} ${asked.stamp}`, async () => {
    try {
      return ladder(asked, await get<Explanation>(path));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      return missing(asked, error.field, may('operate'));
    }
  }, 3000);
  return <Show of={loaded}>{(rungs) => {
    const first = rungs.find(({ holds }) => holds === false);
    return <>
      <ol class="ladder" aria-label="Checks">{rungs.map(({ reason, holds, says, evidence }) => (
        <li key={reason} data-reason={holds === false ? reason : undefined} class={holds === undefined ? 'skipped' : holds ? 'holds' : 'fails'} aria-current={first?.reason === reason ? 'step' : undefined}>
          <span class={`state ${holds === undefined ? 'dim' : holds ? 'good' : 'bad'}`}><span aria-hidden="true">{holds === undefined ? '–' : holds ? '✓' : '✕'}</span><span class="hidden">{holds === undefined ? 'not checked: ' : holds ? 'holds: ' : 'fails: '}</span></span>
          <div><p>{says}</p>{evidence && <p class="dim">{evidence}</p>}</div>
        </li>
      ))}</ol>
      {may('write') && asked.field !== 'presence' && first && ['NOT_FOLLOWED', 'UNCHANGED'].includes(first.reason) && <p class="actions"><Do action={() => ({
        title: `Send ${asked.viewer} the profile of ${asked.account}?`,
        effect: async () => `Sends 1 profile to each session of ${asked.viewer}, as it may see it.`,
        verb: 'Send',
        run: async () => {
          await call({ method: 'POST', path: at`/v1/users/${asked.viewer}/hints`, body: { accounts: [asked.account] } });
        },
      })}>Send {asked.viewer} what it may see now</Do></p>}
    </>;
  }}</Show>;
}

async function missing({ account, viewer }: Asked, field: string, mayAudit: boolean): Promise<Rung[]> {
  const who = field === 'viewer' ? viewer : account;
  const audit = mayAudit ? await get<{ entries: AuditEntry[] }>(query('/v1/audit', { subject: who, order: 'desc', limit: 1000 })) : { entries: [] };
  const erased = audit.entries.find(({ action }) => action === 'user.deleted');
  const evidence = erased ? <>It was erased by key <b>{erased.caller}</b>, <Ago time={erased.time} />.</> : mayAudit ? 'It was never made, or erased by an import or before the audit log begins.' : 'It was never made, or it was erased; a key with the scope operate sees which.';
  const skipped = ['NOT_APPLIED', 'BLOCKED', 'HIDDEN_FIELDS', 'OFFLINE', 'NOT_FOLLOWED', 'PENDING', 'UNCHANGED'];
  return [
    { reason: 'ERASED', holds: false, says: <><Text of={who} /> does not exist</>, evidence },
    ...skipped.map((reason): Rung => ({ reason, holds: undefined, says: NOT_CHECKED[reason] })),
  ];
}

const NOT_CHECKED: Record<string, string> = {
  NOT_APPLIED: 'The change is applied here', BLOCKED: 'The viewer is not blocked', HIDDEN_FIELDS: 'The viewer may see the field', OFFLINE: 'The viewer is connected',
  NOT_FOLLOWED: 'The viewer follows the account', PENDING: 'The connection takes updates', UNCHANGED: 'Something changed for this view',
};

function ladder({ account, viewer, field, stamp }: Asked, found: Explanation): Rung[] {
  const fails = (reason: string): boolean => found.reasons.includes(reason);
  const view = found.views.find(({ audience }) => audience === found.audience)!;
  const own = found.views.find(({ audience }) => audience === 'self')!;
  const rule = found.fields.find(({ name }) => name === field);
  const whom = { self: 'itself', friends: 'a friend', everyone: 'anyone' }[found.audience];
  // Where a gateway did not answer, no session is none that is known.
  const isConnected = !fails('OFFLINE') && found.sessions.length > 0;
  const [who, of] = [<Account of={viewer} />, <Account of={account} />];
  const hidden: Rung = field === 'presence'
    ? { reason: 'INVISIBLE', holds: !fails('INVISIBLE'), says: fails('INVISIBLE') ? <>{of} shows as offline to everyone else</> : <>{of} does not hide its presence</> }
    : { reason: 'HIDDEN_FIELDS', holds: !fails('HIDDEN_FIELDS'), says: <>{who} sees {of} as {whom} does, and <code>{field}</code> is {fails('HIDDEN_FIELDS') && 'not '}among what it sees</>, evidence: rule && <><code>profile.visibility.{field} = "{rule.visibleTo}"</code></> };
  const rungs: Rung[] = [
    { reason: 'ERASED', holds: true, says: <>{of} exists</>, evidence: <>Its last change is {own.version}, at <Moment time={own.updateTime} /> UTC.</> },
    { reason: 'NOT_APPLIED', holds: !fails('NOT_APPLIED'), says: <>What is committed is {fails('NOT_APPLIED') && 'not yet '}applied where the viewer is</>, evidence: `Committed up to ${found.committed}, applied up to ${found.applied}.` },
    { reason: 'BLOCKED', holds: !fails('BLOCKED'), says: <>{of} {fails('BLOCKED') ? 'blocks' : 'does not block'} {who}</>, evidence: found.blockedSince ? <>Since <Ago time={found.blockedSince} />; {viewer} sees it as it was at version {found.frozenVersion ?? 'of that time'}.</> : undefined },
    hidden,
    ...(found.unreached ? [{ reason: 'UNREACHED', holds: false, says: <>{who} may have sessions on gateways that did not answer</>, evidence: found.unreached.join(', ') }] : []),
    { reason: 'OFFLINE', holds: found.unreached && !isConnected ? undefined : isConnected, says: <>{who} has {isConnected ? `${found.sessions.length} session${found.sessions.length === 1 ? '' : 's'}` : 'no session'}</>, evidence: isConnected ? undefined : 'It gets what it lacks at its next login.' },
    { reason: 'NOT_FOLLOWED', holds: isConnected ? !fails('NOT_FOLLOWED') : undefined, says: <>{fails('NOT_FOLLOWED') ? <>{who} neither lists {of} as a friend nor watches it</> : <>{who} {found.viewerLists.state === 'friend' || account === viewer ? 'lists' : found.sessions.some(({ watches }) => watches) ? 'watches' : 'would have to follow'} {of}</>}</>, evidence: `The viewer's list says: ${found.viewerLists.state}${found.viewerLists.version ? ` since ${found.viewerLists.version}` : ''}.` },
    { reason: 'PENDING', holds: isConnected ? !fails('PENDING') : undefined, says: fails('PENDING') ? <>A connection of {who} does not take what waits for it</> : <>Nothing of {of} waits for a connection of {who}</>, evidence: found.sessions.map(evidenceOf) },
  ];
  const stands = found.reasons.length > 0;
  const moved = stamp ? view.version >= Number(stamp) : false;
  // With nothing in the way everything was delivered, so there was nothing (else) to see.
  if (stands) return [...rungs, { reason: 'UNCHANGED', holds: undefined, says: NOT_CHECKED['UNCHANGED'] }];
  rungs.push({
    reason: 'UNCHANGED',
    holds: field === 'presence' || moved,
    says: field === 'presence' ? <>{who} has been told whether {of} is online</> : moved ? <>{who} has been told of change {stamp}</> : stamp ? <>Change {stamp} changed nothing that {who} may see</> : <>Nothing has changed for this view that {who} was not told</>,
    evidence: <>What {whom} sees of {account} changed last at {view.version}, <Ago time={view.updateTime} />{view.version < own.version && <>; the account itself saw a change at {own.version}</>}.</>,
  });
  return rungs;
}

/** What the API calls otherwise. */
const WAITING: Record<string, string> = { card: 'the profile', friend: 'the friendship', request: 'a request', block: 'a block' };

const evidenceOf = (session: Explanation['sessions'][number]): JSX.Element => (
  <span class="line" key={session.session}>session <code>{session.session}</code>{session.device.type && ` (${session.device.type})`}: delivered up to {session.told ?? 'nothing yet'}{session.waiting.length > 0 && <>, <b>{session.waiting.map((kind) => WAITING[kind] ?? kind).join(', ')}</b> of this account waits</>}{session.pending > 0 && <>, updates of {number(session.pending)} accounts wait in all</>}. </span>
);
