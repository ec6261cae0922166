// A profile as each audience sees it, side by side.

import type { JSX, TargetedSubmitEvent } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError, at, call, get } from '../api.js';
import type { Explanation, Friend, User } from '../records.js';
import { go, useLoad, useMay } from '../state.js';
import type { Place } from '../state.js';
import { Ago, Show, Text, number } from '../ui.js';

const AUDIENCES = ['everyone', 'friends', 'self'];

/** The fields that a key without the scope `private` is not given. */
const PRIVATE = ['email', 'birth', 'tel'];

interface Shown { user: User; explained: Explanation }

export function Profile({ account, place, changed, version }: { account: string; place: Place; changed: () => void; version: number | undefined }): JSX.Element {
  const path = at`/v1/users/${account}`;
  const [reveals, setReveals] = useState(false);
  const may = useMay();
  const loaded = useLoad(`${path} ${reveals} ${version}`, async (): Promise<Shown> => {
    const [user, explained] = await Promise.all([get<User>(path, reveals), get<Explanation>(at`/v1/accounts/${account}/explain?viewer=${account}`)]);
    return { user, explained };
  });
  const edit = place.query['edit'] === '1' && may('write');
  const close = (): void => go(`users/${encodeURIComponent(account)}/profile`, {}, true);
  return <Show of={loaded}>{({ user, explained }) => <>
    {edit && <Edit user={user} fields={explained.fields.map(({ name }) => name)} close={close} changed={changed} />}
    <div class="scroll" tabIndex={0} role="region" aria-label="Profile">
      <table class="profile">
        <thead><tr><th scope="col">Field</th>{AUDIENCES.map((audience) => <th scope="col" key={audience}>{audience === 'self' ? 'The user itself sees' : audience === 'friends' ? 'Friends see' : 'Everyone sees'}</th>)}</tr></thead>
        <tbody>
          {explained.fields.map(({ name, visibleTo }) => <tr key={name}>
            <th scope="row">{name}</th>
            {AUDIENCES.map((audience, i) => <td key={audience}>{i < AUDIENCES.indexOf(visibleTo) ? <span class="dim">not shown</span> : <Value user={user} name={name} covered={may('private') && !reveals} />}</td>)}
          </tr>)}
        </tbody>
        <tfoot><tr><th scope="row">Last change</th>{AUDIENCES.map((audience) => {
          const view = explained.views.find((view) => view.audience === audience);
          return <td key={audience}>{view && <>version {view.version}, <Ago time={view.updateTime} /></>}</td>;
        })}</tr></tfoot>
      </table>
    </div>
    <p class="actions">
      {may('private') && (reveals
        ? <button onClick={() => setReveals(false)}>Cover private fields</button>
        : <><button onClick={() => setReveals(true)}>Show private fields</button> <span class="dim">Showing them is written into the audit log.</span></>)}
    </p>
    <p class="dim">Made <Ago time={user.createTime} />.</p>
  </>}</Show>;
}

function Value({ user, name, covered }: { user: User; name: string; covered: boolean }): JSX.Element {
  const value = user[name];
  if (value === undefined && PRIVATE.includes(name)) return covered ? <span class="covered" title="covered">•••<span class="hidden"> covered</span></span> : <span class="dim">private</span>;
  return value === '' || value === undefined ? <span class="dim">empty</span> : <Text of={String(value)} />;
}

function Edit({ user, fields, close, changed }: { user: User; fields: string[]; close: () => void; changed: () => void }): JSX.Element {
  const [problem, setProblem] = useState<ApiError>();
  const [confirm, setConfirm] = useState<{ set: Record<string, string>; effect: string }>();
  const given = (form: HTMLFormElement): Record<string, string> => {
    const entries = [...new FormData(form)].map(([name, value]) => [name, String(value)] as const);
    // A covered field is changed only if something is typed into it.
    return Object.fromEntries(entries.filter(([name, value]) => value !== String(user[name] ?? '')));
  };
  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    try {
      if (confirm) {
        await call({ method: 'PATCH', path: at`/v1/users/${user.account}`, body: { ...confirm.set, ifVersion: user.version } });
        changed();
        return close();
      }
      const set = given(event.currentTarget);
      if (!Object.keys(set).length) return close();
      const page = await get<{ friends: Friend[]; next?: string }>(at`/v1/users/${user.account}/friends?limit=1000`);
      setConfirm({ set, effect: `Changes ${Object.keys(set).join(', ')}. ${page.next ? 'More than 1,000' : number(page.friends.length)} friends will get what they may see of it.` });
    } catch (error) {
      setConfirm(undefined);
      setProblem(error as ApiError);
    }
  };
  return (
    <form class="edit" onSubmit={submit} aria-label="Edit profile">
      <div class="fields">{fields.map((name) => <label key={name} class={`field${problem?.field === name ? ' wrong' : ''}`}>{name}
        {name === 'gender'
          ? <select name="gender" defaultValue={String(user['gender'])}>{['unknown', 'male', 'female'].map((of) => <option key={of} selected={of === user['gender']}>{of}</option>)}</select>
          : <input name={name} defaultValue={String(user[name] ?? '')} placeholder={user[name] === undefined ? 'covered' : ''} autocomplete="off" />}
      </label>)}</div>
      {confirm && <p class="effect" role="status">{confirm.effect} This is written into the audit log.</p>}
      {problem && <p class="problem" role="alert">{problem.status === 412 ? 'The profile was changed meanwhile: cancel, and look at it again. ' : ''}{problem.message}</p>}
      <p class="buttons"><button type="button" onClick={close}>Cancel</button><button type="submit" class="primary">{confirm ? 'Save' : 'Save …'}</button></p>
    </form>
  );
}
