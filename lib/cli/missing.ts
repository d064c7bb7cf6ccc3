import { Argument, type Command } from 'commander';
import type { Missing, MissingKind } from '../contract/missing.js';
import { defined } from '../util/defined.js';
import { HivepulseError } from '../util/errors.js';
import { openClient } from './client.js';
import { completedBy } from './completes.js';
import { collectPages, filterOption } from './filters.js';
import { listCommand } from './listing.js';
import { writeText } from './output.js';
import { addSettings } from './settings.js';

/** What `forget` is given: a worker by key, else a GPU by uuid, else a hive by id. */
export function kindOfKey(key: string): MissingKind {
  if (key.split('/').length === 3) return 'worker';
  return /^(?:GPU|MIG)-/.test(key) ? 'gpu' : 'hive';
}

/** Adds `hivepulse missing` and `hivepulse forget`. */
export function register(program: Command): void {
  const missing = program
    .command('missing')
    .summary('list the hives, GPUs and workers that are missing')
    .description(
      'Lists hives, GPUs and workers that the queen has seen and that are missing: since when, and why. They are kept for seven days, or until they are forgotten.',
    )
    .addOption(filterOption('--kind <kind>', 'only of this kind').choices(['hive', 'gpu', 'worker']))
    .addOption(completedBy(filterOption('--hive <hive>', 'only of this hive'), 'hives'))
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse missing
  $ hivepulse missing --kind gpu --json | jq -r '.items[].key'
  $ hivepulse forget host-7`,
    );
  listCommand<Missing>(missing, {
    none: 'nothing is missing.',
    sorts: ['kind', 'key', 'missing', 'why'],
    columns: async () => (await import('./missing-columns.js')).missingColumns,
    query: (flags) => {
      const query = defined({ kind: flags.kind as MissingKind | undefined, hive: flags.hive as string | undefined });
      return async (client) => {
        const { items } = await collectPages<Missing>(Number.POSITIVE_INFINITY, (range) =>
          client.missing({ ...query, ...range }),
        );
        return { document: { items }, rows: items };
      };
    },
  });

  const forget = program
    .command('forget')
    .summary('forget what is missing')
    .description(
      'Has a queen forget a hive with all of its own (by id), or a GPU (by uuid) or worker (hive/group/instance) that is missing. Needs a token of role admin. A hive that still sends comes back.',
    )
    .addArgument(completedBy(new Argument('<key...>', 'as `hivepulse missing` lists them'), 'missing'));
  addSettings(forget, 'client').action(async (keys: readonly string[]) => {
    const { client } = await openClient(forget);
    for (const key of keys) {
      if (key === '') throw new HivepulseError('INVALID_OPTION', 'key', 'The key is empty.');
      await client.forget({ kind: kindOfKey(key), key });
      writeText(`${key} is forgotten\n`);
    }
  });
}
