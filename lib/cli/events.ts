import type { Command } from 'commander';
import * as type from '../config/types.js';
import { eventStyles } from '../present/status.js';
import { openClient } from './client.js';
import { filterOption, outputOption, parseFlag } from './filters.js';
import { addSettings } from './settings.js';

export function register(program: Command): void {
  const command = program
    .command('events')
    .summary('show what happened in the fleet')
    .description('Shows the newest events that a queen keeps; with --follow also those to come.')
    .addOption(filterOption('--hive <id>', 'only of this hive'))
    .addOption(filterOption('--worker <id>', 'only of this worker (group/instance)'))
    .addOption(
      filterOption('--kind <kinds>', `only these, with commas between: ${Object.keys(eventStyles).join(', ')}`),
    )
    .addOption(filterOption('--since <duration>', 'only those of the last 15m, 6h, ...: as many as the queen keeps'))
    .addOption(outputOption('-n, --last <number>', 'how many that have been (default: 20, with --since all)'))
    .addOption(outputOption('-f, --follow', 'go on with those to come, until Ctrl-C'))
    .addOption(outputOption('--json', 'one JSON object a line'))
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
    const { client } = await openClient(command);
    const { showEvents } = await import('./event-tail.js');
    await showEvents(client, wanted, last, flags.follow === true, flags.json === true);
  });
}
