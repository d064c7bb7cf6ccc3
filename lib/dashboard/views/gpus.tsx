import type { RefObject } from 'preact';
import { useMemo } from 'preact/hooks';
import type { HiveView } from '../../contract/api.js';
import { freeBytes } from '../../contract/free-bytes.js';
import { gpuKind } from '../../present/gpu-names.js';
import { wordsOf } from '../../present/search.js';
import { countText, oldValuesText, plural, sentence } from '../../present/sentences.js';
import { gpuHealthStyles, gpuStyle, livenessStyles } from '../../present/status.js';
import {
  formatCelsius,
  formatCount,
  formatGib,
  formatGibOf,
  formatPercent,
  formatWatts,
  unknownText,
} from '../../present/units.js';
import { hives, ordered, workersOf } from '../data/fleet.js';
import {
  type GpuRow,
  gpuHasWords,
  gpuRowsOf,
  groupNamesOf,
  heardGpuTotals,
  holdersOf,
  noGroupText,
} from '../data/fleet-rows.js';
import { at, go, show } from '../data/location.js';
import { groupRows, sortRows } from '../data/rows.js';
import { Grid, type GridColumn, type GridItem } from '../parts/grid.js';
import { phone, useMedia } from '../parts/hooks.js';
import { StatusChip, StatusLabel } from '../parts/status-chip.js';
import { ColumnChoice, orderOf, sortTable, useColumns, useStill } from '../parts/table-choices.js';
import { Choices, Toolbar } from '../parts/toolbar.js';
import { GroupChoice } from './groups.js';
import { MissingList } from './missing.js';
import { PhoneSort } from './workers.js';

type GpuColumn = GridColumn<GpuRow>;
const freeOf = ({ gpu, host }: GpuRow): number | null => freeBytes(gpu, host);

const figure = (
  id: string,
  label: string,
  width: number,
  rank: number,
  key: (row: GpuRow) => number | null,
  text: (row: GpuRow) => string,
): GpuColumn => ({ id, label, number: true, width, rank, key, text });

const columns: readonly GpuColumn[] = [
  {
    id: 'gpu-name',
    label: 'GPU',
    width: 130,
    grow: 1,
    rank: 0,
    key: ({ hive, gpu }) => `${hive} ${gpu.index}`,
    class: 'who',
    cell: ({ hive, gpu }) => (
      <>
        <strong>GPU {gpu.index}</strong>
        <small>{hive}</small>
      </>
    ),
  },
  {
    id: 'kind',
    label: 'Kind',
    width: 120,
    grow: 1,
    rank: 2,
    key: ({ gpu }) => gpuKind(gpu),
    class: 'model',
    cell: ({ gpu }) => <span>{gpuKind(gpu)}</span>,
  },
  {
    id: 'health',
    label: 'State',
    width: 118,
    rank: 0,
    key: ({ gpu, liveness }) => gpuStyle({ health: gpu.health, liveness }).word,
    class: 'state',
    cell: ({ gpu, liveness }) => <StatusChip status={gpuStyle({ health: gpu.health, liveness })} />,
  },
  figure(
    'gpu',
    'Utilization',
    84,
    1,
    ({ gpu }) => gpu.utilizationPercent,
    ({ gpu }) => formatPercent(gpu.utilizationPercent),
  ),
  {
    ...figure(
      'vram',
      'VRAM',
      130,
      1,
      ({ gpu }) => gpu.memoryUsedBytes,
      ({ gpu }) =>
        gpu.memoryUsedBytes === null ? unknownText : formatGibOf(gpu.memoryUsedBytes, gpu.memoryTotalBytes),
    ),
    wide: true,
  },
  figure('free', 'Free', 84, 3, freeOf, (row) => formatGib(freeOf(row))),
  figure(
    'temperature',
    'Temp',
    64,
    3,
    ({ gpu }) => gpu.temperatureCelsius,
    ({ gpu }) => formatCelsius(gpu.temperatureCelsius),
  ),
  figure(
    'power',
    'Power',
    64,
    3,
    ({ gpu }) => gpu.powerWatts,
    ({ gpu }) => formatWatts(gpu.powerWatts),
  ),
  figure('workers', 'Workers', 70, 2, holdersOf, (row) => formatCount(holdersOf(row))),
];
const first = ['kind', 'gpu', 'vram', 'free', 'temperature', 'power', 'workers'];

/** Rows of hosts whose heartbeat brought nothing new stay the same. */
const rowsOfView = new WeakMap<HiveView, readonly GpuRow[]>();
function rowsOf(view: HiveView): readonly GpuRow[] {
  const known = rowsOfView.get(view);
  if (known) return known;
  const rows = gpuRowsOf(view, workersOf(view.id));
  rowsOfView.set(view, rows);
  return rows;
}

function rowOf(key: string): GpuRow | undefined {
  const view = hives.get(key.slice(0, key.indexOf('/')))?.view;
  return view === undefined ? undefined : rowsOf(view).find((row) => row.key === key);
}

/** `8 GPUs, 63 % busy` */
function groupText(rows: readonly GpuRow[]): string {
  const busy = heardGpuTotals(rows.map(({ gpu, liveness }) => ({ gpus: [gpu], liveness }))).utilizationPercent;
  return `${plural(rows.length, 'GPU')}${busy === null ? '' : `, ${formatPercent(busy)} busy`}`;
}

function itemsOf(rows: readonly GpuRow[], by: string): GridItem<GpuRow>[] {
  const itemOf = (row: GpuRow) => ({ kind: 'row' as const, key: row.key, row });
  if (by === '') return rows.map(itemOf);
  const namesOf = ({ labels, gpu, workers }: GpuRow) => groupNamesOf(by, { labels, gpus: [gpu], workers });
  return groupRows(rows, namesOf).flatMap(({ name, rows: members }) => [
    { kind: 'heading' as const, name: name ?? noGroupText(by), text: groupText(members) },
    ...members.map(itemOf),
  ]);
}

const healthStyles = { ...gpuHealthStyles, offline: livenessStyles.offline };

export function GpusView({ scroller }: { readonly scroller: RefObject<HTMLElement> }) {
  const version = ordered.value;
  const isPhone = useMedia(phone);
  const chosen = useColumns('gpus', columns, first);
  const order = orderOf('gpus', 'gpu-name');
  const [text, health, by] = [at.q.value, at.state.value, at.group.value];
  const all = useMemo(() => Array.from(hives.values(), ({ view }) => rowsOf(view)).flat(), [version]);
  const found = useMemo(() => {
    const words = wordsOf(text);
    const stateOf = ({ gpu, liveness }: GpuRow) => (liveness === 'offline' ? 'offline' : gpu.health);
    return all.filter((row) => (health === '' || stateOf(row) === health) && gpuHasWords(words, row));
  }, [all, text, health]);
  const sorted = useMemo(() => {
    const column = columns.find(({ id }) => id === order.sort) ?? columns[0]!;
    return itemsOf(
      sortRows(found, column.key, ({ key }) => key, order.dir),
      by,
    );
  }, [found, order.sort, order.dir, by]);
  const items = useStill(JSON.stringify([text, health, by, order]), sorted);
  const states = new Set(all.map(({ gpu, liveness }) => (liveness === 'offline' ? 'offline' : gpu.health)));
  return (
    <section aria-label="GPUs">
      <Toolbar
        label="Filter GPUs"
        placeholder="Filter by host, kind or model"
        count={countText(found.length, all.length, 'GPU')}
      >
        <Choices
          label="State"
          param="state"
          options={Object.entries(healthStyles)
            .filter(([name]) => states.has(name as GpuRow['gpu']['health']) || name === health)
            .map(([name, status]) => [name, <StatusLabel key={name} status={status} plain />])}
        />
        <GroupChoice />
        <ColumnChoice name="gpus" all={columns} chosen={chosen} first={first} />
      </Toolbar>
      {isPhone && <PhoneSort name="gpus" columns={chosen} order={order} />}
      <Grid
        kind="gpu-table"
        label="GPUs"
        columns={chosen}
        items={items}
        rowOf={rowOf}
        rowClass={({ liveness }) => (liveness === 'offline' ? ' stale' : '')}
        rowTitle={({ liveness }) => (liveness === 'online' ? undefined : sentence(oldValuesText(liveness) ?? ''))}
        scroller={scroller}
        selectedKey={at.show.value.startsWith('gpu:') ? at.show.value.slice(4) : ''}
        open={(key) => show(`gpu:${key}`)}
        walk={(key) => go({ show: `gpu:${key}` })}
        {...order}
        sortBy={(column) => sortTable('gpus', order, column)}
      />
      {found.length === 0 && (
        <p class="nothing">
          {all.length === 0 ? 'No GPU is known.' : 'No GPU matches the filter. '}
          {all.length > 0 && (
            <button type="button" class="link" onClick={() => go({ q: '', state: '' })}>
              Clear the filters
            </button>
          )}
        </p>
      )}
      <MissingList kinds={['gpu']} />
    </section>
  );
}
