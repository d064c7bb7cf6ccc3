import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { workerColumns } from '../../lib/native/layout.js';
import { type ProcessCounters, type RateBaseline, type RawRow, rates, rawRow } from '../../lib/sampling/rates.js';

const row = (values: Partial<RawRow>): RawRow => ({
  ...(Object.fromEntries(workerColumns.map((name) => [name, Number.NaN])) as unknown as RawRow),
  flags: 0,
  inode: 7,
  ...values,
});

/** Feeds rows in order and gives the rates of each. */
function series(rows: readonly RawRow[], processes: readonly (readonly ProcessCounters[] | null)[] = []) {
  let baseline: RateBaseline | null = null;
  return rows.map((each, i) => {
    const result = rates(baseline, each, processes[i] ?? null);
    baseline = result.baseline;
    return result.rates;
  });
}

const cpu = (monotonicMs: number, usageUsec: number, inode = 7) => row({ monotonicMs, usageUsec, inode });
const io = (monotonicMs: number, ioReadBytes: number, ioDevices: number) =>
  row({ monotonicMs, ioReadBytes, ioWriteBytes: 0, ioDevices });
const cpuPercents = (...rows: readonly RawRow[]) => series(rows).map(({ cpuPercent }) => cpuPercent);
const readRates = (...rows: readonly RawRow[]) => series(rows).map(({ ioReadBytesPerSecond }) => ioReadBytesPerSecond);

describe('rates', () => {
  it('first sample is null in every rate, and 100 is one whole core', () => {
    const [first, second] = series([
      row({
        monotonicMs: 1000,
        usageUsec: 5_000_000,
        nrPeriods: 10,
        nrThrottled: 1,
        ioReadBytes: 5,
        ioWriteBytes: 5,
        ioDevices: 1,
        oomKill: 2,
      }),
      row({
        monotonicMs: 3000,
        usageUsec: 8_000_000,
        nrPeriods: 30,
        nrThrottled: 6,
        ioReadBytes: 4005,
        ioWriteBytes: 605,
        ioDevices: 1,
        oomKill: 3,
      }),
    ]);
    expect(first).toEqual({
      cpuPercent: null,
      cpuThrottledPercent: null,
      ioReadBytesPerSecond: null,
      ioWriteBytesPerSecond: null,
      oomKillsSince: null,
    });
    expect(second).toEqual({
      cpuPercent: 150,
      cpuThrottledPercent: 25,
      ioReadBytesPerSecond: 2000,
      ioWriteBytesPerSecond: 300,
      oomKillsSince: 1,
    });
  });

  it('divides by measured time, not by the interval', () => {
    expect(cpuPercents(cpu(0, 0), cpu(1730, 1_730_000))[1]).toBeCloseTo(100, 9);
  });

  it('a counter that went back is null once, then goes on', () => {
    expect(cpuPercents(cpu(0, 9_000_000), cpu(1000, 1_000_000), cpu(2000, 1_500_000))).toEqual([null, null, 50]);
  });

  it('a cgroup made again under the same name is null once, although its counters rose', () => {
    expect(cpuPercents(cpu(0, 100, 7), cpu(1000, 900_000, 8), cpu(2000, 1_000_000, 8))).toEqual([null, null, 10]);
  });

  it('a torn file is null and the next good sample averages over the gap', () => {
    expect(cpuPercents(cpu(0, 0), row({ monotonicMs: 1000 }), cpu(2000, 1_000_000))).toEqual([null, null, 50]);
  });

  it('the same pass taken twice changes nothing', () => {
    const first = cpu(0, 0);
    expect(cpuPercents(first, first, cpu(1000, 200_000))).toEqual([null, null, 20]);
  });

  it('no period ended is not throttled; without the cpu controller it is not known', () => {
    const still = row({ monotonicMs: 0, nrPeriods: 0, nrThrottled: 0 });
    expect(series([still, { ...still, monotonicMs: 1000 }])[1]?.cpuThrottledPercent).toBe(0);
    expect(series([row({ monotonicMs: 0 }), row({ monotonicMs: 1000 })])[1]?.cpuThrottledPercent).toBeNull();
  });

  it('a device that vanishes and comes back makes no false jump', () => {
    // Device B (1 GB so far) is missing from two readings, then back with 300 more bytes.
    const read = readRates(
      io(0, 1_000_000_100, 2),
      io(1000, 150, 1),
      io(2000, 200, 1),
      io(3000, 1_000_000_700, 2),
      io(4000, 1_000_000_900, 2),
    );
    expect(read).toEqual([null, null, null, 200, 200]);
  });

  it('a device gone for good is given up after a while, and no jump comes if it returns even then', () => {
    const read = readRates(
      io(0, 5_000_000, 2),
      io(1000, 100, 1),
      io(11_000, 100, 1),
      io(12_000, 300, 1),
      io(13_000, 5_000_400, 2),
      io(14_000, 5_000_500, 2),
    );
    expect(read).toEqual([null, null, null, 200, null, 100]);
  });

  it('a device used for the first time counts from nothing', () => {
    expect(readRates(io(0, 100, 1), io(1000, 600, 2))).toEqual([null, 500]);
  });

  it('I/O summed over processes survives one that ends and counts one that begins', () => {
    const counters = (pid: number, startTicks: number, ioReadBytes: number, ioWriteBytes: number) => ({
      pid,
      startTicks,
      ioReadBytes,
      ioWriteBytes,
    });
    const both = series(
      [row({ monotonicMs: 0 }), row({ monotonicMs: 1000 }), row({ monotonicMs: 2000 })],
      [
        [counters(1, 10, 1000, 7), counters(2, 11, 9_000_000, 8_000_000)],
        [counters(1, 10, 1500, 3007), counters(3, 99, 200, 40)],
        // pid 3 was used again by another process.
        [counters(1, 10, 1500, 3007), counters(3, 150, 50, 11)],
      ],
    ).map(({ ioReadBytesPerSecond, ioWriteBytesPerSecond }) => [ioReadBytesPerSecond, ioWriteBytesPerSecond]);
    expect(both).toEqual([
      [null, null],
      [700, 3040],
      [50, 11],
    ]);
  });

  it('I/O of a child that was waited for is counted once, though the kernel adds all of it to its parent', () => {
    const counters = (pid: number, ioReadBytes: number) => ({ pid, startTicks: pid, ioReadBytes, ioWriteBytes: 0 });
    const samples = [0, 1000, 2000].map((monotonicMs) => row({ monotonicMs }));
    // A loader read 70 GB; then it ended, with 500 bytes more that nobody had seen.
    const loader = [counters(1, 100), counters(2, 70e9)];
    const read = series(samples, [loader, [counters(1, 70e9 + 600)], [counters(1, 70e9 + 650)]]);
    expect(read.map(({ ioReadBytesPerSecond }) => ioReadBytesPerSecond)).toEqual([null, 500, 50]);
  });

  it('a process whose io may not be read makes the sum unknown, not smaller', () => {
    const hidden = { pid: 2, startTicks: 5, ioReadBytes: Number.NaN, ioWriteBytes: Number.NaN };
    const read = series([row({ monotonicMs: 0 }), row({ monotonicMs: 1000 })], [[hidden], [hidden]]);
    expect(read[1]?.ioReadBytesPerSecond).toBeNull();
  });

  it('two readings at nearly the same time are one: no rate, and the next is from the older', () => {
    expect(cpuPercents(cpu(0, 0), cpu(5e-324, 1e15), cpu(1000, 500_000))).toEqual([null, null, 50]);
  });

  it('a counter that stands still is a rate of 0, not an unknown one', () => {
    const still = {
      usageUsec: 7,
      nrPeriods: 4,
      nrThrottled: 1,
      ioReadBytes: 5,
      ioWriteBytes: 6,
      ioDevices: 1,
      oomKill: 2,
    };
    const [, rate] = series([row({ monotonicMs: 1000, ...still }), row({ monotonicMs: 2000, ...still })]);
    expect(rate).toEqual({
      cpuPercent: 0,
      cpuThrottledPercent: 0,
      ioReadBytesPerSecond: 0,
      ioWriteBytesPerSecond: 0,
      oomKillsSince: 0,
    });
  });

  it('what is not known for a sample is compared with the last that was', () => {
    const known = (at: number, n: number) => ({
      monotonicMs: at,
      nrPeriods: 10 * n,
      nrThrottled: 3 * n,
      ioReadBytes: 100 * n,
      ioWriteBytes: 200 * n,
      ioDevices: 1,
      oomKill: n,
    });
    const [, gap, after] = series([row(known(1000, 1)), row({ monotonicMs: 2000 }), row(known(3000, 3))]);
    expect(Object.values(gap as object)).toEqual([null, null, null, null, null]);
    expect(after).toMatchObject({
      cpuThrottledPercent: 30,
      ioReadBytesPerSecond: 100,
      ioWriteBytesPerSecond: 200,
      oomKillsSince: 2,
    });
  });

  it('another cgroup is one although its inode was not known in between', () => {
    expect(cpuPercents(cpu(1000, 0), cpu(2000, 10_000, Number.NaN), cpu(3000, 20_000, 8))).toEqual([null, 1, null]);
    expect(cpuPercents(cpu(1000, 0), cpu(2000, 10_000, Number.NaN), cpu(3000, 20_000, 7))).toEqual([null, 1, 1]);
  });

  it('a device that is back within ten seconds goes on, however long the machine has run', () => {
    const up = 5e9;
    const gone = (after: number) =>
      readRates(io(up, 100, 2), io(up + after, 60, 1), io(up + after + 1000, 100 + after + 1000, 2));
    expect(gone(9000)).toEqual([null, null, 1000]);
    expect(gone(10_000)).toEqual([null, null, 1000]);
    expect(gone(10_001)).toEqual([null, null, null]);
  });

  it('each is from the sample before it, reading and writing apart', () => {
    const at = (monotonicMs: number, ioReadBytes: number, ioWriteBytes: number) =>
      row({ monotonicMs, ioReadBytes, ioWriteBytes, ioDevices: 1 });
    const both = series([at(0, 100, 50), at(1000, 600, 90), at(3000, 700, 390)]).map(
      ({ ioReadBytesPerSecond, ioWriteBytesPerSecond }) => [ioReadBytesPerSecond, ioWriteBytesPerSecond],
    );
    expect(both).toEqual([
      [null, null],
      [500, 40],
      [50, 150],
    ]);
  });

  it('two readings a thousandth of a millisecond apart are two', () => {
    expect(cpuPercents(cpu(0, 0), cpu(0.001, 10))).toEqual([null, 1000]);
  });

  describe('of processes', () => {
    const of = (pid: number, ioReadBytes: number) => ({ pid, startTicks: pid, ioReadBytes, ioWriteBytes: 0 });
    const reads = (...samples: readonly (readonly [number, readonly ProcessCounters[] | null])[]) =>
      series(
        samples.map(([monotonicMs]) =>
          row({ monotonicMs, ioReadBytes: 1000 + monotonicMs, ioWriteBytes: 0, ioDevices: 1 }),
        ),
        samples.map(([, processes]) => processes),
      ).map(({ ioReadBytesPerSecond }) => ioReadBytesPerSecond);

    it('and those of devices begin anew where one takes the place of the other', () => {
      expect(reads([0, [of(1, 5)]], [1000, [of(1, 9)]], [2000, null], [3000, null])).toEqual([null, 4, null, 1000]);
      expect(reads([0, null], [1000, null], [2000, [of(1, 9)]], [3000, [of(1, 12)]])).toEqual([null, 1000, null, 3]);
    });

    it('that do nothing are 0, and of the same pass not known', () => {
      expect(reads([0, [of(1, 7)]], [1000, [of(1, 7)]], [1000, [of(1, 7)]])).toEqual([null, 0, null]);
    });

    it('of two readings a thousandth of a millisecond apart have a rate, of nearer ones none', () => {
      expect(reads([0, [of(1, 5)]], [0.001, [of(1, 6)]])).toEqual([null, 1e6]);
      expect(reads([0, [of(1, 5)]], [0.0009, [of(1, 6)]])).toEqual([null, null]);
    });

    it('one that was read twice in a pass is as it was the last time', () => {
      expect(reads([0, [of(1, 5), of(2, 7)]], [1000, [of(1, 8), of(2, 9), of(2, 12)]])).toEqual([null, 8]);
      expect(reads([0, [of(1, 5), of(1, 6)]], [1000, [of(1, 9)]])).toEqual([null, 3]);
    });

    it('are each compared with itself, in whatever order they come, and with nobody of another start', () => {
      const processes = fc.array(
        fc.record({
          pid: fc.integer({ min: 1, max: 6 }),
          startTicks: fc.integer({ min: 1, max: 2 }),
          bytes: fc.nat(900),
        }),
        { maxLength: 8 },
      );
      type Drawn = { readonly pid: number; readonly startTicks: number; readonly bytes: number };
      const counters = (list: readonly Drawn[]): ProcessCounters[] =>
        list.map(({ pid, startTicks, bytes }) => ({ pid, startTicks, ioReadBytes: bytes, ioWriteBytes: 2 * bytes }));
      // Of a pid that comes twice the later one counts.
      const byPid = (list: readonly Drawn[]) => new Map(list.map((each) => [each.pid, each]));
      const expected = (before: readonly Drawn[], now: readonly Drawn[]): number | null => {
        const [old, young] = [byPid(before), byPid(now)];
        const same = (a: Drawn, b: Drawn | undefined) => b?.startTicks === a.startTicks;
        const grown = [...young.values()].map((each) => {
          const was = old.get(each.pid);
          return each.bytes - (was && same(each, was) ? was.bytes : 0);
        });
        const total = grown.reduce((sum, bytes) => sum + bytes, 0);
        if (total < 0) return null;
        const ended = [...old.values()].filter((each) => !same(each, young.get(each.pid)));
        const inherited = ended.filter(({ bytes }) => bytes <= Math.max(0, ...grown));
        return Math.max(0, total - inherited.reduce((sum, { bytes }) => sum + bytes, 0));
      };
      fc.assert(
        fc.property(processes, processes, (before, now) => {
          const [, rate] = series(
            [row({ monotonicMs: 0 }), row({ monotonicMs: 1000 })],
            [counters(before), counters(now)],
          );
          const bytes = expected(before, now);
          expect([rate?.ioReadBytesPerSecond, rate?.ioWriteBytesPerSecond]).toEqual([bytes, bytes && 2 * bytes]);
        }),
        { numRuns: 300 },
      );
    });

    it('one that ends as another begins leaves its counts to its parent, to the last byte', () => {
      expect(reads([0, [of(1, 100), of(2, 70e9)]], [1000, [of(1, 100 + 70e9)]])).toEqual([null, 0]);
      expect(reads([0, [of(1, 100), of(2, 9000)]], [1000, [of(1, 9400), of(3, 20)]])).toEqual([null, 320]);
    });
  });

  it('a row of a pass has the columns of its slot, and a slot beyond the pass none', () => {
    const width = workerColumns.length;
    const workers = Float64Array.from({ length: 3 * width }, (_, i) => i);
    const pass = { workers } as unknown as Parameters<typeof rawRow>[0];
    for (const slot of [0, 2])
      expect(workerColumns.map((name) => rawRow(pass, slot)?.[name])).toEqual(
        workerColumns.map((_, i) => slot * width + i),
      );
    expect(rawRow(pass, 3)).toBeNull();
  });

  it('never gives a negative or non-finite rate, whatever the counters do', () => {
    const value = fc.oneof(fc.constant(Number.NaN), fc.double({ min: 0, max: 2 ** 64, noNaN: true }));
    const anyRow = fc.record({
      step: fc.double({ min: 0, max: 5000, noNaN: true }),
      inode: fc.constantFrom(Number.NaN, 1, 2),
      usageUsec: value,
      nrPeriods: value,
      nrThrottled: value,
      ioReadBytes: value,
      ioWriteBytes: value,
      ioDevices: fc.constantFrom(Number.NaN, 0, 1, 2, 3),
      oomKill: value,
    });
    fc.assert(
      fc.property(fc.array(anyRow, { maxLength: 12 }), (steps) => {
        let at = 0;
        const rows = steps.map(({ step, ...values }) => {
          at += step;
          return row({ monotonicMs: at, ...values });
        });
        for (const result of series(rows)) {
          for (const rate of Object.values(result)) {
            if (rate === null) continue;
            expect(Number.isFinite(rate)).toBe(true);
            expect(rate).toBeGreaterThanOrEqual(0);
          }
          if (result.cpuThrottledPercent !== null) expect(result.cpuThrottledPercent).toBeLessThanOrEqual(100);
        }
      }),
    );
  });
});
