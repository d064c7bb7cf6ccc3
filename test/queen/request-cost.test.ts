import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pickGates } from '../../lib/contract/api.js';
import {
  type Assessed,
  type GateFigures,
  gateOf,
  hashText,
  leastCost,
  rendezvousWeight,
  requestCostMs,
  sticks,
} from '../../lib/queen/request-cost.js';
import { WorkerClass } from '../../lib/queen/speeds.js';
import { WorkerLoad } from '../../lib/queen/worker-load.js';
import { Random } from '../harness/random.js';

const request = { promptTokens: 1000, maxTokens: 200 };

const reportOf = (over: Partial<Parameters<WorkerLoad['report']>[0]> = {}) => ({
  running: 2,
  waiting: 0,
  waitingTokens: 0,
  promptTokensPerSecond: 0,
  generationTokensPerSecond: 50,
  ...over,
});

function loadWith(over: Parameters<typeof reportOf>[0] = {}): WorkerLoad {
  const load = new WorkerLoad(new WorkerClass());
  load.report(reportOf(over), 0);
  load.report(reportOf(over), 1000);
  return load;
}

const figures = (over: Partial<GateFigures> = {}): GateFigures => ({
  state: 'busy',
  serving: { kvPercent: 50, sleeping: false, maxContext: 8192 },
  ageMs: 0,
  intervalMs: 1000,
  ...over,
});

describe('the cost of a request', () => {
  const amounts = { least: fc.nat(100_000), more: fc.integer({ min: 1, max: 100_000 }) };

  it('rises with the tokens that wait, the requests that run and the prompt', () => {
    fc.assert(
      fc.property(amounts.least, amounts.more, (least, more) => {
        const cost = (over: object, prompt = 1000) => requestCostMs(loadWith(over), prompt, 1000);
        expect(cost({ waiting: 1, waitingTokens: least + more })).toBeGreaterThan(
          cost({ waiting: 1, waitingTokens: least }),
        );
        expect(requestCostMs(loadWith(), least + more, 1000)).toBeGreaterThan(requestCostMs(loadWith(), least, 1000));
        // The step follows from what runs: only the count of it may differ here.
        const running = (count: number) =>
          cost({ running: count, generationTokensPerSecond: count === 0 ? 0 : 25 * count });
        expect(running(least + more)).toBeGreaterThanOrEqual(running(least));
      }),
    );
  });

  it('is a finite positive number whatever an engine reports', () => {
    const amount = fc.option(fc.double({ min: 0, max: 1e9, noNaN: true }), { nil: null });
    const report = fc.record({
      running: amount,
      waiting: amount,
      waitingTokens: amount,
      promptTokensPerSecond: amount,
      generationTokensPerSecond: amount,
    });
    fc.assert(
      fc.property(fc.array(report, { maxLength: 40 }), fc.nat(200_000), (reports, prompt) => {
        const load = new WorkerLoad(new WorkerClass());
        reports.forEach((each, i) => {
          load.report(each, 1000 * i);
        });
        load.pick(1, prompt, 1000 * reports.length);
        const cost = requestCostMs(load, prompt, 1000 * reports.length + 500);
        expect(cost).toBeGreaterThan(0);
        expect(cost).toBeLessThan(Number.POSITIVE_INFINITY);
      }),
    );
  });
});

describe('gates', () => {
  it('name why a worker comes last, the worst reason first', () => {
    const serving = { kvPercent: 99, sleeping: true, maxContext: 10 };
    expect(gateOf(figures(), request)).toBe('open');
    expect(gateOf(figures({ serving: null }), request)).toBe('unknown');
    expect(gateOf(figures({ serving: { ...serving, sleeping: false, maxContext: null } }), request)).toBe('full');
    expect(gateOf(figures({ serving: { ...serving, sleeping: null } }), request)).toBe('tooLong');
    expect(gateOf(figures({ serving: { ...serving, sleeping: false }, ageMs: 3001 }), request)).toBe('stale');
    expect(gateOf(figures({ serving, ageMs: 3001 }), request)).toBe('sleeping');
    expect(gateOf(figures({ state: 'sleeping' }), request)).toBe('sleeping');
    expect(gateOf(figures({ state: 'stalled', serving }), request)).toBe('stalled');
    expect(gateOf(figures({ serving: { kvPercent: null, sleeping: null, maxContext: null } }), request)).toBe('open');
  });

  it('a gated worker is never chosen while another is behind a lower gate, and the least bad is given where all are gated', () => {
    const candidate = fc.record({
      worker: fc.nat(1000),
      gate: fc.constantFrom(...pickGates),
      costMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(candidate), fc.double({ min: 0, max: 0.999, noNaN: true }), (candidates, drawn) => {
        const best = leastCost(
          candidates,
          ({ worker, gate, costMs }): Assessed<unknown> => ({ worker, gate, costMs }),
          () => drawn,
        );
        if (candidates.length === 0) {
          expect(best).toBeNull();
          return;
        }
        const lowest = Math.min(...candidates.map(({ gate }) => pickGates.indexOf(gate)));
        expect(pickGates.indexOf(best!.gate)).toBe(lowest);
        const costs = candidates.filter(({ gate }) => gate === best!.gate).map(({ costMs }) => costMs);
        expect(best!.costMs).toBe(Math.min(...costs));
      }),
    );
  });

  it('equals are drawn at random, each as often as the others', () => {
    const random = new Random(7);
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 4000; i++)
      counts[
        leastCost(
          [0, 1, 2, 3],
          (worker) => ({ worker, gate: 'open', costMs: 5 }),
          () => random.next(),
        )!.worker
      ]!++;
    for (const count of counts) expect(count).toBeGreaterThan(850);
  });
});

describe('where a prefix was before', () => {
  it('each key belongs to one worker, and a worker that leaves moves only its own keys', () => {
    const names = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 2, maxLength: 30 });
    fc.assert(
      fc.property(names, fc.array(fc.string(), { minLength: 1 }), fc.nat(), (workers, keys, drawn) => {
        const ownerOf = (key: string, among: readonly string[]) =>
          among.reduce((a, b) =>
            rendezvousWeight(hashText(key), hashText(b)) > rendezvousWeight(hashText(key), hashText(a)) ? b : a,
          );
        const leaving = workers[drawn % workers.length]!;
        const left = workers.filter((worker) => worker !== leaving);
        for (const key of keys) {
          const owner = ownerOf(key, workers);
          if (owner !== leaving) expect(ownerOf(key, left)).toBe(owner);
        }
      }),
    );
  });

  it('keys spread over the workers evenly, whatever their names have in common', () => {
    const counts = new Map<number, number>();
    const workers = Array.from({ length: 8 }, (_, i) => hashText(`host-00000${i}/llm/8000`));
    for (let i = 0; i < 8000; i++) {
      const key = hashText(`session-${i}`);
      const weights = workers.map((worker) => rendezvousWeight(key, worker));
      const owner = weights.indexOf(Math.max(...weights));
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    expect([...counts.values()].every((count) => count > 850 && count < 1150)).toBe(true);
  });

  it('a request stays with its prefix while that costs no more than the share of its prompt that is likely cached', () => {
    const load = loadWith();
    const savedMs = 500 / load.tokensPerMs;
    expect(sticks(100 + 0.99 * savedMs, 100, load, 1000)).toBe(true);
    expect(sticks(100 + 1.01 * savedMs, 100, load, 1000)).toBe(false);
  });
});

describe('the limits of a gate', () => {
  it.each([
    ['figures of three intervals', { ageMs: 3000 }, 'open'],
    ['figures of more than that', { ageMs: 3000.5 }, 'stale'],
    ['three longer intervals', { ageMs: 6000, intervalMs: 2000 }, 'open'],
    ['97 % of its cache', { serving: { kvPercent: 97, sleeping: null, maxContext: null } }, 'open'],
    ['more than that', { serving: { kvPercent: 97.5, sleeping: null, maxContext: null } }, 'full'],
    ['room for prompt and answer', { serving: { kvPercent: null, sleeping: null, maxContext: 1200 } }, 'open'],
    ['room for a token less', { serving: { kvPercent: null, sleeping: null, maxContext: 1199 } }, 'tooLong'],
    ['a state of sleep although nothing is reported', { state: 'sleeping', serving: null }, 'sleeping'],
  ] as const)('%s: %j', (_, over, gate) => {
    expect(gateOf(figures(over), request)).toBe(gate);
  });
});

describe('the cost of a request, in figures', () => {
  it('is what waits and its prompt at the speed of the worker, and a tenth of a step for each that runs and itself', () => {
    const load = new WorkerLoad(new WorkerClass());
    load.report(reportOf({ running: 3, waiting: 1, waitingTokens: 500 }), 0);
    load.pick(1, 250, 0);
    // 5 tokens a ms and steps of 30 ms, while nothing is known of it; one is picked and not shown.
    expect(requestCostMs(load, 1000, 0)).toBeCloseTo((500 + 250 + 1000) / 5 + 0.1 * (3 + 1 + 1 + 1) * 30, 9);
    expect(requestCostMs(load, 0, 100)).toBeCloseTo((750 - 500) / 5 + 0.1 * 6 * 30, 9);
  });

  it('of a request that goes where its prefix was may be more by half of its prompt', () => {
    const load = new WorkerLoad(new WorkerClass());
    expect([sticks(300, 200, load, 1000), sticks(300.1, 200, load, 1000), sticks(200, 300, load, 0)]).toEqual([
      true,
      false,
      true,
    ]);
  });

  it('what cannot be sent to is passed over, and of equals the first stays where chance has it so', () => {
    const assess = (costMs: number | null) =>
      costMs === null ? null : { worker: costMs, gate: 'open' as const, costMs };
    expect(leastCost([null, 5, null, 3, 4], assess, () => 0)?.worker).toBe(3);
    expect(leastCost([null], assess, () => 0)).toBeNull();
    const which = (drawn: number) =>
      leastCost(
        ['a', 'b', 'c'],
        (worker) => ({ worker, gate: 'open', costMs: 1 }),
        () => drawn,
      )!.worker;
    // The second is taken in one of two cases, the third in one of three.
    expect([0, 0.33, 0.34, 0.49, 0.5, 0.99].map(which)).toEqual(['c', 'c', 'b', 'b', 'a', 'a']);
    // A cheaper one begins the count anew.
    const costs: Record<string, number> = { a: 2, b: 2, c: 1, d: 1 };
    const later = (drawn: number) =>
      leastCost(
        ['a', 'b', 'c', 'd'],
        (worker) => ({ worker, gate: 'open', costMs: costs[worker]! }),
        () => drawn,
      )!.worker;
    expect([0.4, 0.6].map(later)).toEqual(['d', 'c']);
  });
});

describe('places in a rendezvous', () => {
  it('are the same at every queen, of whatever version', () => {
    expect(['', 'a', 'host-1/llm/0'].map(hashText)).toEqual([-1_421_968_373, 444_641_715, -1_897_973_298]);
    expect([rendezvousWeight(0, 0), rendezvousWeight(1, 0), rendezvousWeight(-5, 12), rendezvousWeight(3, 3)]).toEqual([
      0, 2_654_435_761, 1_879_881_927, 0,
    ]);
  });
});
