import type { Command } from 'commander';
import { filterOption, listCommand } from './filters.js';

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
    async () => (await import('./columns.js')).hiveColumns,
    ({ state }) => ({ state }),
    (client, query) => client.hives(query),
  );
}
