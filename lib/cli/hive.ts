import { setFlagsFromString } from 'node:v8';
import type { Command } from 'commander';
import { hiveOptions } from '../config/options.js';
import { runDaemon } from './daemon.js';
import { addSettings, settingsFor } from './settings.js';

export function register(program: Command): void {
  const command = program
    .command('hive')
    .summary('sample this host and send heartbeats to a queen')
    .description(
      'Samples this host and its workers, serves them on loopback, and sends a heartbeat to a queen each interval.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse hive --queen http://10.0.0.1:7833 --token-file /etc/hivepulse/token
  $ hivepulse hive --label zone=a --label gpu=h100 --watch 'system.slice/vllm-*.service'`,
    );
  addSettings(command, 'hive').action(async () => {
    const resolved = await settingsFor(command, 'hive');
    const { readToken } = await import('../config/resolve.js');
    const options = hiveOptions(resolved.settings, readToken(resolved));
    const { smallLog } = await import('./small-log.js');
    process.exitCode = await runDaemon('hive', resolved, smallLog, async (context) => {
      // What a tick makes is dead at the next: a nursery that grows to 16 MiB would only hold more of it.
      setFlagsFromString('--semi-space-growth-factor=1');
      // What scrapes leave in the old generation is collected once it has grown by a fifth, not by several times.
      setFlagsFromString('--heap-growing-percent=20');
      const { keepMemoryLow } = await import('../native/resident-memory.js');
      keepMemoryLow();
      const { startHive } = await import('../daemon/hive.js');
      return startHive({ ...options, ...context });
    });
  });
}
