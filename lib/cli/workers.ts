import { type Command, Option } from 'commander';
import * as type from '../config/types.js';
import { defined } from '../util/defined.js';
import { openClient, outputWidth, printJson, printLines, wantsColours } from './client.js';
import { workerColumns } from './columns.js';
import { addListOptions, collectPages, labelQuery, limitOf, parseFlag, warmingNote } from './filters.js';
import { addSettings } from './settings.js';
import { printTable } from './table.js';

/** As a person writes them, and as the queen's query names them. */
const sorts: Readonly<Record<string, string>> = {
  key: 'key',
  cpu: '-cpuPercent',
  memory: '-workingSetBytes',
  gpu: '-gpuUtilizationPercent',
  vram: '-vramUsedBytes',
  uptime: '-uptimeSeconds',
};

export function register(program: Command): void {
  const filter = (flags: string, text: string): Option => new Option(flags, text).helpGroup('Filters:');
  const command = program
    .command('workers')
    .summary('list the workers of a queen')
    .description('Lists the workers that a queen knows, with their state and what they use.')
    .addOption(filter('--model <name>', 'only those that serve this model'))
    .addOption(filter('--state <state>', 'only in this state').choices(['starting', 'idle', 'busy', 'unknown']))
    .addOption(filter('--group <name>', 'only of this group'))
    .addOption(filter('--hive <id>', 'only of this hive'))
    .addOption(filter('--min-free-vram <bytes>', 'only where some GPU that it holds has this much room left, e.g. 20G'))
    .addOption(
      new Option('--sort <by>', 'largest first; key: by name')
        .choices(Object.keys(sorts))
        .default('key')
        .helpGroup('Output:'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse workers
  $ hivepulse workers --state idle --sort vram
  $ hivepulse workers --model meta-llama/Llama-3.1-8B-Instruct --json | jq '.items[].endpoint'`,
    );
  addListOptions(command);
  addSettings(command, 'client').action(async (flags: Record<string, unknown>) => {
    const limit = limitOf(flags.limit);
    const query = defined({
      model: flags.model,
      state: flags.state,
      group: parseFlag('--group', type.id, flags.group),
      hive: parseFlag('--hive', type.id, flags.hive),
      liveness: flags.liveness,
      label: labelQuery(flags.label),
      minFreeVramBytes: parseFlag('--min-free-vram', type.bytes(0, 1024 ** 5), flags.minFreeVram),
      sort: sorts[String(flags.sort)],
    });
    const { client } = await openClient(command);
    const { items, warming } = await collectPages(limit, (page) =>
      client.workers({ ...query, ...page } as Parameters<typeof client.workers>[0]),
    );
    if (flags.json) {
      printJson({ items, warming });
      return;
    }
    if (warming) process.stderr.write(warmingNote);
    if (items.length === 0) process.stderr.write('hivepulse: no worker matches.\n');
    else printLines(printTable(workerColumns, items, outputWidth(), wantsColours()));
  });
}
