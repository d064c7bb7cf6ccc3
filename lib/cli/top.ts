import { type Command, Option } from 'commander';
import { outputOption } from './filters.js';
import { addSettings } from './settings.js';

export function register(program: Command): void {
  const command = program
    .command('top')
    .summary('watch a fleet live in the terminal')
    .description(
      'Watches a fleet live: hives, workers, GPUs and events, with details of each. ? shows the keys. Into a pipe or file it prints the tables once, or each --interval.',
    )
    .addOption(
      outputOption('--interval <duration>', 'how often to print into a pipe (once unless given), or to redraw at most'),
    )
    .addOption(
      new Option('--view <view>', 'view to start with')
        .choices(['hives', 'workers', 'gpus', 'events'])
        .default('hives')
        .helpGroup('Output:'),
    )
    .addOption(new Option('--filter <text>', 'initial filter').helpGroup('Output:'))
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse top
  $ hivepulse top --queen http://10.0.0.1:7833 --view workers --filter llama
  $ ssh -t gpu-01 hivepulse top
  $ hivepulse top --interval 10s >> fleet.log`,
    );
  addSettings(command, 'client').action(async (flags: Record<string, unknown>) => {
    const [{ runTop }, { openClient }, { parseFlag }, type] = await Promise.all([
      import('./top/run.js'),
      import('./client.js'),
      import('./filters.js'),
      import('../config/types.js'),
    ]);
    const intervalMs = parseFlag('--interval', type.duration(100, 3_600_000), flags.interval) ?? null;
    const { client, urls } = await openClient(command);
    await runTop(client, urls, {
      intervalMs,
      view: flags.view as 'hives' | 'workers' | 'gpus' | 'events',
      filter: (flags.filter as string | undefined) ?? '',
    });
  });
}
