import { describe, expect, it } from 'vitest';
import { FleetHistory, fleetFigures } from '../../lib/queen/fleet-history.js';
import { adoptHistory, historyText, parseHistory } from '../../lib/queen/history-file.js';
import { HiveSums, healths, nothingCounted } from '../../lib/queen/hive-counts.js';
import { servingOf } from '../harness/heartbeats.js';
import { gpuSample, ManualClock, TestQueen, workerSample } from './heartbeats.js';

type Hive = Parameters<typeof fleetFigures>[0] extends Iterable<infer H> ? H : never;
type Gpu = { utilizationPercent: number | null; powerWatts: number | null; parentUuid?: string };
const hive = (liveness: Hive['liveness'], gpus: readonly Gpu[], tokens: readonly (number | null)[]): Hive => {
  const sums = new HiveSums();
  for (const gpu of gpus) sums.addGpu(gpu.parentUuid ?? null, gpu.utilizationPercent, gpu.powerWatts);
  for (const each of tokens) sums.addWorker(each);
  return { liveness, sums, workerOrder: { length: tokens.length } as unknown as Hive['workerOrder'] };
};

describe('the history of a fleet', () => {
  it('counts each GPU once, what is not heard not at all, and what nobody says as unknown', () => {
    const part = { utilizationPercent: 5, powerWatts: 5, parentUuid: 'whole' };
    expect(
      fleetFigures([
        hive('online', [{ utilizationPercent: 80, powerWatts: 300 }, part], [10, null]),
        hive(
          'late',
          [
            { utilizationPercent: 40, powerWatts: null },
            { utilizationPercent: null, powerWatts: null },
          ],
          [5],
        ),
        hive('offline', [{ utilizationPercent: 100, powerWatts: 900 }], [99]),
      ]),
    ).toEqual({ utilizationPercent: 60, watts: 300, tokensPerSecond: 15, workers: 3 });
    const silent = { utilizationPercent: null, powerWatts: null };
    expect(fleetFigures([hive('online', [silent], [null]), hive('late', [silent], [])])).toEqual({
      utilizationPercent: null,
      watts: null,
      tokensPerSecond: null,
      workers: 1,
    });
  });

  it('of a host of which nothing is counted yet has nothing in its totals', () => {
    const { health, silent, liveness, ...numbers } = nothingCounted();
    expect([liveness, silent, health]).toEqual([null, [], Array(healths.length).fill(0)]);
    expect(new Set(Object.values(numbers))).toEqual(new Set([0]));
  });

  it('walks the fleet no more often than it has steps for', () => {
    let walks = 0;
    const hives = {
      size: 1,
      values: () => {
        walks++;
        return [].values();
      },
    } as unknown as Parameters<FleetHistory['sample']>[0];
    const history = new FleetHistory(() => 0);
    for (let ms = 0; ms < 10_000; ms += 100) history.sample(hives, ms);
    expect(walks).toBe(3);
    // A third of a step after the last one, to the moment.
    history.sample(hives, 20_000);
    history.sample(hives, 20_000 + 10_000 / 3 - 0.1);
    expect(walks).toBe(4);
    const exact = new FleetHistory(() => 0);
    exact.sample(hives, 0);
    exact.sample(hives, 10_000 / 3);
    expect(walks).toBe(6);
  });

  it('begins with its first host, and is one of an hour and one of a day', () => {
    const history = new FleetHistory(() => 0);
    const hives = new Map<string, never>();
    history.sample(hives, 0);
    expect(history.read('hour', 0)).toEqual({
      stepMs: 10_000,
      newestAgeMs: 0,
      series: { gpuUtilizationPercent: [], powerWatts: [], generationTokensPerSecond: [], workers: [] },
    });
    expect([...history.saved(0)]).toEqual([]);
    hives.set('a', hive('late', [{ utilizationPercent: 10, powerWatts: 70 }], [4, 5]) as never);
    history.sample(hives, 0);
    for (const [span, stepMs] of [
      ['hour', 10_000],
      ['day', 120_000],
    ] as const)
      expect(history.read(span, 0)).toMatchObject({
        stepMs,
        series: { gpuUtilizationPercent: [10], powerWatts: [70], generationTokensPerSecond: [9], workers: [2] },
      });
  });

  it('takes its own of what was kept, and gives back the rest as it was', () => {
    const own = { key: 'fleet', ageMs: 0, points: Buffer.alloc(8, 0x40).toString('base64') };
    const others = [{ ...own, key: 'h a' }, null, 7, { key: 'fleets' }];
    const history = new FleetHistory(() => 240_000);
    expect(history.adopt([others[0], own, ...others.slice(1)], 0)).toEqual(others);
    history.sample(new Map([['a', hive('online', [], []) as never]]), 240_000);
    expect(history.read('day', 240_000).series.powerWatts).toEqual([3, null]);
  });

  it('is that of the hosts, and is there again after a restart', () => {
    const clock = new ManualClock(20_000);
    const first = new TestQueen({ clock: clock.read });
    for (let seq = 1; seq <= 40; seq++) {
      clock.advance(10_000);
      first.hear('a', seq, {
        gpus: [gpuSample('g', { utilizationPercent: 50, powerWatts: 200 })],
        workers: [workerSample('llm/0', { serving: servingOf({ generationTokensPerSecond: 7 }) })],
      });
      first.sampleFleet();
    }
    expect(first.fleetHistory().series).toMatchObject({
      gpuUtilizationPercent: Array(40).fill(50),
      powerWatts: Array(40).fill(200),
      generationTokensPerSecond: Array(40).fill(7),
      workers: Array(40).fill(1),
    });

    const second = new TestQueen({ clock: clock.read });
    const kept = parseHistory([...historyText(first, 1000)].join(''));
    if (!('state' in kept)) throw new Error(kept.reason);
    adoptHistory(second, kept.state, 1000);
    second.hear('a', 1);
    second.sampleFleet();
    expect(second.fleetHistory('day').series.powerWatts!.filter((value) => value === 200).length).toBeGreaterThan(1);
  });
});
