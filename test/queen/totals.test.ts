import { describe, expect, it } from 'vitest';
import type { Liveness } from '../../lib/contract/api.js';
import type { countFleet } from '../../lib/contract/counts.js';
import { gpuHealths, workerStates } from '../../lib/contract/enums.js';
import { nothingCounted } from '../../lib/queen/hive-counts.js';
import type { HiveRecord } from '../../lib/queen/records.js';
import { count, FleetTotals, walkTotals } from '../../lib/queen/totals.js';
import { Random } from '../harness/random.js';

type Gpu = Parameters<typeof countFleet>[0] extends Iterable<{ readonly gpus: readonly (infer G)[] }> ? G : never;
interface Given {
  readonly liveness?: Liveness;
  readonly gpusKnown?: 'known' | 'unknown' | 'none';
  readonly gpus?: readonly Partial<Gpu>[];
  readonly workers?: readonly {
    readonly state: string;
    readonly model?: string;
    readonly models?: readonly string[];
  }[];
}

/** A hive that is nothing but what is counted of it. */
function hiveOf({ liveness = 'online', gpusKnown = 'known', gpus = [], workers = [] }: Given): HiveRecord {
  const gpuOrder = gpus.map((gpu, i) => {
    const sample = {
      uuid: `GPU-${i}`,
      parentUuid: null,
      health: 'ok',
      memoryUsedBytes: 1,
      memoryTotalBytes: 8,
      ...gpu,
    };
    return { sample, current: sample };
  });
  const workerOrder = workers.map((worker) => {
    const sample = { model: null, models: null, ...worker };
    return { sample, current: sample };
  });
  return {
    ...{ liveness, gpusKnown, gpuOrder, workerOrder, counted: nothingCounted() },
    ...{ gpus: { size: gpus.length }, workers: { size: workers.length } },
  } as unknown as HiveRecord;
}

const mapOf = (hives: readonly HiveRecord[]) => ({ hives: new Map(hives.map((hive, i) => [`h${i}`, hive])) });

/** What the totals say, given what indexes count by themselves. */
function totalsOf(totals: FleetTotals, hives: readonly HiveRecord[]) {
  const workers = hives.flatMap(({ workerOrder }) => workerOrder);
  const byState = {
    get: (state: string) => ({ size: workers.filter(({ current }) => current.state === state).length }),
  };
  const gpuCount = hives.reduce((sum, { gpus }) => sum + gpus.size, 0);
  return totals.of({ byState, workerCount: workers.length, gpuCount });
}

function anyHive(random: Random): Given {
  const gpus = Array.from({ length: random.whole(0, 4) }, (_, i) => ({
    health: random.chance(0.6) ? ('ok' as const) : random.pick(gpuHealths),
    parentUuid: i > 0 && random.chance(0.3) ? `GPU-${random.whole(0, i - 1)}` : null,
    memoryUsedBytes: random.chance(0.3) ? null : random.whole(0, 9) / 2,
    memoryTotalBytes: random.chance(0.2) ? null : random.whole(0, 9) / 2,
  }));
  return {
    liveness: random.pick(['online', 'online', 'late', 'offline']),
    gpusKnown: random.pick(['known', 'known', 'unknown', 'none']),
    gpus,
    workers: Array.from({ length: random.whole(0, 3) }, () => ({ state: random.pick(workerStates) })),
  };
}

describe('the totals that are kept of a fleet', () => {
  it('are those of a walk over it, whatever came, changed and went', () => {
    const random = new Random(5);
    const totals = new FleetTotals();
    const hives: HiveRecord[] = [];
    for (let i = 0; i < 150; i++) {
      const at = random.whole(0, hives.length);
      const hive = hives[at];
      if (hive === undefined) hives.push(hiveOf(anyHive(random)));
      else if (random.chance(0.25)) {
        totals.remove(hive);
        hives.splice(at, 1);
      } else Object.assign(hive, { ...hiveOf(anyHive(random)), counted: hive.counted });
      if (hives[at] !== undefined) totals.update(hives[at]);
      expect(totalsOf(totals, hives)).toEqual(walkTotals(mapOf(hives)));
    }
    for (const hive of hives.splice(0)) totals.remove(hive);
    expect(totalsOf(totals, [])).toEqual(walkTotals(mapOf([])));
  });

  it('are of whole bytes of each hive, of known ones alone, and of a GPU that is cut once', () => {
    const cut = { uuid: 'GPU-0', memoryTotalBytes: 80, memoryUsedBytes: 30 };
    const part = (fields: Partial<Gpu>) => ({
      uuid: 'MIG-1',
      parentUuid: 'GPU-0',
      memoryTotalBytes: 10,
      memoryUsedBytes: 4,
      ...fields,
    });
    const cases: readonly (readonly [Given, used: number | null, total: number | null, uncounted: number])[] = [
      [{ gpus: [{ memoryUsedBytes: 2.4, memoryTotalBytes: 7.6 }] }, 2, 8, 0],
      [{ gpus: [{ memoryUsedBytes: null }] }, null, null, 1],
      [{ gpus: [{ memoryTotalBytes: null }, {}] }, 1, 8, 1],
      [{ gpus: [] }, null, null, 0],
      [{ gpus: [{}], liveness: 'late' }, 1, 8, 0],
      [{ gpus: [{}], liveness: 'offline' }, null, null, 1],
      [{ gpus: [cut, part({}), part({ uuid: 'MIG-2' })] }, 30, 80, 0],
      [{ gpus: [{ ...cut, memoryUsedBytes: null }, part({})] }, 4, 10, 0],
      [{ gpus: [part({ memoryUsedBytes: null })] }, null, null, 1],
      [{ gpus: [cut, part({})], liveness: 'offline' }, null, null, 1],
    ];
    for (const [given, used, total, uncounted] of cases) {
      const hive = hiveOf(given);
      const totals = new FleetTotals();
      totals.update(hive);
      const expected = { memoryUsedBytes: used, memoryTotalBytes: total, uncounted };
      expect(totalsOf(totals, [hive]).gpus).toMatchObject(expected);
      expect(walkTotals(mapOf([hive])).gpus).toMatchObject(expected);
    }
  });

  it('count by health and state what is heard, and as offline what is not', () => {
    const gpus = [{ health: 'ok' as const }, { health: 'lost' as const }];
    const workers = [{ state: 'idle' }, { state: 'busy' }, { state: 'idle' }];
    const hives = [
      hiveOf({ gpus, workers, gpusKnown: 'unknown' }),
      hiveOf({ gpus, workers, liveness: 'offline' }),
      hiveOf({ gpus: [{ health: 'lost' }], liveness: 'late', gpusKnown: 'none' }),
    ];
    const totals = new FleetTotals();
    for (const hive of hives) totals.update(hive);
    const expected = {
      hives: { online: 1, late: 1, offline: 1 },
      gpus: { total: 5, byHealth: { ok: 1, lost: 2, offline: 2 }, unknownHives: 1 },
      workers: { total: 6, byState: { idle: 2, busy: 1, offline: 3 } },
    };
    expect(totalsOf(totals, hives)).toMatchObject(expected);
    expect(totalsOf(totals, hives).gpus.byHealth).toEqual(expected.gpus.byHealth);
    expect(totalsOf(totals, hives).workers.byState).toEqual(expected.workers.byState);
    expect(walkTotals(mapOf(hives))).toMatchObject(expected);
    // What is given out does not change with what is kept.
    const given = totalsOf(totals, hives).hives;
    totals.remove(hives[0]!);
    expect(given).toEqual(expected.hives);
    totals.remove(hives[0]!);
    expect(totalsOf(totals, hives).hives).toEqual({ online: 0, late: 1, offline: 1 });
  });
});

describe('counts', () => {
  it('are of what is online, or of all; hives are counted by how they are heard either way', () => {
    const workers = [
      { state: 'idle', model: 'm' },
      { state: 'busy', model: 'm', models: ['m', 'alias'] },
      { state: 'busy' },
    ];
    const hives = mapOf([
      hiveOf({ workers, gpus: [{}, {}] }),
      hiveOf({ liveness: 'late', workers: [{ state: 'stalled', model: 'n' }], gpus: [{}] }),
      hiveOf({ liveness: 'offline', workers: [{ state: 'idle', model: 'alias' }], gpus: [{}] }),
    ]);
    const none = Object.fromEntries(workerStates.map((state) => [state, 0]));
    const heard = { online: 1, late: 1, offline: 1 };
    expect(count(hives, false)).toEqual({
      ...{ hives: heard, workers: 3, gpus: 2 },
      ...{ byState: { ...none, idle: 1, busy: 2 }, models: { m: 2, alias: 1 } },
    });
    expect(count(hives, true)).toEqual({
      ...{ hives: heard, workers: 5, gpus: 4 },
      ...{ byState: { ...none, idle: 2, busy: 2, stalled: 1 }, models: { m: 2, alias: 2, n: 1 } },
    });
  });
});
