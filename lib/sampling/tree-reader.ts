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
import { type CountedProcess, TreeCounter, treesAround, type UsageReading } from './tree-counters.js';
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
const counters = ['cpu', 'read', 'write'] as const;
type Counter = (typeof counters)[number];

/** A process to read, and what it said in the last pass. */
interface Member extends ProcessIdentity {
  readonly identity: string;
  readonly tree: string;
  use: ProcessUse | null;
  /** The same as the addon said it; null: not by the addon, or not in the last pass. */
  row: Float64Array | null;
  /** Its part of the tree's row; null: it has ended. */
  process: WorkerProcess | null;
}

/** A tree with the processes to read of it. */
interface ListedTree {
  readonly key: string;
  readonly members: readonly Member[];
}

/** What is to be read of trees: the same from pass to pass while no process begins or ends. */
interface Listed {
  readonly of: readonly ProcessTree[];
  readonly trees: readonly ListedTree[];
  readonly members: readonly Member[];
  readonly byPid: ReadonlyMap<number, Member>;
  readonly directories: readonly string[];
  readonly newestTicks: number;
}

/** What a process said in a pass; null: it has ended. */
type Said = ProcessUse | 'same' | 'hangs' | null;

/** What a pass has to count, and which trees have processes. */
interface Changes {
  readonly changed: Readonly<Record<Counter, CountedProcess[]>>;
  readonly ended: string[];
  readonly trees: Set<string>;
}

const noValues = Object.fromEntries(workerColumns.map((name) => [name, Number.NaN])) as Record<WorkerColumn, number>;

export class TreeReader {
  readonly #options: TreeReaderOptions;
  readonly #files: GuardedReader;
  readonly #counters: Readonly<Record<Counter, TreeCounter>> = {
    cpu: new TreeCounter(),
    read: new TreeCounter(),
    write: new TreeCounter(),
  };
  #latest: TreePass | null = null;
  #list: Listed = { of: [], trees: [], members: [], byPid: new Map(), directories: [], newestTicks: 0 };
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
    const { clock, procRoot, clockTicks } = this.#options;
    const startedMs = clock.now();
    if (trees.length === 0 && this.#list.trees.length === 0) {
      this.#latest = { startedMs, durationMs: 0, rows: new Map() };
      return;
    }
    const before = this.#list;
    const list = this.#listed(trees, outer);
    const [uptime] = await this.#files.read([join(procRoot, 'uptime')], 4096);
    const uses = await this.#uses(list);
    const changes: Changes = {
      changed: { cpu: [], read: [], write: [] },
      ended: before === list ? [] : leftOut(before, list),
      trees: new Set(),
    };
    for (const [i, member] of list.members.entries()) this.#take(member, uses[i] ?? null, list, changes);
    const seconds = uptime instanceof Buffer ? parseUptime(uptime) : null;
    const atTicks = Math.max(list.newestTicks, (seconds ?? 0) * clockTicks);
    for (const counter of counters)
      this.#counters[counter].update({ ...changes, changed: changes.changed[counter], atTicks, outer });
    const endedMs = clock.now();
    const monotonicMs = (startedMs + endedMs) / 2;
    const rows = new Map(list.trees.map((tree) => [tree.key, this.#row(tree, monotonicMs)]));
    this.#latest = { startedMs, durationMs: endedMs - startedMs, rows };
  }

  #listed(trees: readonly ProcessTree[], outer: ProcessTrees['outer']): Listed {
    if (this.#list.of === trees) return this.#list;
    const known = this.#list.byPid;
    // The tree around another first: a child is read after its parent, also where it is of another tree.
    const depths = new Map(trees.map(({ key }) => [key, [...treesAround(key, outer)].length]));
    const ordered = trees.toSorted((a, b) => (depths.get(a.key) as number) - (depths.get(b.key) as number));
    const listed = ordered.map(({ key, members }) => ({
      key,
      members: members.map(({ pid, startTicks }): Member => {
        const before = known.get(pid);
        const identity = before?.startTicks === startTicks ? before.identity : identityKey({ pid, startTicks });
        return {
          pid,
          startTicks,
          identity,
          tree: key,
          use: null,
          row: null,
          process: null,
        };
      }),
    }));
    const members = listed.flatMap((tree) => tree.members);
    this.#list = {
      of: trees,
      trees: listed,
      members,
      byPid: new Map(members.map((member) => [member.pid, member])),
      directories: members.map(({ pid }) => join(this.#options.procRoot, String(pid))),
      newestTicks: members.reduce((newest, { startTicks }) => Math.max(newest, startTicks), 0),
    };
    return this.#list;
  }

  /** What each process has used, in order: read by the addon, or from its files where there is none. */
  async #uses({ members, directories }: Listed): Promise<readonly Said[]> {
    const rows = await this.#files.usage(directories);
    if (rows !== null) return rows.map((row, i) => saidOf(members[i] as Member, row));
    const paths = directories.flatMap((directory) => usageFiles.map((file) => join(directory, file)));
    const contents = await this.#files.read(paths, 4096);
    return directories.map((_unused, i) => {
      const files = contents.slice(i * usageFiles.length, (i + 1) * usageFiles.length);
      return files[0] === ETIMEDOUT ? 'hangs' : useOfFiles(files);
    });
  }

  /** Takes what a process says now. A use of which the start is another is of another process, which has its pid by now. */
  #take(member: Member, use: Said, list: Listed, changes: Changes): void {
    if (use === 'same') {
      changes.trees.add(member.tree);
      return;
    }
    if (use === 'hangs') {
      member.process = unreadProcess(member);
      member.use = null;
      changes.trees.add(member.tree);
      return;
    }
    if (use === null || use.startTicks !== member.startTicks) {
      changes.ended.push(member.identity);
      member.use = null;
      member.row = null;
      member.process = null;
      return;
    }
    changes.trees.add(member.tree);
    const last = member.use;
    if (last !== null && isSameUse(last, use)) return;
    member.use = use;
    member.process = isOver(use) ? null : this.#processOf(member, use);
    const { identity, tree, startTicks } = member;
    const parent = list.byPid.get(use.parentPid);
    const parentTree = parent?.use == null ? null : parent.tree;
    for (const counter of counters) {
      const reading = readingOf[counter](use);
      if (reading !== null) changes.changed[counter].push({ identity, tree, startTicks, parentTree, reading });
    }
  }

  #processOf({ pid, startTicks }: Member, use: ProcessUse): WorkerProcess {
    return {
      pid,
      startTicks,
      residentBytes: use.residentPages * this.#options.pageSize,
      ioReadBytes: use.readBytes,
      ioWriteBytes: use.writeBytes,
    };
  }

  #row({ key, members }: ListedTree, monotonicMs: number): TreeRow {
    const processes: WorkerProcess[] = [];
    let isIoKnown = true;
    for (const { process } of members) {
      if (process === null) continue;
      processes.push(process);
      if (Number.isNaN(process.ioReadBytes)) isIoKnown = false;
    }
    const used = (counter: Counter): number => this.#counters[counter].totals.get(key)?.used ?? Number.NaN;
    const row = {
      ...noValues,
      ioReadBytes: isIoKnown ? used('read') : Number.NaN,
      ioWriteBytes: isIoKnown ? used('write') : Number.NaN,
      ioDevices: isIoKnown ? 1 : noValues.ioDevices,
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

/** What a row says of its process, for which nothing is made where it is as before. */
function saidOf(member: Member, row: Float64Array | number): Said {
  const last = member.row;
  member.row = typeof row === 'number' ? null : row;
  if (typeof row === 'number') return row === ETIMEDOUT ? 'hangs' : null;
  if (last === null) return useOfRow(row);
  // Without an iterator: this is done for each process in each pass.
  for (let i = 0; i < row.length; i += 1) if (!Object.is(row[i], last[i])) return useOfRow(row);
  return 'same';
}

/** Identities that are in the list before and not in the one after. */
function leftOut(before: Listed, { byPid }: Listed): string[] {
  const gone = before.members.filter(({ pid, startTicks }) => byPid.get(pid)?.startTicks !== startTicks);
  return gone.map(({ identity }) => identity);
}

const isOver = ({ state }: ProcessUse): boolean => state === 'Z' || state === 'X';

/** NaN stays NaN: what can't be read is the same as before. */
const isSameUse = (a: ProcessUse, b: ProcessUse): boolean =>
  a.cpuTicks === b.cpuTicks &&
  a.waitedCpuTicks === b.waitedCpuTicks &&
  Object.is(a.residentPages, b.residentPages) &&
  Object.is(a.readBytes, b.readBytes) &&
  Object.is(a.writeBytes, b.writeBytes) &&
  a.parentPid === b.parentPid &&
  isOver(a) === isOver(b);

/** The kernel keeps CPU of children that were waited for apart, and I/O not. null: it can't be read. */
const readingOf: Readonly<Record<Counter, (use: ProcessUse) => UsageReading | null>> = {
  cpu: ({ cpuTicks, waitedCpuTicks }) => ({ own: cpuTicks, inherited: waitedCpuTicks }),
  read: ({ readBytes }) => (Number.isNaN(readBytes) ? null : { own: 0, inherited: readBytes }),
  write: ({ writeBytes }) => (Number.isNaN(writeBytes) ? null : { own: 0, inherited: writeBytes }),
};
