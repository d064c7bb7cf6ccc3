import type { Command } from 'commander';
import { queenOptions } from '../config/options.js';
import { runDaemon } from './daemon.js';
import { addSettings, settingsFor } from './settings.js';

export function register(program: Command): void {
  const command = program
    .command('queen')
    .summary('keep the registry of a fleet, its HTTP API and the page')
    .description('Takes the heartbeats of hives, keeps the registry, and serves the HTTP API, metrics and the page.')
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse queen
  $ hivepulse queen --host 0.0.0.0 --tokens-file /etc/hivepulse/tokens --state /var/lib/hivepulse`,
    );
  addSettings(command, 'queen').action(async () => {
    const resolved = await settingsFor(command, 'queen');
    const options = queenOptions(resolved.settings);
    const { createLogger } = await import('./pino-log.js');
    process.exitCode = await runDaemon('queen', resolved, createLogger, async (context) => {
      const { keepMemoryLow } = await import('../native/resident-memory.js');
      keepMemoryLow();
      const { startQueen } = await import('../daemon/queen.js');
      return startQueen({ ...options, ...context });
    });
  });
}
