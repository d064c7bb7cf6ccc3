import { constants } from 'node:os';
import type { Command } from 'commander';
import type { Labels } from '../contract/primitives.js';
import type { LimitOptions } from '../launch/limits.js';
import type { ExitedWorker, SpawnOptions } from '../launch/process-monitor.js';
import { defined } from '../util/defined.js';
import { HivepulseError } from '../util/errors.js';
import { isSecretLabel } from '../workers/redact.js';
import { writeNote } from './output.js';
import { collect } from './settings.js';

interface RunFlags extends LimitOptions {
  readonly group: string;
  readonly instance: string;
  readonly model?: string;
  readonly port?: string;
  readonly label?: readonly string[];
  readonly readyUrl?: string;
  readonly reservation?: string;
  readonly bestEffort?: boolean;
  readonly root?: string;
  readonly runtimeDir?: string;
}

/** `k=v` given several times. Throws INVALID_OPTION. */
export function parseLabels(given: readonly string[]): Labels {
  const labels: Labels = {};
  for (const [i, text] of given.entries()) {
    const at = text.indexOf('=');
    if (at < 1) throw new HivepulseError('INVALID_OPTION', '--label', `--label: label ${i + 1} is not key=value.`);
    labels[text.slice(0, at)] = text.slice(at + 1);
  }
  return labels;
}

/** The status that a shell gives: the code, or 128 + the signal's number. */
export function exitStatus(exited: Pick<ExitedWorker, 'code' | 'signal'>): number {
  if (exited.code !== null) return exited.code;
  return 128 + (constants.signals[exited.signal as NodeJS.Signals] ?? 0);
}

export function toSpawnOptions(flags: RunFlags, command: readonly string[]): SpawnOptions {
  const { group, instance, model, label, readyUrl, reservation, root, runtimeDir, port: portText, ...limits } = flags;
  if (portText !== undefined && !/^\d{1,5}$/.test(portText)) {
    throw new HivepulseError('INVALID_OPTION', '--port', '--port: expected a port number.');
  }
  const port = portText === undefined ? undefined : Number(portText);
  const [file = '', ...args] = command;
  return {
    group,
    instance,
    command: file,
    args,
    stdio: 'inherit',
    // At a terminal the worker shares our session, so that it can use the terminal and gets Ctrl-C from it.
    detached: !process.stdin.isTTY,
    ...defined({
      ...limits,
      model,
      port,
      labels: label && parseLabels(label),
      readyUrl,
      reservationId: reservation,
    }),
  };
}

/** Labels leave the host as they are given. Names the place of what looks like a secret, not the label. */
export const labelWarnings = (labels: Labels, where: string): readonly string[] =>
  Object.entries(labels).flatMap(([key, value], i) =>
    isSecretLabel(key, value)
      ? [`${where}: label ${i + 1} looks like a secret; labels are public, everybody who reads the fleet sees them`]
      : [],
  );

/** What a worker without a cgroup lacks, in one line. */
const placeNote = (reason: string): string =>
  `note: it runs without a cgroup, as a tree of processes: no limits of a cgroup, no pressure, peak or OOM kills of its own. ${reason}`;

async function run(command: readonly string[], flags: RunFlags): Promise<void> {
  const say = writeNote;
  // Loaded here, so that the help of the program does not wait for it.
  const { ProcessMonitor } = await import('../launch/process-monitor.js');
  const monitor = new ProcessMonitor(defined({ root: flags.root, runtimeDir: flags.runtimeDir }));
  monitor.on('fault', (error) => say(error.message));
  monitor.on('oomKill', ({ kills }) => say(`the kernel killed ${kills} of its processes: it is out of memory`));

  // A signal that arrives while the worker is being started is passed on once it is there.
  const terminal = process.stdin.isTTY === true;
  const early: NodeJS.Signals[] = [];
  let send = (signal: NodeJS.Signals): void => {
    early.push(signal);
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) {
    process.on(signal, () => {
      // The terminal has sent it to the worker as well; twice would mean "at once" to many servers.
      if (terminal && signal !== 'SIGTERM') return;
      send(signal);
    });
  }
  const options = toSpawnOptions(flags, command);
  for (const warning of labelWarnings(options.labels ?? {}, '--label')) say(`warning: ${warning}`);
  const worker = await monitor.spawn(options);
  if (worker.withoutCgroup !== null) say(placeNote(worker.withoutCgroup));
  for (const { message } of worker.notApplied) say(`warning: ${message}`);
  send = (signal) => {
    worker.child.kill(signal);
  };
  for (const signal of early) send(signal);

  const exited = await worker.exited;
  if (exited.remaining > 0) {
    say(
      `${worker.id} ended, but ${exited.remaining} of its processes live on${worker.cgroupPath === null ? '' : ' in its cgroup'}; end them with "hivepulse stop ${worker.id}"`,
    );
  }
  await monitor.close();
  process.exitCode = exitStatus(exited);
}

/** Adds `hivepulse run`. */
export function register(program: Command): void {
  program
    .command('run')
    .summary('start a worker in a cgroup of its own, under limits, and stay its parent')
    .description('Starts a worker in a cgroup of its own, under limits, stays its parent, and ends as it ends.')
    .requiredOption('--group <name>', 'first part of the worker id')
    .requiredOption('--instance <name>', 'second part of the worker id')
    .option('--cpu <limit>', 'share of one core ("200%"), cores ("1.5"), or quota/period in microseconds')
    .option('--memory <size>', 'memory beyond which the kernel kills ("24G", "512M", bytes; powers of 1024)')
    .option('--memory-high <size>', 'memory beyond which the kernel reclaims and slows down')
    .option('--swap <size>', 'swap on top of memory ("0": none)')
    .option(
      '--io <limits>',
      'for one device: "/dev/sda rbps=100M wbps=50M riops=1000 wiops=1000" (repeatable)',
      collect,
    )
    .option('--pids <number>', 'most processes and threads')
    .option('--cpuset <list>', 'CPUs it may run on ("0-3,8")')
    .option('--oom-group', 'out of memory kills the whole worker, not one of its processes')
    .option(
      '--best-effort',
      'where no cgroup can be created, approximate limits by affinity, nice, I/O priority and rlimits',
    )
    .option('--model <name>', 'model it serves (default: found in its command line)')
    .option('--port <port>', 'port it serves on (default: found in its command line)')
    .option('--label <key=value>', 'label (repeatable)', collect)
    .option('--ready-url <url>', 'loopback URL that answers 2xx once it is ready')
    .option('--reservation <id>', 'reservation of a placement that this worker takes')
    .option('--root <dir>', 'delegated cgroup v2 directory to make the worker in (default: found)')
    .option('--runtime-dir <dir>', 'where the record of the worker is kept (default: /run/hivepulse, else per user)')
    .argument('<command...>', 'the command, after --')
    .passThroughOptions()
    .action(run);
}
