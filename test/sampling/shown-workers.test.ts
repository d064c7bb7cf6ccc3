import fc from 'fast-check';
import { expect, it } from 'vitest';
import { defaults } from '../../lib/contract/defaults.js';
import { shownWorkers } from '../../lib/sampling/shown-workers.js';
import { workerOf } from '../harness/heartbeats.js';

const at = (minute: number) => new Date(Date.UTC(2026, 0, 2) + minute * 60_000).toISOString();

it('of more workers than a queen takes those that were launched and those that run longest are sent, with a fault', () => {
  const honest = Array.from({ length: 10 }, (_, i) => workerOf(`llm/${i}`, { origin: 'adopted', startedAt: at(i) }));
  const launched = workerOf('ours/0', { origin: 'launched', startedAt: at(9999) });
  const crowd = Array.from({ length: defaults.maxWorkersPerHive }, (_, i) =>
    workerOf(`crowd/${i}`, { origin: 'adopted', startedAt: i % 3 === 0 ? null : at(100 + i) }),
  );
  const { workers, fault } = shownWorkers([...crowd, launched, ...honest]);
  expect(workers).toHaveLength(defaults.maxWorkersPerHive);
  expect(workers).toEqual(expect.arrayContaining([...honest, launched]));
  expect(fault).toMatchObject({ code: 'WORKERS_LEFT_OUT', message: expect.stringContaining('11 that started last') });
});

it('all are sent where there are no more, in their order', () => {
  const one = fc.record({ origin: fc.constantFrom('launched', 'adopted'), startedAt: fc.constantFrom(null, at(1)) });
  fc.assert(
    fc.property(fc.array(one, { maxLength: 12 }), fc.nat(12), (all, most) => {
      const { workers, fault } = shownWorkers(all as never, most);
      expect(workers).toEqual(all.filter((each) => workers.includes(each as never)));
      expect(workers).toHaveLength(Math.min(all.length, most));
      expect(fault === null).toBe(all.length <= most);
    }),
  );
});

it('of too many one that was launched goes before all others, then the one that runs longest; one without a start is last', () => {
  const named = (id: string, origin: 'launched' | 'adopted', startedAt: string | null) => ({ id, origin, startedAt });
  const all = [
    named('unknown', 'adopted', null),
    named('young', 'adopted', at(2)),
    named('old', 'adopted', at(1)),
    named('ours', 'launched', at(3)),
  ];
  const kept = (most: number, of = all) => shownWorkers(of, most).workers.map(({ id }) => id);
  for (const order of [all, all.toReversed()]) {
    expect(kept(1, order)).toEqual(['ours']);
    expect(kept(2, order).toSorted()).toEqual(['old', 'ours']);
    expect(kept(3, order).toSorted()).toEqual(['old', 'ours', 'young']);
  }
  expect(kept(4)).toEqual(['unknown', 'young', 'old', 'ours']);
  expect(shownWorkers(all, 3).fault).toMatchObject({
    source: 'cgroup',
    field: 'workers',
    message: expect.stringMatching(/^4 workers .* takes 3 of one: the 1 that started last/),
  });
});
