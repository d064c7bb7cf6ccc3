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
  message: `Its engine (${serving?.engine ?? 'unknown'}) has ${(serving?.running ?? 0) + (serving?.waiting ?? 0)} requests and has computed nothing for ${Math.round((serving?.progressAgeMs ?? serving?.ageMs ?? 0) / 1000)} s: look at its log, then restart it. It is given no requests until it goes on.`,
  field: 'state',
  workerId: id,
});

const ENOENT = 2;
const EOPNOTSUPP = 95;
/** The kernel does not offer the file here. */
export const isMissing = (errno: number): boolean => errno === ENOENT || errno === EOPNOTSUPP;

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

/** Of one file of a row: 0, or why it could not be read. */
export const fileError = (pass: RawPass, slot: number, file: WorkerFile): number =>
  pass.errors[slot * workerFiles.length + workerFiles.indexOf(file)] ?? 0;

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
    if (isMissing(errno)) {
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

/** Files that `missingFaults` names. */
const reportedMissing: ReadonlySet<WorkerFile> = new Set([
  'memory.current',
  'memory.peak',
  'io.stat',
  'cpu.max',
  'cpu.pressure',
  'memory.pressure',
  'io.pressure',
  'cgroup.procs',
]);

/** Whether a fault says that the kernel does not offer the file; one fault covers the whole memory controller. */
export const isReportedMissing = (file: WorkerFile, row: RawRow): boolean =>
  reportedMissing.has(file) || (file.startsWith('memory.') && Number.isNaN(row.memoryCurrentBytes));

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
