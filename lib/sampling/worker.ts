import { type FieldTable, unmeasured } from '../contract/fields/field.js';
import { workerFields } from '../contract/fields/worker.js';
import type { WorkerGpu, WorkerSample } from '../contract/heartbeat.js';
import { maxModels, maxNoteLength, maxNotes } from '../contract/limits.js';
import { type Serving, type ServingProcess, serving } from '../engines/recognize.js';
import { processColumn, processColumns, type RawPass, rowFlags, type WorkerFile } from '../native/layout.js';
import type { PidCheck } from '../procfs/pids.js';
import { round2 } from '../procfs/round.js';
import { finiteOrNull, least } from '../workers/limits.js';
import type { WorkerRecord } from '../workers/records.js';
import { shownModel } from '../workers/shown-command.js';
import type { Watched } from '../workers/watched.js';
import type { Server } from './endpoints.js';
import type { InferredGpus } from './inferred-gpus.js';
import type { ProcessCounters, RawRow, WorkerRates } from './rates.js';
import { type ServingLoad, sentServing } from './serving.js';
import { saidElsewhere, settle, Unknown, unknown, type WorkerDraft, withoutCgroup } from './unknown.js';
import { isMissing, isReportedMissing } from './worker-faults.js';

/** A process of a worker, as in the pass. */
export interface WorkerProcess extends ProcessCounters {
  readonly residentBytes: number;
}

/** A process that is known to be there, and whose files were not read. */
export const unreadProcess = ({ pid, startTicks }: Pick<WorkerProcess, 'pid' | 'startTicks'>): WorkerProcess => ({
  pid,
  startTicks,
  residentBytes: Number.NaN,
  ioReadBytes: Number.NaN,
  ioWriteBytes: Number.NaN,
});

const columns = {
  pid: processColumn('pid'),
  startTicks: processColumn('startTicks'),
  residentBytes: processColumn('residentBytes'),
  ioReadBytes: processColumn('ioReadBytes'),
  ioWriteBytes: processColumn('ioWriteBytes'),
};

/** The processes of a row; null where cgroup.procs could not be read. */
export function processesOf(pass: RawPass, row: RawRow, isPid: PidCheck): readonly WorkerProcess[] | null {
  if (Number.isNaN(row.processCount) || Number.isNaN(row.processOffset)) return null;
  const { processes: cells } = pass;
  const found: WorkerProcess[] = [];
  for (let i = 0; i < row.processCount; i++) {
    const at = (row.processOffset + i) * processColumns.length;
    const pid = cells[at + columns.pid] ?? Number.NaN;
    if (!isPid(pid)) continue;
    found.push({
      pid,
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
  /** Some command line is known. */
  readonly anyRead: boolean;
}

const shownModels = (names: readonly string[]): readonly string[] =>
  names.length === 0 ? names : [...new Set(names.map(shownModel).filter((name) => name !== null))].slice(0, maxModels);

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
  return {
    serving: { ...found, models: shownModels(found.models) },
    command: shown === undefined ? null : showCommand(shown.argv),
    anyRead: known.length > 0,
  };
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
  /** Where `gpus` is null: the GPUs that it seems to hold. */
  readonly inferred: InferredGpus | null;
  /** Why it is not known which GPUs it holds. */
  readonly gpusReason: string | null;
  readonly gpuTotals: ReadonlyMap<string, number | null>;
  readonly ready: boolean | Unknown;
  readonly state: WorkerSample['state'];
  /** Memory is summed over /proc/<pid>/statm: the memory controller is not on v2. */
  readonly memoryFromProc: boolean;
  /** I/O is summed over /proc/<pid>/io: the io controller is not on v2. */
  readonly ioFromProc: boolean;
  readonly server: Server;
  /** What its engine says of its load. */
  readonly load: ServingLoad;
  /** Of the row's file: 0 where it could be read, else an errno or -1 (`RawPass.errors`). */
  readonly errorOf: (file: WorkerFile) => number;
  /** When processes started is not known, and a fault says so. */
  readonly clocksDiffer: boolean;
  /** Whether the GPU says, by `unsupported` or a fault, why it does not give this value of `gpus`. */
  readonly gpuExplains: (uuid: string, field: keyof WorkerGpu) => boolean;
}

export function sum(values: readonly (number | null)[]): number | null {
  let total = 0;
  for (const value of values) {
    if (value === null) return null;
    total += value;
  }
  return total;
}

/** Of a value that a file holds and that is NaN. A fault says what of a file could not be read. */
function fromFile(input: WorkerInput, value: number, file: WorkerFile): number | Unknown {
  if (Number.isFinite(value)) return value;
  if (input.watched.scope === 'processes') return unknown('noCgroup');
  const { row, errorOf } = input;
  const error = errorOf(file);
  if (error === 0) return unknown('notInFile');
  return isMissing(error) && !isReportedMissing(file, row) ? unknown('notInFile') : saidElsewhere;
}

/** A rate of counters of a file, two decimals. */
function rateOf(input: WorkerInput, rate: number | null, counter: number, file: WorkerFile): number | Unknown {
  if (rate !== null) return round2(rate);
  const now = fromFile(input, counter, file);
  return now instanceof Unknown ? now : unknown('noEarlierReading');
}

function ioRate(input: WorkerInput, rate: number | null, counter: number): number | Unknown {
  if (rate !== null) return round2(rate);
  const { row, processes } = input;
  if (input.ioFromProc && Number.isNaN(counter)) {
    const hidden = input.nestedProcesses + input.hiddenProcesses > 0;
    const unread = processes?.some((each) => !Number.isNaN(each.startTicks) && Number.isNaN(each.ioReadBytes)) ?? true;
    return unknown(hidden || unread ? 'processesHidden' : 'noEarlierReading');
  }
  // A fault names the device.
  return Number.isNaN(row.ioUnknownDevice) ? rateOf(input, null, counter, 'io.stat') : saidElsewhere;
}

/** The lower one; not known where none is known and its own could not be read. */
function limitOf(
  input: WorkerInput,
  own: number,
  ofAncestors: number | null,
  file: WorkerFile,
): number | null | Unknown {
  const limit = least(finiteOrNull(own), ofAncestors);
  return limit === null && Number.isNaN(own) ? fromFile(input, own, file) : limit;
}

type Draft = Partial<WorkerDraft>;

function startOf(input: WorkerInput) {
  const { main, processes } = input;
  const processCount = processes === null ? fromFile(input, Number.NaN, 'cgroup.procs') : processes.length;
  if (main === null) {
    const none = processCount instanceof Unknown ? saidElsewhere : unknown('noProcess');
    return {
      pid: none,
      startedAt: none,
      uptimeSeconds: none,
      processCount: count(processCount, input),
    } satisfies Draft;
  }
  let why: Unknown = unknown('uptimeUnknown');
  if (Number.isNaN(main.startTicks)) why = input.hiddenProcesses > 0 ? saidElsewhere : unknown('processEnded');
  else if (input.clocksDiffer) why = saidElsewhere;
  return {
    pid: main.pid,
    startedAt: input.startedAt ?? why,
    uptimeSeconds: input.uptimeSeconds === null ? why : round2(input.uptimeSeconds),
    processCount: count(processCount, input),
  } satisfies Draft;
}

const count = (own: number | Unknown, { nestedProcesses }: WorkerInput): number | Unknown =>
  own instanceof Unknown ? own : own + nestedProcesses;

/** What the operator said wins over what is read from command lines, and that over what its server says. */
function modelsOf({ record, described, server }: WorkerInput): readonly string[] {
  if (record?.model != null) return [record.model];
  const read = described?.serving.models ?? [];
  return read.length > 0 ? read : shownModels(server.models);
}

function namesOf(input: WorkerInput) {
  const { described, hiddenProcesses } = input;
  const models = modelsOf(input);
  let noModel = unknown(described?.serving.engine == null ? 'engineUnknown' : 'modelUnnamed');
  if (described === null || !described.anyRead)
    noModel = hiddenProcesses > 0 ? saidElsewhere : unknown('commandUnread');
  const noCommand = described?.anyRead ? unknown('commandWithheld') : noModel;
  return {
    model: models[0] ?? noModel,
    models: models.length < 2 ? undefined : [...models],
    command: described?.command ?? noCommand,
  } satisfies Draft;
}

function memoryOf(input: WorkerInput) {
  const { row, processes, watched, memoryFromProc } = input;
  const resident = memoryFromProc ? residentSum(processes, input.nestedProcesses + input.hiddenProcesses) : null;
  const memoryBytes = memoryFromProc
    ? (resident ?? unknown('processesHidden'))
    : fromFile(input, row.memoryCurrentBytes, 'memory.current');
  const inactive = fromFile(input, row.inactiveFileBytes, 'memory.stat');
  let workingSetBytes: number | Unknown = saidElsewhere;
  if (!memoryFromProc && !(memoryBytes instanceof Unknown))
    workingSetBytes = inactive instanceof Unknown ? inactive : Math.max(0, memoryBytes - inactive);
  return {
    memoryBytes,
    workingSetBytes,
    memoryPeakBytes: fromFile(input, row.memoryPeakBytes, 'memory.peak'),
    memoryLimitBytes: limitOf(input, row.memoryMaxBytes, watched.ancestorMemoryBytes, 'memory.max'),
    memorySource: memoryFromProc ? 'proc' : 'cgroup',
    oomKills: fromFile(input, row.oomKill, 'memory.events'),
  } satisfies Draft;
}

function gpusOf({ gpus, gpuDoubt, gpusReason, inferred, gpuTotals, gpuExplains }: WorkerInput) {
  const summed = gpuDoubt ? null : gpus;
  // Most workers hold none.
  if (summed?.length === 0)
    return {
      gpus: [],
      gpusReason: gpusReason ?? undefined,
      gpusInferred: undefined,
      gpuUtilizationPercent: 0,
      vramUsedBytes: 0,
      vramTotalBytes: 0,
    } satisfies Draft;
  // Where its GPUs are not known, `gpusReason` says why.
  if (summed === null)
    return {
      gpus: [...(gpus ?? inferred?.gpus ?? [])],
      gpusReason: gpusReason ?? undefined,
      gpusInferred: inferred?.evidence,
      gpuUtilizationPercent: null,
      vramUsedBytes: null,
      vramTotalBytes: null,
    } satisfies Draft;
  const over = (field: keyof WorkerGpu, value: (held: WorkerGpu) => number | null): number | Unknown =>
    sum(summed.map(value)) ??
    (summed.every((held) => value(held) !== null || gpuExplains(held.uuid, field))
      ? saidElsewhere
      : unknown('notByGpu'));
  const utilization = over('utilizationPercent', ({ utilizationPercent }) => utilizationPercent);
  return {
    gpus: [...summed],
    gpusReason: gpusReason ?? undefined,
    gpusInferred: undefined,
    gpuUtilizationPercent: utilization instanceof Unknown ? utilization : round2(utilization),
    vramUsedBytes: over('memoryUsedBytes', ({ memoryUsedBytes }) => memoryUsedBytes),
    // A GPU always says why its total is not known.
    vramTotalBytes: sum(summed.map(({ uuid }) => gpuTotals.get(uuid) ?? null)) ?? saidElsewhere,
  } satisfies Draft;
}

/** One worker as it travels. Pure. Field by field: with spreads V8 makes a slow object, for each worker in each pass. */
export function workerSample(input: WorkerInput): WorkerSample {
  const { watched, row, rates, record, server } = input;
  const limit = limitOf(input, (row.cpuQuotaUsec * 100) / row.cpuPeriodUsec, watched.ancestorCpuPercent, 'cpu.max');
  const start = startOf(input);
  const names = namesOf(input);
  const memory = memoryOf(input);
  const held = gpusOf(input);
  return settle({
    id: watched.id,
    group: watched.group,
    instance: watched.instance,
    name: watched.name ?? undefined,
    pid: start.pid,
    startedAt: start.startedAt,
    uptimeSeconds: start.uptimeSeconds,
    processCount: start.processCount,
    model: names.model,
    models: names.models,
    command: names.command,
    port: server.port,
    endpoint: server.endpoint,
    endpointReason: server.reason ?? undefined,
    serving: sentServing(input.load.serving, names.models ?? [names.model]),
    servingReason: input.load.reason ?? undefined,
    labels: record?.labels ?? {},
    cpuPercent: rateOf(input, rates.cpuPercent, row.usageUsec, 'cpu.stat'),
    cpuThrottledPercent: throttledOf(input),
    cpuLimitPercent: typeof limit === 'number' ? round2(limit) : limit,
    memoryBytes: memory.memoryBytes,
    workingSetBytes: memory.workingSetBytes,
    memoryPeakBytes: memory.memoryPeakBytes,
    memoryLimitBytes: memory.memoryLimitBytes,
    memorySource: memory.memorySource,
    oomKills: memory.oomKills,
    ioReadBytesPerSecond: ioRate(input, rates.ioReadBytesPerSecond, row.ioReadBytes),
    ioWriteBytesPerSecond: ioRate(input, rates.ioWriteBytesPerSecond, row.ioWriteBytes),
    pressure: {
      cpu: fromFile(input, round2(row.cpuSomeAvg10), 'cpu.pressure'),
      memory: fromFile(input, round2(row.memorySomeAvg10), 'memory.pressure'),
      io: fromFile(input, round2(row.ioSomeAvg10), 'io.pressure'),
    },
    gpus: held.gpus,
    gpusReason: held.gpusReason,
    gpusInferred: held.gpusInferred,
    gpuUtilizationPercent: held.gpuUtilizationPercent,
    vramUsedBytes: held.vramUsedBytes,
    vramTotalBytes: held.vramTotalBytes,
    state: input.state,
    ready: input.ready,
    reservationId: record?.reservationId ?? undefined,
    limitNotes: limitNotesOf(record),
    origin: watched.origin,
    scope: watched.scope === 'processes' ? watched.scope : undefined,
    // Without a cgroup all that one alone can tell is null for that reason.
    ...(watched.scope === 'processes' && withoutCgroup()),
  });
}

/** undefined: every limit that it was launched with holds. */
function limitNotesOf(record: WorkerRecord | null): string[] | undefined {
  if (record === null || record.notApplied.length === 0) return undefined;
  const notes = record.notApplied.map(({ message }) => message.slice(0, maxNoteLength)).filter(Boolean);
  return notes.length > 0 ? notes.slice(0, maxNotes) : undefined;
}

/** Without the cpu controller cpu.stat is there and has no periods. */
function throttledOf(input: WorkerInput): number | Unknown {
  const { row, rates } = input;
  if (rates.cpuThrottledPercent !== null) return round2(rates.cpuThrottledPercent);
  if (Number.isNaN(row.nrPeriods) && isMissing(input.errorOf('cpu.max'))) return saidElsewhere;
  return rateOf(input, null, row.nrPeriods + row.nrThrottled, 'cpu.stat');
}

/** A worker whose files cannot be read now: what was measured is not known any more. */
export function unmeasuredWorker(worker: WorkerSample, table: FieldTable = workerFields): WorkerSample {
  const measures = unmeasured(table);
  const { nullReasons, ...rest } = worker;
  // Of its measures the fault of its files says why.
  const left = Object.entries(nullReasons ?? {}).filter(([name]) => !((name.split('.')[0] as string) in measures));
  return {
    ...rest,
    ...(left.length > 0 ? { nullReasons: Object.fromEntries(left) } : {}),
    ...measures,
  };
}

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
