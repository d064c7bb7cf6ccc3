import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostReading } from '../../lib/procfs/host.js';
import { assembleSampler } from '../../lib/sampling/create.js';
import { StartClock } from '../../lib/sampling/start-clock.js';
import { waitFor } from '../harness/wait.js';
import { bootSeconds, FakeHost } from './fake-host.js';

const clockTicks = 100;

/** A host's clocks: time since boot, what a container shows of it, and the wall clock. */
class Clocks {
  nowMs = 5_000_000;
  wallMs = Date.parse('2026-03-04T05:06:07Z');
  /** Host uptime at monotonic 0 less what /proc/uptime leaves out. */
  bootSeconds = 100;
  hiddenSeconds = 0;
  #reading: HostReading | null = null;
  readonly clock = new StartClock({
    host: { latest: () => this.#reading },
    clockTicks,
    nowMs: () => this.nowMs,
    wallMs: () => this.wallMs,
  });

  get sinceBoot(): number {
    return this.nowMs / 1000 + this.bootSeconds;
  }

  read(): void {
    const uptimeSeconds = Math.floor((this.sinceBoot - this.hiddenSeconds) * 100) / 100;
    this.#reading = { host: { uptimeSeconds } as HostReading['host'], faults: [], atMs: this.nowMs };
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.wallMs += ms;
  }

  ticksNow(): number {
    return Math.floor(this.sinceBoot * clockTicks);
  }
}

describe('starts of processes', () => {
  it('a process that seems to start later than now: no start, no uptime, and a fault', () => {
    const clocks = new Clocks();
    clocks.read();
    clocks.clock.update();
    expect(clocks.clock.uptimeSeconds(clocks.ticksNow() + 300)).toBeNull();
    expect(clocks.clock.fault()).toMatchObject({ code: 'CLOCKS_DIFFER', field: 'uptimeSeconds' });
    clocks.clock.update();
    expect(clocks.clock.fault()).toBeNull();
    expect(clocks.clock.uptimeSeconds(clocks.ticksNow())).toBeLessThanOrEqual(0.03);
  });

  it('once two clocks are seen, no start is known, also where the difference looks possible', () => {
    const clocks = new Clocks();
    clocks.hiddenSeconds = 600;
    clocks.read();
    clocks.clock.update();
    clocks.clock.seen(clocks.ticksNow());
    const old = clocks.ticksNow() - 1000 * clockTicks;
    clocks.pass(3000);
    clocks.read();
    clocks.clock.update();
    expect([clocks.clock.uptimeSeconds(old), clocks.clock.startedAt(old)]).toEqual([null, null]);
    clocks.pass(3_600_000);
    clocks.read();
    clocks.clock.update();
    expect([clocks.clock.uptimeSeconds(old), clocks.clock.startedAt(old)]).toEqual([null, null]);
    expect(clocks.clock.fault()).toMatchObject({ code: 'CLOCKS_DIFFER' });
  });

  /** By exact figures: uptime of the host as it is read, times of reading and asking. */
  const exact = () => {
    const at = { nowMs: 5_000_000, wallMs: 1e12, reading: null as HostReading | null };
    const clock = new StartClock({
      host: { latest: () => at.reading },
      clockTicks,
      nowMs: () => at.nowMs,
      wallMs: () => at.wallMs,
    });
    const read = (uptimeSeconds: number | null, atMs = at.nowMs): void => {
      at.reading = { host: { uptimeSeconds } as HostReading['host'], faults: [], atMs };
      clock.update();
    };
    return { at, clock, read };
  };

  it('nothing is known before the first reading, nor where it has no uptime; nor of a start that is not known', () => {
    const { at, clock, read } = exact();
    const ofOld = () => [clock.uptimeSeconds(100), clock.startedAt(100), clock.fault()];
    expect(ofOld()).toEqual([null, null, null]);
    clock.update();
    expect(ofOld()).toEqual([null, null, null]);
    read(null);
    expect(ofOld()).toEqual([null, null, null]);
    read(500);
    expect([clock.uptimeSeconds(100), clock.uptimeSeconds(Number.NaN)]).toEqual([499, null]);
    expect(clock.startedAt(100)).toBe(new Date(at.wallMs - 499_000).toISOString());
    expect([clock.startedAt(Number.NaN), clock.startedAt(1e300), clock.fault()]).toEqual([null, null, null]);
    // As an uptime that is not known any more.
    read(null);
    expect(clock.uptimeSeconds(100)).toBeNull();
    at.reading = null;
    clock.update();
    expect(clock.uptimeSeconds(100)).toBeNull();
  });

  it('a process may start two hundredths of a second late: one tick, and the two decimals of the uptime', () => {
    const { clock, read } = exact();
    read(500);
    expect(clock.uptimeSeconds(50_001)).toBe(0);
    expect(clock.uptimeSeconds(50_002)).toBe(0);
    expect(clock.fault()).toBeNull();
    expect(clock.uptimeSeconds(50_003)).toBeNull();
    expect(clock.fault()).toEqual({
      ...{
        source: 'proc',
        code: 'CLOCKS_DIFFER',
        field: 'uptimeSeconds',
        message: expect.stringContaining('two clocks'),
      },
    });
  });

  it('clocks are two by an uptime that was read more than a second after the process was seen', () => {
    const readAfter = (ms: number, startsAheadSeconds: number) => {
      const { at, clock, read } = exact();
      read(500);
      clock.seen((500 + startsAheadSeconds) * clockTicks);
      // Older ones of the same pass say nothing.
      at.nowMs += 700;
      clock.seen(100);
      at.nowMs += ms - 700;
      read(500);
      return clock.uptimeSeconds(100) === null;
    };
    expect([readAfter(1000, 9), readAfter(1001, 9), readAfter(1001, 0.02), readAfter(1001, 0.03)]).toEqual([
      ...[false, true, false, true],
    ]);
  });

  it('the newest process is known since it was seen first', () => {
    const { at, clock, read } = exact();
    read(500);
    for (let i = 0; i < 3; i++, at.nowMs += 600) clock.seen(50_900);
    read(500);
    expect(clock.uptimeSeconds(100)).toBeNull();
  });

  it('a wall clock that is set by more than a second moves starts, one that is corrected by less does not', () => {
    const { at, clock, read } = exact();
    read(500);
    const before = Date.parse(clock.startedAt(100) as string);
    const moved = () => [Date.parse(clock.startedAt(100) as string) - before, clock.wallStepMs];
    for (const [ms, movedMs] of [
      [1000, 0],
      [-1000, 0],
      [1001, 1001],
      [0, 0],
      [-1001, -1001],
      [-5000, -5000],
    ] as const) {
      at.wallMs = 1e12 + ms;
      clock.update();
      expect(moved()).toEqual([movedMs, movedMs]);
    }
  });

  it('whatever steps the wall clock makes, uptimes are those of the monotonic clock and starts follow the wall clock', () => {
    const step = fc.oneof(fc.integer({ min: -3_000_000_000, max: 3_000_000_000 }), fc.constant(0));
    const tick = fc.record({ ms: fc.integer({ min: 1, max: 5000 }), step, read: fc.boolean() });
    fc.assert(
      fc.property(fc.array(tick, { minLength: 1, maxLength: 30 }), fc.nat({ max: 400_000 }), (ticks, back) => {
        const clocks = new Clocks();
        clocks.read();
        const start = clocks.ticksNow() - back;
        for (const { ms, step, read } of ticks) {
          clocks.pass(ms);
          clocks.wallMs += step;
          if (read) clocks.read();
          clocks.clock.update();
          const uptime = clocks.clock.uptimeSeconds(start) as number;
          expect(uptime).toBeGreaterThanOrEqual(0);
          expect(Math.abs(uptime - (clocks.sinceBoot - start / clockTicks))).toBeLessThan(0.03);
          const startedAt = Date.parse(clocks.clock.startedAt(start) as string);
          expect(Math.abs(startedAt - (clocks.wallMs - uptime * 1000))).toBeLessThan(1100);
          expect(clocks.clock.fault()).toBeNull();
        }
      }),
    );
  });

  it('starts of workers of a hive that began in 1970 follow the clock when it is set', async () => {
    const host = new FakeHost();
    host.worker('/hivepulse.slice/g/a', { pid: 100, argv: ['x'], startTicks: (bootSeconds - 60) * clockTicks });
    let offsetMs = -Date.now() + 30_000;
    const sampler = assembleSampler(
      { ...host.readers(), wallMs: () => Date.now() + offsetMs },
      { procRoot: host.procRoot, hostRoot: host.hostRoot, runtimeDir: host.runtimeDir, readiness: false },
    );
    const startOf = async (): Promise<number> =>
      Date.parse((await sampler.sample()).workers[0]?.startedAt ?? '1980-01-01T00:00:00Z');
    try {
      await waitFor(async () => (await startOf()) < Date.parse('1971-01-01'), { what: 'a start in 1970' });
      sampler.takeEvents();
      offsetMs = 0;
      await waitFor(async () => Math.abs((await startOf()) - (Date.now() - 60_000)) < 5000, {
        what: 'the right start',
      });
      expect(sampler.takeEvents()).toEqual([]);
      expect(sampler.wallStepMs()).toBeGreaterThan(1_000_000_000_000);
    } finally {
      await sampler.close();
    }
  });
});
