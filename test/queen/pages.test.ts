import { expect, it } from 'vitest';
import type { Indexes } from '../../lib/queen/indexes.js';
import { listHives, listWorkers } from '../../lib/queen/lists.js';
import { maxPageChars } from '../../lib/queen/queries.js';
import { TestQueen } from './heartbeats.js';

it('a page of items that are larger than any of a fleet is shorter, and all of them come, once', () => {
  const queen = new TestQueen();
  const faults = Array.from({ length: 1000 }, (_, i) => ({ source: 'x', code: `C${i}`, message: 'x'.repeat(1000) }));
  for (let host = 0; host < 25; host++) queen.hear(`host-${host}`, 1, { faults: faults as never });
  const found: string[] = [];
  const lengths: number[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = queen.hives({ limit: 1000, ...(cursor !== undefined && { cursor }) });
    found.push(...page.items.map(({ id }) => id));
    lengths.push(JSON.stringify(page).length);
    cursor = page.nextCursor;
  }
  expect(new Set(found).size).toBe(25);
  expect(found).toHaveLength(25);
  expect(lengths).toHaveLength(3);
  expect(Math.max(...lengths)).toBeLessThan(12 * 1024 * 1024);
});

/** A fleet of nothing but what its lists look at. */
const fleetOf = (hives: readonly object[]) =>
  ({ hives: new Map(), hiveOrder: { from: () => hives.values() } }) as unknown as Indexes;
const textsOf = (count: number) => Array.from({ length: count }, (_, i) => `m${i}`);

it.each([
  ['labels', { labels: Object.fromEntries(textsOf(60).map((name) => [name, 'x'])), models: null }, 2000 + 200 * 60],
  ['models', { labels: {}, models: textsOf(90) }, 2000 + 150 * 90],
  ['labels and models', { labels: { a: 'x' }, models: textsOf(80) }, 2000 + 200 + 150 * 80],
])('a page of workers with many %s is shorter', (_, current, chars) => {
  const workerOrder = Array.from({ length: 950 }, (_, i) => ({
    current: { ...current, id: `llm/${i}` },
    hive: { id: 'a' },
  }));
  const { items, nextCursor } = listWorkers(fleetOf([{ id: 'a', workerOrder }]), { limit: 1000 });
  expect(items).toHaveLength(Math.floor(maxPageChars / chars) + 1);
  expect(nextCursor).not.toBeNull();
});

it.each([
  ['GPUs', { gpuOrder: { length: 400 }, faults: [] }, 2000 + 800 * 400],
  ['faults', { gpuOrder: [], faults: Array(900).fill({ message: 'x'.repeat(50) }) }, 2000 + 900 * (150 + 50)],
])('a page of hosts with many %s is shorter', (_, fields, chars) => {
  const hives = Array.from({ length: 200 }, (_, i) => ({ ...fields, id: `h${i}` }));
  expect(listHives(fleetOf(hives), { limit: 1000 }).items).toHaveLength(Math.floor(maxPageChars / chars) + 1);
});

it('a page ends behind the item with which it is full, not before', () => {
  // Four of them are as long as a page may be, to the letter: the fifth is on it too.
  const long = 'x'.repeat(maxPageChars / 4 - 2000 - 150);
  const hives = Array.from({ length: 9 }, (_, i) => ({ id: `h${i}`, gpuOrder: [], faults: [{ message: long }] }));
  expect(listHives(fleetOf(hives), {}).items).toHaveLength(5);
});
