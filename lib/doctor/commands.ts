import type { CommandMode } from '../contract/enums.js';
import { type Finding, ok, warn } from './finding.js';

/** What the setting `commands` lets out of this host. */
export function checkCommands(mode: CommandMode): Finding {
  if (mode === 'none') return ok('commands', 'No command line leaves this host; models and ports do.');
  if (mode === 'safe')
    return ok('commands', 'Of command lines only what is known to be harmless leaves this host (commands: safe).');
  return warn(
    'commands',
    'commands is full: a secret on a command line that does not look like one is shown to everyone who can read the fleet.',
    'set commands: safe (HIVEPULSE_COMMANDS, --commands), or give secrets to workers by files and variables',
  );
}
