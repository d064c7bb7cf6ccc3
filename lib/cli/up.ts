import type { Command } from 'commander';
import { hiveOptions, queenOptions } from '../config/options.js';
import { defaults } from '../contract/defaults.js';
import { runDaemon } from './daemon.js';
import { addSettings, settingsFor } from './settings.js';

export function register(program: Command): void {
  const command = program
    .command('up')
    .summary('show this machine: queen and hive in one process')
    .description(
      `Queen and hive in one process: shows this machine, live, at http://${defaults.host}:${defaults.queenPort}.`,
    )
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse up
  $ hivepulse up --port 8000 --no-auto --watch 'system.slice/vllm-*.service'`,
    );
  addSettings(command, 'up').action(async () => {
    const resolved = await settingsFor(command, 'up');
    const { settings } = resolved;
    const queen = queenOptions(settings);
    // The hive part sends to its own queen and serves loopback alone, whatever the queen listens on.
    const hive = hiveOptions(
      { ...settings, host: defaults.host, port: settings.hivePort ?? defaults.hivePort, insecure: false },
      null,
    );
    const { createLogger } = await import('./pino-log.js');
    process.exitCode = await runDaemon('up', resolved, createLogger, async (context) => {
      const { keepMemoryLow } = await import('../native/resident-memory.js');
      keepMemoryLow();
      const { startUp } = await import('../daemon/up.js');
      return startUp({ queen: { ...queen, ...context }, hive: { ...hive, ...context } });
    });
  });
}
