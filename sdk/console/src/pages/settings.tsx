// The settings in force, and where each comes from.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { get } from '../api.js';
import type { Setting } from '../records.js';
import { useLoad } from '../state.js';
import { Head, Show, Table } from '../ui.js';

const SECRET = /(_key|secret|\.key|authorization|sha256|password)$/;

export function Settings(): JSX.Element {
  const settings = useLoad('settings', () => get<{ settings: Setting[] }>('/v1/settings'));
  const [filter, setFilter] = useState('');
  const [changed, setChanged] = useState(false);
  const value = ({ key, value }: Setting): JSX.Element => {
    if (value === '' || (Array.isArray(value) && !value.length)) return <span class="dim">empty</span>;
    if (value === 'set' && SECRET.test(key)) return <span class="state dim"><span aria-hidden="true">•••</span> set</span>;
    return <code>{Array.isArray(value) ? value.join(', ') : String(value)}</code>;
  };
  return <>
    <Head title="Settings" request={{ path: '/v1/settings' }} />
    <form class="filter" onSubmit={(event) => event.preventDefault()}>
      <label>Key or value<input value={filter} onInput={(event) => setFilter(event.currentTarget.value)} autocomplete="off" /></label>
      <label class="check"><input type="checkbox" checked={changed} onChange={(event) => setChanged(event.currentTarget.checked)} /> Only what is not the default</label>
    </form>
    <Show of={settings}>{({ settings }) => <Table name="Settings" id={(row) => row.key} empty="No setting is like this."
      rows={settings.filter((row) => `${row.key} ${String(row.value)}`.includes(filter.trim()) && (!changed || row.source !== 'default'))}
      columns={[
        { name: 'Key', cell: (row) => <code>{row.key}</code> },
        { name: 'Value', cell: value },
        { name: 'From', cell: (row) => (row.source === 'default' ? <span class="dim">default</span> : row.source) },
      ]} />}</Show>
  </>;
}
