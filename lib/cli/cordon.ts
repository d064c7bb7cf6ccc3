import { hostname, userInfo } from 'node:os';
import { Argument, type Command } from 'commander';
import * as type from '../config/types.js';
import { openClient } from './client.js';
import { completedBy } from './completes.js';
import { parseFlag } from './filters.js';
import { writeText } from './output.js';
import { addSettings } from './settings.js';

/** Who asks, as an audit reads it; a user without a name has a number. */
export function caller(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}@${hostname()}`;
  }
}

interface CordonFlags {
  readonly reason: string;
  readonly for?: string;
  readonly by?: string;
}

/** Adds `hivepulse cordon` and `hivepulse uncordon`. */
export function register(program: Command): void {
  const cordon = program
    .command('cordon')
    .summary('take hives out of scheduling, from anywhere')
    .description(
      'Has a queen place nothing on these hives and send no request to their workers, until they are uncordoned. Their workers keep running. Needs a token of role admin.',
    )
    .addArgument(completedBy(new Argument('<hive...>', 'ids of hives'), 'hives'))
    .requiredOption('--reason <text>', 'why, for others to read')
    .option('--for <seconds>', 'expires after this many seconds (default: never)')
    .option('--by <name>', 'who does it (default: user@host)')
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse cordon host-7 --reason 'GPU 2 throws Xid 79' --for 86400
  $ hivepulse uncordon host-7`,
    );
  addSettings(cordon, 'client').action(async (hives: readonly string[], flags: CordonFlags) => {
    const seconds = parseFlag('--for', type.integer(60, 30 * 24 * 3600), flags.for);
    const { client } = await openClient(cordon);
    const request = { reason: flags.reason, by: (flags.by ?? caller()).slice(0, 128) };
    for (const hive of hives) {
      const held = await client.cordon(
        hive,
        seconds === undefined ? request : { ...request, expiresInSeconds: seconds },
      );
      writeText(`${hive} is cordoned${held.expiresAt === null ? '' : ` until ${held.expiresAt}`}\n`);
    }
  });

  const uncordon = program
    .command('uncordon')
    .summary('take hives back into scheduling')
    .description('Has a queen schedule on these hives again. Needs a token of role admin.')
    .addArgument(completedBy(new Argument('<hive...>', 'ids of hives'), 'hives'));
  addSettings(uncordon, 'client').action(async (hives: readonly string[]) => {
    const { client } = await openClient(uncordon);
    for (const hive of hives) {
      await client.uncordon(hive);
      writeText(`${hive} is not cordoned\n`);
    }
  });
}
