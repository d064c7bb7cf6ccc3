import type { Command } from 'commander';
import type { HivepulseClient } from '../client/client.js';
import * as type from '../config/types.js';
import type { GpuView } from '../contract/api.js';
import { gpuHealths } from '../contract/enums.js';
import type { GpusQuery } from '../contract/queries.js';
import { fleetGpusText } from '../present/knowledge.js';
import { defined } from '../util/defined.js';
import { completedBy } from './completes.js';
import {
  collectPages,
  filterOption,
  hivesOf,
  limitOf,
  limitOption,
  livenessOption,
  noteOf,
  parseFlag,
} from './filters.js';
import { listCommand } from './listing.js';

/** Adds `hivepulse gpus`. */
export function register(program: Command): void {
  const command = program
    .command('gpus')
    .summary('list the GPUs of a fleet')
    .description('Lists the GPUs that a queen knows, with their health, use, memory, temperature and power.')
    .addOption(completedBy(filterOption('--hive <id>', 'only of this hive'), 'hives'))
    .addOption(filterOption('--health <health>', 'only with this health').choices([...gpuHealths]))
    .addOption(filterOption('--min-free <bytes>', 'only with this much free memory, e.g. 20G'))
    .addOption(livenessOption())
    .addOption(limitOption())
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse gpus --sort vram
  $ hivepulse gpus --health lost -o json | jq -r '.items[].uuid'`,
    );
  listCommand<GpuView>(command, {
    none: 'no GPU matches.',
    sorts: ['gpu', 'hive', 'health', 'utilization', 'vram', 'temperature', 'power', 'processes'],
    columns: async () => (await import('./columns.js')).gpuColumns,
    query: (flags) => {
      const limit = limitOf(flags);
      const query = defined({
        hive: parseFlag('--hive', type.id, flags.hive),
        minFreeBytes: parseFlag('--min-free', type.bytes(0, 1024 ** 5), flags.minFree),
        health: flags.health as GpusQuery['health'],
        liveness: flags.liveness as GpusQuery['liveness'],
      });
      return async (client, sort) => {
        const most = sort === undefined ? limit : Number.POSITIVE_INFINITY;
        const { items, warming } = await collectPages(most, (range) => client.gpus({ ...query, ...range }));
        return { document: { items, warming }, rows: items, limit, notes: await notesOf(client, query.hive) };
      };
    },
  });
}

/** GPUs that cannot be read are none that do not match. */
async function notesOf(client: HivepulseClient, hive: string | undefined): Promise<readonly string[]> {
  const { gpus } = await client.fleet();
  if (gpus.unknownHives === 0) return [];
  return noteOf(fleetGpusText(await hivesOf(client, hive)));
}
