import { type Command, Option } from 'commander';
import { defined } from '../util/defined.js';
import { openClient, outputWidth, printJson, printLines, wantsColours } from './client.js';
import { hiveColumns } from './columns.js';
import { addListOptions, collectPages, labelQuery, limitOf, warmingNote } from './filters.js';
import { addSettings } from './settings.js';
import { printTable } from './table.js';

export function register(program: Command): void {
  const command = program
    .command('hives')
    .summary('list the hives of a queen')
    .description('Lists the hives that a queen knows, with their liveness, GPUs, memory and faults.')
    .addOption(
      new Option('--state <state>', 'only in this state')
        .choices(['starting', 'ready', 'draining', 'stopping'])
        .helpGroup('Filters:'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse hives
  $ hivepulse hives --liveness offline --json | jq -r '.items[].id'
  $ hivepulse hives --queen http://10.0.0.1:7833 --label zone=a`,
    );
  addListOptions(command);
  addSettings(command, 'client').action(async (flags: Record<string, unknown>) => {
    const limit = limitOf(flags.limit);
    const query = defined({ state: flags.state, liveness: flags.liveness, label: labelQuery(flags.label) });
    const { client } = await openClient(command);
    const { items, warming } = await collectPages(limit, (page) =>
      client.hives({ ...query, ...page } as Parameters<typeof client.hives>[0]),
    );
    if (flags.json) {
      printJson({ items, warming });
      return;
    }
    if (warming) process.stderr.write(warmingNote);
    if (items.length === 0) process.stderr.write('hivepulse: no hive matches.\n');
    else printLines(printTable(hiveColumns, items, outputWidth(), wantsColours()));
  });
}
