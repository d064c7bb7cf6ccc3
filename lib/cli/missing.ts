import type { Command } from 'commander';
import type { Missing, MissingKind } from '../contract/missing.js';
import { HivepulseError } from '../util/errors.js';
import { openClient } from './client.js';
import { collectPages, filterOption, outputOption } from './filters.js';
import { outputWidth, printJson, printLines, wantsColours, writeNote, writeText } from './output.js';
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
    .summary('list what was seen and is gone')
    .description(
      'Lists hives, GPUs and workers that were seen and are gone, since when and why. They are kept for seven days, or until they are forgotten.',
    )
    .addOption(filterOption('--kind <kind>', 'only of this kind').choices(['hive', 'gpu', 'worker']))
    .addOption(filterOption('--hive <hive>', 'only of this hive'))
    .addOption(outputOption('--json', 'one JSON document: { items }, each with its last values'))
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse missing
  $ hivepulse missing --kind gpu --json | jq -r '.items[].key'
  $ hivepulse forget host-7`,
    );
  addSettings(missing, 'client').action(
    async ({ kind, hive, json }: { kind?: MissingKind; hive?: string; json?: boolean }) => {
      const { client } = await openClient(missing);
      const query = { ...(kind && { kind }), ...(hive !== undefined && { hive }) };
      const { items } = await collectPages<Missing>(Number.POSITIVE_INFINITY, (range) =>
        client.missing({ ...query, ...range }),
      );
      if (json) return printJson({ items });
      if (items.length === 0) return writeNote('nothing is missing.');
      const [{ printTable }, { missingColumns }] = await Promise.all([
        import('./table.js'),
        import('./missing-columns.js'),
      ]);
      printLines(printTable(missingColumns, items, outputWidth(), wantsColours()));
    },
  );

  const forget = program
    .command('forget')
    .summary('forget what is missing')
    .description(
      'Has a queen forget a hive with all of its own (by id), or a GPU (by uuid) or worker (hive/group/instance) that is missing. Needs a token of role admin. A hive that still sends comes back.',
    )
    .argument('<key...>', 'as `hivepulse missing` lists them');
  addSettings(forget, 'client').action(async (keys: readonly string[]) => {
    const { client } = await openClient(forget);
    for (const key of keys) {
      if (key === '') throw new HivepulseError('INVALID_OPTION', 'key', 'The key is empty.');
      await client.forget({ kind: kindOfKey(key), key });
      writeText(`${key} is forgotten\n`);
    }
  });
}
