// The console: who we are, where we are, and the frame around every page.

import './style.css';
import { render } from 'preact';
import type { ComponentType, JSX, TargetedSubmitEvent } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, call, get, onSignedOut } from './api.js';
import { Audit } from './pages/audit.js';
import { Cluster } from './pages/cluster.js';
import { Feed } from './pages/feed.js';
import { Overview } from './pages/overview.js';
import { SessionPage, Sessions } from './pages/sessions.js';
import { Settings } from './pages/settings.js';
import { UserPage } from './pages/user.js';
import { Users } from './pages/users.js';
import { Webhooks } from './pages/webhooks.js';
import { Why } from './pages/why.js';
import type { Me } from './records.js';
import { SharedContext, go, place, useLive, usePlace } from './state.js';
import type { Place } from './state.js';
import { State, Text } from './ui.js';

interface PageOf {
  name: string;
  /** Goes there after `g`. */
  key: string;
  /** The scope without which there is nothing to see. */
  scope: string;
  page: ComponentType<{ place: Place }>;
}

const PAGES: Record<string, PageOf> = {
  overview: { name: 'Overview', key: 'o', scope: 'read', page: Overview },
  sessions: { name: 'Sessions', key: 's', scope: 'read', page: ({ place }) => (place.path[1] ? <SessionPage key={place.path[1]} place={place} /> : <Sessions place={place} />) },
  users: { name: 'Users', key: 'u', scope: 'read', page: ({ place }) => (place.path[1] ? <UserPage key={place.path[1]} place={place} /> : <Users place={place} />) },
  why: { name: 'Why', key: 'y', scope: 'read', page: Why },
  webhooks: { name: 'Webhooks', key: 'w', scope: 'read', page: Webhooks },
  feed: { name: 'Feed', key: 'f', scope: 'feed', page: Feed },
  cluster: { name: 'Cluster', key: 'c', scope: 'read', page: Cluster },
  audit: { name: 'Audit', key: 'a', scope: 'operate', page: Audit },
  settings: { name: 'Settings', key: 't', scope: 'operate', page: Settings },
};

type Access = { me?: Me; problem?: string };

function Console(): JSX.Element {
  const [access, setAccess] = useState<Access>();
  const look = async (): Promise<void> => {
    try {
      setAccess({ me: await get<Me>('/v1/me') });
    } catch (error) {
      const { status, message } = error as ApiError;
      if (status === 0) setTimeout(look, 1000);
      setAccess(status === 401 ? {} : { problem: message });
    }
  };
  useEffect(() => {
    onSignedOut(() => setAccess((was) => (was?.me ? { problem: 'This session has ended: the key changed, or nobody used it.' } : {})));
    void look();
  }, []);
  if (!access) return <main class="login" aria-busy="true" />;
  if (!access.me) return <Login problem={access.problem} done={look} />;
  return <Frame me={access.me} out={() => setAccess({})} />;
}

function Login({ problem, done }: { problem?: string | undefined; done: () => Promise<void> }): JSX.Element {
  const [said, setSaid] = useState<string>();
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      await call({ method: 'POST', path: '/console/login', body: { key: input.current!.value } });
      input.current!.value = '';
      await done();
    } catch (error) {
      setSaid((error as ApiError).message);
    }
    setBusy(false);
  };
  return (
    <main class="login">
      <form onSubmit={submit}>
        <h1><Logo /> rosterd console</h1>
        <label class="field">API key<input ref={input} type="password" name="key" autocomplete="current-password" required aria-describedby="login-help" /></label>
        <p class="dim" id="login-help">What the key may do decides what you see. It is not kept in this browser: a cookie stands for it, for 12 hours at most.</p>
        {(said ?? problem) && <p class="problem" role="alert">{said ?? problem}</p>}
        <button class="primary" type="submit" disabled={busy}>Log in</button>
      </form>
    </main>
  );
}

const Logo = (): JSX.Element => <svg class="logo" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9" /><path d="M9 12h14M9 20h9" /></svg>;

const THEMES = { auto: 'as the system has it', light: 'light', dark: 'dark' } as const;
type Theme = keyof typeof THEMES;

function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState((localStorage.getItem('theme') as Theme | null) ?? 'auto');
  useEffect(() => {
    document.documentElement.dataset['theme'] = theme;
    localStorage.setItem('theme', theme);
  }, [theme]);
  const names = Object.keys(THEMES) as Theme[];
  return [theme, () => setTheme(names[(names.indexOf(theme) + 1) % names.length]!)];
}

function Frame({ me, out }: { me: Me; out: () => void }): JSX.Element {
  const { live, answers, revival } = useLive(me.scopes.includes('read'));
  const at = usePlace();
  const [theme, turn] = useTheme();
  const [help, setHelp] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const pages = Object.entries(PAGES).filter(([, { scope }]) => me.scopes.includes(scope));
  const [name = ''] = at.path;
  const here = PAGES[name];
  useKeys({ search: () => search.current?.focus(), help: () => setHelp((was) => !was), go: (key) => pages.find(([, page]) => page.key === key)?.[0] });
  useEffect(() => {
    // Asked again: somebody may have gone on since this was drawn.
    if (!PAGES[place().path[0] ?? ''] && pages[0]) go(pages[0][0], {}, true);
    document.title = `${at.path[1] ?? here?.name ?? 'rosterd'} – rosterd console`;
  }, [name, at.path[1]]);
  const find = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const account = search.current!.value.trim();
    if (account) go(`users/${encodeURIComponent(account)}`);
    search.current!.value = '';
    search.current!.blur();
  };
  const logOut = async (): Promise<void> => {
    await call({ method: 'POST', path: '/console/logout' }).catch(() => {});
    out();
  };
  const Page = here?.page;
  const phase = ['starting', 'ready', 'draining', 'failed'][live.last('phase')] ?? '';
  return (
    <SharedContext.Provider value={{ me, answers, revival, live }}>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to the page</a>
      <header class="rail">
        <p class="brand"><Logo /> rosterd</p>
        {me.scopes.includes('read') && <form onSubmit={find} role="search"><label><span class="hidden">Account</span><input ref={search} placeholder="/ account" autocomplete="off" spellcheck={false} /></label></form>}
        <nav aria-label="Pages">{pages.map(([path, page]) => <a key={path} href={`#/${path}`} aria-current={path === name ? 'page' : undefined}>{page.name}</a>)}</nav>
        <div class="foot">
          <button class="small" onClick={() => setHelp(true)}>Keys <kbd>?</kbd></button>
          <button class="small" onClick={turn} title={`Colors: ${THEMES[theme]}`}><span aria-hidden="true">◐</span> {theme}</button>
        </div>
      </header>
      <section class="bar" aria-label="Gateway and key">
        {live.samples.length > 0 && <State tone={phase === 'ready' ? 'good' : phase === 'failed' ? 'bad' : 'warn'}>{phase}</State>}
        <span class="space" />
        {me.scopes.includes('read') && (answers ? <State tone="good">live</State> : <State tone="bad">no answer</State>)}
        <span>{me.console === 'open' ? 'no key needed here' : <>key: <b><Text of={me.name} /></b></>}</span>
        {me.console === 'cookie' && <button class="small" onClick={logOut}>Log out</button>}
      </section>
      {!answers && <p class="lost" role="alert">The gateway does not answer. What you see is from before; this page goes on by itself once it is back.</p>}
      <main id="main" tabIndex={-1} data-place={at.hash}>{Page && here && me.scopes.includes(here.scope) ? <Page place={at} /> : <><h1>{here?.name ?? 'Console'}</h1><p class="problem">{pages.length ? `Your key may not see this: it lacks the scope ${here?.scope ?? ''}.` : 'Your key may see nothing here: it needs the scope read, feed or operate.'}</p></>}</main>
      {help && <Help pages={pages.map(([, page]) => page)} close={() => setHelp(false)} />}
    </SharedContext.Provider>
  );
}

interface Keys { search: () => void; help: () => void; go: (key: string) => string | undefined }

/** Keys for all pages; not while something is typed, or a dialog asks. */
function useKeys(keys: Keys): void {
  const newest = useRef(keys);
  newest.current = keys;
  useEffect(() => {
    let goes = 0;
    const press = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      if (event.key === 'Escape' && target.matches('input, select')) return target.blur();
      if (event.ctrlKey || event.metaKey || event.altKey || target.matches('input, select, textarea') || document.querySelector('dialog[open]')) return;
      const then = event.timeStamp - goes < 1500 ? newest.current.go(event.key) : undefined;
      goes = 0;
      if (then) go(then);
      else if (event.key === '/') newest.current.search();
      else if (event.key === '?') newest.current.help();
      else if (event.key === 'g') goes = event.timeStamp;
      else if (event.key === 'j' || event.key === 'k') step(event.key === 'j' ? 1 : -1);
      else return;
      event.preventDefault();
    };
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  }, []);
}

/** Moves from row to row: to the first link or button of each. */
function step(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>('main tbody tr')].map((row) => row.querySelector<HTMLElement>('a, button')).filter((part) => part !== null);
  const now = rows.findIndex((part) => part.closest('tr')?.contains(document.activeElement));
  rows[now < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, now + by))]?.focus();
}

function Help({ pages, close }: { pages: PageOf[]; close: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <dl class="keys">
        <div><dt><kbd>/</kbd></dt><dd>look up an account</dd></div>
        {pages.map((page) => <div key={page.key}><dt><kbd>g</kbd> <kbd>{page.key}</kbd></dt><dd>{page.name}</dd></div>)}
        <div><dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>next and previous row</dd></div>
        <div><dt><kbd>Enter</kbd></dt><dd>open</dd></div>
        <div><dt><kbd>Esc</kbd></dt><dd>close, leave a field</dd></div>
      </dl>
      <p class="buttons"><button onClick={close}>Close</button></p>
    </dialog>
  );
}

render(<Console />, document.body);
