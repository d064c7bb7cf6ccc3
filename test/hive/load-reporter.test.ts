import { expect, it } from 'vitest';
import { LoadReporter } from '../../lib/hive/load-reporter.js';
import type { ServingFigures } from '../../lib/sampling/serving.js';
import { ManualClock } from '../harness/manual-clock.js';

const loadOf = (running: number) => ({ engine: 'vllm', running }) as ServingFigures;

it('what engines say together is sent together, the newest of each, and at most four times a second', async () => {
  const clock = new ManualClock();
  const sent: { readonly atMs: number; readonly loads: [string, number | null][] }[] = [];
  const startedMs = clock.now();
  let intervalMs = 1000;
  const reporter = new LoadReporter(
    clock,
    () => intervalMs,
    (loads) =>
      sent.push({
        atMs: clock.now() - startedMs,
        loads: [...loads].map(([id, { running }]) => [id, running]),
      }),
  );
  reporter.report('a', loadOf(1));
  reporter.report('b', loadOf(2));
  reporter.report('a', loadOf(3));
  await clock.advance(100);
  const gathered = [
    ['a', 3],
    ['b', 2],
  ];
  expect(sent).toEqual([{ atMs: 25, loads: gathered }]);
  for (let i = 0; i < 90; i++) {
    reporter.report('a', loadOf(i));
    await clock.advance(10);
  }
  expect(sent.map(({ atMs }) => atMs)).toEqual([25, 275, 525, 775]);
  await clock.advance(1000);
  expect(sent.at(-1)?.loads).toEqual([['a', 89]]);
  // Nothing new, nothing sent.
  expect(sent).toHaveLength(5);
  // A queen that asks for fewer heartbeats has fewer of these.
  intervalMs = 8000;
  reporter.report('a', loadOf(1));
  await clock.advance(2000);
  reporter.report('a', loadOf(2));
  await clock.advance(500);
  expect(sent).toHaveLength(6);
  await clock.advance(2000);
  expect(sent).toHaveLength(7);
  reporter.report('a', loadOf(100));
  reporter.close();
  await clock.advance(10_000);
  expect(sent).toHaveLength(7);
  expect(clock.timers).toBe(0);
});
