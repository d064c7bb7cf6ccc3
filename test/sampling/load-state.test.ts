import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EngineEvidence, loadVerdict } from '../../lib/sampling/load-state.js';
import { type StateInput, type StateMemory, workerState } from '../../lib/sampling/state.js';

const options = { idleBelowPercent: 0.5, idleBelowCpuPercent: 5.5, idleForMs: 2900 };
const engine = (over: Partial<EngineEvidence> = {}): EngineEvidence => ({
  ...{ running: 0, waiting: 0, kvPercent: 0, sleeping: false, progressAgeMs: 60_000, ageMs: 200, capacity: null },
  stepwise: true,
  ...over,
});
const base: StateInput = {
  ...{ probed: true, ready: true, gpuStatus: 'working', gpuUuids: ['A'], gpuDoubt: false, healthyGpus: new Set(['A']) },
  ...{ gpuUtilizationPercent: 0, cpuPercent: 0, engine: engine(), isLoading: false },
};

/** States at one sample a second, from the first on, on a machine that has run for a while. */
function run(inputs: readonly Partial<StateInput>[], over: Partial<typeof options> = {}): string[] {
  let memory: StateMemory | null = null;
  return inputs.map((input, second) => {
    const next = workerState(memory, { ...base, ...input }, 5e8 + second * 1000, { ...options, ...over });
    memory = next.memory;
    return next.state;
  });
}
const seconds = (count: number, input: (second: number) => Partial<StateInput>) =>
  Array.from({ length: count }, (_, second) => input(second));
const limits = { stalledAfterMs: 29_000, spinningAfterMs: 110_000, staleAfterMs: 4000 };
const nothing = { stillMs: null, quietMs: null, working: false };
const last = (inputs: readonly Partial<StateInput>[]) => run(inputs).at(-1);

describe('what the figures of an engine say', () => {
  it.each([
    ['requests that wait', { running: 0, waiting: 1 }, 'saturated'],
    ['nothing but that some wait', { running: null, waiting: 1 }, 'saturated'],
    ['every slot', { running: 3, capacity: 3 }, 'saturated'],
    ['all slots but one', { running: 2, capacity: 3 }, 'busy'],
    ['no slots at all, as it says', { running: 2, capacity: 0 }, 'busy'],
    ['no slots at all, and nothing runs', { running: 0, capacity: 0 }, 'quiet'],
    ['a cache that is full', { running: 1, kvPercent: 98 }, 'saturated'],
    ['a cache that is nearly full', { running: 1, kvPercent: 97.9 }, 'busy'],
    ['a full cache of nobody, which is kept for prompts to come', { running: 0, kvPercent: 100 }, 'quiet'],
    ['a request whose prompt takes long', { running: 1, progressAgeMs: 20_000 }, 'busy'],
    ['a request, without a count of its work', { running: 1, progressAgeMs: null }, 'busy'],
    ['no request, without a count of its work', { running: 0, progressAgeMs: null }, 'quiet'],
    ['work that was counted just now', { running: 0, progressAgeMs: 2999 }, 'busy'],
    ['work that was counted three seconds ago', { running: 0, progressAgeMs: 3000 }, 'quiet'],
    ['nothing of what runs', { running: null, progressAgeMs: 100 }, null],
    ['that it sleeps', { running: 2, waiting: 5, sleeping: true }, 'sleeping'],
    ['not whether it sleeps', { running: 0, sleeping: null }, 'quiet'],
  ] as const)('%s', (_what, over, verdict) => {
    expect(loadVerdict(engine(over), nothing, limits)).toBe(verdict);
    // However old it is to the limit, or its age unknown; beyond it says nothing of an engine that does nothing.
    expect(loadVerdict(engine({ ...over, ageMs: 4000 }), nothing, limits)).toBe(verdict);
    expect(loadVerdict(engine({ ...over, ageMs: null }), nothing, limits)).toBe(verdict);
    const old = loadVerdict(engine({ ...over, ageMs: 4001 }), nothing, limits);
    expect(old).toBe(verdict === 'sleeping' ? 'sleeping' : null);
    // One that works is what it was, and at least busy.
    const works = loadVerdict(engine({ ...over, ageMs: 4001 }), { ...nothing, working: true }, limits);
    expect(works).toBe(verdict === 'sleeping' || verdict === 'saturated' ? verdict : 'busy');
  });
});

describe('the state of a worker whose engine says its load', () => {
  it('is by its requests alone: a busy GPU makes it not busy, an idle one not idle', () => {
    expect(last(seconds(5, () => ({ gpuUtilizationPercent: 100, cpuPercent: 90 })))).toBe('idle');
    expect(last(seconds(5, () => ({ engine: engine({ running: 1, progressAgeMs: 100 }) })))).toBe('busy');
  });

  it('is busy while it works at more than it counted yet', () => {
    expect(last(seconds(5, () => ({ engine: engine({ progressAgeMs: 500 }) })))).toBe('busy');
  });

  it('is idle only after idleForMs', () => {
    const states = run(
      seconds(7, (s) => ({ engine: engine({ running: s < 2 ? 1 : 0, progressAgeMs: s < 2 ? 0 : 9000 }) })),
    );
    expect(states).toEqual(['busy', 'busy', 'busy', 'busy', 'busy', 'idle', 'idle']);
  });

  it.each([
    ['requests wait', { running: 4, waiting: 1, progressAgeMs: 0 }],
    ['every slot is taken', { running: 4, capacity: 4, progressAgeMs: 0 }],
    ['its cache is full', { running: 4, kvPercent: 99, progressAgeMs: 0 }],
    ['it says only what waits', { running: null, waiting: 2, progressAgeMs: 0 }],
  ])('is saturated where %s, and for a while after', (_why, over) => {
    const busy = { running: 4, progressAgeMs: 0 };
    expect(run(seconds(6, (s) => ({ engine: engine(s < 2 ? over : busy) })))).toEqual([
      ...['saturated', 'saturated', 'saturated', 'saturated', 'busy', 'busy'],
    ]);
  });

  it('is sleeping, loading or starting where that is so', () => {
    expect(last([{ engine: engine({ sleeping: true, running: 3 }) }])).toBe('sleeping');
    expect(last([{ ready: false, isLoading: true, engine: null }])).toBe('loading');
    expect(last([{ ready: false, engine: null }])).toBe('starting');
  });

  it('is saturated for idleForMs after it was, and no longer; nor after its engine says nothing more', () => {
    const full = { engine: engine({ running: 4, capacity: 4 }) };
    const busy = { engine: engine({ running: 3, capacity: 4 }) };
    expect(run([full, busy, busy, busy], { idleForMs: 2000 })).toEqual(['saturated', 'saturated', 'busy', 'busy']);
    expect(run([full, { engine: null, gpuUtilizationPercent: 90 }])).toEqual(['saturated', 'busy']);
    const justBooted = workerState(null, { ...base, ...busy }, 100, options);
    expect([...run([busy]), justBooted.state]).toEqual(['busy', 'busy']);
  });

  it('is by GPU and CPU where it says nothing of what runs', () => {
    const silent = engine({ running: null, waiting: null });
    expect(last(seconds(5, () => ({ engine: silent, gpuUtilizationPercent: 40 })))).toBe('busy');
    expect(last(seconds(5, () => ({ engine: silent })))).toBe('idle');
    expect(last(seconds(5, () => ({ engine: silent, gpuStatus: 'stalled' })))).toBe('unknown');
  });
});

describe('an engine that does not answer', () => {
  const old = (second: number, over: Partial<EngineEvidence> = {}) =>
    engine({ running: 4, capacity: 4, ageMs: second * 1000, progressAgeMs: second * 1000, ...over });

  it('and works stays what it was, however long', () => {
    expect(new Set(run(seconds(110, (s) => ({ engine: old(s), cpuPercent: 400 }))))).toEqual(new Set(['saturated']));
    const busy = (s: number) => ({ engine: old(s, { capacity: null }), gpuUtilizationPercent: 80 });
    expect(new Set(run(seconds(110, busy)))).toEqual(new Set(['busy']));
    const wasIdle = (s: number) => ({ engine: old(s, { running: 0 }), gpuUtilizationPercent: 80 });
    expect(last(seconds(20, wasIdle))).toBe('busy');
  });

  it('and works stays what it was, be it at its GPU alone or at a fifth of a core', () => {
    const stateWith = (does: Partial<StateInput>) => last(seconds(20, (s) => ({ engine: old(s), ...does })));
    expect(stateWith({ gpuUtilizationPercent: 80 })).toBe('saturated');
    expect(stateWith({ cpuPercent: 20 })).toBe('saturated');
    expect(stateWith({ cpuPercent: 19.9 })).toBe('idle');
    expect(stateWith({ cpuPercent: null })).toBe('idle');
  });

  it('and had no requests is by GPU and CPU', () => {
    expect(last(seconds(20, (s) => ({ engine: old(s, { running: 0 }) })))).toBe('idle');
  });
});

describe('a stall', () => {
  const stuck = (second: number, over: Partial<EngineEvidence> = {}) =>
    engine({ running: 2, progressAgeMs: second * 1000, ...over });

  it('is requests without progress while neither CPU nor GPU does anything, for 30 s', () => {
    const states = run(seconds(40, (s) => ({ engine: stuck(s) })));
    expect(states.indexOf('stalled')).toBe(30);
    expect(states.slice(30)).toEqual(Array(10).fill('stalled'));
    // Silent as well.
    expect(last(seconds(40, (s) => ({ engine: stuck(s, { ageMs: s * 1000 }) })))).toBe('stalled');
  });

  it('is one whatever of its requests wait', () => {
    const requests = (running: number | null, waiting: number | null) =>
      run(seconds(32, (s) => ({ engine: stuck(s, { running, waiting }) }))).indexOf('stalled');
    expect([requests(2, 2), requests(null, 3), requests(1, null), requests(null, null)]).toEqual([30, 30, 30, -1]);
  });

  it('is as long as its CPU is at rest, to the limit of idle; where that is not known, only when it may not even spin', () => {
    const since = (cpuPercent: number | null) =>
      run(seconds(130, (s) => ({ engine: stuck(s), cpuPercent }))).indexOf('stalled');
    expect([since(5.5), since(5.6), since(null)]).toEqual([30, 120, 120]);
  });

  it('is none of an engine that counts no work and works', () => {
    const silent = (over: Partial<StateInput>) =>
      run(seconds(200, (s) => ({ engine: stuck(s, { progressAgeMs: null, ageMs: s * 1000 }), ...over })));
    expect(silent({ gpuUtilizationPercent: 90 })).not.toContain('stalled');
    expect(silent({}).indexOf('stalled')).toBe(30);
  });

  it('counts from when CPU and GPU came to rest', () => {
    const states = run(seconds(60, (s) => ({ engine: stuck(s), gpuUtilizationPercent: s < 20 ? 70 : 0 })));
    expect(states.indexOf('stalled')).toBe(50);
    const again = seconds(80, (s) => ({ engine: stuck(s), gpuUtilizationPercent: s === 20 ? 70 : 0 }));
    expect(run(again).indexOf('stalled')).toBe(51);
    const cpuOnly = seconds(60, (s) => ({ engine: stuck(s), cpuPercent: s === 20 ? 70 : 0 }));
    expect(run(cpuOnly).indexOf('stalled')).toBe(51);
    const polls = (s: number) => ({ engine: stuck(s, { stepwise: false }), cpuPercent: 90 });
    const spins = seconds(160, (s) => ({ ...polls(s), gpuUtilizationPercent: s === 20 ? 70 : 0 }));
    expect(run(spins).indexOf('stalled')).toBe(141);
  });

  it('ends with the first progress', () => {
    expect(last([...seconds(40, (s) => ({ engine: stuck(s) })), { engine: stuck(0) }])).toBe('busy');
  });

  it('is none while GPU or CPU work at a long prompt', () => {
    const prefill = (over: Partial<StateInput>) => seconds(110, (s) => ({ engine: stuck(s), ...over }));
    expect(run(prefill({ gpuUtilizationPercent: 100 }))).not.toContain('stalled');
    expect(run(prefill({ gpuStatus: 'absent', cpuPercent: 800 }))).not.toContain('stalled');
    // Of an engine that says nothing during a prompt, for as long as it takes.
    const quiet = seconds(600, (s) => ({ engine: stuck(s, { stepwise: false }), gpuUtilizationPercent: 100 }));
    expect(run(quiet)).not.toContain('stalled');
  });

  it('is one where it only spins, for two minutes', () => {
    const spin = (over: Partial<StateInput>, more: Partial<EngineEvidence> = {}) =>
      run(seconds(130, (s) => ({ engine: stuck(s, more), ...over }))).indexOf('stalled');
    expect(spin({ gpuUtilizationPercent: 100 })).toBe(120);
    // Its GPU does nothing, and its CPU polls in vain.
    expect(spin({ cpuPercent: 100 }, { stepwise: false })).toBe(120);
  });

  it('is none without requests, whatever else is so', () => {
    const hardware = fc.record({ stillMs: fc.option(fc.nat()), quietMs: fc.option(fc.nat()), working: fc.boolean() });
    const evidence = fc.record({
      ...{ running: fc.constantFrom(0, null), waiting: fc.constantFrom(0, null), kvPercent: fc.option(fc.nat(100)) },
      ...{ sleeping: fc.option(fc.boolean()), progressAgeMs: fc.option(fc.nat()), ageMs: fc.option(fc.nat()) },
      ...{ capacity: fc.option(fc.nat(9)), stepwise: fc.boolean() },
    });
    fc.assert(
      fc.property(evidence, hardware, (of, does) => {
        expect(['stalled', 'saturated']).not.toContain(loadVerdict(of, does, limits));
      }),
    );
  });

  it('that is one stays one the longer it lasts', () => {
    const ages = fc.tuple(fc.integer({ min: 30_000, max: 1e6 }), fc.nat(1e6));
    fc.assert(
      fc.property(ages, fc.boolean(), ([ms, more], stepwise) => {
        const at = (age: number) =>
          loadVerdict(stuck(age / 1000, { stepwise }), { stillMs: age, quietMs: age, working: false }, limits);
        expect([at(ms), at(ms + more)]).toEqual(['stalled', 'stalled']);
      }),
    );
  });
});
