import type { Command } from 'commander';
import type { HivepulseClient } from '../client/client.js';
import * as type from '../config/types.js';
import type { WorkerView } from '../contract/api.js';
import { workerStates } from '../contract/enums.js';
import type { WorkerSort } from '../contract/fields/sorts.js';
import type { WorkersQuery } from '../contract/queries.js';
import { printable } from '../present/printable.js';
import { defined } from '../util/defined.js';
import type { WorkerRow } from './columns.js';
import { completedBy } from './completes.js';
import {
  addFleetFilters,
  collectPages,
  filterOption,
  hivesOf,
  labelQuery,
  limitOf,
  noteOfNoWorker,
  parseFlag,
} from './filters.js';
import { listCommand } from './listing.js';

/** As a person writes them, and as the queen's query names them. */
const sorts: Readonly<Record<string, WorkerSort>> = {
  worker: 'key',
  cpu: '-cpuPercent',
  memory: '-workingSetBytes',
  gpu: '-gpuUtilizationPercent',
  vram: '-vramUsedBytes',
  running: '-running',
  waiting: '-waiting',
  kv: '-kvPercent',
  tokens: '-generationTokensPerSecond',
  uptime: '-uptimeSeconds',
};

/** Sorted here. */
const otherSorts = ['hive', 'model', 'state', 'ready', 'throttled', 'io', 'pressure'] as const;

export function register(program: Command): void {
  const command = program
    .command('workers')
    .summary('list the workers of a queen')
    .description('Lists the workers that a queen knows, with their state and what they use.')
    .addOption(completedBy(filterOption('--model <name>', 'only those that serve this model'), 'models'))
    .addOption(filterOption('--state <state>', 'only in this state').choices([...workerStates]))
    .addOption(filterOption('--group <name>', 'only of this group'))
    .addOption(completedBy(filterOption('--hive <id>', 'only of this hive'), 'hives'))
    .addOption(
      filterOption('--min-free-vram <bytes>', 'only where some GPU that it holds has this much room left, e.g. 20G'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse workers
  $ hivepulse workers --state idle --sort vram
  $ hivepulse workers --model meta-llama/Llama-3.1-8B-Instruct --json | jq '.items[].endpoint'`,
    );
  listCommand<WorkerRow>(addFleetFilters(command), {
    none: 'no worker matches.',
    sorts: [...Object.keys(sorts), ...otherSorts],
    columns: async () => (await import('./columns.js')).workerColumns,
    query: (flags) => {
      const limit = limitOf(flags);
      const query = queryOf(flags);
      return async (client, by) => {
        const sort = sorts[by ?? 'worker'];
        // The queen sorts, so that `--limit` is of all workers; what it cannot sort by is sorted here, and cut then.
        const most = sort === undefined ? Number.POSITIVE_INFINITY : limit;
        const { items, warming } = await collectPages(most, (range) =>
          client.workers({ ...query, ...defined({ sort }), ...range }),
        );
        return {
          document: { items, warming },
          rows: await rowsOf(client, items),
          notes: items.length === 0 ? await noteOfNoWorker(client, query.hive) : await notesOf(items),
          limit,
          isSorted: sort !== undefined,
        };
      };
    },
  });
}

const queryOf = ({ model, state, group, hive, minFreeVram, liveness, label }: Readonly<Record<string, unknown>>) =>
  defined({
    model: model as WorkersQuery['model'],
    state: state as WorkersQuery['state'],
    liveness: liveness as WorkersQuery['liveness'],
    label: labelQuery(label),
    group: parseFlag('--group', type.id, group),
    hive: parseFlag('--hive', type.id, hive),
    minFreeVramBytes: parseFlag('--min-free-vram', type.bytes(0, 1024 ** 5), minFreeVram),
  });

/** With how long their GPUs have not been known, where they are not. */
async function rowsOf(client: HivepulseClient, workers: readonly WorkerView[]): Promise<readonly WorkerRow[]> {
  const { isGpuUnknown, workerRows } = await import('./columns.js');
  if (!workers.some(isGpuUnknown)) return workers;
  return workerRows(workers, await hivesOf(client, undefined));
}

async function notesOf(workers: readonly WorkerView[]): Promise<readonly string[]> {
  const { unknownColumns } = await import('../present/null-text.js');
  return [
    ...unknownColumns(workers).map(({ labels, reason }) => `not known: ${printable(labels)}: ${printable(reason)}.`),
    ...workers.flatMap(({ id, limitNotes }) => (limitNotes ?? []).map((note) => `${id}: ${printable(note)}.`)),
  ];
}
