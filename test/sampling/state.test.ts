import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaults } from '../../lib/contract/defaults.js';
import { type StateInput, type StateMemory, workerState } from '../../lib/sampling/state.js';

const options = { idleBelowPercent: 0.5, idleBelowCpuPercent: 5.5, idleForMs: 2400 };
const base: StateInput = {
  probed: false,
  ready: null,
  gpuStatus: 'absent',
  gpuUuids: [],
  gpuDoubt: false,
  healthyGpus: new Set(['A', 'B']),
  gpuUtilizationPercent: 0,
  cpuPercent: 0,
  engine: null,
  isLoading: false,
};

/** States at a sample each 800 ms: idle after three. */
function run(inputs: readonly Partial<StateInput>[]): string[] {
  let memory: StateMemory | null = null;
  return inputs.map((input, place) => {
    const next = workerState(memory, { ...base, ...input }, 7e8 + place * 800, options);
    memory = next.memory;
    return next.state;
  });
}

const gpu = (gpuUtilizationPercent: number | null, more: Partial<StateInput> = {}): Partial<StateInput> => ({
  gpuStatus: 'working',
  gpuUuids: ['A'],
  gpuUtilizationPercent,
  ...more,
});

describe('worker state', () => {
  it('starting until the second sample where nothing can be probed', () => {
    expect(run([{ cpuPercent: null }, { cpuPercent: 50 }])).toEqual(['starting', 'busy']);
  });

  it('starting until ready once where a probe exists, and never again after', () => {
    const probe = (ready: boolean | null): Partial<StateInput> => ({ probed: true, ready, cpuPercent: 90 });
    expect(run([probe(null), probe(false), probe(false), probe(true), probe(false)])).toEqual([
      'starting',
      'starting',
      'starting',
      'busy',
      'busy',
    ]);
  });

  it('by default: idle at 5 % of a core for 3 s', () => {
    const stateAt = (cpuPercent: number, lastMs: number) => {
      let memory: StateMemory | null = null;
      let state = '';
      for (const nowMs of [-1000, 0, lastMs]) {
        const next = workerState(memory, { ...base, cpuPercent: nowMs < 0 ? 80 : cpuPercent }, nowMs, defaults);
        ({ memory, state } = next);
      }
      return state;
    };
    expect([stateAt(5, 2999), stateAt(5, 3000), stateAt(5.1, 3000)]).toEqual(['busy', 'idle', 'busy']);
  });

  it('idle by CPU only after idleForMs, busy at once', () => {
    const cpu = (cpuPercent: number) => ({ cpuPercent });
    expect(run([cpu(80), cpu(5.5), cpu(5.5), cpu(5.5), cpu(5.5), cpu(5.6), cpu(0)])).toEqual([
      'starting',
      'busy',
      'busy',
      'busy',
      'idle',
      'busy',
      'busy',
    ]);
  });

  it('holding a GPU it is judged by that alone: no CPU makes it busy, no idle CPU makes it idle', () => {
    expect(run([gpu(0.5), gpu(0.5), gpu(0.5), gpu(0.5, { cpuPercent: 100 })])).toEqual([
      'starting',
      'busy',
      'busy',
      'idle',
    ]);
    expect(run([gpu(0.6), gpu(0.6), gpu(0.6), gpu(0.6), gpu(0.6)]).at(-1)).toBe('busy');
  });

  it.each(['initializing', 'stalled', 'failed', 'released'] as const)(
    'unknown, never idle, while the GPU reader is %s',
    (gpuStatus) => {
      const quiet = { gpuStatus, cpuPercent: 0 };
      expect(run([quiet, quiet, quiet, quiet, quiet, quiet]).slice(1)).toEqual(Array(5).fill('unknown'));
    },
  );

  it('by CPU where GPUs are off or absent, or it holds none of them', () => {
    const ends = (input: Partial<StateInput>) =>
      [0, 90].map((cpuPercent) => run(Array(6).fill({ ...input, cpuPercent })).at(-1));
    const noGpu = { gpuUtilizationPercent: null, gpuUuids: [] };
    for (const gpuStatus of ['off', 'absent', 'working'] as const)
      expect([gpuStatus, ...ends({ ...noGpu, gpuStatus })]).toEqual([gpuStatus, 'idle', 'busy']);
    expect(ends({ gpuStatus: 'off', gpuUuids: null })).toEqual(['idle', 'busy']);
    // It held one before they were switched off, of which nothing is known now.
    const off: Partial<StateInput> = { gpuStatus: 'off', gpuUuids: null, healthyGpus: new Set(), cpuPercent: 0 };
    expect(run([gpu(50), gpu(50), off, off, off, off]).slice(2)).toEqual(['busy', 'busy', 'busy', 'idle']);
  });

  it('a GPU that it gave back may fail: that makes nothing unknown', () => {
    const free: Partial<StateInput> = { gpuStatus: 'working', gpuUuids: [], cpuPercent: 90 };
    expect(run([gpu(50), gpu(50), free, { ...free, healthyGpus: new Set(['B']) }])).toEqual([
      'starting',
      ...Array(3).fill('busy'),
    ]);
    // It moved to another one, with or without one that it kept.
    const on = (...gpuUuids: string[]) => gpu(50, { gpuUuids, healthyGpus: new Set(['A', 'B', 'C']) });
    const withoutB = (...gpuUuids: string[]) => gpu(50, { gpuUuids, healthyGpus: new Set(['A', 'C']) });
    expect(run([on('B'), on('C'), withoutB('C')]).at(-1)).toBe('busy');
    expect(run([on('A', 'B'), on('A', 'C'), withoutB('A', 'C')]).at(-1)).toBe('busy');
    expect(run([gpu(50), { ...gpu(50), healthyGpus: new Set(['B']) }]).at(-1)).toBe('unknown');
  });

  it('what is remembered is the same object where nothing changes, and never says anything else', () => {
    const uuids = fc.subarray(['A', 'B', 'C']);
    const percent = fc.constantFrom(null, 0, 5, 50);
    const engine = fc.record({
      ...{ running: fc.constantFrom(null, 0, 2), waiting: fc.constantFrom(0, 1), kvPercent: fc.constant(null) },
      ...{ sleeping: fc.constantFrom(null, true), progressAgeMs: fc.constantFrom(null, 0, 40_000) },
      ...{ ageMs: fc.constantFrom(0, 20_000), capacity: fc.constantFrom(null, 2), stepwise: fc.boolean() },
    });
    const input: fc.Arbitrary<StateInput> = fc.record({
      ...{ probed: fc.boolean(), ready: fc.constantFrom(null, true, false), isLoading: fc.boolean() },
      gpuStatus: fc.constantFrom('working', 'absent', 'off', 'stalled'),
      ...{ gpuUuids: fc.option(uuids), gpuDoubt: fc.boolean(), healthyGpus: uuids.map((list) => new Set(list)) },
      ...{ gpuUtilizationPercent: percent, cpuPercent: percent, engine: fc.option(engine) },
    });
    const step = fc.record({ input, repeats: fc.nat(2), ms: fc.constantFrom(0, 800, 2400) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
        let memory: StateMemory | null = null;
        let nowMs = 9000;
        for (const { input: now, repeats, ms } of steps)
          for (let i = 0; i <= repeats; i++, nowMs += ms) {
            const before: StateMemory | null = memory;
            const next = workerState(before, now, nowMs, options);
            expect(workerState(structuredClone(before), now, nowMs, options)).toEqual(next);
            if (before !== null && JSON.stringify(before) === JSON.stringify(next.memory))
              expect(next.memory).toBe(before);
            memory = next.memory;
          }
      }),
    );
  });

  it('unknown where utilization cannot be had (MIG), where attribution cannot, and where CPU is not known', () => {
    expect(run([gpu(null), gpu(null), gpu(null), gpu(null), gpu(null)]).slice(1)).toEqual(Array(4).fill('unknown'));
    const hidden = { gpuStatus: 'working', gpuUuids: null, gpuUtilizationPercent: null } as const;
    expect(run([hidden, hidden, hidden, hidden, hidden]).at(-1)).toBe('unknown');
    expect(run([{ cpuPercent: null }, { cpuPercent: null }]).at(-1)).toBe('unknown');
  });

  it('in doubt about a GPU it is never idle, and busy where another GPU shows it', () => {
    const doubt = (gpuUtilizationPercent: number | null, gpuUuids: readonly string[]): Partial<StateInput> =>
      gpu(gpuUtilizationPercent, { gpuUuids, gpuDoubt: true, cpuPercent: 0 });
    expect(run(Array(6).fill(doubt(0, []))).slice(1)).toEqual(Array(5).fill('unknown'));
    expect(run(Array(6).fill(doubt(0, ['A']))).slice(1)).toEqual(Array(5).fill('unknown'));
    expect(run([doubt(3, ['A']), doubt(3, ['A']), doubt(null, ['A'])])).toEqual(['starting', 'busy', 'unknown']);
    expect(run(Array(6).fill(doubt(0.6, ['A']))).at(-1)).toBe('busy');
    expect(run(Array(6).fill(doubt(0.5, ['A']))).at(-1)).toBe('unknown');
    // No use of CPU says whether a GPU is at work.
    expect(run(Array(3).fill({ ...doubt(0, []), cpuPercent: 90 })).at(-1)).toBe('unknown');
  });

  it('after unknown the quiet time begins anew', () => {
    const lost = gpu(null);
    expect(run([gpu(0), gpu(0), gpu(0), lost, gpu(0), gpu(0), gpu(0), gpu(0)]).slice(3)).toEqual([
      'unknown',
      'busy',
      'busy',
      'busy',
      'idle',
    ]);
  });

  it('a GPU that was held and fell silent makes unknown, not idle by CPU', () => {
    const gone: Partial<StateInput> = {
      gpuStatus: 'working',
      gpuUuids: [],
      healthyGpus: new Set(['B']),
      cpuPercent: 0,
    };
    expect(run([gpu(50), gpu(50), gone, gone, gone, gone, gone]).slice(2)).toEqual(Array(5).fill('unknown'));
    // It answers again, and the worker holds nothing on it any more.
    const back: Partial<StateInput> = { gpuStatus: 'working', gpuUuids: [], cpuPercent: 0 };
    expect(run([gpu(50), gpu(50), gone, back, back, back, back]).slice(2)).toEqual([
      'unknown',
      'busy',
      'busy',
      'busy',
      'idle',
    ]);
  });
});
