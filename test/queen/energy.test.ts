import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { energyOfHost, joulesPerToken } from '../../lib/queen/energy.js';
import { gpuOf, servingOf, workerOf } from '../harness/heartbeats.js';

const held = (uuid: string, utilizationPercent: number | null = 50) => ({
  uuid,
  memoryUsedBytes: 1,
  utilizationPercent,
});
const serves = (id: string, gpus: ReturnType<typeof held>[], generationTokensPerSecond: number | null = 100) =>
  workerOf(id, { gpus, serving: servingOf({ generationTokensPerSecond }) });

describe('energy of a token', () => {
  it('is the power of the GPUs that a worker holds alone, over the tokens that it generates', () => {
    const worker = serves('llm/0', [held('A'), held('B')]);
    const gpus = [gpuOf('A', { powerWatts: 300 }), gpuOf('B', { powerWatts: 200, memoryTotalBytes: 48 * 2 ** 30 })];
    const energies = energyOfHost(gpus, [worker]);
    expect(energies.get(worker)).toEqual({ watts: 500, tokensPerSecond: 100, isShared: false });
    expect(joulesPerToken(energies.values())).toEqual({ joules: 5, isShared: false });
  });

  it('of a shared GPU is a share by utilization, and says that it is one', () => {
    const [a, b] = [serves('llm/0', [held('A', 60)]), serves('llm/1', [held('A', 20)], 50)];
    const energies = energyOfHost([gpuOf('A', { powerWatts: 400 })], [a, b]);
    expect(energies.get(a)).toEqual({ watts: 300, tokensPerSecond: 100, isShared: true });
    expect(energies.get(b)).toEqual({ watts: 100, tokensPerSecond: 50, isShared: true });
  });

  it('is the sum of the GPUs of its own and of its share of the others', () => {
    const both = serves('llm/0', [held('A'), held('B', 75), held('C', 10)]);
    const other = serves('llm/1', [held('B', 25), held('C', 30)]);
    const gpus = ['A', 'B', 'C'].map((uuid, i) => gpuOf(uuid, { powerWatts: [300, 200, 80][i]! }));
    const energies = energyOfHost(gpus, [both, other]);
    expect(energies.get(both)).toEqual({ watts: 300 + 150 + 20, tokensPerSecond: 100, isShared: true });
    expect(energies.get(other)).toEqual({ watts: 50 + 60, tokensPerSecond: 100, isShared: true });
    // Of a model it is a share too as soon as that of one worker is.
    const alone = { watts: 100, tokensPerSecond: 10, isShared: false };
    expect(joulesPerToken([energies.get(both)!, alone])).toEqual({ joules: 5.18182, isShared: true });
    expect(joulesPerToken([alone, alone])).toEqual({ joules: 10, isShared: false });
  });

  it.each([
    ['of one of them is not known', 60, null],
    ['of the first is not known', null, 60],
    ['of all is 0', 0, 0],
  ])('of a shared GPU is known of nobody where the utilization %s', (_, first, second) => {
    const workers = [serves('llm/0', [held('A', first)]), serves('llm/1', [held('A', second)])];
    expect(energyOfHost([gpuOf('A', { powerWatts: 400 })], workers).size).toBe(0);
  });

  it('says so where a process that is no worker uses the GPU', () => {
    const worker = serves('llm/0', [held('A')]);
    const gpus = [gpuOf('A', { powerWatts: 400, unattributedBytes: 2 ** 30 })];
    expect(energyOfHost(gpus, [worker]).get(worker)?.isShared).toBe(true);
  });

  it.each([
    ['no engine reports', workerOf('llm/0', { gpus: [held('A')], serving: null }), 300],
    ['the engine reports no tokens', serves('llm/0', [held('A')], null), 300],
    ['nothing is generated', serves('llm/0', [held('A')], 0), 300],
    ['the GPU does not report its power', serves('llm/0', [held('A')]), null],
    ['it holds no GPU', serves('llm/0', []), 300],
    [
      'the GPUs that it holds are not all known',
      { ...serves('llm/0', [held('A')]), gpusReason: 'partly' as never },
      300,
    ],
    ['one of its GPUs is not there', serves('llm/0', [held('A'), held('C')]), 300],
  ])('is not known where %s', (_, worker, powerWatts) => {
    const energies = energyOfHost([gpuOf('A', { powerWatts })], [worker]);
    expect(energies.size).toBe(0);
    expect(joulesPerToken(energies.values())).toBeNull();
  });

  it('of all workers together is never more than their GPUs draw', () => {
    // As heartbeats carry them.
    const hundredths = (max: number) => fc.nat(max).map((value) => value / 100);
    const worker = fc.record({
      on: fc.uniqueArray(fc.constantFrom('A', 'B', 'C'), { maxLength: 3 }),
      percent: fc.option(hundredths(10_000), { nil: null }),
      tokens: fc.option(fc.double({ min: 0, max: 1e5, noNaN: true }), { nil: null }),
    });
    const watts = fc.option(hundredths(200_000), { nil: null });
    fc.assert(
      fc.property(fc.array(worker, { maxLength: 8 }), fc.tuple(watts, watts, watts), (workers, powers) => {
        const gpus = ['A', 'B', 'C'].map((uuid, i) => gpuOf(uuid, { powerWatts: powers[i] ?? null }));
        const samples = workers.map(({ on, percent, tokens }, i) =>
          serves(
            `llm/${i}`,
            on.map((uuid) => held(uuid, percent)),
            tokens,
          ),
        );
        const energies = [...energyOfHost(gpus, samples).values()];
        const drawn = powers.reduce<number>((sum, power) => sum + (power ?? 0), 0);
        expect(energies.reduce((sum, energy) => sum + energy.watts, 0)).toBeLessThanOrEqual(drawn * (1 + 1e-9));
        for (const { watts: own } of energies) expect(own).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
