import type { Command } from 'commander';
import * as type from '../config/types.js';
import type { SilenceKind } from '../contract/silence.js';
import { openClient } from './client.js';
import { caller } from './cordon.js';
import { filterOption, outputOption, parseFlag } from './filters.js';
import { outputWidth, printJson, printLines, wantsColours, writeNote, writeText } from './output.js';
import { addSettings } from './settings.js';

interface SilenceFlags {
  readonly hive?: string;
  readonly reason: string;
  readonly for?: string;
  readonly by?: string;
}

/** Adds `hivepulse attention`, `acknowledge`, `silence` and `unsilence`. */
export function register(program: Command): void {
  const attention = program
    .command('attention')
    .summary('list what needs attention, the worst first')
    .description(
      'Lists what needs attention, the worst first, equal things on several hosts as one. What is acknowledged or silenced comes last.',
    )
    .addOption(outputOption('--json', 'one JSON document: { items, warming }'))
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse attention
  $ hivepulse attention --json | jq -r '.items[] | select(.severity == "critical").title'
  $ hivepulse acknowledge gpuStalled --hive host-7 --reason 'rebooting it at noon'`,
    );
  addSettings(attention, 'client').action(async ({ json }: { json?: boolean }) => {
    const { client } = await openClient(attention);
    const list = await client.attention();
    if (json) return printJson(list);
    if (list.warming) writeNote('the queen has just started and may not have heard all its hives yet.');
    if (list.items.length === 0) return writeNote('nothing needs attention.');
    const [{ printTable }, { attentionColumns }] = await Promise.all([
      import('./table.js'),
      import('./attention-columns.js'),
    ]);
    printLines(printTable(attentionColumns, list.items, outputWidth(), wantsColours()));
  });
  addKind(program, 'acknowledge', 'acknowledged', 'say that somebody looks at it, until it is over');
  addKind(program, 'silence', 'silenced', 'say nothing of it for a while, also if it comes again');

  const unsilence = program
    .command('unsilence')
    .summary('take back what was acknowledged or silenced')
    .description('Has a queen list a cause as open again. Needs a token of role admin.')
    .argument('<cause>', 'as `hivepulse attention` lists it')
    .addOption(filterOption('--hive <hive>', 'of this hive (by default of the whole fleet)'));
  addSettings(unsilence, 'client').action(async (cause: string, { hive }: { hive?: string }) => {
    const { client } = await openClient(unsilence);
    await client.unsilence({ cause, hive: hive ?? null });
    writeText(`${cause} is open again\n`);
  });
}

function addKind(program: Command, name: string, kind: SilenceKind, summary: string): void {
  const command = program
    .command(name)
    .summary(summary)
    .description(
      `Has all queens of the fleet leave a cause out of counts, notifications and the webhook: ${summary}. Needs a token of role admin.`,
    )
    .argument('<cause>', 'as `hivepulse attention` lists it')
    .addOption(filterOption('--hive <hive>', 'on this hive (by default on all)'))
    .requiredOption('--reason <text>', 'why, for whoever finds it')
    .option('--for <seconds>', 'it ends by itself after so many seconds (default: 86400)')
    .option('--by <name>', 'who does it (default: user@host)');
  addSettings(command, 'client').action(async (cause: string, flags: SilenceFlags) => {
    const seconds = parseFlag('--for', type.integer(60, 30 * 24 * 3600), flags.for);
    const { client } = await openClient(command);
    const { items } = await client.silence({
      kind,
      cause,
      reason: flags.reason,
      by: (flags.by ?? caller()).slice(0, 128),
      ...(flags.hive !== undefined && { hives: [flags.hive] }),
      ...(seconds !== undefined && { expiresInSeconds: seconds }),
    });
    for (const { hive, expiresAt } of items)
      writeText(`${cause} on ${hive ?? 'all hosts'} is ${kind} until ${expiresAt}\n`);
  });
}
