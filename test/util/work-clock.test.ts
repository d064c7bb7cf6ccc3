import { expect, it } from 'vitest';
import { WorkClock } from '../../lib/util/work-clock.js';

function clocks() {
  const time = { wallMs: 1000, cpuMs: 50 };
  const clock = new WorkClock(
    () => time.wallMs,
    () => time.cpuMs,
  );
  const work = (wallMs: number, cpuMs: number) => {
    const began = clock.begin();
    time.wallMs += wallMs;
    time.cpuMs += cpuMs;
    return clock.spentMs(began);
  };
  return { time, work };
}

it('work takes as long as the clock says', () => {
  const { work } = clocks();
  expect(work(5, 5)).toBe(5);
  expect(work(300, 300)).toBe(300);
});

it('time for which others had the core is not counted, but for what was computed shortly before', () => {
  const { work } = clocks();
  expect(work(4000, 30)).toBe(30);
  work(90, 90);
  expect(work(4000, 30)).toBe(120);
  work(100, 0);
  expect(work(4000, 30)).toBe(30);
});
