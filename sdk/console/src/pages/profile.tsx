// A profile as each audience sees it, side by side.

import type { JSX, TargetedSubmitEvent } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError, at, call, get } from '../api.js';
import type { Explanation, FieldSchema, Friend, OwnValue, Schema, User } from '../records.js';
import { go, useLoad, useMay } from '../state.js';
import type { Place } from '../state.js';
import { Ago, Show, Text, number } from '../ui.js';

const AUDIENCES = ['everyone', 'friends', 'self'];

/** The fields that a key without the scope `private` is not given. */
const PRIVATE = ['email', 'birth', 'tel'];

/** How own fields are named among the others. */
const OWN = 'fields.';

type Fields = NonNullable<Schema['fields']>;

interface Shown { user: User; explained: Explanation; schema: Fields }

/** Whether a key without the scope `private` is not given a field. */
const isPrivate = (name: string, schema: Fields): boolean =>
  name.startsWith(OWN) ? schema[name.slice(OWN.length)]?.visibility !== 'everyone' : PRIVATE.includes(name);

/** The value of a field, an own one too. */
const valueOf = (user: User, name: string): OwnValue | undefined =>
  name.startsWith(OWN) ? user.fields?.[name.slice(OWN.length)] : user[name] as string | undefined;

export function Profile({ account, place, changed, version }: { account: string; place: Place; changed: () => void; version: number | undefined }): JSX.Element {
  const path = at`/v1/users/${account}`;
  const [reveals, setReveals] = useState(false);
  const may = useMay();
  const loaded = useLoad(`${path} ${reveals} ${version}`, async (): Promise<Shown> => {
    const [user, explained, { fields }] = await Promise.all([get<User>(path, reveals), get<Explanation>(at`/v1/accounts/${account}/explain?viewer=${account}`), get<Schema>('/v1/schema')]);
    return { user, explained, schema: fields ?? {} };
  });
  const edit = place.query['edit'] === '1' && may('write');
  const close = (): void => go(`users/${encodeURIComponent(account)}/profile`, {}, true);
  return <Show of={loaded}>{({ user, explained, schema }) => <>
    {edit && <Edit user={user} fields={explained.fields.map(({ name }) => name)} schema={schema} reveals={reveals} close={close} changed={changed} />}
    <div class="scroll" tabIndex={0} role="region" aria-label="Profile">
      <table class="profile">
        <thead><tr><th scope="col">Field</th>{AUDIENCES.map((audience) => <th scope="col" key={audience}>{audience === 'self' ? 'The user itself sees' : audience === 'friends' ? 'Friends see' : 'Everyone sees'}</th>)}</tr></thead>
        <tbody>
          {explained.fields.map(({ name, visibleTo }) => <tr key={name}>
            <th scope="row">{name}</th>
            {AUDIENCES.map((audience, i) => <td key={audience}>{i < AUDIENCES.indexOf(visibleTo) ? <span class="dim">not shown</span> : <Value value={valueOf(user, name)} hidden={!reveals && isPrivate(name, schema)} mayReveal={may('private')} />}</td>)}
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

function Value({ value, hidden, mayReveal }: { value: OwnValue | undefined; hidden: boolean; mayReveal: boolean }): JSX.Element {
  if (value === undefined && hidden) return mayReveal ? <span class="covered" title="covered">•••<span class="hidden"> covered</span></span> : <span class="dim">private</span>;
  return value === '' || value === undefined ? <span class="dim">empty</span> : <Text of={Array.isArray(value) ? value.join(', ') : String(value)} />;
}

/** What a value is in a form: a text a line of a list. */
const shown = (value: OwnValue | undefined): string => (Array.isArray(value) ? value.join('\n') : String(value ?? ''));

/** What a form says of an own field; `null` clears it. A text that is no number goes as it is, and is refused in the gateway's words. */
function typed(text: string, { type }: FieldSchema): OwnValue | null {
  if (type === 'list') return text.split('\n').filter((line) => line);
  if (text === '') return null;
  if (type === 'boolean') return text === 'true';
  return (type === 'integer' || type === 'number') && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** An own field in the form. */
function OwnInput({ name, schema, value, covered }: { name: string; schema: FieldSchema; value: string; covered: boolean }): JSX.Element {
  const choices = schema.type === 'boolean' ? ['true', 'false'] : schema.type === 'text' ? schema.values : undefined;
  if (choices) return <select name={name} defaultValue={value}>{['', ...choices].map((of) => <option key={of} selected={of === value} value={of}>{of || (covered ? 'covered' : 'empty')}</option>)}</select>;
  const placeholder = covered ? 'covered' : schema.type === 'list' ? 'one a line' : '';
  return schema.type === 'list'
    ? <textarea name={name} defaultValue={value} placeholder={placeholder} rows={3} />
    : <input name={name} defaultValue={value} placeholder={placeholder} inputMode={schema.type === 'text' ? 'text' : 'decimal'} autocomplete="off" />;
}

type Change = Record<string, string | Record<string, OwnValue | null>>;

function Edit({ user, fields, schema, reveals, close, changed }: { user: User; fields: string[]; schema: Fields; reveals: boolean; close: () => void; changed: () => void }): JSX.Element {
  const [problem, setProblem] = useState<ApiError>();
  const [confirm, setConfirm] = useState<{ set: Change; effect: string }>();
  const given = (form: HTMLFormElement): { names: string[]; set: Change } => {
    // Browsers send the lines of a text as on a typewriter.
    const entries = [...new FormData(form)].map(([name, value]) => [name, String(value).replaceAll('\r\n', '\n')] as const);
    // A covered field is changed only if something is typed into it.
    const changes = entries.filter(([name, value]) => value !== shown(valueOf(user, name)));
    const own = changes.filter(([name]) => name.startsWith(OWN)).map(([name, value]) => [name.slice(OWN.length), value] as const);
    const set: Change = Object.fromEntries(changes.filter(([name]) => !name.startsWith(OWN)));
    if (own.length) set['fields'] = Object.fromEntries(own.map(([name, value]) => [name, typed(value, schema[name]!)]));
    return { names: changes.map(([name]) => name), set };
  };
  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    try {
      if (confirm) {
        await call({ method: 'PATCH', path: at`/v1/users/${user.account}`, body: { ...confirm.set, ifVersion: user.version } });
        changed();
        return close();
      }
      const { names, set } = given(event.currentTarget);
      if (!names.length) return close();
      const page = await get<{ friends: Friend[]; next?: string }>(at`/v1/users/${user.account}/friends?limit=1000`);
      setConfirm({ set, effect: `Changes ${names.join(', ')}. ${page.next ? 'More than 1,000' : number(page.friends.length)} friends will get what they may see of it.` });
    } catch (error) {
      setConfirm(undefined);
      setProblem(error as ApiError);
    }
  };
  return (
    <form class="edit" onSubmit={submit} aria-label="Edit profile">
      <div class="fields">{fields.map((name) => <label key={name} class={`field${problem?.field === name ? ' wrong' : ''}`}>{name}
        {name.startsWith(OWN)
          ? <OwnInput name={name} schema={schema[name.slice(OWN.length)]!} value={shown(valueOf(user, name))} covered={!reveals && isPrivate(name, schema)} />
          : name === 'gender'
          ? <select name="gender" defaultValue={String(user['gender'])}>{['unknown', 'male', 'female'].map((of) => <option key={of} selected={of === user['gender']}>{of}</option>)}</select>
          : <input name={name} defaultValue={shown(valueOf(user, name))} placeholder={user[name] === undefined ? 'covered' : ''} autocomplete="off" />}
      </label>)}</div>
      {confirm && <p class="effect" role="status">{confirm.effect} This is written into the audit log.</p>}
      {problem && <p class="problem" role="alert">{problem.status === 412 ? 'The profile was changed meanwhile: cancel, and look at it again. ' : ''}{problem.message}</p>}
      <p class="buttons"><button type="button" onClick={close}>Cancel</button><button type="submit" class="primary">{confirm ? 'Save' : 'Save …'}</button></p>
    </form>
  );
}
