import { Argument, type Command } from 'commander';
import * as type from '../config/types.js';
import type { AttentionLine, Silence, SilenceKind } from '../contract/silence.js';
import { openClient } from './client.js';
import { completedBy } from './completes.js';
import { caller } from './cordon.js';
import { filterOption, parseFlag } from './filters.js';
import { listCommand } from './listing.js';
import { writeText } from './output.js';
import { addSettings } from './settings.js';

interface SilenceFlags {
  readonly hive?: string;
  readonly reason: string;
  readonly for?: string;
  readonly by?: string;
}

/** Adds `hivepulse attention`, `silences`, `acknowledge`, `silence` and `unsilence`. */
export function register(program: Command): void {
  const attention = program
    .command('attention')
    .summary('list what needs attention, the worst first')
    .description(
      'Lists what needs attention, the worst first, equal things on several hosts as one. What is acknowledged or silenced comes last.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse attention
  $ hivepulse attention --json | jq -r '.items[] | select(.severity == "critical").title'
  $ hivepulse acknowledge gpuStalled --hive host-7 --reason 'rebooting it at noon'`,
    );
  listCommand<AttentionLine>(attention, {
    none: 'nothing needs attention.',
    sorts: ['severity', 'title', 'cause'],
    columns: async () => (await import('./attention-columns.js')).attentionColumns,
    query: () => async (client) => {
      const list = await client.attention();
      return { document: list, rows: list.items };
    },
  });
  addSilences(program);
  addKind(program, 'acknowledge', 'acknowledged', 'mark a cause as being looked at, until it is resolved');
  addKind(program, 'silence', 'silenced', 'mute a cause for a while, even if it recurs');

  const unsilence = program
    .command('unsilence')
    .summary('undo acknowledge or silence')
    .description('Lists a cause as open again. Needs a token of role admin.')
    .addArgument(completedBy(new Argument('<cause>', 'as `hivepulse attention` lists it'), 'causes'))
    .addOption(completedBy(filterOption('--hive <hive>', 'of this hive (by default of the whole fleet)'), 'hives'));
  addSettings(unsilence, 'client').action(async (cause: string, { hive }: { hive?: string }) => {
    const { client } = await openClient(unsilence);
    await client.unsilence({ cause, hive: hive ?? null });
    writeText(`${cause} is open again\n`);
  });
}

function addSilences(program: Command): void {
  const silences = program
    .command('silences')
    .summary('list what is acknowledged or silenced')
    .description('Lists what is acknowledged or silenced, by whom, why and until when.');
  listCommand<Silence>(silences, {
    none: 'nothing is acknowledged or silenced.',
    sorts: ['cause', 'hive', 'kind', 'by', 'expiresAt'],
    columns: async () => (await import('./silence-columns.js')).silenceColumns,
    query: () => async (client) => {
      const list = await client.silences();
      return { document: list, rows: list.items };
    },
  });
}

function addKind(program: Command, name: string, kind: SilenceKind, summary: string): void {
  const does = summary.replace(/^(\w)(\w*)/, (_, first: string, rest: string) => `${first.toUpperCase()}${rest}s`);
  const command = program
    .command(name)
    .summary(summary)
    .description(
      `${does}. Meanwhile it is left out of counts, notifications and the webhook, at all queens of the fleet. Needs a token of role admin.`,
    )
    .addArgument(completedBy(new Argument('<cause>', 'as `hivepulse attention` lists it'), 'causes'))
    .addOption(completedBy(filterOption('--hive <hive>', 'on this hive (by default on all)'), 'hives'))
    .requiredOption('--reason <text>', 'why, for others to read')
    .option('--for <seconds>', 'expires after this many seconds (default: 86400)')
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
