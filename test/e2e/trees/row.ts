import type { EndpointReason, NullReason } from '../../../lib/contract/enums.js';
import type { Site } from '../../harness/fake-engines.js';
import type { FakeProcess, FakeSocket, InheritedSocket } from '../../harness/process-tree.js';

/**
 * One worker as a tree of processes, and what must be known of it. In all texts {a}, {b}, {c} are free ports of its own, {here} and
 * {here6} addresses of this host, of which {here} is the one that the hive was given, {inside} that of its bridged namespace.
 */
export interface Row {
  readonly title: string;
  readonly tree: FakeProcess;
  /** In a network namespace of its own: with loopback alone, with an address, with two. */
  readonly apart?: 'loopback' | 'bridged' | 'bridgedTwice';
  /** Its cgroup is that of a container of a pod. */
  readonly pod?: true;
  /** `run` was given it as `--ready-url`. */
  readonly readyUrl?: string;
  /** Environment of its processes. */
  readonly env?: Readonly<Record<string, string>>;
  /** Processes outside of the worker, in the host's namespace. */
  readonly strangers?: readonly FakeProcess[];
  readonly engine: string | null;
  readonly model: string | null;
  /** All names that clients may ask for, where it has more than one. */
  readonly models?: readonly string[];
  readonly endpoint: `http://${string}` | `https://${string}` | EndpointReason;
  /** Where nobody can say, why. */
  readonly ready: boolean | NullReason;
  /** Codes of faults of this worker. */
  readonly faults?: readonly string[];
}

type Part = FakeSocket | InheritedSocket | FakeProcess;

/** A process: its command line, its sockets, its children. */
export function run(command: string | readonly string[], ...parts: readonly Part[]): FakeProcess {
  return {
    argv: typeof command === 'string' ? command.split(' ') : command,
    sockets: parts.filter((part) => 'at' in part),
    accepts: parts.filter((part) => 'fd' in part && !('at' in part)) as readonly InheritedSocket[],
    children: parts.filter((part) => 'argv' in part),
  };
}

/** A process that ends once its children are started. */
export const leaving = (command: string, ...parts: readonly Part[]): FakeProcess => ({
  ...run(command, ...parts),
  leaves: true,
});

export const on = (
  at: string,
  site: FakeSocket['site'],
  options: Omit<FakeSocket, 'at' | 'site'> = {},
): FakeSocket => ({ at, site, ...options });

/** A socket that its parent has opened, as this descriptor. */
export const inherited = (fd: number, site: Site): InheritedSocket => ({ fd, site });

/** `sh -c` with one text. */
export const sh = (script: string, ...parts: readonly Part[]): FakeProcess => run(['sh', '-c', script], ...parts);

/** What Python's multiprocessing starts beside a server. */
export const tracker = run(['python3', '-c', 'from multiprocessing.resource_tracker import main;main(12)']);
export const spawned = (...parts: readonly Part[]): FakeProcess =>
  run(
    [
      'python3',
      '-c',
      'from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=9, pipe_handle=14)',
      '--multiprocessing-fork',
    ],
    ...parts,
  );
