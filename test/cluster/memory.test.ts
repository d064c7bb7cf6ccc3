import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { memoryBus } from '../../lib/cluster/memory.js';
import type { Registry } from '../../lib/queen/registry.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Grants whatever is asked. */
const granting = { place: () => ({ reservation: {} }), releaseReservation: () => true } as unknown as Registry;

it('a disk that does not answer holds one answer for two seconds, then none', async () => {
  const warnings: unknown[] = [];
  const bus = memoryBus(
    granting,
    () => new Promise(() => undefined),
    (error) => warnings.push(error),
  );
  let isAnswered = false;
  void bus.place({ vramBytes: 1 }).then(() => {
    isAnswered = true;
  });
  await vi.advanceTimersByTimeAsync(1999);
  expect([isAnswered, warnings]).toEqual([false, []]);
  await vi.advanceTimersByTimeAsync(1);
  expect(isAnswered).toBe(true);
  expect(warnings).toMatchObject([{ code: 'STATE_UNWRITABLE', message: expect.stringContaining('2000 ms') }]);
  expect(await bus.release('r1')).toBe(true);
  expect(warnings).toHaveLength(1);
});

it('a disk that answers in time holds an answer no longer than it takes', async () => {
  const warnings: unknown[] = [];
  const bus = memoryBus(
    granting,
    () => new Promise((resolve) => setTimeout(resolve, 1500)),
    (error) => warnings.push(error),
  );
  const answer = bus.place({ vramBytes: 1 });
  await vi.advanceTimersByTimeAsync(1500);
  expect(await answer).toEqual({ reservation: {} });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(warnings).toEqual([]);
});
