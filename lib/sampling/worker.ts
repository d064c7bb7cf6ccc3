import { type FieldTable, unmeasured } from '../contract/fields/field.js';
import { workerFields } from '../contract/fields/worker.js';
import type { Fault, WorkerGpu, WorkerSample } from '../contract/heartbeat.js';
import { maxModels } from '../contract/limits.js';
import { type Serving, type ServingProcess, serving } from '../engines/recognize.js';
import {
  processColumn,
  processColumns,
  type RawPass,
  rowFlags,
  type WorkerFile,
  workerFiles,
} from '../native/layout.js';
import { round2 } from '../procfs/host.js';
import { errnoText } from '../util/errno.js';
import { finiteOrNull, least } from '../workers/limits.js';
import type { WorkerRecord } from '../workers/records.js';
import { shownModel } from '../workers/shown-command.js';
import type { Watched } from '../workers/watched.js';
import type { Server } from './endpoints.js';
import type { ProcessCounters, RawRow, WorkerRates } from './rates.js';
import type { ServingLoad } from './serving.js';

/** A process of a worker, as in the pass. */
export interface WorkerProcess extends ProcessCounters {
  readonly residentBytes: number;
}

const columns = {
  pid: processColumn('pid'),
  startTicks: processColumn('startTicks'),
  residentBytes: processColumn('residentBytes'),
  ioReadBytes: processColumn('ioReadBytes'),
  ioWriteBytes: processColumn('ioWriteBytes'),
};

/** The processes of a row; null where cgroup.procs could not be read. */
export function processesOf(pass: RawPass, row: RawRow): readonly WorkerProcess[] | null {
  if (Number.isNaN(row.processCount) || Number.isNaN(row.processOffset)) return null;
  const { processes: cells } = pass;
  const found: WorkerProcess[] = [];
  for (let i = 0; i < row.processCount; i++) {
    const at = (row.processOffset + i) * processColumns.length;
    found.push({
      pid: cells[at + columns.pid] ?? Number.NaN,
      startTicks: cells[at + columns.startTicks] ?? Number.NaN,
      residentBytes: cells[at + columns.residentBytes] ?? Number.NaN,
      ioReadBytes: cells[at + columns.ioReadBytes] ?? Number.NaN,
      ioWriteBytes: cells[at + columns.ioWriteBytes] ?? Number.NaN,
    });
  }
  return found;
}

/** Whether the worker lives: its cgroup exists and something runs in it. A zombie alone does not count. */
export function isLive(row: RawRow): boolean {
  if ((row.flags & rowFlags.removed) !== 0) return false;
  if (!Number.isNaN(row.populated)) return row.populated !== 0;
  // Without cgroup.events by its processes; where those are hidden too, it is taken as alive.
  return row.processCount !== 0;
}

/** The record of `run`, where it is of this cgroup and not of an earlier one under the same name. */
export function recordOf(watched: Watched, row: RawRow): WorkerRecord | null {
  const { record } = watched;
  if (record === null) return null;
  if (record.cgroupInode === null || Number.isNaN(row.inode)) return record;
  return record.cgroupInode === row.inode ? record : null;
}

/** The main process: the one `run` started where it lives, else the oldest. */
export function mainProcess(processes: readonly WorkerProcess[], record: WorkerRecord | null): WorkerProcess | null {
  const started = processes.find(
    ({ pid, startTicks }) => pid === record?.pid && (record.startTicks === null || record.startTicks === startTicks),
  );
  if (started) return started;
  let oldest: WorkerProcess | null = null;
  for (const process of processes) {
    if (Number.isNaN(process.startTicks)) continue; // it ended while it was read
    if (oldest === null || process.startTicks < oldest.startTicks) oldest = process;
  }
  return oldest ?? processes[0] ?? null;
}

/** What is known from command lines, kept as long as the processes are the same. */
export interface Described {
  readonly serving: Serving;
  /** What may be shown of it; null where no command line is known, or none is shown. */
  readonly command: string | null;
}

/**
 * Models and command of a worker from the command lines of its processes, main process first. The command shown is
 * the engine's where one was recognized, since the first process is often a shell or an init.
 */
export function describe(
  processes: readonly ServingProcess[],
  showCommand: (argv: readonly string[]) => string | null,
): Described {
  const known = processes.filter(({ argv }) => argv.length > 0);
  const found = serving(known);
  const shown = known[found.engine === null ? 0 : (found.process ?? 0)];
  const names = found.models.map(shownModel).filter((name) => name !== null);
  const models = [...new Set(names)].slice(0, maxModels);
  return { serving: { ...found, models }, command: shown === undefined ? null : showCommand(shown.argv) };
}

/** Idle sandbox of a Kubernetes pod: it holds the pod's namespaces and does nothing. */
export const isPause = (commands: readonly (readonly string[])[]): boolean =>
  commands.length === 1 && /(?:^|\/)pause$/.test(commands[0]?.[0] ?? '');

export interface WorkerInput {
  readonly watched: Watched;
  readonly row: RawRow;
  readonly rates: WorkerRates;
  readonly processes: readonly WorkerProcess[] | null;
  /** Processes of cgroups below it, where it has some; added to its own. */
  readonly nestedProcesses: number;
  /** Of its own: /proc does not show them, though they live. */
  readonly hiddenProcesses: number;
  readonly record: WorkerRecord | null;
  readonly described: Described | null;
  readonly main: WorkerProcess | null;
  readonly startedAt: string | null;
  readonly uptimeSeconds: number | null;
  /** null where nothing can be said about GPUs. */
  readonly gpus: readonly WorkerGpu[] | null;
  /** It may hold another GPU, which does not report: no sum over its GPUs is known. */
  readonly gpuDoubt: boolean;
  /** Why it is not known which GPUs it holds. */
  readonly gpusReason: string | null;
  readonly gpuTotals: ReadonlyMap<string, number | null>;
  readonly ready: boolean | null;
  readonly state: WorkerSample['state'];
  /** Memory is summed over /proc/<pid>/statm: the memory controller is not on v2. */
  readonly memoryFromProc: boolean;
  readonly server: Server;
  /** What its engine says of its load. */
  readonly load: ServingLoad;
}

export function sum(values: readonly (number | null)[]): number | null {
  let total = 0;
  for (const value of values) {
    if (value === null) return null;
    total += value;
  }
  return total;
}

const percent = (value: number | null): number | null => (value === null ? null : round2(value));

/** A pressure figure within 0..100, or null. */
const pressure = (value: number): number | null => (value >= 0 && value <= 100 ? round2(value) : null);

/** One worker as it travels. Pure. */
export function workerSample(input: WorkerInput): WorkerSample {
  const { watched, row, rates, processes, record, described, main, gpus } = input;
  const summed = input.gpuDoubt ? null : gpus;
  const own = processes?.length ?? null;
  const memoryBytes = input.memoryFromProc
    ? residentSum(processes, input.nestedProcesses + input.hiddenProcesses)
    : finiteOrNull(row.memoryCurrentBytes);
  const inactive = finiteOrNull(row.inactiveFileBytes);
  // What the operator said wins over what is read from command lines.
  const models = record?.model == null ? (described?.serving.models ?? []) : [record.model];
  return {
    id: watched.id,
    group: watched.group,
    instance: watched.instance,
    name: watched.name ?? undefined,
    pid: main?.pid ?? null,
    startedAt: input.startedAt,
    uptimeSeconds: input.uptimeSeconds === null ? null : round2(input.uptimeSeconds),
    processCount: own === null ? null : own + input.nestedProcesses,
    model: models[0] ?? null,
    models: models.length < 2 ? undefined : [...models],
    port: input.server.port,
    endpoint: input.server.endpoint,
    endpointReason: input.server.reason ?? undefined,
    command: described?.command ?? null,
    serving: input.load.serving ?? undefined,
    servingReason: input.load.reason ?? undefined,
    labels: record?.labels ?? {},
    cpuPercent: percent(rates.cpuPercent),
    cpuThrottledPercent: percent(rates.cpuThrottledPercent),
    cpuLimitPercent: percent(
      least(finiteOrNull((row.cpuQuotaUsec * 100) / row.cpuPeriodUsec), watched.ancestorCpuPercent),
    ),
    memoryBytes,
    workingSetBytes:
      input.memoryFromProc || memoryBytes === null || inactive === null ? null : Math.max(0, memoryBytes - inactive),
    memoryPeakBytes: finiteOrNull(row.memoryPeakBytes),
    memoryLimitBytes: least(finiteOrNull(row.memoryMaxBytes), watched.ancestorMemoryBytes),
    memorySource: input.memoryFromProc ? 'proc' : 'cgroup',
    oomKills: finiteOrNull(row.oomKill),
    ioReadBytesPerSecond: percent(rates.ioReadBytesPerSecond),
    ioWriteBytesPerSecond: percent(rates.ioWriteBytesPerSecond),
    pressure: {
      cpu: pressure(row.cpuSomeAvg10),
      memory: pressure(row.memorySomeAvg10),
      io: pressure(row.ioSomeAvg10),
    },
    gpus: [...(gpus ?? [])],
    gpusReason: input.gpusReason ?? undefined,
    gpuUtilizationPercent:
      summed === null ? null : percent(sum(summed.map(({ utilizationPercent }) => utilizationPercent))),
    vramUsedBytes: summed === null ? null : sum(summed.map(({ memoryUsedBytes }) => memoryUsedBytes)),
    vramTotalBytes: summed === null ? null : sum(summed.map(({ uuid }) => input.gpuTotals.get(uuid) ?? null)),
    state: input.state,
    ready: input.ready,
    reservationId: record?.reservationId ?? undefined,
    origin: watched.origin,
  };
}

/** A worker whose files cannot be read now: what was measured is not known any more. */
export const unmeasuredWorker = (worker: WorkerSample, table: FieldTable = workerFields): WorkerSample => ({
  ...worker,
  ...unmeasured(table),
});

/** RSS counts pages that processes share once for each. Where a part is hidden the sum is not known. */
function residentSum(processes: readonly WorkerProcess[] | null, left: number): number | null {
  if (processes === null || left > 0) return null;
  let total = 0;
  for (const { residentBytes, startTicks } of processes) {
    if (!Number.isNaN(residentBytes)) total += residentBytes;
    else if (!Number.isNaN(startTicks)) return null; // it lives and can't be read; one that ended holds nothing
  }
  return total;
}

/** Of a worker whose processes live, as cgroup.procs says twice, and are not in /proc. */
export const hiddenFault = (workerId: string, hidden: number, of: number): Fault => ({
  source: 'proc',
  code: 'PROC_UNREADABLE',
  message: `/proc hides ${hidden === of ? (of === 1 ? 'its process' : `all of its ${of} processes`) : `${hidden} of its ${of} processes`} (hidepid, or a security module): command line and start, and so model and port, are not known from there. Run the hive as root with CAP_SYS_PTRACE, or: mount -o remount,hidepid=0 /proc`,
  field: 'command',
  workerId,
});

/** Of a worker whose engine has requests and computes nothing. */
export const stalledFault = ({ id, serving }: Pick<WorkerSample, 'id' | 'serving'>): Fault => ({
  source: 'engine',
  code: 'ENGINE_STALLED',
  message: `Its engine (${serving?.engine ?? 'unknown'}) has ${(serving?.running ?? 0) + (serving?.waiting ?? 0)} requests and has computed nothing for ${Math.round((serving?.progressAgeMs ?? serving?.ageMs ?? 0) / 1000)} s: look at its log, then restart it. It is given no requests until it goes on.`,
  field: 'state',
  workerId: id,
});

const ENOENT = 2;
const EOPNOTSUPP = 95;

/** The contract's fields that come from each file. */
const fieldsOf: Readonly<Partial<Record<WorkerFile, string>>> = {
  'cpu.stat': 'cpuPercent',
  'memory.current': 'memoryBytes',
  'memory.stat': 'workingSetBytes',
  'memory.peak': 'memoryPeakBytes',
  'memory.events': 'oomKills',
  'io.stat': 'ioReadBytesPerSecond',
  'cgroup.procs': 'processCount',
  'cpu.max': 'cpuLimitPercent',
  'memory.max': 'memoryLimitBytes',
  'cpu.pressure': 'pressure.cpu',
  'memory.pressure': 'pressure.memory',
  'io.pressure': 'pressure.io',
};

/** Files of one row that could not be read. `missing` are those that the kernel does not offer here. */
export function fileFaults(
  pass: RawPass,
  slot: number,
  workerId: string,
): { readonly faults: readonly Fault[]; readonly missing: readonly WorkerFile[] } {
  const faults: Fault[] = [];
  const missing: WorkerFile[] = [];
  for (let i = 0; i < workerFiles.length; i++) {
    const errno = pass.errors[slot * workerFiles.length + i] ?? 0;
    if (errno === 0) continue;
    const file = workerFiles[i] as WorkerFile;
    const field = fieldsOf[file];
    if (field === undefined) continue;
    if (errno === ENOENT || errno === EOPNOTSUPP) {
      missing.push(file);
      continue;
    }
    faults.push({
      source: 'cgroup',
      code: errno === -1 ? 'CGROUP_FILE_TORN' : 'CGROUP_FILE_UNREADABLE',
      message:
        errno === -1
          ? `${file} holds no number where one must stand.`
          : `${file} cannot be read (${errnoText(errno)}).`,
      field,
      workerId,
    });
  }
  return { faults, missing };
}

/** One fault for all workers about what the kernel does not offer; each file once. */
export function missingFaults(
  missing: ReadonlySet<WorkerFile>,
  fromProc: { memory: boolean; io: boolean },
): readonly Fault[] {
  const faults: Fault[] = [];
  const add = (code: string, field: string, message: string) => faults.push({ source: 'cgroup', code, field, message });
  if (missing.has('memory.current') && fromProc.memory) {
    add(
      'MEMORY_CONTROLLER_MISSING',
      'memoryPeakBytes',
      'The memory controller is not on cgroup v2: memory is summed over processes; working set, peak, limit and OOM kills are not known. Boot with systemd.unified_cgroup_hierarchy=1.',
    );
  } else if (missing.has('memory.current')) {
    add(
      'MEMORY_CONTROLLER_MISSING',
      'memoryBytes',
      'The memory controller is not enabled for some workers; write +memory to cgroup.subtree_control of their parents.',
    );
  } else if (missing.has('memory.peak')) {
    add('MEMORY_PEAK_MISSING', 'memoryPeakBytes', 'memory.peak needs Linux 5.19.');
  }
  if (missing.has('io.stat') && !fromProc.io) {
    add(
      'IO_CONTROLLER_MISSING',
      'ioReadBytesPerSecond',
      'The io controller is not enabled for some workers; write +io to cgroup.subtree_control of their parents.',
    );
  }
  if (missing.has('cpu.max')) {
    add(
      'CPU_CONTROLLER_MISSING',
      'cpuThrottledPercent',
      'The cpu controller is not enabled for some workers: limits and throttling are not known.',
    );
  }
  if (missing.has('cpu.pressure') || missing.has('memory.pressure') || missing.has('io.pressure')) {
    add(
      'PRESSURE_UNAVAILABLE',
      'pressure',
      'The kernel keeps no pressure figures (PSI) for some workers; boot with psi=1, and write 1 to their cgroup.pressure.',
    );
  }
  if (missing.has('cgroup.procs')) {
    add(
      'THREADED_CGROUP',
      'processCount',
      'Some workers are threaded cgroups, whose processes the kernel does not list there.',
    );
  }
  return faults;
}
