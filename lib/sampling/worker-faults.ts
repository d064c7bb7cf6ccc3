import type { Field } from '../contract/fields/field.js';
import { workerFields } from '../contract/fields/worker.js';
import type { Fault, WorkerSample } from '../contract/heartbeat.js';
import { type RawPass, type WorkerFile, workerFiles } from '../native/layout.js';
import { errnoText } from '../util/errno.js';
import type { RawRow } from './rates.js';

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
  message: `Its engine (${serving?.engine ?? 'unknown'}) has ${(serving?.running ?? 0) + (serving?.waiting ?? 0)} requests and has computed nothing for ${Math.round((serving?.progressAgeMs ?? serving?.ageMs ?? 0) / 1000)} s: look at its log, then restart it. It gets no new requests until it recovers.`,
  field: 'state',
  workerId: id,
});

const ENOENT = 2;
const EOPNOTSUPP = 95;
/** The kernel does not offer the file here. */
export const isMissing = (errno: number): boolean => errno === ENOENT || errno === EOPNOTSUPP;

/** The contract's fields by the file that each comes from: `memoryPeakBytes`, `pressure.cpu`. */
const fieldOfFile: ReadonlyMap<string, string> = new Map(
  Object.entries<Field>(workerFields).flatMap(([name, { file }]): [string, string][] => {
    if (file === undefined) return [];
    if (typeof file === 'string') return [[file, name]];
    return Object.entries(file).map(([part, path]) => [path, `${name}.${part}`]);
  }),
);

const placeOfFile = Object.fromEntries(workerFiles.map((file, i) => [file, i])) as Readonly<Record<WorkerFile, number>>;

/** Of one file of a row: 0, or why it could not be read. */
export const fileError = (pass: RawPass, slot: number, file: WorkerFile): number =>
  pass.errors[slot * workerFiles.length + placeOfFile[file]] ?? 0;

/** Adds what could not be read of one row to `faults`, and to `missing` what the kernel does not offer here. */
export function addFileFaults(
  pass: RawPass,
  slot: number,
  workerId: string,
  { faults, missing }: { readonly faults: Fault[]; readonly missing: Set<WorkerFile> },
): void {
  for (let i = 0; i < workerFiles.length; i++) {
    const errno = pass.errors[slot * workerFiles.length + i] ?? 0;
    if (errno === 0) continue;
    const file = workerFiles[i] as WorkerFile;
    const field = fieldOfFile.get(file);
    if (field === undefined) continue;
    if (isMissing(errno)) {
      missing.add(file);
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
}

interface MissingRow {
  /** One of them is enough. */
  readonly files: readonly WorkerFile[];
  readonly code: string;
  readonly field: string;
  readonly message: string;
  /** Where it holds only for some hosts, or another row says more. */
  readonly applies?: (fromProc: FromProc, missing: ReadonlySet<WorkerFile>) => boolean;
}

interface FromProc {
  readonly memory: boolean;
  readonly io: boolean;
}

/** What a kernel may not offer, and the fault that says so. */
const missingRows: readonly MissingRow[] = [
  {
    files: ['memory.current'],
    code: 'MEMORY_CONTROLLER_MISSING',
    field: 'memoryPeakBytes',
    message:
      'The memory controller is not on cgroup v2: memory is summed over processes; working set, peak, limit and OOM kills are not known. Boot with systemd.unified_cgroup_hierarchy=1.',
    applies: ({ memory }) => memory,
  },
  {
    files: ['memory.current'],
    code: 'MEMORY_CONTROLLER_MISSING',
    field: 'memoryBytes',
    message:
      'The memory controller is not enabled for some workers; write +memory to cgroup.subtree_control of their parents.',
    applies: ({ memory }) => !memory,
  },
  {
    files: ['memory.peak'],
    code: 'MEMORY_PEAK_MISSING',
    field: 'memoryPeakBytes',
    message: 'memory.peak needs Linux 5.19.',
    applies: (_, missing) => !missing.has('memory.current'),
  },
  {
    files: ['io.stat'],
    code: 'IO_CONTROLLER_MISSING',
    field: 'ioReadBytesPerSecond',
    message: 'The io controller is not enabled for some workers; write +io to cgroup.subtree_control of their parents.',
    applies: ({ io }) => !io,
  },
  {
    files: ['cpu.max'],
    code: 'CPU_CONTROLLER_MISSING',
    field: 'cpuThrottledPercent',
    message: 'The cpu controller is not enabled for some workers: limits and throttling are not known.',
  },
  {
    files: ['cpu.pressure', 'memory.pressure', 'io.pressure'],
    code: 'PRESSURE_UNAVAILABLE',
    field: 'pressure',
    message:
      'The kernel keeps no pressure figures (PSI) for some workers; boot with psi=1, and write 1 to their cgroup.pressure.',
  },
  {
    files: ['cgroup.procs'],
    code: 'THREADED_CGROUP',
    field: 'processCount',
    message: 'Some workers are threaded cgroups, whose processes the kernel does not list there.',
  },
];

const reportedMissing: ReadonlySet<WorkerFile> = new Set(missingRows.flatMap(({ files }) => files));

/** Whether a fault says that the kernel does not offer the file; one fault covers the whole memory controller. */
export const isReportedMissing = (file: WorkerFile, row: RawRow): boolean =>
  reportedMissing.has(file) || (file.startsWith('memory.') && Number.isNaN(row.memoryCurrentBytes));

/** One fault for all workers about what the kernel does not offer; each file once. */
export const missingFaults = (missing: ReadonlySet<WorkerFile>, fromProc: FromProc): readonly Fault[] =>
  missingRows
    .filter(({ files, applies }) => files.some((file) => missing.has(file)) && applies?.(fromProc, missing) !== false)
    .map(({ code, field, message }) => ({ source: 'cgroup', code, field, message }));
