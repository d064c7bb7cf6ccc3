import type { Command } from 'commander';
import * as type from '../config/types.js';
import { workerStates } from '../contract/enums.js';
import type { WorkerSort } from '../contract/fields/sorts.js';
import { printable } from '../present/printable.js';
import { collectPages, filterOption, listCommand, outputOption, parseFlag } from './filters.js';

/** As a person writes them, and as the queen's query names them. */
const sorts: Readonly<Record<string, WorkerSort>> = {
  key: 'key',
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

export function register(program: Command): void {
  const command = program
    .command('workers')
    .summary('list the workers of a queen')
    .description('Lists the workers that a queen knows, with their state and what they use.')
    .addOption(filterOption('--model <name>', 'only those that serve this model'))
    .addOption(filterOption('--state <state>', 'only in this state').choices([...workerStates]))
    .addOption(filterOption('--group <name>', 'only of this group'))
    .addOption(filterOption('--hive <id>', 'only of this hive'))
    .addOption(
      filterOption('--min-free-vram <bytes>', 'only where some GPU that it holds has this much room left, e.g. 20G'),
    )
    .addOption(outputOption('--sort <by>', 'largest first; key: by name').choices(Object.keys(sorts)).default('key'))
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse workers
  $ hivepulse workers --state idle --sort vram
  $ hivepulse workers --model meta-llama/Llama-3.1-8B-Instruct --json | jq '.items[].endpoint'`,
    );
  listCommand(
    command,
    'worker',
    async () => (await import('./columns.js')).workerColumns,
    ({ model, state, group, hive, minFreeVram, sort }) => ({
      model,
      state,
      group: parseFlag('--group', type.id, group),
      hive: parseFlag('--hive', type.id, hive),
      minFreeVramBytes: parseFlag('--min-free-vram', type.bytes(0, 1024 ** 5), minFreeVram),
      sort: sorts[String(sort)],
    }),
    (client, query) => client.workers(query),
    async (client, workers) => {
      const { isGpuUnknown, workerRows } = await import('./columns.js');
      if (!workers.some(isGpuUnknown)) return workers;
      const { items } = await collectPages(Number.POSITIVE_INFINITY, (range) => client.hives(range));
      return workerRows(workers, items);
    },
    async (workers) => {
      const { unknownColumns } = await import('../present/null-text.js');
      return [
        ...unknownColumns(workers).map(
          ({ labels, reason }) => `not known: ${printable(labels)}: ${printable(reason)}.`,
        ),
        ...workers.flatMap(({ id, limitNotes }) => (limitNotes ?? []).map((note) => `${id}: ${printable(note)}.`)),
      ];
    },
  );
}
