import type { Command } from 'commander';
import type { HivepulseClient } from '../client/client.js';
import type { Missing } from '../contract/missing.js';
import { filterOption, listCommand } from './filters.js';

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
  $ hivepulse hives --queen http://10.0.0.1:7833 --label zone=a`,
    );
  listCommand(
    command,
    'hive',
    async () => (await import('./hive-columns.js')).hiveColumns,
    ({ state }) => ({ state }),
    (client, query) => client.hives(query),
    undefined,
    async (_hives, client) => missingNotes(await missingHives(client)),
  );
}
