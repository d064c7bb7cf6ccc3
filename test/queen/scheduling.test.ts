import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { freeBytes } from '../../lib/contract/free-bytes.js';
import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { isSchedulable, type WorkerRecord } from '../../lib/queen/records.js';
import { canServe, isReady, leastLoaded, load, mayServe, pickBest, pickWeight } from '../../lib/queen/scheduling.js';
import { SortedSet } from '../../lib/queen/sorted-set.js';
import { Random } from '../harness/random.js';

const gib = 2 ** 30;

interface Given extends Partial<Omit<WorkerSample, 'id'>> {
  readonly id?: number;
  readonly picks?: number;
  readonly online?: boolean;
}

/** A worker that a request can be sent to, but for what is given. */
function worker({ id = 0, picks = 0, online = true, ...sample }: Given = {}): WorkerRecord {
  const current = {
    id: String(id).padStart(6, '0'),
    state: 'busy',
    ready: null,
    endpoint: 'http://10.0.0.1:8000',
    gpus: [{ uuid: 'GPU-0' }],
    gpusReason: null,
    gpuUtilizationPercent: 50,
    cpuPercent: 70,
    ...sample,
  };
  return {
    picks,
    hive: { liveness: online ? 'online' : 'late', cordon: null, info: { state: 'ready' } },
    current,
    sample: current,
  } as unknown as WorkerRecord;
}

const setOf = (workers: readonly WorkerRecord[]): SortedSet<WorkerRecord> => {
  const set = new SortedSet<WorkerRecord>((a, b) =>
    a.sample.id < b.sample.id ? -1 : a.sample.id > b.sample.id ? 1 : 0,
  );
  for (const each of workers) set.add(each);
  return set;
};

describe('which workers may be sent requests', () => {
  it.each([
    [{}, true, true],
    [{ ready: true }, true, true],
    [{ ready: false }, false, false],
    [{ endpoint: null }, false, false],
    [{ online: false }, false, false],
    [{ state: 'starting' }, false, false],
    [{ state: 'loading' }, false, false],
    [{ state: 'sleeping' }, false, true],
    [{ state: 'stalled' }, false, true],
    [{ state: 'unknown' }, true, true],
    [{ state: 'sleeping', ready: false }, false, false],
    [{ state: 'sleeping', endpoint: null }, false, false],
  ] as [Given, boolean, boolean][])('%j: can %s, and where all others cannot either %s', (given, can, may) => {
    expect([canServe(worker(given)), mayServe(worker(given))]).toEqual([can, may]);
    if (given.online !== false && given.endpoint !== null) expect(isReady(worker(given).sample)).toBe(can);
  });
});

describe('a hive that may be scheduled', () => {
  const hive = { liveness: 'online', info: { state: 'ready' }, cordon: null } as const;

  it.each([
    [{}, true],
    [{ liveness: 'late' }, false],
    [{ liveness: 'offline' }, false],
    [{ info: { state: 'starting' } }, false],
    [{ info: { state: 'draining' } }, false],
    [{ info: { state: 'stopping' } }, false],
    [{ cordon: { reason: 'a card is changed' } }, false],
  ])('%j: %s', (given, expected) => {
    expect(isSchedulable({ ...hive, ...given } as never)).toBe(expected);
  });
});

describe('how loaded a worker is', () => {
  const gpus = (count: number) => Array.from({ length: count }, (_, i) => ({ uuid: `GPU-${i}` })) as never;

  it.each([
    ['idle', { state: 'idle', gpuUtilizationPercent: 90 }, 0],
    ['by the GPU that it holds', {}, 50],
    ['by the mean of several', { gpus: gpus(4), gpuUtilizationPercent: 320 }, 80],
    ['without a GPU by its CPU', { gpus: [], gpuUtilizationPercent: null }, 70],
    ['more than one core is one', { gpus: [], cpuPercent: 640 }, 100],
    ['unknown GPUs are no "none"', { gpus: [], gpusReason: 'NO_PERMISSION', gpuUtilizationPercent: null }, 100],
    ['unknown GPUs with a figure', { gpus: [], gpusReason: 'NO_PERMISSION', gpuUtilizationPercent: 30 }, 30],
    ['not known is full', { gpuUtilizationPercent: null }, 100],
    ['busy at 0 is more than idle', { gpuUtilizationPercent: 0 }, 1],
  ] as [string, Given, number][])('%s', (_, given, expected) => {
    expect(load(worker(given))).toBe(expected);
    expect(load(worker({ ...given, picks: 2 }))).toBe(expected + 2 * pickWeight);
  });

  it('the least loaded that can serve is found, each of several alike in its turn', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ use: fc.nat(4), can: fc.boolean() }), { maxLength: 12 }),
        fc.nat(),
        (drawn, seed) => {
          const workers = drawn.map(({ use, can }, id) =>
            worker({ id, gpuUtilizationPercent: use * 20 + 5, ready: can }),
          );
          const able = workers.filter(canServe);
          const least = Math.min(...able.map(load));
          const alike = new Set(able.filter((each) => load(each) === least));
          const random = new Random(seed);
          const found = new Set(Array.from({ length: 300 }, () => leastLoaded(workers, () => random.next())));
          if (able.length === 0) expect([...found]).toEqual([null]);
          else expect(found).toEqual(alike);
        },
      ),
    );
  });

  it('of those that are alike each is taken as often', () => {
    const workers = [0, 1, 2, 3].map((id) => worker({ id }));
    const random = new Random(7);
    const counts = new Map<WorkerRecord | null, number>();
    for (let i = 0; i < 4000; i++) {
      const one = leastLoaded(workers, () => random.next());
      counts.set(one, (counts.get(one) ?? 0) + 1);
    }
    expect([...counts.values()].every((count) => count > 850 && count < 1150)).toBe(true);
  });
});

describe('the pick of one worker', () => {
  const idle = (id: number, picks = 0) => worker({ id, picks, state: 'idle' });
  const pick = (workers: readonly WorkerRecord[], random = new Random(3)) =>
    pickBest(setOf(workers.filter(({ sample }) => sample.state === 'idle')), setOf(workers), () => random.next());

  it('an idle one that was not picked since its last heartbeat goes before all others', () => {
    const free = idle(1);
    expect(pick([idle(0, 1), free, worker({ id: 2, gpuUtilizationPercent: 1 })])).toBe(free);
  });

  it('where each idle one was picked, the least loaded of all', () => {
    const light = worker({ id: 2, gpuUtilizationPercent: 10 });
    expect(pick([idle(0, 1), idle(1, 2), light])).toBe(light);
    const once = idle(0, 1);
    expect(pick([once, idle(1, 2), worker({ id: 2, gpuUtilizationPercent: 60 })])).toBe(once);
  });

  it('none where none can serve', () => {
    expect(pick([])).toBeNull();
    expect(pick([worker({ ready: false }), worker({ id: 1, endpoint: null })])).toBeNull();
  });

  it('up to a thousand are looked at whole', () => {
    const best = worker({ id: 500, gpuUtilizationPercent: 2 });
    const workers = Array.from({ length: 1000 }, (_, id) => (id === 500 ? best : worker({ id })));
    for (let seed = 0; seed < 20; seed++) expect(pick(workers, new Random(seed))).toBe(best);
  });

  it('of more, one of the best 5 % is found in 96 of 100 cases, by 64 draws', () => {
    const workers = Array.from({ length: 1001 }, (_, id) => worker({ id, gpuUtilizationPercent: 1 + (id % 100) }));
    let [draws, good] = [0, 0];
    const random = new Random(11);
    for (let i = 0; i < 300; i++) {
      const found = pickBest(setOf([]), setOf(workers), () => {
        draws++;
        return random.next();
      });
      if ((found as WorkerRecord).sample.gpuUtilizationPercent! <= 5) good++;
    }
    expect(good / 300).toBeGreaterThan(0.92);
    expect(good / 300).toBeLessThan(1);
    // One draw each, and one more for some that are alike.
    expect(draws / 300).toBeGreaterThanOrEqual(64);
    expect(draws / 300).toBeLessThan(72);
  });

  it('an idle one that was picked is among the drawn', () => {
    const once = idle(0, 1);
    const others = Array.from({ length: 1100 }, (_, i) => worker({ id: i + 1, gpuUtilizationPercent: 90 }));
    for (let seed = 0; seed < 10; seed++) expect(pick([once, ...others], new Random(seed))).toBe(once);
  });

  it('the only one of thousands that can serve is found', () => {
    const able = worker({ id: 1500 });
    const workers = Array.from({ length: 2000 }, (_, id) => (id === 1500 ? able : worker({ id, ready: false })));
    expect(pick(workers)).toBe(able);
  });
});

describe('room on a GPU', () => {
  const gpu = {
    memoryTotalBytes: 48 * gib,
    memoryUsedBytes: 11 * gib,
    memoryReservedBytes: gib,
    memoryKind: 'device',
    health: 'ok',
  } as const;
  const host = { memoryAvailableBytes: 7 * gib };
  const unified = { ...gpu, memoryKind: 'unified' } as const;

  it.each([
    ['total less used and reserved, whatever the host has', gpu, host, 36],
    ['reserved is not known', { ...gpu, memoryReservedBytes: null }, host, 37],
    ['never less than none', { ...gpu, memoryUsedBytes: 48 * gib }, host, 0],
    ['of a device without a total: not known', { ...gpu, memoryTotalBytes: null }, host, null],
    ['without what is used: not known', { ...gpu, memoryUsedBytes: null }, host, null],
    ['unified: no more than the host has', unified, host, 7],
    ['unified: no more than the GPU has', unified, { memoryAvailableBytes: 80 * gib }, 36],
    ['unified: the host is not known', unified, { memoryAvailableBytes: null }, 36],
    ['unified: the GPU is not known', { ...unified, memoryTotalBytes: null }, host, 7],
    ['unified: neither is', { ...unified, memoryUsedBytes: null }, { memoryAvailableBytes: null }, null],
  ])('%s', (_, given, of, expected) => {
    expect(freeBytes(given, of)).toBe(expected === null ? null : expected * gib);
  });
});
