import type { Command } from 'commander';
import * as type from '../config/types.js';
import type { FleetEvent } from '../contract/api.js';
import { eventStyles } from '../present/status.js';
import { HivepulseError } from '../util/errors.js';
import { openClient } from './client.js';
import { completedBy } from './completes.js';
import type { Print } from './event-tail.js';
import { filterOption, outputOption, parseFlag } from './filters.js';
import { formatOption, sortOption } from './listing.js';
import { printJsonLines, printLines } from './output.js';
import { addSettings } from './settings.js';

export function register(program: Command): void {
  const command = program
    .command('events')
    .summary('show what happened in the fleet')
    .description('Shows the newest events that a queen keeps; with --follow also new ones as they come.')
    .addOption(completedBy(filterOption('--hive <id>', 'only of this hive'), 'hives'))
    .addOption(completedBy(filterOption('--worker <id>', 'only of this worker (group/instance)'), 'workers'))
    .addOption(
      completedBy(
        filterOption('--kind <kinds>', `only these, with commas between: ${Object.keys(eventStyles).join(', ')}`),
        Object.keys(eventStyles),
      ),
    )
    .addOption(filterOption('--since <duration>', 'only those of the last 15m, 6h, ...: as many as the queen keeps'))
    .addOption(outputOption('-n, --last <number>', 'how many past events (default: 20; with --since all)'))
    .addOption(outputOption('-f, --follow', 'keep printing new events until Ctrl-C'))
    .addOption(outputOption('-w, --watch', 'as --follow'))
    .addOption(formatOption())
    .addOption(sortOption(['time', 'kind', 'hive', 'worker']))
    .addOption(outputOption('--json', 'as -o json: one JSON object a line'))
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse events --follow
  $ hivepulse events --kind oomKill,gpuLost,hiveOffline --last 100
  $ hivepulse events --follow --json | jq -r 'select(.kind == "hiveOffline") | .hive'`,
    );
  addSettings(command, 'client').action(async (flags: Record<string, unknown>) => {
    const sinceMs = parseFlag('--since', type.duration(1000, 30 * 86_400_000), flags.since);
    const last = parseFlag('--last', type.integer(0, 10_000), flags.last) ?? (sinceMs === undefined ? 20 : 10_000);
    const wanted = {
      hive: parseFlag('--hive', type.id, flags.hive),
      worker: flags.worker as string | undefined,
      fromMs: sinceMs === undefined ? undefined : Date.now() - sinceMs,
      kinds: parseFlag('--kind', type.list(type.oneOf(Object.keys(eventStyles))), flags.kind),
    };
    const follow = flags.follow === true || flags.watch === true;
    const sort = flags.sort as string | undefined;
    if (follow && sort !== undefined)
      throw new HivepulseError(
        'INVALID_OPTION',
        '--sort',
        '--sort: events to come have no order but time. Leave out --follow.',
      );
    const { client } = await openClient(command);
    const { showEvents } = await import('./event-tail.js');
    const format = flags.json ? 'json' : (flags.output as string | undefined);
    const print = await printerOf(format);
    if (sort === undefined) return showEvents(client, wanted, last, follow, print);
    const events: FleetEvent[] = [];
    await showEvents(client, wanted, last, false, (some) => void events.push(...some));
    print(await inOrder(events, sort));
  });
}

async function printerOf(format: string | undefined): Promise<Print> {
  const [{ linePrinter }, { csvLines }, { eventColumns }] = await Promise.all([
    import('./event-tail.js'),
    import('./table.js'),
    import('./event-columns.js'),
  ]);
  if (format === 'json') return printJsonLines;
  if (format !== 'csv') return linePrinter(format === 'wide' ? () => 1000 : undefined);
  let from = 0;
  return (events) => {
    printLines(csvLines(eventColumns, events).slice(from));
    // The titles stand on the first line alone.
    from = 1;
  };
}

async function inOrder(events: readonly FleetEvent[], sort: string): Promise<readonly FleetEvent[]> {
  const [{ sortRows }, { eventColumns }] = await Promise.all([import('./table.js'), import('./event-columns.js')]);
  const column = eventColumns.find(({ key }) => key === sort);
  return column ? sortRows(events, column, false) : events;
}
