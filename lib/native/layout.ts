/**
 * The layout of a raw pass, which both readers fill. The addon exports its own column names; `native/binding.ts` refuses
 * an addon whose names differ from these.
 *
 * Numbers are doubles as the kernel gives them (values up to 2^64 - 1 are rounded to the nearest double by both readers).
 * NaN = not known (file or key absent, unreadable or torn), Infinity = `max`.
 */
export const workerColumns = [
  /** Bits of `rowFlags`. */
  'flags',
  /** CLOCK_MONOTONIC in ms when the row was read. */
  'monotonicMs',
  /** Inode of the cgroup directory: another cgroup under the same name has another one. */
  'inode',
  'usageUsec',
  'userUsec',
  'systemUsec',
  'nrPeriods',
  'nrThrottled',
  'throttledUsec',
  'cpuQuotaUsec',
  'cpuPeriodUsec',
  'memoryCurrentBytes',
  'memoryPeakBytes',
  'memoryMaxBytes',
  'anonBytes',
  'inactiveFileBytes',
  'oom',
  'oomKill',
  'ioReadBytes',
  'ioWriteBytes',
  'ioReads',
  'ioWrites',
  /** Devices that have counters, also those that are counted in the device on top of them. */
  'ioDevices',
  /** A block device (major * 2^20 + minor) that `setBlockDevices` does not know, so that the four sums are not known. */
  'ioUnknownDevice',
  'pidsCurrent',
  'populated',
  'cpuSomeAvg10',
  'cpuSomeTotalUsec',
  'memorySomeAvg10',
  'memorySomeTotalUsec',
  'ioSomeAvg10',
  'ioSomeTotalUsec',
  /** Where the row's pids start in the pass's process table, and how many there are (NaN: cgroup.procs unreadable). */
  'processOffset',
  'processCount',
] as const;

export type WorkerColumn = (typeof workerColumns)[number];

/** Columns of the process table: one row per (worker, pid), pids unique within a worker, ascending. */
export const processColumns = [
  'pid',
  /** Start time in clock ticks since boot (/proc/<pid>/stat field 22). With the pid, the identity of a process. */
  'startTicks',
  /** Resident pages x page size (/proc/<pid>/statm); read only where the memory controller is not on v2. */
  'residentBytes',
  /** /proc/<pid>/io read_bytes and write_bytes; read only where the io controller is not on v2. */
  'ioReadBytes',
  'ioWriteBytes',
] as const;

export type ProcessColumn = (typeof processColumns)[number];

/** What one process has used, as its files in /proc say; NaN is not known (native/process_usage.h). */
export const usageColumns = [
  /** 0, or the errno of reading its stat file; then nothing else is known. */
  'error',
  'parentPid',
  /** Code of the character. */
  'state',
  'startTicks',
  /** User and system time, of itself, and of children that it waited for. */
  'cpuTicks',
  'waitedCpuTicks',
  'residentPages',
  'readBytes',
  'writeBytes',
] as const;

export type UsageColumn = (typeof usageColumns)[number];

/** What a thread that reads files can be asked for (native/blocking_files.h), in the order of the addon. */
export const fileWorks = [
  /** Files, up to so many bytes each. */
  'read',
  /** The same, with descriptors that are kept from call to call. */
  'readKept',
  /** Devices, each by its runtime status and files that are read unless it sleeps; with descriptors that are kept. */
  'readAwake',
  /** Directories. */
  'list',
  /** Directories whose entries are processes. */
  'pids',
  /** Directories in which targets of links are looked for that begin with a text. */
  'links',
  /** The same, and the names of those links are given. */
  'linkNames',
  /** Network namespaces whose listening sockets are given (native/socket_dump.h). */
  'sockets',
  /** Directories of processes, whose use is given: `usageColumns`. */
  'usage',
  /** fdinfo of DRM clients, up to so many bytes each, with descriptors that are kept. */
  'drmClients',
  /** HTTP servers whose status is asked for (native/status_questions.h), each with so many ms. */
  'statuses',
] as const;

export type FileWork = (typeof fileWorks)[number];

/** The files of a worker, in the order of the error table. */
export const workerFiles = [
  'cpu.stat',
  'memory.current',
  'memory.stat',
  'memory.peak',
  'memory.events',
  'io.stat',
  'pids.current',
  'cgroup.procs',
  'cpu.max',
  'memory.max',
  'cpu.pressure',
  'memory.pressure',
  'io.pressure',
  'cgroup.events',
] as const;

export type WorkerFile = (typeof workerFiles)[number];

export const rowFlags = {
  /** The cgroup was removed (ENODEV on a kept descriptor, ENOENT on opening). */
  removed: 1,
  /** Some file that exists could not be read; `errors` says which and why. */
  partial: 2,
  /** A threaded cgroup: cgroup.procs answers EOPNOTSUPP. */
  threaded: 4,
  /** Descriptors ran out: its files are opened, read and closed each pass. */
  uncached: 8,
} as const;

/** Bit of a row's flags, set by `FailoverReader` alone: a read of the worker's files hangs, so nothing is known of it. */
export const stalledFlag = 16;

/** One finished pass over all workers. Rows are in the order of the slots given by `add`; a freed slot has flags `removed`. */
export interface RawPass {
  /** Rises by one with each pass. */
  readonly sequence: number;
  /** CLOCK_MONOTONIC in ms at the start. */
  readonly startedMs: number;
  readonly durationMs: number;
  /** slot count x workerColumns.length */
  readonly workers: Float64Array;
  /** process count x processColumns.length */
  readonly processes: Float64Array;
  /**
   * slot count x workerFiles.length: 0 read, otherwise the errno of the last attempt
   * (ENOENT: the kernel has no such file here; not tried again), -1 not a number where one must stand.
   */
  readonly errors: Int16Array;
}

export interface RawReaderOptions {
  /** Where /proc is; another tree stands for it in tests. */
  readonly procRoot: string;
  /** Read statm of each process (the memory controller is not on v2). */
  readonly processMemory: boolean;
  /** Read io of each process (the io controller is not on v2). */
  readonly processIo: boolean;
  /** memory.stat is read each n-th pass and repeated between (default 5): it may block on a flush of all counters. */
  readonly memoryStatEvery: number;
  /** Descriptors that may be kept open; beyond it files are opened and closed each pass. Infinity = what RLIMIT_NOFILE gives. */
  readonly maxDescriptors: number;
}

/**
 * Reads the files of a set of cgroups. Two implementations give the same `RawPass`: the addon, and TypeScript.
 * `start` runs passes off the event loop; `latest` never blocks. `passSync` runs one on the caller's thread.
 */
export interface RawReader {
  readonly kind: 'native' | 'files';
  /** Adds a cgroup directory (absolute path) and returns its slot; the smallest free slot is reused. */
  add(path: string): number;
  remove(slot: number): void;
  /**
   * Which block devices are on top of which, so that stacked I/O is counted once: for each device its number, how many
   * devices are on top of it, and their numbers. Until it is set, every device is counted.
   */
  setBlockDevices(table: Float64Array): void;
  passSync(): RawPass;
  /** Begins a pass each `intervalMs`; the first at once. A pass that takes longer than the interval delays the next. */
  start(intervalMs: number): void;
  /** The last pass finished by the thread, or null before the first. The arrays belong to the caller. */
  latest(): RawPass | null;
  /** Resolves when a pass that began after the call has finished, or rejects when `signal` aborts. */
  next(signal?: AbortSignal): Promise<RawPass>;
  /** How long the pass now running has been running, in ms; 0 when none is. Shows a read that hangs. */
  runningMs(): number;
  close(): void;
}

export interface TraceableReader extends RawReader {
  /** Slot that the pass now running is at; null when none is. */
  reading(): number | null;
}

const index = new Map<string, number>(workerColumns.map((name, i) => [name, i]));
const processIndex = new Map<string, number>(processColumns.map((name, i) => [name, i]));

/** Position of a worker column. */
export const workerColumn = (name: WorkerColumn): number => index.get(name) as number;
/** Position of a process column. */
export const processColumn = (name: ProcessColumn): number => processIndex.get(name) as number;

/** Value of one cell, or null where it is NaN. @internal */
export function cell(pass: RawPass, slot: number, name: WorkerColumn): number | null {
  const value = pass.workers[slot * workerColumns.length + workerColumn(name)];
  return value === undefined || Number.isNaN(value) ? null : value;
}
