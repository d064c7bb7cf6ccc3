/** Reads what the processes of each tree use: the rows of workers that have no cgroup of their own. */
import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import { ETIMEDOUT, GuardedReader, type OpenFiles } from '../io/guarded.js';
import { type WorkerColumn, workerColumns } from '../native/layout.js';
import { parseUptime } from '../procfs/parse.js';
import { type ProcessUse, usageFiles, useOfFiles, useOfRow } from '../procfs/process-use.js';
import type { Clock } from '../util/clock.js';
import { identityKey, type ProcessIdentity } from '../workers/process-forest.js';
import type { ProcessTree, ProcessTrees } from '../workers/tree-workers.js';
import type { RawRow } from './rates.js';
import { type CountedProcess, countTrees, noCounters, type TreeCounters, type UsageReading } from './tree-counters.js';
import { unreadProcess, type WorkerProcess } from './worker.js';

export interface TreeRow {
  readonly row: RawRow;
  /** Those that live. */
  readonly processes: readonly WorkerProcess[];
}

/** One reading of all trees. */
export interface TreePass {
  readonly startedMs: number;
  readonly durationMs: number;
  /** By the tree's key. */
  readonly rows: ReadonlyMap<string, TreeRow>;
}

export interface TreeReaderOptions {
  readonly procRoot: string;
  readonly openFiles?: OpenFiles | undefined;
  readonly clock: Clock;
  readonly clockTicks: number;
  readonly pageSize: number;
  /** The trees to read. */
  readonly trees: () => ProcessTrees;
}

/** What is counted; each by itself. */
type Counter = 'cpu' | 'read' | 'write';

/** What one process's files say; null: it has ended. */
interface ReadProcess {
  readonly tree: string;
  readonly identity: string;
  readonly stat: ProcessUse;
  readonly process: WorkerProcess;
}

/** A process to read, of which tree it is, and its `identityKey`. */
interface ListedMember extends ProcessIdentity {
  readonly tree: string;
  readonly identity: string;
}

/** What is to be read of trees: the same from pass to pass while no process begins or ends. */
interface Listed {
  readonly trees: readonly ProcessTree[];
  readonly members: readonly ListedMember[];
  readonly directories: readonly string[];
  readonly newestTicks: number;
}

const noValues = Object.fromEntries(workerColumns.map((name) => [name, Number.NaN])) as Record<WorkerColumn, number>;

export class TreeReader {
  readonly #options: TreeReaderOptions;
  readonly #files: GuardedReader;
  #counters: Readonly<Record<Counter, TreeCounters>> = { cpu: noCounters, read: noCounters, write: noCounters };
  #latest: TreePass | null = null;
  #list: Listed = { trees: [], members: [], directories: [], newestTicks: 0 };
  #running: Promise<void> | null = null;

  constructor(options: TreeReaderOptions) {
    this.#options = options;
    this.#files = new GuardedReader({
      open: options.openFiles,
      clock: options.clock,
      fault: (what) => ({
        source: 'proc',
        code: 'PROC_STALLED',
        message: `${what}: what that process uses is not counted.`,
      }),
    });
  }

  /** The last reading; null before the first. */
  latest(): TreePass | null {
    return this.#latest;
  }

  faults(): readonly Fault[] {
    return this.#files.faults();
  }

  close(): void {
    this.#files.close();
  }

  /** Reads all trees once; a call while they are read resolves with that reading. Rejects only after `close`. */
  read(): Promise<void> {
    this.#running ??= this.#read(this.#options.trees()).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #read({ trees, outer }: ProcessTrees): Promise<void> {
    const { clock, procRoot } = this.#options;
    const startedMs = clock.now();
    if (trees.length === 0) {
      this.#latest = { startedMs, durationMs: 0, rows: new Map() };
      return;
    }
    const { members, directories, newestTicks } = this.#listed(trees);
    const [uptime] = await this.#files.read([join(procRoot, 'uptime')], 4096);
    const uses = await this.#uses(directories);
    const read: ReadProcess[] = [];
    const byTree = new Map<string, ReadProcess[]>(trees.map(({ key }) => [key, []]));
    const unread = new Map<string, ProcessIdentity[]>();
    for (const [i, member] of members.entries()) {
      const found = this.#process(member, uses[i] ?? null);
      if (found === 'hangs') unread.set(member.tree, [...(unread.get(member.tree) ?? []), member]);
      if (found === 'hangs' || found === null) continue;
      read.push(found);
      byTree.get(member.tree)?.push(found);
    }
    const seconds = uptime instanceof Buffer ? parseUptime(uptime) : null;
    this.#count(read, unread, Math.max(newestTicks, (seconds ?? 0) * this.#options.clockTicks), outer);
    const endedMs = clock.now();
    const monotonicMs = (startedMs + endedMs) / 2;
    const rows = new Map(
      trees.map((tree) => [
        tree.key,
        this.#row(tree, byTree.get(tree.key) ?? [], unread.get(tree.key) ?? [], monotonicMs),
      ]),
    );
    this.#latest = { startedMs, durationMs: endedMs - startedMs, rows };
  }

  #listed(trees: readonly ProcessTree[]): Listed {
    if (this.#list.trees === trees) return this.#list;
    const members = trees.flatMap(({ key, members: own }) =>
      own.map(({ pid, startTicks }) => ({ tree: key, pid, startTicks, identity: identityKey({ pid, startTicks }) })),
    );
    const directories = members.map(({ pid }) => join(this.#options.procRoot, String(pid)));
    const newestTicks = members.reduce((newest, { startTicks }) => Math.max(newest, startTicks), 0);
    this.#list = { trees, members, directories, newestTicks };
    return this.#list;
  }

  /** What each process has used, in order: read by the addon, or from its files where there is none. */
  async #uses(directories: readonly string[]): Promise<readonly (ProcessUse | 'hangs' | null)[]> {
    const rows = await this.#files.usage(directories);
    if (rows !== null)
      return rows.map((row) => (typeof row === 'number' ? (row === ETIMEDOUT ? 'hangs' : null) : useOfRow(row)));
    const paths = directories.flatMap((directory) => usageFiles.map((file) => join(directory, file)));
    const contents = await this.#files.read(paths, 4096);
    return directories.map((_unused, i) => {
      const files = contents.slice(i * usageFiles.length, (i + 1) * usageFiles.length);
      return files[0] === ETIMEDOUT ? 'hangs' : useOfFiles(files);
    });
  }

  /** null: another process has its pid by now, or none. */
  #process(
    { tree, pid, startTicks, identity }: ListedMember,
    use: ProcessUse | 'hangs' | null,
  ): ReadProcess | 'hangs' | null {
    if (use === 'hangs' || use === null) return use;
    if (use.startTicks !== startTicks) return null;
    const process = {
      pid,
      startTicks,
      residentBytes: use.residentPages * this.#options.pageSize,
      ioReadBytes: use.readBytes,
      ioWriteBytes: use.writeBytes,
    };
    return { tree, identity, stat: use, process };
  }

  #count(
    read: readonly ReadProcess[],
    unread: ReadonlyMap<string, readonly ProcessIdentity[]>,
    atTicks: number,
    outer: ProcessTrees['outer'],
  ): void {
    const trees = new Map(read.map(({ tree, process }) => [process.pid, tree]));
    const processes = read.map(({ tree, identity, stat, process }) => ({
      identity,
      tree,
      startTicks: process.startTicks,
      parentTree: trees.get(stat.parentPid) ?? null,
      readings: readingsOf(stat, process),
    }));
    const hanging = [...unread].flatMap(([tree, identities]) =>
      identities.map((each) => ({ identity: identityKey(each), tree, startTicks: each.startTicks, parentTree: null })),
    );
    const counted = (counter: Counter): readonly CountedProcess[] => [
      ...processes.map(({ readings, ...process }) => ({ ...process, reading: readings[counter] })),
      ...hanging.map((process) => ({ ...process, reading: null })),
    ];
    const before = this.#counters;
    const after = (counter: Counter) => countTrees(before[counter], counted(counter), atTicks, outer);
    this.#counters = { cpu: after('cpu'), read: after('read'), write: after('write') };
  }

  #row(
    { key }: ProcessTree,
    read: readonly ReadProcess[],
    unread: readonly ProcessIdentity[],
    monotonicMs: number,
  ): TreeRow {
    const living = read.filter(({ stat }) => stat.state !== 'Z' && stat.state !== 'X');
    const processes = [...living.map(({ process }) => process), ...unread.map(unreadProcess)];
    const used = (counter: Counter): number => this.#counters[counter].totals.get(key)?.used ?? Number.NaN;
    const io = processes.some(({ ioReadBytes }) => Number.isNaN(ioReadBytes))
      ? { ioReadBytes: Number.NaN, ioWriteBytes: Number.NaN }
      : { ioReadBytes: used('read'), ioWriteBytes: used('write'), ioDevices: 1 };
    const row = {
      ...noValues,
      ...io,
      flags: 0,
      monotonicMs,
      usageUsec: (used('cpu') * 1e6) / this.#options.clockTicks,
      populated: processes.length > 0 ? 1 : 0,
      processCount: processes.length,
      processOffset: 0,
    };
    return { row, processes };
  }
}

/** The kernel keeps CPU of children that were waited for apart, and I/O not. */
const readingsOf = (
  stat: ProcessUse,
  { ioReadBytes, ioWriteBytes }: WorkerProcess,
): Readonly<Record<Counter, UsageReading | null>> => ({
  cpu: { own: stat.cpuTicks, inherited: stat.waitedCpuTicks },
  read: Number.isNaN(ioReadBytes) ? null : { own: 0, inherited: ioReadBytes },
  write: Number.isNaN(ioWriteBytes) ? null : { own: 0, inherited: ioWriteBytes },
});
