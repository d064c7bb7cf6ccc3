/** Columns of the list of workers. */
import type { WorkerView } from '../../contract/api.js';
import { modelsOf } from '../../contract/models.js';
import { workerGpusText } from '../../present/knowledge.js';
import { moreModels } from '../../present/models.js';
import { noContext, workerNullText } from '../../present/null-text.js';
import { oldValuesText, sentence } from '../../present/sentences.js';
import { requestsText, servingText } from '../../present/serving.js';
import { workerStyle } from '../../present/status.js';
import {
  formatDuration,
  formatGibOf,
  formatPercent,
  formatPerSecond,
  formatWhole,
  unknownText,
} from '../../present/units.js';
import { memoryOf, workerFigures } from '../../present/worker-figures.js';
import { hives } from '../data/fleet.js';
import { workerSorts } from '../data/query.js';
import { type Metric, peakOf, sparkOf } from '../data/sparks.js';
import type { GridColumn } from '../parts/grid.js';
import { StatusChip } from '../parts/status-chip.js';
import { roundTop } from '../parts/ticks.js';

type WorkerColumn = GridColumn<WorkerView>;

/** Why a value of it is not known. */
const titleOf = (worker: WorkerView, path: keyof WorkerView): string | undefined =>
  worker[path] === null
    ? sentence(workerNullText(worker, path, hives.get(worker.hive)?.view ?? noContext).text)
    : undefined;

const absenceOf = (worker: WorkerView) =>
  workerGpusText(worker, hives.get(worker.hive)?.view.collection.gpuAgeMs ?? null);
const absenceTitle = (worker: WorkerView): string | undefined => {
  const reason = absenceOf(worker)?.reason ?? null;
  return reason === null ? undefined : sentence(reason);
};

/** The highest of ten minutes of all lines of the column, as a round number. */
const topOf = (metric: Metric) => (rows: readonly WorkerView[]) => roundTop(peakOf(metric, rows));

/** Of one GPU: the sum over them would hide how busy they are. */
const gpuLine = (worker: WorkerView) => {
  const count = Math.max(1, worker.gpus.length);
  const line = sparkOf(worker, 'gpu');
  return count === 1 ? line : line.map((value) => (value === null ? null : value / count));
};

const names: readonly WorkerColumn[] = [
  {
    id: 'worker',
    label: 'Worker',
    width: 130,
    grow: 1.6,
    rank: 0,
    key: workerSorts.worker,
    class: 'who',
    cell: (worker) => (
      <>
        <strong>{worker.id}</strong>
        <small>
          {worker.hive}
          {worker.name !== null && ` · ${worker.name}`}
        </small>
      </>
    ),
  },
  {
    id: 'model',
    label: 'Model',
    width: 100,
    grow: 1.9,
    rank: 1,
    key: workerSorts.model,
    class: 'model',
    title: (worker) => modelsOf(worker).join(', ') || titleOf(worker, 'model'),
    cell: (worker) => {
      const requests = worker.liveness === 'offline' ? null : requestsText(worker);
      return (
        <>
          <span>
            {worker.model ?? unknownText}
            {moreModels(worker)}
          </span>
          {requests !== null && <small title={requests}>{requests}</small>}
        </>
      );
    },
  },
  {
    id: 'state',
    label: 'State',
    width: 92,
    rank: 0,
    key: workerSorts.state,
    class: 'state',
    cell: (worker) => (
      <>
        <StatusChip status={workerStyle(worker)} />
        {worker.liveness !== 'online' && <span class="sr-only">{oldValuesText(worker.liveness)}</span>}
      </>
    ),
  },
];

/** What processes use. */
const use: readonly WorkerColumn[] = [
  {
    id: 'cpu',
    label: 'Cores',
    number: true,
    width: 56,
    hasSpark: true,
    rank: 4,
    key: workerSorts.cpu,
    text: (worker) => workerFigures(worker).cpu,
    title: (worker) => titleOf(worker, 'cpuPercent'),
    spark: (worker) => sparkOf(worker, 'cpu'),
    top: topOf('cpu'),
  },
  {
    id: 'memory',
    label: 'Memory',
    number: true,
    width: 74,
    hasSpark: true,
    rank: 3,
    key: workerSorts.memory,
    text: (worker) => workerFigures(worker).memory,
    title: (worker) => (memoryOf(worker) === null ? titleOf(worker, 'memoryBytes') : undefined),
    spark: (worker) => sparkOf(worker, 'memory'),
    top: topOf('memory'),
  },
  {
    id: 'gpu',
    label: 'GPU',
    number: true,
    width: 76,
    hasSpark: true,
    rank: 2,
    key: workerSorts.gpu,
    text: (worker) => {
      const absence = absenceOf(worker);
      return absence === null ? workerFigures(worker).gpu : absence.unknown ? 'unknown' : 'none';
    },
    title: (worker) => absenceTitle(worker) ?? titleOf(worker, 'gpuUtilizationPercent'),
    isAbsent: (worker) => absenceOf(worker) !== null,
    spark: gpuLine,
    top: () => 100,
  },
  {
    id: 'vram',
    label: 'VRAM',
    number: true,
    width: 74,
    hasSpark: true,
    rank: 2,
    key: workerSorts.vram,
    text: (worker) => {
      const absence = absenceOf(worker);
      if (absence === null) return workerFigures(worker).vram;
      return absence.since ?? (absence.unknown ? 'unknown' : 'none');
    },
    title: (worker) =>
      absenceTitle(worker) ??
      titleOf(worker, 'vramUsedBytes') ??
      formatGibOf(worker.vramUsedBytes, worker.vramTotalBytes),
    isAbsent: (worker) => absenceOf(worker) !== null,
    spark: (worker) => sparkOf(worker, 'vram'),
    top: topOf('vram'),
  },
];

type Serving = NonNullable<WorkerView['serving']>;
type LoadFigure = 'running' | 'waiting' | 'kvPercent' | 'generationTokensPerSecond';

function loadColumn(
  id: Metric & keyof typeof workerSorts,
  label: string,
  figure: LoadFigure,
  text: (value: Serving[LoadFigure]) => string,
  top?: number,
): WorkerColumn {
  const figureOf = ({ serving }: WorkerView) => serving?.[figure] ?? null;
  return {
    id,
    label,
    number: true,
    width: 76,
    hasSpark: true,
    rank: 3,
    key: workerSorts[id],
    text: (worker) => text(figureOf(worker)),
    title: (worker) => {
      if (figureOf(worker) !== null) return undefined;
      const reason = servingText(worker);
      return sentence(reason === null ? 'its engine does not report it' : `not known: ${reason}`);
    },
    spark: (worker) => (figureOf(worker) === null ? null : sparkOf(worker, id)),
    top: top === undefined ? topOf(id) : () => top,
  };
}

/** What an engine has to do. */
const load: readonly WorkerColumn[] = [
  loadColumn('running', 'Running', 'running', formatWhole),
  loadColumn('waiting', 'Waiting', 'waiting', formatWhole),
  loadColumn('kv', 'KV cache', 'kvPercent', formatPercent, 100),
  loadColumn('tokens', 'Tokens/s', 'generationTokensPerSecond', (value) => formatPerSecond(value).replace('/s', '')),
];

const uptime: WorkerColumn = {
  id: 'uptime',
  label: 'Uptime',
  number: true,
  wide: true,
  width: 84,
  rank: 5,
  key: workerSorts.uptime,
  text: (worker) => formatDuration(worker.uptimeSeconds),
  title: (worker) => titleOf(worker, 'uptimeSeconds'),
};

export const workerColumns: readonly WorkerColumn[] = [...names, ...use, ...load, uptime];
const idsOf = (columns: readonly WorkerColumn[]) => columns.map(({ id }) => id);
/** Columns that a list has before anybody chose, and those of `columns=load` in the address. */
export const useColumnIds = ['model', ...idsOf(use), 'uptime'];
export const loadColumnIds = ['model', ...idsOf(load), 'uptime'];
