import type { RefObject } from 'preact';
import { useMemo } from 'preact/hooks';
import type { HiveView } from '../../contract/api.js';
import { gpuSummary } from '../../present/gpu-names.js';
import { coresOf, gpuTotals, usedMemoryOf, vramOf } from '../../present/host-figures.js';
import { hiveGpusText, workerCountText } from '../../present/knowledge.js';
import { labelTexts } from '../../present/search.js';
import { oldValuesText, sentence } from '../../present/sentences.js';
import { causeOfHealth } from '../../present/severity.js';
import { gpuStyle, livenessStyles, type StatusStyle } from '../../present/status.js';
import { sumOf } from '../../present/totals.js';
import { formatAge, formatGibOf, formatPercent, formatWatts, formatWhole } from '../../present/units.js';
import { ageOf, hives, workersOf } from '../data/fleet.js';
import type { HiveGroup } from '../data/fleet-rows.js';
import { at, go, show } from '../data/location.js';
import { sortRows } from '../data/rows.js';
import { Grid, type GridColumn, type GridItem } from '../parts/grid.js';
import { phone, useMedia } from '../parts/hooks.js';
import { Sign } from '../parts/meter.js';
import { StatusChip } from '../parts/status-chip.js';
import { ColumnChoice, orderOf, sortTable, useColumns } from '../parts/table-choices.js';
import { CordonChip } from './cordon.js';
import { PhoneSort } from './workers.js';

type HiveColumn = GridColumn<HiveView>;
const ageMs = (view: HiveView): number | null => {
  const hive = hives.get(view.id);
  return hive === undefined ? null : ageOf(hive);
};
const ranks = { offline: '0', late: '1', online: '2' } as const;
const tokensOf = ({ id }: HiveView) =>
  sumOf(workersOf(id).map(({ serving }) => serving?.generationTokensPerSecond ?? null));

/** What is wrong with which of its GPUs: without it a host that lost all of them would only look quiet. */
function SickGpus({ view: { gpus, liveness } }: { readonly view: HiveView }) {
  const counts = new Map<StatusStyle, number>();
  for (const { health } of liveness === 'offline' ? [] : gpus) {
    const style = gpuStyle({ health, liveness });
    if (causeOfHealth(health) !== null) counts.set(style, (counts.get(style) ?? 0) + 1);
  }
  if (counts.size === 0) return null;
  return (
    <small class="legend">
      {Array.from(counts, ([{ symbol, tone, word }, count]) => (
        <Sign key={word} symbol={symbol} tone={tone}>
          {count} {word}
        </Sign>
      ))}
    </small>
  );
}

const figure = (
  id: string,
  label: string,
  width: number,
  rank: number,
  key: (view: HiveView) => number | null,
  text: (view: HiveView) => string,
): HiveColumn => ({ id, label, number: true, width, rank, key, text });

const columns: readonly HiveColumn[] = [
  {
    id: 'hive',
    label: 'Hive',
    width: 130,
    grow: 1.4,
    rank: 0,
    key: ({ id }) => id,
    class: 'who',
    cell: (view) => (
      <>
        <strong>{view.id}</strong>
        <small>{labelTexts(view.labels).join(' ') || view.hostname}</small>
      </>
    ),
  },
  {
    id: 'liveness',
    label: 'State',
    width: 92,
    rank: 0,
    key: ({ liveness }) => ranks[liveness],
    class: 'state',
    cell: (view) => (
      <>
        <StatusChip status={livenessStyles[view.liveness]} />
        <CordonChip view={view} />
      </>
    ),
  },
  {
    id: 'gpus',
    label: 'GPUs',
    width: 130,
    grow: 1.2,
    rank: 2,
    key: ({ gpus }) => gpuSummary(gpus),
    class: 'model',
    cell: (view) => (
      <>
        <span>{hiveGpusText(view)?.text ?? gpuSummary(view.gpus)}</span>
        <SickGpus view={view} />
      </>
    ),
    title: (view) => hiveGpusText(view)?.reason ?? undefined,
  },
  figure(
    'gpu',
    'Utilization',
    84,
    1,
    (view) => gpuTotals([view]).utilizationPercent,
    (view) => formatPercent(gpuTotals([view]).utilizationPercent),
  ),
  {
    ...figure(
      'vram',
      'VRAM',
      140,
      1,
      (view) => gpuTotals([view]).usedBytes,
      (view) => vramOf(gpuTotals([view])),
    ),
    wide: true,
  },
  figure(
    'power',
    'Power',
    64,
    4,
    (view) => gpuTotals([view]).watts,
    (view) => formatWatts(gpuTotals([view]).watts),
  ),
  figure(
    'cpu',
    'Cores',
    84,
    3,
    ({ host }) => host.cpuPercent,
    ({ host }) => coresOf(host),
  ),
  {
    ...figure(
      'memory',
      'Memory',
      140,
      3,
      ({ host }) => usedMemoryOf(host),
      ({ host }) => formatGibOf(usedMemoryOf(host), host.memoryTotalBytes),
    ),
    wide: true,
  },
  figure('workers', 'Workers', 70, 2, ({ workerCount }) => workerCount, workerCountText),
  figure('tokens', 'Tokens/s', 76, 4, tokensOf, (view) => formatWhole(tokensOf(view))),
  figure('age', 'Heard', 70, 5, ageMs, (view) => formatAge(ageMs(view))),
];
const first = ['gpus', 'gpu', 'vram', 'power', 'cpu', 'memory', 'workers', 'age'];

export const HiveColumns = () => (
  <ColumnChoice name="hives" all={columns} chosen={useColumns('hives', columns, first)} first={first} />
);

interface TableProps {
  readonly groups: readonly HiveGroup[];
  readonly scroller: RefObject<HTMLElement>;
}

export function HiveTable({ groups, scroller }: TableProps) {
  const isPhone = useMedia(phone);
  const chosen = useColumns('hives', columns, first);
  const order = orderOf('hives', '');
  const sortKey = columns.find(({ id }) => id === order.sort)?.key;
  const items = useMemo(
    () =>
      groups.flatMap(({ name, text, views }): GridItem<HiveView>[] => [
        ...(name === '' ? [] : [{ kind: 'heading' as const, name, text }]),
        // Without a choice what is wrong comes first, as for cards.
        ...(sortKey ? sortRows(views, sortKey, ({ id }) => id, order.dir) : views).map((row) => ({
          kind: 'row' as const,
          key: row.id,
          row,
        })),
      ]),
    [groups, sortKey, order.dir],
  );
  return (
    <>
      {isPhone && <PhoneSort name="hives" columns={chosen} order={order} unsorted="What is wrong" />}
      <Grid
        kind="hive"
        label="Hives"
        columns={chosen}
        items={items}
        rowOf={(id) => hives.get(id)?.view}
        rowClass={({ liveness }) => (liveness === 'offline' ? ' stale' : '')}
        rowTitle={({ liveness }) => (liveness === 'online' ? undefined : sentence(oldValuesText(liveness) ?? ''))}
        scroller={scroller}
        selectedKey={at.show.value.startsWith('hive:') ? at.show.value.slice(5) : ''}
        open={(id) => show(`hive:${id}`)}
        walk={(id) => go({ show: `hive:${id}` })}
        {...order}
        sortBy={(column) => sortTable('hives', order, column)}
      />
    </>
  );
}
