import { type Command, Option } from 'commander';
import { defined } from '../util/defined.js';
import { HivepulseError } from '../util/errors.js';
import { plural } from '../util/plural.js';
import { writeText } from './output.js';

interface StopFlags {
  readonly grace: string;
  readonly signal: NodeJS.Signals;
  readonly root?: string;
  readonly runtimeDir?: string;
}

/** Seconds (`10`, `0.5`, `10s`) or milliseconds (`500ms`) in ms. Throws INVALID_OPTION. */
export function parseGrace(text: string): number {
  const match = /^(\d{1,6}(?:\.\d{1,3})?)(s|ms)?$/.exec(text.trim());
  if (!match) {
    throw new HivepulseError('INVALID_OPTION', '--grace', '--grace: expected a time: give seconds ("10") or "500ms".');
  }
  return Math.round(Number(match[1]) * (match[2] === 'ms' ? 1 : 1000));
}

async function stop(id: string, flags: StopFlags): Promise<void> {
  const { ProcessMonitor } = await import('../launch/process-monitor.js');
  const monitor = new ProcessMonitor(defined({ root: flags.root, runtimeDir: flags.runtimeDir }));
  const { signalled, killed } = await monitor.stop(id, { graceMs: parseGrace(flags.grace), signal: flags.signal });
  const how = killed ? 'killed after the grace' : signalled > 0 ? 'ended' : 'had ended already';
  writeText(`${id} stopped: ${plural(signalled, 'process', 'processes')} signalled, ${how}\n`);
}

/** Adds `hivepulse stop`. */
export function register(program: Command): void {
  program
    .command('stop')
    .summary('end a worker with all its processes, and remove its cgroup')
    .description('Ends a worker with all its processes: by a signal, then SIGKILL. Removes its cgroup.')
    .argument('<group/instance>', 'the worker')
    .option('--grace <time>', 'between the signal and SIGKILL, in seconds', '10')
    .addOption(
      new Option('--signal <name>', 'what asks it to end')
        .choices(['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGKILL'])
        .default('SIGTERM'),
    )
    .option('--root <dir>', 'cgroup v2 directory that the worker was made in (default: found)')
    .option('--runtime-dir <dir>', 'where the records of workers are (default: /run/hivepulse, else per user)')
    .action(stop);
}
