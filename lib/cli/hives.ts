import type { Command } from 'commander';
import type { HivepulseClient } from '../client/client.js';
import type { HiveView } from '../contract/api.js';
import type { Missing } from '../contract/missing.js';
import type { HivesQuery } from '../contract/queries.js';
import { defined } from '../util/defined.js';
import { addFleetFilters, collectPages, filterOption, labelQuery, limitOf } from './filters.js';
import { listCommand } from './listing.js';

/** Notes below the table, so that a host that is gone is not simply absent from it. */
async function missingNotes(items: readonly Missing[]): Promise<readonly string[]> {
  const { missingForText, missingName } = await import('../present/missing.js');
  const shown = items.slice(0, maxNotes).map((item) => `${missingName(item)} is ${missingForText(item.missingMs)}.`);
  return items.length > 0 ? [...shown, 'hivepulse missing lists all that is missing.'] : [];
}

/** An older queen keeps nothing of what is gone. */
const missingHives = async (client: HivepulseClient): Promise<readonly Missing[]> =>
  (await client.missing({ kind: 'hive' }).catch(() => ({ items: [] }))).items;

const maxNotes = 5;

export function register(program: Command): void {
  const command = program
    .command('hives')
    .summary('list the hives of a queen')
    .description('Lists the hives that a queen knows, with their liveness, GPUs, memory and faults.')
    .addOption(
      filterOption('--state <state>', 'only in this state').choices(['starting', 'ready', 'draining', 'stopping']),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse hives
  $ hivepulse hives --liveness offline --json | jq -r '.items[].id'
  $ hivepulse hives --queen 10.0.0.1:7833 --label zone=a --sort vram
  $ hivepulse hives --watch 5s`,
    );
  listCommand<HiveView>(addFleetFilters(command), {
    none: 'no hive matches.',
    sorts: ['hive', 'state', 'age', 'workers', 'gpus', 'gpu', 'vram', 'cpu', 'memory', 'pressure', 'faults'],
    columns: async () => (await import('./hive-columns.js')).hiveColumns,
    query: (flags) => {
      const limit = limitOf(flags);
      const query = defined({
        state: flags.state as HivesQuery['state'],
        liveness: flags.liveness as HivesQuery['liveness'],
        label: labelQuery(flags.label),
      });
      return async (client, sort) => {
        const most = sort === undefined ? limit : Number.POSITIVE_INFINITY;
        const { items, warming } = await collectPages(most, (range) => client.hives({ ...query, ...range }));
        return {
          document: { items, warming },
          rows: items,
          limit,
          notes: await missingNotes(await missingHives(client)),
        };
      };
    },
  });
}
