// Accounts by the beginning of their names: search by other fields is what the feed feeds.

import type { JSX, TargetedSubmitEvent } from 'preact';
import { get, query } from '../api.js';
import type { User } from '../records.js';
import { go, useLoad } from '../state.js';
import type { Place } from '../state.js';
import { Account, Ago, Head, Pager, Show, Table, Text } from '../ui.js';

export function Users({ place }: { place: Place }): JSX.Element {
  const { prefix = '', after } = place.query;
  const path = query('/v1/users', { prefix, after, limit: 50 });
  const page = useLoad(path, () => get<{ users: User[]; next?: string }>(path));
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    go('users', { prefix: String(new FormData(event.currentTarget).get('prefix')).trim() });
  };
  return <>
    <Head title="Users" request={{ path }} />
    <form class="filter" key={prefix} onSubmit={submit}>
      <label>Account begins with<input name="prefix" defaultValue={prefix} autocomplete="off" /></label>
      <button type="submit">Search</button>
    </form>
    <Show of={page}>{({ users }) => <>
      <Table name="Users" rows={users} id={(row) => row.account} empty="No account begins like this." columns={[
        { name: 'Account', cell: (row) => <Account of={row.account} /> },
        { name: 'Nick', cell: (row) => <Text of={String(row['nick'] ?? '')} /> },
        { name: 'Sign', cell: (row) => <Text of={String(row['sign'] ?? '')} /> },
        { name: 'Changed', cell: (row) => <Ago time={row.updateTime} /> },
        { name: 'Version', digits: true, cell: (row) => row.version },
      ]} />
    </>}</Show>
    <Pager next={page.data?.next} after={after} go={(after) => go('users', { prefix, after })} />
  </>;
}
