// Everything about one account.

import type { JSX } from 'preact';
import { at, call, get } from '../api.js';
import type { Friend, Presence, Session, User } from '../records.js';
import { go, useLoad, useMay } from '../state.js';
import type { Loaded, Place } from '../state.js';
import { Ago, Do, Head, State, Text, number } from '../ui.js';
import type { Action } from '../ui.js';
import { Profile } from './profile.js';
import { Blocks, Changes, Friends, Requests, Sessions, Tokens } from './user-tabs.js';

const TABS = { profile: 'Profile', friends: 'Friends', requests: 'Requests', blocks: 'Blocks', sessions: 'Sessions', changes: 'Changes', tokens: 'Tokens' };

interface Header { user: User; presence: Presence; sessions: Session[] }

export function UserPage({ place }: { place: Place }): JSX.Element {
  const [, account = '', tab = 'profile'] = place.path;
  const path = at`/v1/users/${account}`;
  const loaded = useLoad(path, async (): Promise<Header> => {
    const [user, presence, { sessions }] = await Promise.all([
      get<User>(path), get<Presence>(`${path}/presence`), get<{ sessions: Session[] }>(`${path}/sessions`),
    ]);
    return { user, presence, sessions };
  }, 5000);
  if (loaded.error?.status === 404) return <Nobody account={account} />;
  const shared = { account, place, changed: loaded.reload };
  return <>
    <Head title={<><Initials of={String(loaded.data?.user['nick'] || account)} /> {loaded.data?.user['nick'] ? <Text of={String(loaded.data.user['nick'])} /> : <Text of={account} />}</>} request={{ path }}>
      <span class="dim">{account}</span>
      {loaded.data && <Here of={loaded.data} />}
    </Head>
    {loaded.error && <p class="problem" role="alert">{loaded.error.message}</p>}
    {loaded.data && <Actions account={account} loaded={loaded} data={loaded.data} />}
    <nav class="tabs" aria-label="Parts of the account">{Object.entries(TABS).map(([key, name]) =>
      <a key={key} href={`#/users/${encodeURIComponent(account)}/${key}`} aria-current={key === tab ? 'page' : undefined}>{name}</a>)}</nav>
    <div class="tab">
      {tab === 'profile' && <Profile key={account} {...shared} version={loaded.data?.user.version} />}
      {tab === 'friends' && <Friends {...shared} />}
      {tab === 'requests' && <Requests {...shared} />}
      {tab === 'blocks' && <Blocks {...shared} />}
      {tab === 'sessions' && <Sessions {...shared} />}
      {tab === 'changes' && <Changes {...shared} />}
      {tab === 'tokens' && <Tokens {...shared} sessions={loaded.data?.sessions.length ?? 0} />}
    </div>
  </>;
}

function Nobody({ account }: { account: string }): JSX.Element {
  return <>
    <Head title={<Text of={account} />} />
    <p class="problem" role="alert">There is no account <b><Text of={account} /></b>: it was never made, or it was erased.</p>
    <p><a href={`#/audit?subject=${encodeURIComponent(account)}`}>What operators did to it</a> · <a href={`#/users?prefix=${encodeURIComponent(account.slice(0, 3))}`}>Accounts that begin alike</a></p>
  </>;
}

const Initials = ({ of }: { of: string }): JSX.Element => <span class="initials" aria-hidden="true">{[...of.trim()].slice(0, 1).join('').toUpperCase() || '?'}</span>;

function Here({ of: { presence, sessions } }: { of: Header }): JSX.Element {
  if (sessions.length) return <State tone="good">online on {sessions.length} {sessions.length === 1 ? 'device' : 'devices'}{presence.devices?.length ? ` (${presence.devices.join(', ')})` : ''}{presence.invisible ? ', shown as offline' : ''}{presence.status ? <>: <Text of={presence.status} /></> : ''}</State>;
  return <State tone="dim">offline{presence.lastSeen ? <>, last seen <Ago time={presence.lastSeen} /></> : null}{presence.invisible ? ', invisible' : ''}</State>;
}

/** The number of friends, exact up to a thousand. */
async function friends(account: string): Promise<string> {
  const page = await get<{ friends: Friend[]; next?: string }>(at`/v1/users/${account}/friends?limit=1000`);
  return page.next ? 'more than 1,000' : number(page.friends.length);
}

function Actions({ account, loaded, data }: { account: string; loaded: Loaded<Header>; data: Header }): JSX.Element | null {
  const may = useMay();
  const path = at`/v1/users/${account}`;
  const { invisible = false } = data.presence;
  const hide = (): Action => ({
    title: invisible ? `Show ${account} as online again?` : `Show ${account} as offline?`,
    effect: async () => `${await friends(account)} friends ${invisible ? 'see again when it is online' : 'will see it as offline'}. Its own ${data.sessions.length} sessions know.`,
    verb: invisible ? 'Show' : 'Hide',
    run: async () => {
      await call({ method: 'PUT', path: `${path}/presence`, body: { invisible: !invisible } });
      await loaded.reload();
    },
  });
  const kick = (): Action => ({
    title: `End all sessions of ${account}?`,
    effect: async () => `Ends ${(await get<{ sessions: Session[] }>(`${path}/sessions`)).sessions.length} sessions. Their clients do not come back by themselves.`,
    verb: 'End sessions',
    danger: true,
    run: async () => {
      const { kicked } = await call<{ kicked: string[] }>({ method: 'DELETE', path: `${path}/sessions` });
      await loaded.reload();
      return <p>{kicked.length} sessions were ended.</p>;
    },
  });
  const erase = (): Action => ({
    title: `Delete ${account}?`,
    effect: async () => {
      const [{ sessions }, many] = await Promise.all([get<{ sessions: Session[] }>(`${path}/sessions`), friends(account)]);
      return <>Erases the profile, ends {sessions.length} sessions and {many} friendships. <b>This cannot be taken back.</b></>;
    },
    verb: 'Delete account',
    danger: true,
    typed: account,
    run: async () => {
      await call({ method: 'DELETE', path });
      // Told by the page that has nothing to show any more.
      await loaded.reload();
    },
  });
  if (!['write', 'sessions', 'erase'].some(may)) return null;
  return <p class="actions">
    {may('write') && <button onClick={() => go(`users/${encodeURIComponent(account)}/profile`, { edit: '1' })}>Edit profile</button>}
    {may('write') && <Do action={hide}>{invisible ? 'Show as online' : 'Show as offline'}</Do>}
    {may('sessions') && <Do action={kick}>End sessions</Do>}
    {may('erase') && <Do action={erase}>Delete</Do>}
  </p>;
}
