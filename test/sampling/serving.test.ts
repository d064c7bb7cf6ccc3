import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { storedWorker } from '../../lib/contract/stored.js';
import type { Load } from '../../lib/engines/load/prober.js';
import { type LoadCounters, type LoadReading, noCounters, nothing } from '../../lib/engines/load/reading.js';
import { type ServingMemory, sentServing, servingOf } from '../../lib/sampling/serving.js';
import { wire, workerOf } from '../harness/heartbeats.js';

const load = (atMs: number, reading: Partial<LoadReading> | null, over: Partial<Load> = {}): Load => ({
  ...{ engine: 'vllm', atMs: reading === null ? null : atMs, countedMs: reading === null ? null : atMs, reason: null },
  reading: reading === null ? null : { ...nothing, ...reading },
  ...over,
});
const counted = (counters: Partial<LoadCounters>) => ({ counters: { ...noCounters, ...counters } });

/** Serving after each of these answers, read a quarter of a second later. */
function answersOf(...loads: readonly Load[]) {
  let memory: ServingMemory | null = null;
  return loads.map((each) => {
    const result = servingOf(memory, '1/1', each, (each.atMs ?? 0) + 250);
    memory = result.memory;
    return result.serving;
  });
}

describe('rates of an engine', () => {
  it('are what its counters moved by, over the time between two answers; none in the first', () => {
    const [first, second] = answersOf(
      load(1000, counted({ promptTokens: 100, generationTokens: 10, prefixQueries: 100, prefixHits: 0 })),
      load(3000, counted({ promptTokens: 1100, generationTokens: 60, prefixQueries: 300, prefixHits: 50 })),
    );
    expect(first).toMatchObject({ promptTokensPerSecond: null, generationTokensPerSecond: null, ageMs: 250 });
    expect(second).toMatchObject({ promptTokensPerSecond: 500, generationTokensPerSecond: 25, prefixHitPercent: 25 });
  });

  it('stay until the next answer, and are null once where a counter went back', () => {
    const at = (atMs: number, generationTokens: number) => load(atMs, counted({ generationTokens }));
    const rates = answersOf(at(0, 0), at(1000, 50), at(1000, 50), at(2000, 7), at(3000, 27));
    expect(rates.map((each) => each?.generationTokensPerSecond)).toEqual([null, 50, 50, null, 20]);
  });

  it('are 0 where a counter has stood still, and null where it was not there before or is gone', () => {
    const at = (atMs: number, generationTokens: number | null) => load(atMs, counted({ generationTokens }));
    const rates = answersOf(at(0, 5), at(1000, 5), at(2000, null), at(3000, 900), at(4000, 901));
    expect(rates.map((each) => each?.generationTokensPerSecond)).toEqual([null, 0, null, null, 1]);
    expect(answersOf(at(0, 0), at(1000, null))[1]?.generationTokensPerSecond).toBeNull();
  });

  it('have three digits, or are whole', () => {
    const rateOf = (tokens: number) =>
      answersOf(load(0, counted({ promptTokens: 0 })), load(1000, counted({ promptTokens: tokens })))[1]
        ?.promptTokensPerSecond;
    expect([1.234, 9.996, 10, 12.345, 99.96, 100, 123.4].map(rateOf)).toEqual([1.23, 10, 10, 12.3, 100, 100, 123]);
  });

  it('are known between answers a tenth of a second apart, and stay as they were between closer ones', () => {
    const at = (atMs: number, promptTokens: number) => load(atMs, counted({ promptTokens }));
    const rates = answersOf(at(0, 0), at(99, 10), at(100, 20), at(199, 1000), at(300, 1020));
    expect(rates.map((each) => each?.promptTokensPerSecond)).toEqual([null, null, 200, 200, 5000]);
  });

  it('of the prefix cache: no share without a look-up, and never more than all', () => {
    const at = (atMs: number, prefixQueries: number | null, prefixHits: number | null) =>
      load(atMs, counted({ prefixQueries, prefixHits }));
    const shares = answersOf(
      at(0, 0, 0),
      at(1000, 0, 0),
      at(2000, 10, 20),
      at(3000, null, 30),
      at(4000, 20, null),
      at(5000, 30, null),
    );
    expect(shares.map((each) => each?.prefixHitPercent)).toEqual([null, null, 100, null, null, null]);
  });

  it('that the engine says itself stand where its counters give none', () => {
    const said = { generationTokensPerSecond: 7, prefixHitPercent: 12.345, kvPercent: 33.333 };
    const [first, second] = answersOf(
      load(0, { ...said, ...counted({ generationTokens: 0, prefixQueries: 0, prefixHits: 0 }) }),
      load(1000, { ...said, ...counted({ generationTokens: 50, prefixQueries: 10, prefixHits: 5 }) }),
    );
    expect(first).toMatchObject({ generationTokensPerSecond: 7, prefixHitPercent: 12.3, kvPercent: 33.3 });
    expect(second).toMatchObject({ generationTokensPerSecond: 50, prefixHitPercent: 50 });
  });

  it('of counters that are asked less often are not 0 in between', () => {
    const at = (atMs: number, countedMs: number, generationTokens: number) =>
      load(atMs, counted({ generationTokens }), { countedMs });
    const rates = answersOf(at(0, 0, 0), at(1000, 0, 0), at(5000, 5000, 500), at(6000, 5000, 500));
    expect(rates.map((each) => each?.generationTokensPerSecond)).toEqual([null, null, 100, 100]);
  });

  it('are over the time since the last answer, where one in between was none', () => {
    const at = (atMs: number, generationTokens: number) => load(atMs, counted({ generationTokens }));
    const [, silent, last] = answersOf(at(0, 0), load(0, null, { reason: 'silent' }), at(2000, 50));
    expect(silent).toBeNull();
    expect(last?.generationTokensPerSecond).toBe(25);
  });

  it('of another run, or another engine under the same name, begin anew', () => {
    const first = servingOf(null, '1/1', load(0, counted({ promptTokens: 0 })), 0);
    for (const [run, over] of [
      ['2/9', {}],
      ['1/1', { engine: 'sglang' }],
    ] as const) {
      const next = servingOf(first.memory, run, load(1000, counted({ promptTokens: 1000 }), over), 1000);
      expect(next.serving?.promptTokensPerSecond).toBeNull();
    }
  });

  it('are never negative, infinite or not a number, whatever the counters do', () => {
    const total = fc.option(fc.double({ min: 0, max: 1e300, noNaN: true }));
    const answers = fc.array(
      fc.record({ stepMs: fc.integer({ min: 0, max: 5000 }), p: total, g: total, q: total, h: total }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(answers, (steps) => {
        let atMs = 0;
        const loads = steps.map(({ stepMs, p, g, q, h }) => {
          atMs += stepMs;
          return load(atMs, counted({ promptTokens: p, generationTokens: g, prefixQueries: q, prefixHits: h }));
        });
        for (const serving of answersOf(...loads))
          for (const value of [
            serving?.promptTokensPerSecond,
            serving?.generationTokensPerSecond,
            serving?.prefixHitPercent,
          ])
            if (value != null) expect(Number.isFinite(value) && value >= 0).toBe(true);
      }),
    );
  });
});

describe('progress of an engine', () => {
  it('has no age before the second answer, and then one since it moved last', () => {
    const ages = answersOf(
      load(1000, { progress: '1' }),
      load(2000, { progress: '1' }),
      load(3000, { progress: '2' }),
      load(9000, { progress: '2' }),
      load(10_000, { progress: null }),
    ).map((each) => each?.progressAgeMs);
    expect(ages).toEqual([null, 1250, 250, 6250, null]);
  });

  it('begins anew where it comes back, and the same answer read again is no second one', () => {
    const moving = [load(1000, { progress: '1' }), load(1000, { progress: '1' }), load(2000, { progress: '1' })];
    const ages = answersOf(...moving, load(3000, { progress: null }), load(4000, { progress: '1' }));
    expect(ages.map((each) => each?.progressAgeMs)).toEqual([null, null, 1250, null, null]);
  });

  it('of an engine that does not answer ages with its last figures', () => {
    const first = servingOf(null, '1/1', load(1000, { progress: '1', running: 4 }), 1000);
    const second = servingOf(first.memory, '1/1', load(2000, { progress: '2', running: 4 }), 2000);
    const silent = servingOf(
      second.memory,
      '1/1',
      load(2000, { progress: '2', running: 4 }, { reason: 'silent' }),
      62_000,
    );
    expect(silent).toMatchObject({ serving: { running: 4, ageMs: 60_000, progressAgeMs: 60_000 }, reason: 'silent' });
  });
});

describe('what is said of an engine', () => {
  it('is null with a reason before it has answered', () => {
    expect(servingOf(null, '1/1', load(0, null, { reason: 'keyNeeded' }), 0)).toMatchObject({
      ...{ serving: null, reason: 'keyNeeded' },
    });
    expect(servingOf(null, '1/1', load(0, null), 0).reason).toBe('notAsked');
  });

  it('is as old as its gauges can be', () => {
    expect(servingOf(null, '1/1', load(0, { running: 1 }, { engine: 'lmdeploy' }), 500).serving?.ageMs).toBe(10_500);
    // Of an engine that is asked for nothing only its answer says how old it is.
    expect(servingOf(null, '1/1', load(0, { running: 1 }, { engine: 'mlx-lm' }), 500).serving?.ageMs).toBe(500);
  });

  it('is left out of a heartbeat where it is null or the name of the worker, and null again at a queen', () => {
    const { serving } = servingOf(null, '1/1', load(0, { models: ['llama'], running: 0, version: '1' }), 250);
    const { models, ...figures } = serving as NonNullable<typeof serving>;
    const sent = wire({ ...workerOf('llm/0'), serving: sentServing(serving, ['llama']) }) as WorkerSample;
    expect(sent.serving).toEqual({ engine: 'vllm', version: '1', running: 0, ageMs: 250 });
    expect(storedWorker(sent).serving).toEqual({ ...figures, models: null });
    expect(sentServing(serving, ['another'])?.models).toEqual(models);
    const several = { ...(serving as NonNullable<typeof serving>), models: ['a', 'b'] };
    expect(sentServing(several, ['b', 'a'])?.models).toBeUndefined();
    expect(sentServing(several, ['a', 'c'])?.models).toEqual(['a', 'b']);
    expect(sentServing(several, ['a'])?.models).toEqual(['a', 'b']);
    expect(sentServing({ ...several, models: null }, ['a'])?.models).toBeUndefined();
    expect(sentServing(null, ['a'])).toBeUndefined();
  });
});
