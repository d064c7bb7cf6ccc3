import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { recordCache } from '../../lib/workers/record-cache.js';
import type { RecordsRead } from '../../lib/workers/records.js';

let dir: string;
let ageSeconds = 1000;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hivepulse-records-'));
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(dir, { recursive: true, force: true });
});

/** As if the directories had been written long ago, each time at another time. */
function settle(...names: readonly string[]): void {
  ageSeconds -= 1;
  const then = Date.now() / 1000 - ageSeconds;
  for (const name of ['', ...names]) utimesSync(join(dir, name), then, then);
}

function counted() {
  let reads = 0;
  const records = recordCache(dir, async (): Promise<RecordsRead> => {
    reads += 1;
    return { running: [], ended: [], launching: [], problems: [{ path: dir, message: String(reads) }] };
  });
  return { records, reads: () => reads };
}

const write = (name: string, text = '{}') => {
  writeFileSync(join(dir, `${name}.new`), text);
  renameSync(join(dir, `${name}.new`), join(dir, name));
};

const all = ['workers', 'workers/a', 'exits'];

it('reads nothing and gives the same object while nothing changes', async () => {
  for (const name of all) mkdirSync(join(dir, name));
  settle(...all);
  const { records, reads } = counted();
  const first = await records();
  for (let i = 0; i < 3; i += 1) expect(await records()).toBe(first);
  expect(reads()).toBe(1);
});

it('reads again what was written just before a look, until a later write would show', async () => {
  const { records, reads } = counted();
  await records();
  await records();
  expect(reads()).toBe(2);
  settle();
  await records();
  await records();
  expect(reads()).toBe(3);
});

it.each([
  ['a record comes', () => write('workers/a/one.json')],
  ['a record is replaced', () => write('workers/a/old.json', '{"a":1}')],
  ['a record goes', () => rmSync(join(dir, 'workers/a/old.json'))],
  ['an exit is noted', () => write('exits/1.json')],
  ['a group comes', () => mkdirSync(join(dir, 'workers/b'))],
  ['the directory of exits goes', () => rmSync(join(dir, 'exits'), { recursive: true })],
  ['all directories go', () => rmSync(join(dir, 'workers'), { recursive: true })],
  ['the whole directory goes', () => rmSync(dir, { recursive: true })],
])('reads where %s', async (_what, change) => {
  for (const name of all) mkdirSync(join(dir, name));
  write('workers/a/old.json');
  settle(...all);
  const { records, reads } = counted();
  const first = await records();
  change();
  expect(await records()).not.toBe(first);
  expect(reads()).toBe(2);
});

it.each([
  ['workers', ['workers']],
  ['exits', ['exits']],
])('sees %s come where there was nothing', async (name, made) => {
  settle();
  const { records, reads } = counted();
  const first = await records();
  expect(await records()).toBe(first);
  mkdirSync(join(dir, name));
  settle(...made);
  expect(await records()).not.toBe(first);
  expect(reads()).toBe(2);
});

it('sees the whole directory come', async () => {
  rmSync(dir, { recursive: true });
  const { records, reads } = counted();
  const first = await records();
  expect(await records()).toBe(first);
  mkdirSync(dir);
  settle();
  expect(await records()).not.toBe(first);
  expect(reads()).toBe(2);
});

it('reads what was written within the grain of a look, though the times of the directories are as they were', async () => {
  mkdirSync(join(dir, 'exits'));
  const writtenMs = 1_790_000_000_000;
  const stamp = () => {
    for (const name of ['', 'exits']) utimesSync(join(dir, name), writtenMs / 1000, writtenMs / 1000);
  };
  const read = async (): Promise<RecordsRead> => ({
    ...{ running: [], ended: [], launching: [] },
    problems: readdirSync(join(dir, 'exits')).map((path) => ({ path, message: '' })),
  });
  const reading = vi.fn(read);
  const records = recordCache(dir, reading);
  const namesAt = async (ms: number) => {
    vi.setSystemTime(writtenMs + ms);
    return (await records()).problems.map(({ path }) => path);
  };
  vi.useFakeTimers({ toFake: ['Date'] });
  write('exits/1.json');
  stamp();
  expect(await namesAt(1)).toEqual(['1.json']);
  write('exits/2.json');
  stamp();
  expect(await namesAt(1000)).toEqual(['1.json', '2.json']);
  expect(await namesAt(2000)).toEqual(['1.json', '2.json']);
  expect(reading).toHaveBeenCalledTimes(2);
});

it.each([
  ['49 ms old is read once more', 49, 2],
  ['50 ms old is not', 50, 1],
])('what is %s', async (_what, ms, times) => {
  const writtenMs = 1_790_000_000_000;
  vi.useFakeTimers({ toFake: ['Date'], now: writtenMs + ms });
  utimesSync(dir, writtenMs / 1000, writtenMs / 1000);
  const reading = vi.fn(async (): Promise<RecordsRead> => ({ running: [], ended: [], launching: [], problems: [] }));
  const records = recordCache(dir, reading);
  const first = await records();
  expect(await records()).toBe(first);
  expect(reading).toHaveBeenCalledTimes(times);
});
