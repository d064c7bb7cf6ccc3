import { type WorkerColumn, type WorkerFile, workerColumn, workerFiles } from '../native/layout.js';
import {
  type IoStacks,
  keyed,
  parseCpuMax,
  parseIoStat,
  parseKeyed,
  parseLimit,
  parsePressure,
  parseSingle,
} from './parse.js';

/** Parses `bytes[0 .. end)` into a row that starts at `out[base]`. False: some value in it is not a number. */
type Parse = (bytes: Buffer, end: number, out: Float64Array, base: number, stacks: IoStacks | null) => boolean;

const fields = (pairs: readonly (readonly [string, WorkerColumn])[]): Parse => {
  const wanted = pairs.map(([key, column]) => keyed(key, workerColumn(column)));
  return (bytes, end, out, base) => parseKeyed(bytes, end, wanted, out, base);
};
const single = (column: WorkerColumn): Parse => {
  const at = workerColumn(column);
  return (bytes, end, out, base) => parseSingle(bytes, end, out, base + at);
};
const pressure = (average: WorkerColumn, total: WorkerColumn): Parse => {
  const averageAt = workerColumn(average);
  const totalAt = workerColumn(total);
  return (bytes, end, out, base) => parsePressure(bytes, end, out, base + averageAt, base + totalAt);
};

const parsers: Readonly<Record<Exclude<WorkerFile, 'cgroup.procs'>, Parse>> = {
  'cpu.stat': fields([
    ['usage_usec', 'usageUsec'],
    ['user_usec', 'userUsec'],
    ['system_usec', 'systemUsec'],
    ['nr_periods', 'nrPeriods'],
    ['nr_throttled', 'nrThrottled'],
    ['throttled_usec', 'throttledUsec'],
  ]),
  'memory.current': single('memoryCurrentBytes'),
  'memory.stat': fields([
    ['anon', 'anonBytes'],
    ['inactive_file', 'inactiveFileBytes'],
  ]),
  'memory.peak': single('memoryPeakBytes'),
  'memory.events': fields([
    ['oom', 'oom'],
    ['oom_kill', 'oomKill'],
  ]),
  'io.stat': (bytes, end, out, base, stacks) =>
    parseIoStat(bytes, end, out, base + workerColumn('ioReadBytes'), stacks),
  'pids.current': single('pidsCurrent'),
  'cpu.max': (bytes, end, out, base) =>
    parseCpuMax(bytes, end, out, base + workerColumn('cpuQuotaUsec'), base + workerColumn('cpuPeriodUsec')),
  'memory.max': (bytes, end, out, base) => parseLimit(bytes, end, out, base + workerColumn('memoryMaxBytes')),
  'cpu.pressure': pressure('cpuSomeAvg10', 'cpuSomeTotalUsec'),
  'memory.pressure': pressure('memorySomeAvg10', 'memorySomeTotalUsec'),
  'io.pressure': pressure('ioSomeAvg10', 'ioSomeTotalUsec'),
  'cgroup.events': fields([['populated', 'populated']]),
};
/** Parser of each file, in the order of `workerFiles`; null for cgroup.procs, whose pids are merged with the last pass's. */
export const parserOf: readonly (Parse | null)[] = workerFiles.map((name) =>
  name === 'cgroup.procs' ? null : parsers[name],
);
