import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { Registry } from '../../lib/queen/registry.js';
import { gpuOf, heartbeatOf, servingOf, workerOf } from '../harness/heartbeats.js';
import { Random } from '../harness/random.js';

const model = 'm';
type Serving = Parameters<typeof servingOf>[0];

/** A fleet of one worker a hive, on a clock of its own. */
class Fleet {
  nowMs = 0;
  #seq = 0;
  readonly registry: Registry;

  constructor(seed = 1) {
    const random = new Random(seed);
    this.registry = new Registry({
      clock: () => this.nowMs,
      random: () => random.next(),
      warmingMs: 0,
      historyRings: 0,
    });
  }

  /** Each hive's worker, by what its engine says; null: no engine reports for it. */
  hear(...workers: readonly (Serving | null)[]): this {
    this.#seq++;
    workers.forEach((serving, i) => {
      this.hearWorker(i, { serving: serving && servingOf({ running: 0, ageMs: 0, ...serving }) });
    });
    return this;
  }

  hearWorker(i: number, over: Partial<WorkerSample>): void {
    const worker = workerOf('llm/0', { model, models: [model], state: 'busy', ...over });
    this.registry.heartbeat(
      heartbeatOf(`h${i}`, ++this.#seq, { workers: [worker], gpus: [gpuOf(`GPU-${i}`)], events: [] }),
    );
  }

  pick(query: Partial<Parameters<Registry['pickWorkers']>[0]> = {}) {
    return this.registry.pickWorkers({ model, promptTokens: 1000, ...query }).picks;
  }

  hives(count: number, query: Parameters<Fleet['pick']>[0] = {}): string[] {
    return Array.from({ length: count }, () => this.pick(query)[0]!.key.split('/')[0]!);
  }
}

describe('best by cost', () => {
  it('goes to the worker with the shortest queue, although GPU utilization reads the same', () => {
    const fleet = new Fleet().hear({ running: 30, waiting: 4 }, { running: 2 }, { running: 30 });
    const [pick] = fleet.pick();
    expect(pick).toMatchObject({ key: 'h1/llm/0', endpoint: 'http://10.0.0.7:8000' });
    expect(pick!.why).toMatchObject({ reason: 'leastCost', gate: 'open', requests: 2, debits: 0, compared: 3 });
    expect(pick!.why.costMs).toBeGreaterThan(0);
  });

  it('spreads the picks of one interval, and a heartbeat that does not show them yet does not forget them', () => {
    const idle = [{}, {}, {}, {}];
    const fleet = new Fleet().hear(...idle);
    expect(new Set(fleet.hives(4)).size).toBe(4);
    fleet.nowMs += 1000;
    fleet.hear(...idle.map(() => ({ promptTokensPerSecond: 0, generationTokensPerSecond: 0 })));
    fleet.hives(1);
    expect(fleet.pick()[0]!.why.debits).toBe(1);
  });

  it('a pick that is done counts no longer, once; one of another queen changes nothing', () => {
    const fleet = new Fleet().hear({});
    const [first] = fleet.pick();
    expect(fleet.pick()[0]!.why.debits).toBe(1);
    expect(new Fleet().hear({}).registry.pickDone(first!.id)).toBe(false);
    expect(fleet.registry.pickDone(first!.id)).toBe(true);
    expect(fleet.registry.pickDone(first!.id)).toBe(false);
    expect(fleet.registry.pickDone('no such pick')).toBe(false);
    expect(fleet.pick()[0]!.why.debits).toBe(1);
  });

  it('several at once are the picks that as many calls would have made', () => {
    const fleets = [new Fleet(5), new Fleet(5)].map((each) => each.hear({}, { running: 3 }, { running: 9 }));
    const atOnce = fleets[0]!.pick({ count: 8 }).map(({ key }) => key.split('/')[0]);
    expect(atOnce).toEqual(fleets[1]!.hives(8));
  });

  it('does not pick where the request was tried, and says so where nothing else is left', () => {
    const fleet = new Fleet().hear({}, { running: 50 });
    expect(fleet.hives(3, { exclude: ['h0/llm/0'] })).toEqual(['h1', 'h1', 'h1']);
    expect(fleet.pick({ exclude: ['h0/llm/0', 'h1/llm/0'] })).toEqual([]);
  });

  it('a new run of a worker starts without the picks of the one before', () => {
    const fleet = new Fleet().hear({});
    fleet.hives(3);
    fleet.hearWorker(0, { startedAt: '2026-02-02T00:00:00.000Z', serving: servingOf({ running: 0 }) });
    expect(fleet.pick()[0]!.why.debits).toBe(0);
  });
});

describe('workers that come last', () => {
  const gated: readonly [string, Serving, Partial<WorkerSample>][] = [
    ['full', { kvPercent: 99 }, {}],
    ['stale', { ageMs: 60_000 }, {}],
    ['sleeping', { sleeping: true }, {}],
    ['stalled', {}, { state: 'stalled' }],
    ['tooLong', { maxContext: 512 }, {}],
  ];

  it.each(gated)(
    'one that is %s gets nothing while another is open, however busy; alone it is given, and says so',
    (gate, serving, over) => {
      const fleet = new Fleet();
      const hearGated = () => fleet.hearWorker(0, { serving: servingOf({ running: 0, ...serving }), ...over });
      hearGated();
      expect(fleet.pick()[0]!.why).toMatchObject({ gate, reason: 'leastBad' });
      fleet.hearWorker(1, { serving: servingOf({ running: 90, waiting: 40 }) });
      hearGated();
      expect(new Set(fleet.hives(20))).toEqual(new Set(['h1']));
    },
  );

  it('figures grow old between heartbeats', () => {
    const fleet = new Fleet().hear({ ageMs: 2500 });
    expect(fleet.pick()[0]!.why.gate).toBe('open');
    fleet.nowMs += 900;
    expect(fleet.pick()[0]!.why.gate).toBe('stale');
  });

  it('one for which no engine reports comes behind those that are open, and before those that are not', () => {
    const fleet = new Fleet().hear({ running: 40 }, null);
    expect(fleet.hives(3)).toEqual(['h0', 'h0', 'h0']);
    fleet.hear({ running: 40, kvPercent: 100 }, null);
    expect(fleet.pick()[0]).toMatchObject({
      key: 'h1/llm/0',
      why: { reason: 'utilization', gate: 'unknown', costMs: null },
    });
  });
});

describe('prefixes', () => {
  const idle = (count: number) => Array.from({ length: count }, () => ({}));

  it('requests of one prefix stay at one worker while it is not much slower, and leave it when it is', () => {
    const fleet = new Fleet().hear(...idle(8));
    const [first] = fleet.pick({ prefixKey: 'session-1' });
    expect(first!.why.reason).toBe('prefix');
    const [home] = first!.key.split('/');
    // What the first one has to compute still is less than half of this one's prompt.
    expect(fleet.hives(1, { prefixKey: 'session-1', promptTokens: 8000 })[0]).toBe(home);
    const busy = idle(8).map((_, i) => (`h${i}` === home ? { running: 100, waiting: 30 } : {}));
    fleet.nowMs += 10_000;
    fleet.hear(...busy);
    expect(fleet.hives(1, { prefixKey: 'session-1' })[0]).not.toBe(home);
    fleet.nowMs += 10_000;
    fleet.hear(...idle(8));
    expect(fleet.hives(1, { prefixKey: 'session-1', promptTokens: 8000 })[0]).toBe(home);
  });

  it('a worker that leaves moves only the prefixes that were its own', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ minLength: 1 }), { maxLength: 20 }), fc.nat(7), (keys, leaving) => {
        const homes = (without: number | null) => {
          const fleet = new Fleet();
          for (let i = 0; i < 8; i++) if (i !== without) fleet.hearWorker(i, { serving: servingOf({ running: 0 }) });
          return keys.map((prefixKey) => {
            const [pick] = fleet.pick({ prefixKey, promptTokens: 100_000 });
            fleet.registry.pickDone(pick!.id);
            return pick!.key;
          });
        };
        const [before, after] = [homes(null), homes(leaving)];
        before.forEach((home, i) => {
          if (home !== `h${leaving}/llm/0`) expect(after[i]).toBe(home);
        });
      }),
      { numRuns: 25 },
    );
  });
});

describe('a model of thousands of workers', () => {
  it('finds an open one among drawn ones, and the only one that can serve among all', () => {
    const fleet = new Fleet();
    const workers = (only: boolean) =>
      Array.from({ length: 500 }, (_, i) =>
        workerOf(`llm/${i}`, {
          model,
          models: [model],
          ready: !only || i === 7,
          serving: servingOf({ running: i % 50 }),
        }),
      );
    const hear = (seq: number, only: boolean) => {
      for (const hive of ['a', 'b'])
        fleet.registry.heartbeat(
          heartbeatOf(hive, seq, {
            workers: workers(only && hive === 'a').map((each) => ({
              ...each,
              ready: hive === 'b' && only ? false : each.ready,
            })),
            gpus: [],
            events: [],
          }),
        );
    };
    hear(1, false);
    const running = Array.from({ length: 100 }, () => fleet.pick()[0]!.why.requests!);
    // The least of 32 drawn of 0 to 49 is seldom above ten.
    expect(running.filter((requests) => requests > 15).length).toBeLessThan(5);
    hear(2, true);
    expect(fleet.pick()[0]!.key).toBe('a/llm/7');
  });
});
