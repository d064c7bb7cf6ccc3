import { describe, expect, it } from 'vitest';
import { type EngineEvents, SimulatedEngine } from '../../bench/routing/engine.js';
import { type Fleet, fleets, lateReporting, scenarioOf } from '../../bench/routing/fleets.js';
import { leastOutstanding, roundRobin } from '../../bench/routing/policies.js';
import { registryPolicy } from '../../bench/routing/registry-policy.js';
import { simulate } from '../../bench/routing/simulate.js';
import type { SimulatedRequest } from '../../bench/routing/traffic.js';
import { Random } from '../harness/random.js';

const requestOf = (id: number, over: Partial<SimulatedRequest> = {}): SimulatedRequest => ({
  id,
  atMs: 0,
  promptTokens: 1000,
  outputTokens: 100,
  blocks: null,
  foreignTo: null,
  ...over,
});

/** An engine, and when each request had its first token and its end. */
function watched(slowness = 1) {
  const first = new Map<number, number>();
  const finished = new Map<number, number>();
  const once =
    (of: Map<number, number>): EngineEvents['finished'] =>
    (request, atMs) => {
      if (of.has(request.id)) throw new Error(`request ${request.id} came twice`);
      of.set(request.id, atMs);
    };
  return {
    first,
    finished,
    engine: new SimulatedEngine(slowness, { firstToken: once(first), finished: once(finished) }),
  };
}

describe('the simulated engine', () => {
  it('computes each request once, counts its tokens, and is empty at the end', () => {
    const { engine, first, finished } = watched();
    const random = new Random(3);
    const requests = Array.from({ length: 600 }, (_, id) =>
      requestOf(id, { promptTokens: random.whole(1, 6000), outputTokens: random.whole(1, 900) }),
    );
    // All at once: far more than its KV cache holds, so that some are put off and computed anew.
    for (const request of requests) engine.send(request, 0);
    engine.advance(3_600_000);
    expect([first.size, finished.size]).toEqual([600, 600]);
    const sum = (of: 'promptTokens' | 'outputTokens') => requests.reduce((total, request) => total + request[of], 0);
    expect(engine.gauges(3_600_000)).toMatchObject({
      running: 0,
      waiting: 0,
      waitingTokens: 0,
      kvPercent: 0,
      promptTokens: sum('promptTokens'),
    });
    expect(engine.gauges(3_600_000).generationTokens).toBe(sum('outputTokens'));
    for (const [id, atMs] of finished) expect(atMs).toBeGreaterThanOrEqual(first.get(id)!);
  });

  it('takes the time of its model: an iteration, its prompt, and one iteration for each further token', () => {
    const { engine, first, finished } = watched();
    engine.send(requestOf(1, { promptTokens: 1200, outputTokens: 3 }), 100);
    engine.advance(10_000);
    const prefillMs = 12 + 100 + 0.12 + 1200 * 60e-6;
    expect(first.get(1)).toBeCloseTo(100 + prefillMs, 6);
    expect(finished.get(1)).toBeCloseTo(100 + prefillMs + 2 * 12.12 + (1201 + 1202) * 60e-6, 6);
  });

  it('computes only what its prefix cache does not hold', () => {
    const { engine, first } = watched();
    const blocks = [1, 2, 3, 4];
    engine.send(requestOf(1, { promptTokens: 2048, blocks, outputTokens: 1 }), 0);
    engine.advance(5000);
    engine.send(requestOf(2, { promptTokens: 2048, blocks: [1, 2, 9, 4], outputTokens: 1 }), 5000);
    engine.advance(10_000);
    expect((first.get(2)! - 5000) / first.get(1)!).toBeLessThan(0.65);
  });
});

describe('the simulation', () => {
  const short = (fleet: Fleet, over: Partial<Fleet> = {}): Fleet => ({ ...fleet, seconds: 100, ...over });

  it('is the same for the same seed, and answers every request', () => {
    const scenario = () => scenarioOf(short(fleets.mixed), 7, lateReporting, null);
    const run = () =>
      simulate(scenario(), registryPolicy(fleets.mixed.workers, new Random(7), { serving: true })).ttftMs;
    expect(run()).toEqual(run());
    expect(run().length).toBe(scenario().requests.filter(({ atMs }) => atMs >= 60_000).length);
  });

  it('after a heartbeat says that a worker stalls, the registry sends nothing there; round robin an eighth', () => {
    const mishap = { kind: 'stall', worker: 2, atMs: 62_000 } as const;
    const scenario = scenarioOf(short(fleets.stalled, { mishap }), 8, lateReporting, null);
    const ours = simulate(scenario, registryPolicy(scenario.workers, new Random(8), { serving: true }));
    expect(ours.sinceSeen).toBeGreaterThan(500);
    expect(ours.toMishap).toBe(0);
    const blind = simulate(scenario, roundRobin(8));
    expect(blind.toMishap / blind.sinceSeen).toBeCloseTo(1 / 8, 1);
  });

  it('what a worker held that restarts is sent again, and answered', () => {
    const mishap = { kind: 'restart', worker: 2, atMs: 62_000 } as const;
    const scenario = scenarioOf(short(fleets.restarting, { mishap }), 9, lateReporting, null);
    const asked = scenario.requests.filter(({ atMs }) => atMs >= 60_000).length;
    expect(simulate(scenario, leastOutstanding(8, 1, new Random(9))).ttftMs.length).toBe(asked);
  });
});
