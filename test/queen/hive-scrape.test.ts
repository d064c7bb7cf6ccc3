import { describe, expect, it } from 'vitest';
import { servingOf } from '../harness/heartbeats.js';
import { gpuSample, onGpu, TestQueen, workerSample } from './heartbeats.js';

const serves = (id: string, uuid: string, generationTokensPerSecond: number | null) =>
  workerSample(id, {
    ...onGpu(uuid, 0, 50),
    model: `model of ${id}`,
    serving: servingOf({ generationTokensPerSecond }),
  });
const all = { gpus: 9, illGpus: 9, workers: 9 };

function queenOf(tokens: readonly (number | null)[]) {
  const queen = new TestQueen();
  const healths = ['ok', 'ok', 'lost', 'degraded'] as const;
  queen.hear('a', 1, {
    gpus: healths.map((health, index) => gpuSample(`GPU-${index}`, { index, health, powerWatts: 100 * (index + 1) })),
    workers: tokens.map((each, i) => serves(`llm/${i}`, `GPU-${i}`, each)),
  });
  return queen;
}

describe('what a scrape reads of a host', () => {
  it('is all that there is room for', () => {
    const scrape = queenOf([10, 20]).scrape('a', all)!;
    expect(scrape.gpus.map(({ uuid }) => uuid)).toEqual(['GPU-0', 'GPU-1', 'GPU-2', 'GPU-3']);
    expect(scrape.workers.map(({ id }) => id)).toEqual(['llm/0', 'llm/1']);
    expect([scrape.gpusLeftOut, scrape.workersLeftOut]).toEqual([0, 0]);
    // Those stand beside it.
    expect(scrape.hive).toMatchObject({ id: 'a', workerCount: 2, gpus: [] });
  });

  it.each([
    [1, 2, ['GPU-0', 'GPU-2']],
    [1, 3, ['GPU-0', 'GPU-2', 'GPU-3']],
    [2, 2, ['GPU-0', 'GPU-1']],
    [0, 1, ['GPU-2']],
    [0, 0, []],
  ])(
    'of more GPUs than it has room for (%d, with those that are ill %d) it says how many it left out',
    (gpus, illGpus, kept) => {
      const scrape = queenOf([]).scrape('a', { gpus, illGpus, workers: 9 })!;
      expect(scrape.gpus.map(({ uuid }) => uuid)).toEqual(kept);
      expect(scrape.gpusLeftOut).toBe(4 - kept.length);
    },
  );

  it.each([
    [1, ['llm/0']],
    [0, []],
    [-1, []],
  ])('of more workers than %d too, and knows the energy of all of them', (workers, kept) => {
    const scrape = queenOf([10, 20, null]).scrape('a', { ...all, workers })!;
    expect(scrape.workers.map(({ id }) => id)).toEqual(kept);
    expect(scrape.workersLeftOut).toBe(3 - kept.length);
    expect([...scrape.energies]).toEqual([
      ['llm/0', { watts: 100, tokensPerSecond: 10, isShared: false, model: 'model of llm/0' }],
      ['llm/1', { watts: 200, tokensPerSecond: 20, isShared: false, model: 'model of llm/1' }],
    ]);
  });

  it('is nothing of what it had once it is not heard: neither rows nor energy, and none is said to be left out', () => {
    const queen = queenOf([10]);
    queen.time.advance(20_000);
    expect(queen.scrape('a', { gpus: 0, illGpus: 0, workers: 0 })).toMatchObject({
      ...{ gpus: [], gpusLeftOut: 0, workers: [], workersLeftOut: 0, energies: new Map() },
      hive: { liveness: 'offline' },
    });
    expect(queenOf([0, null]).scrape('a', all)!.energies.size).toBe(0);
  });
});
