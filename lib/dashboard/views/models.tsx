import type { RefObject } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { hasWords, wordsOf } from '../../present/search.js';
import { countText, plural } from '../../present/sentences.js';
import { formatBytes, formatPercent, formatPerSecond, formatWhole } from '../../present/units.js';
import { ordered, workers } from '../data/fleet.js';
import { type ModelRow, modelRows } from '../data/fleet-rows.js';
import { at, go } from '../data/location.js';
import { sortRows } from '../data/rows.js';
import { Grid, type GridColumn } from '../parts/grid.js';
import { phone, useMedia } from '../parts/hooks.js';
import { ColumnChoice, orderOf, sortTable, useColumns, useStill } from '../parts/table-choices.js';
import { Toolbar } from '../parts/toolbar.js';
import { PhoneSort } from './workers.js';

const figure = (
  id: string,
  label: string,
  width: number,
  rank: number,
  key: (row: ModelRow) => number | null,
  text: (row: ModelRow) => string = (row) => formatWhole(key(row)),
): GridColumn<ModelRow> => ({
  id,
  label,
  number: true,
  width,
  rank,
  key,
  text,
  title: (row) => (key(row) === null ? 'None of its workers reports it.' : undefined),
});

const columns: readonly GridColumn<ModelRow>[] = [
  {
    id: 'model',
    label: 'Model',
    width: 180,
    grow: 3,
    rank: 0,
    key: ({ name }) => name,
    class: 'who',
    cell: ({ name, hosts }) => (
      <>
        <strong title={name}>{name}</strong>
        <small>on {plural(hosts, 'hive')}</small>
      </>
    ),
  },
  figure('replicas', 'Replicas', 76, 1, ({ replicas }) => replicas),
  figure('ready', 'Ready', 64, 1, ({ ready }) => ready),
  figure('running', 'Running', 76, 2, ({ running }) => running),
  figure('waiting', 'Waiting', 76, 2, ({ waiting }) => waiting),
  figure(
    'tokens',
    'Tokens/s',
    76,
    1,
    ({ tokensPerSecond }) => tokensPerSecond,
    (row) => formatPerSecond(row.tokensPerSecond).replace('/s', ''),
  ),
  figure(
    'free',
    'KV free',
    76,
    1,
    ({ freePercent }) => freePercent,
    (row) => formatPercent(row.freePercent),
  ),
  {
    ...figure(
      'vram',
      'VRAM',
      90,
      3,
      ({ vramBytes }) => vramBytes,
      (row) => formatBytes(row.vramBytes),
    ),
    wide: true,
  },
  figure('reporting', 'Report load', 96, 4, ({ reporting }) => reporting),
];
const first = ['replicas', 'ready', 'running', 'waiting', 'tokens', 'free', 'vram'];

export function ModelsView({ scroller }: { readonly scroller: RefObject<HTMLElement> }) {
  const version = ordered.value;
  const isPhone = useMedia(phone);
  const chosen = useColumns('models', columns, first);
  const order = orderOf('models', 'model');
  const text = at.q.value;
  const [cursor, setCursor] = useState('');
  const all = useMemo(() => modelRows(workers.values()), [version]);
  const byName = useMemo(() => new Map(all.map((row) => [row.name, row])), [all]);
  const sorted = useMemo(() => {
    const words = wordsOf(text);
    const column = columns.find(({ id }) => id === order.sort) ?? columns[0]!;
    const found = all.filter(({ name }) => hasWords(words, [name]));
    const rows = sortRows(found, column.key, ({ name }) => name, order.dir);
    return rows.map((row) => ({ kind: 'row' as const, key: row.name, row }));
  }, [all, text, order.sort, order.dir]);
  const items = useStill(JSON.stringify([text, order]), sorted);
  const open = (name: string) =>
    go({ view: 'workers', model: name, columns: 'load', q: '', sort: '', dir: '' }, 'step');
  return (
    <section aria-label="Models">
      <Toolbar label="Filter models" placeholder="Filter by name" count={countText(sorted.length, all.length, 'model')}>
        <ColumnChoice name="models" all={columns} chosen={chosen} first={first} />
      </Toolbar>
      {isPhone && <PhoneSort name="models" columns={chosen} order={order} />}
      <Grid
        kind="model"
        label="Models"
        columns={chosen}
        items={items}
        rowOf={(name) => byName.get(name)}
        scroller={scroller}
        selectedKey={cursor}
        open={open}
        walk={setCursor}
        {...order}
        sortBy={(column) => sortTable('models', order, column)}
      />
      {sorted.length === 0 && (
        <p class="nothing">
          {all.length === 0 ? 'No worker that is known serves a model.' : 'No model matches the filter.'}
        </p>
      )}
    </section>
  );
}
