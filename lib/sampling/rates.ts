import { type RawPass, type WorkerColumn, workerColumns } from '../native/layout.js';

/** One worker's counters at one time, as the reader gives them: NaN = not known. */
export type RawRow = Readonly<Record<WorkerColumn, number>>;

/** A row read in place: an object with a number for each column would be most of the garbage of a tick. */
class RowView {
  readonly values: Float64Array;
  readonly start: number;

  constructor(values: Float64Array, start: number) {
    this.values = values;
    this.start = start;
  }
}
for (const [i, name] of workerColumns.entries()) {
  Object.defineProperty(RowView.prototype, name, {
    get(this: RowView) {
      return this.values[this.start + i];
    },
  });
}

/** Row of a slot, or null where the pass has none for it. */
export function rawRow(pass: RawPass, slot: number): RawRow | null {
  const start = slot * workerColumns.length;
  if (start + workerColumns.length > pass.workers.length) return null;
  return new RowView(pass.workers, start) as unknown as RawRow;
}

/** Counters of one process, for I/O where the io controller is not on v2. */
export interface ProcessCounters {
  readonly pid: number;
  readonly startTicks: number;
  readonly ioReadBytes: number;
  readonly ioWriteBytes: number;
}

/** A counter's last good value and when it was read. */
interface Point {
  readonly value: number;
  readonly atMs: number;
}

interface IoBaseline {
  readonly read: Point;
  readonly write: Point;
  readonly devices: number;
  /** Most devices ever counted; while there are fewer, one that comes back adds its old counts. */
  readonly mostDevices: number;
}

/** What the next sample of a worker is compared with. */
export interface RateBaseline {
  readonly inode: number;
  readonly usageUsec: Point | null;
  /** nrPeriods and nrThrottled, always of the same reading. */
  readonly periods: { readonly periods: number; readonly throttled: number } | null;
  readonly io: IoBaseline | null;
  /** By pid. */
  readonly processes: readonly ProcessCounters[] | null;
  readonly processesAtMs: number;
  readonly oomKill: number | null;
}

export interface WorkerRates {
  /** 100 = one whole core. */
  readonly cpuPercent: number | null;
  /** Share of the periods that ended since the last sample in which the worker was throttled, percent. */
  readonly cpuThrottledPercent: number | null;
  readonly ioReadBytesPerSecond: number | null;
  readonly ioWriteBytesPerSecond: number | null;
  /** Kills since the last sample; null where that is unknown. */
  readonly oomKillsSince: number | null;
}

/** Readings closer than this are one reading: a rate between them might not be finite. */
const leastMs = 1e-3;

/** A device that is gone for longer than this is no longer waited for. */
const deviceReturnMs = 10_000;

/**
 * Rates between the last sample and this one, and what the next one is compared with. Pure, the same for both readers.
 *
 * `null` on the first sample, where a counter is not known now, and once where it went back or the cgroup is another
 * one under the same name (by its inode). A counter that is not known for some samples is averaged over the gap when
 * it comes back. All is divided by CLOCK_MONOTONIC time between the two readings, never by the nominal interval.
 *
 * @param processes counters of each process, where the io controller is not on v2; else null.
 */
export function rates(
  previous: RateBaseline | null,
  row: RawRow,
  processes: readonly ProcessCounters[] | null = null,
): { readonly rates: WorkerRates; readonly baseline: RateBaseline } {
  const before = previous !== null && sameCgroup(previous.inode, row.inode) ? previous : null;
  const atMs = row.monotonicMs;

  const cpu = perSecond(before?.usageUsec ?? null, row.usageUsec, atMs);
  const throttled = throttledShare(before?.periods ?? null, row);
  const ordered = processes && byPid(processes);
  const io = ordered === null ? deviceIo(before?.io ?? null, row) : processIo(before, ordered, atMs);

  return {
    rates: {
      // microseconds of CPU in a second; 10,000 of them are one percent of a core
      cpuPercent: cpu.rate === null ? null : cpu.rate / 10_000,
      cpuThrottledPercent: throttled,
      ioReadBytesPerSecond: io.readRate,
      ioWriteBytesPerSecond: io.writeRate,
      oomKillsSince: since(before?.oomKill ?? null, row.oomKill),
    },
    baseline: {
      inode: Number.isNaN(row.inode) ? (before?.inode ?? row.inode) : row.inode,
      usageUsec: cpu.point,
      periods:
        Number.isNaN(row.nrPeriods) || Number.isNaN(row.nrThrottled)
          ? (before?.periods ?? null)
          : { periods: row.nrPeriods, throttled: row.nrThrottled },
      io: io.baseline,
      processes: ordered,
      processesAtMs: atMs,
      oomKill: Number.isNaN(row.oomKill) ? (before?.oomKill ?? null) : row.oomKill,
    },
  };
}

const isByPid = (processes: readonly ProcessCounters[]): boolean => {
  for (let i = 1; i < processes.length; i++) if (processes[i - 1]!.pid >= processes[i]!.pid) return false;
  return true;
};

/** As a pass has them: ascending, each pid once. */
const byPid = (processes: readonly ProcessCounters[]): readonly ProcessCounters[] =>
  isByPid(processes)
    ? processes
    : [...new Map(processes.map((each) => [each.pid, each])).values()].sort((a, b) => a.pid - b.pid);

const sameCgroup = (a: number, b: number): boolean => a === b || Number.isNaN(a) || Number.isNaN(b);

/** Rate of one counter, and the point that the next value is compared with. */
function perSecond(
  before: Point | null,
  value: number,
  atMs: number,
): { readonly rate: number | null; readonly point: Point | null } {
  if (Number.isNaN(value) || Number.isNaN(atMs)) return { rate: null, point: before };
  const point = { value, atMs };
  if (before === null || value < before.value) return { rate: null, point };
  // The same pass seen twice: nothing new is known, and the older point must stand.
  if (atMs - before.atMs < leastMs) return { rate: null, point: before };
  return { rate: ((value - before.value) * 1000) / (atMs - before.atMs), point };
}

function throttledShare(before: RateBaseline['periods'], row: RawRow): number | null {
  if (before === null || Number.isNaN(row.nrPeriods) || Number.isNaN(row.nrThrottled)) return null;
  const periods = row.nrPeriods - before.periods;
  const throttled = row.nrThrottled - before.throttled;
  if (periods < 0 || throttled < 0) return null;
  // No period ended: without a quota none ever does, and an idle group starts none. It was not throttled.
  if (periods === 0) return 0;
  // The kernel counts the two without a lock between them, so one may be ahead.
  return Math.min(100, (throttled * 100) / periods);
}

interface IoRates {
  readonly readRate: number | null;
  readonly writeRate: number | null;
  /** Of devices; null where processes are summed. */
  readonly baseline: IoBaseline | null;
}

/**
 * I/O from sums over devices. Where fewer devices are counted than before (a torn line, a device taken out), the sums
 * say nothing: null, and the old baseline stays, so that a device which comes back makes no jump.
 */
function deviceIo(before: IoBaseline | null, row: RawRow): IoRates {
  const { ioReadBytes, ioWriteBytes, ioDevices, monotonicMs } = row;
  // Their sum is not a number where one of them is none.
  if (Number.isNaN(ioReadBytes + ioWriteBytes + ioDevices + monotonicMs)) {
    return { readRate: null, writeRate: null, baseline: before };
  }
  const fresh = (mostDevices: number): IoBaseline => ({
    read: { value: ioReadBytes, atMs: monotonicMs },
    write: { value: ioWriteBytes, atMs: monotonicMs },
    devices: ioDevices,
    mostDevices: Math.max(mostDevices, ioDevices),
  });
  if (before === null) return { readRate: null, writeRate: null, baseline: fresh(0) };
  if (ioDevices < before.devices) {
    const waited = monotonicMs - before.read.atMs;
    return { readRate: null, writeRate: null, baseline: waited > deviceReturnMs ? fresh(before.mostDevices) : before };
  }
  if (ioDevices > before.devices && before.devices < before.mostDevices) {
    // One that was given up came back with all it ever counted.
    return { readRate: null, writeRate: null, baseline: fresh(before.mostDevices) };
  }
  const read = perSecond(before.read, ioReadBytes, monotonicMs);
  const write = perSecond(before.write, ioWriteBytes, monotonicMs);
  return {
    readRate: read.rate,
    writeRate: write.rate,
    baseline: { ...fresh(before.mostDevices), read: read.point ?? before.read, write: write.point ?? before.write },
  };
}

/**
 * I/O summed over processes. Each is compared with itself, and one that is new has done all of its I/O since the last
 * sample. A process that is waited for leaves its counts to its parent, where they are not new.
 */
function processIo(before: RateBaseline | null, now: readonly ProcessCounters[], atMs: number): IoRates {
  const elapsed = before === null ? 0 : atMs - before.processesAtMs;
  const processes = before?.processes ?? null;
  if (processes === null || !(elapsed >= leastMs)) return { readRate: null, writeRate: null, baseline: null };
  const rate = (counter: 'ioReadBytes' | 'ioWriteBytes'): number | null => {
    const bytes = newBytes(processes, now, counter);
    return bytes === null ? null : (bytes * 1000) / elapsed;
  };
  return { readRate: rate('ioReadBytes'), writeRate: rate('ioWriteBytes'), baseline: null };
}

/** Both by pid, so that each is found beside itself. */
function newBytes(
  before: readonly ProcessCounters[],
  now: readonly ProcessCounters[],
  counter: 'ioReadBytes' | 'ioWriteBytes',
): number | null {
  let total = 0;
  let largest = 0;
  let seen = 0;
  let at = 0;
  for (let i = 0; i < now.length; i++) {
    const each = now[i]!;
    while (at < before.length && before[at]!.pid < each.pid) at += 1;
    const isOld = at < before.length && isSame(before[at]!, each);
    if (isOld) seen += 1;
    const growth = each[counter] - (isOld ? before[at]![counter] : 0);
    total += growth;
    largest = Math.max(largest, growth);
  }
  if (!(total >= 0)) return null;
  if (seen === before.length) return total;
  let inherited = 0;
  at = 0;
  for (const each of before) {
    while (at < now.length && now[at]!.pid < each.pid) at += 1;
    const isThere = at < now.length && isSame(now[at]!, each);
    // Nobody who grew by less has waited for it.
    if (!isThere && each[counter] <= largest) inherited += each[counter];
  }
  return Math.max(0, total - inherited);
}

const isSame = (a: ProcessCounters, b: ProcessCounters): boolean => a.pid === b.pid && a.startTicks === b.startTicks;

function since(before: number | null, value: number): number | null {
  if (before === null || Number.isNaN(value) || value < before) return null;
  return value - before;
}
