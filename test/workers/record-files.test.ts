import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readUntrusted } from '../../lib/io/untrusted.js';
import { writeAtomically } from '../../lib/util/atomic-file.js';
import { checkRecord } from '../../lib/workers/record-schema.js';
import {
  cleanRecords,
  defaultRuntimeDir,
  exitRetentionMs,
  isRecentLaunch,
  lockInstance,
  readRecord,
  readRecords,
  recordExit,
  recordPath,
  removeRecord,
  type WorkerRecord,
  writeRecord,
} from '../../lib/workers/records.js';
import { temporaryDirectory } from '../harness/leftovers.js';

let dir = '';
let remove = (): void => {};
beforeEach(() => {
  const temporary = temporaryDirectory();
  remove = () => temporary.remove();
  dir = temporary.path;
});
afterEach(() => {
  vi.useRealTimers();
  remove();
});

const record = (over: Partial<WorkerRecord> = {}): WorkerRecord => ({
  schema: 1,
  group: 'llm',
  instance: '8080',
  owner: 'none',
  cgroup: null,
  cgroupInode: null,
  unit: null,
  pid: 4321,
  startTicks: 77,
  startedAt: '2026-01-02T03:04:05.000Z',
  parentPid: 4320,
  parentStartTicks: null,
  model: null,
  port: null,
  labels: {},
  readyUrl: null,
  reservationId: null,
  command: [],
  limits: {},
  notApplied: [],
  exit: null,
  ...over,
});
const exitAt = (at: string, remaining = 0) => ({ at, code: 0, signal: null, oomKills: null, remaining });
const folder = () => join(dir, 'workers/llm');
const names = (path: string) => readdirSync(join(dir, path)).sort();
/** As if it had been written so long ago. */
const age = (path: string, ms: number) => {
  const then = (Date.now() - ms) / 1000;
  utimesSync(path, then, then);
};

describe('what others do to the files meanwhile', () => {
  /** Writes where another process has removed the empty directory so many times right before. */
  const writeBehind = (removals: number) => {
    let removed = 0;
    const write: typeof writeAtomically = async (path, text) => {
      if (removed < removals) {
        removed += 1;
        rmSync(folder(), { recursive: true });
      }
      await writeAtomically(path, text);
    };
    return { write, removed: () => removed };
  };

  it.each([1, 4])('a directory that is removed before the record stands, %d times, is made again', async (removals) => {
    const { write, removed } = writeBehind(removals);
    await writeRecord(dir, record(), write);
    expect(removed()).toBe(removals);
    expect(await readRecord(dir, 'llm', '8080')).toEqual(record());
  });

  it('one that is removed each time is given up, and nothing is left of the record', async () => {
    const { write, removed } = writeBehind(Number.POSITIVE_INFINITY);
    await expect(writeRecord(dir, record(), write)).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      message: expect.stringContaining('(ENOENT)'),
    });
    expect(removed()).toBe(5);
    expect(names('workers')).toEqual([]);
  });

  it('another failure is not tried again', async () => {
    let tries = 0;
    const write = async () => {
      tries += 1;
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    await expect(writeRecord(dir, record(), write)).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
    expect(tries).toBe(1);
  });

  it.each([
    ['whose reading does not return is named as that', 'ETIMEDOUT', ['reading it does not return']],
    ['that is gone before it is read is nothing', 'ENOENT', []],
  ])('a file %s, and costs no other record', async (_what, code, messages) => {
    await writeRecord(dir, record());
    const path = recordPath(dir, 'llm', 'other');
    writeFileSync(path, '');
    const read: typeof readUntrusted = (from, options) =>
      from === path ? Promise.reject(Object.assign(new Error(code), { code })) : readUntrusted(from, options);
    const { running, problems } = await readRecords(dir, read);
    expect(running).toEqual([record()]);
    expect(problems).toEqual(messages.map((message) => ({ path, message })));
  });
});

describe('what stands where a record should', () => {
  beforeEach(() => mkdirSync(folder(), { recursive: true, mode: 0o700 }));

  it.each([
    ['a link', 'a symbolic link', (path: string) => symlinkSync('/etc/hostname', path)],
    ['a pipe', 'not a regular file', (path: string) => void spawnSync('mkfifo', [path])],
    ['a directory', 'EISDIR', (path: string) => mkdirSync(path)],
    ['too much', 'larger than any record', (path: string) => writeFileSync(path, ' '.repeat(1024 * 1024 + 1))],
    ['half of one', 'torn or not JSON', (path: string) => writeFileSync(path, '{"schema":1')],
    ['another thing', 'not a worker record: / must be an object', (path: string) => writeFileSync(path, '[]')],
  ])('%s is named as that', async (_what, message, plant) => {
    const path = recordPath(dir, 'llm', 'other');
    plant(path);
    await writeRecord(dir, record());
    const read = await readRecords(dir);
    expect(read.problems).toEqual([{ path, message }]);
    expect(read.running).toEqual([record()]);
    expect(await readRecord(dir, 'llm', 'other')).toBeNull();
    expect(await readRecord(dir, 'llm', '8080')).toEqual(record());
  });

  it('as much as is taken is none yet too much', async () => {
    const text = JSON.stringify(record());
    writeFileSync(recordPath(dir, 'llm', '8080'), text.padEnd(1024 * 1024));
    expect((await readRecords(dir)).running).toEqual([record()]);
  });

  it('files of other names, and a file in place of a group, are nobody’s', async () => {
    for (const name of ['a.txt', '8080.json.1.ab.tmp', 'json']) writeFileSync(join(folder(), name), '{');
    writeFileSync(join(dir, 'workers/file'), '{');
    expect(await readRecords(dir)).toEqual({ running: [], ended: [], launching: [], problems: [] });
    rmSync(join(dir, 'workers'), { recursive: true });
    writeFileSync(join(dir, 'workers'), '');
    expect((await readRecords(dir)).problems).toEqual([]);
  });

  it('a place that leads in a circle is named, and what is elsewhere is read', async () => {
    const workers = join(dir, 'workers');
    rmSync(workers, { recursive: true });
    symlinkSync('workers', workers);
    mkdirSync(join(dir, 'exits'));
    const ended = record({ exit: exitAt('2026-01-02T03:04:07.000Z') });
    writeFileSync(join(dir, 'exits/1.json'), JSON.stringify(ended));
    expect(await readRecords(dir)).toEqual({
      ...{ running: [], ended: [ended], launching: [] },
      problems: [{ path: workers, message: 'ELOOP' }],
    });
  });

  it('a lock is a launch, by the name of its worker, since when it was made', async () => {
    writeFileSync(join(folder(), 'b.lock'), '1');
    writeFileSync(join(folder(), 'a.lock'), '1');
    age(join(folder(), 'a.lock'), 5000);
    const { launching, problems } = await readRecords(dir);
    expect(launching.map(({ id }) => id)).toEqual(['llm/a', 'llm/b']);
    expect(launching[1]!.sinceMs - launching[0]!.sinceMs).toBeGreaterThan(4000);
    expect(problems).toEqual([]);
  });
});

describe('exits', () => {
  it('come the oldest first, by when the worker ended', async () => {
    const ends = ['2026-01-02T03:04:07.000Z', '2026-01-02T03:04:05.000Z', '2026-01-02T03:04:06.000Z'];
    for (const [i, at] of ends.entries())
      await recordExit(dir, record({ instance: String(i), pid: 100 + i }), exitAt(at));
    // One that does not say when is as old as can be.
    writeFileSync(join(dir, 'exits/9.json'), JSON.stringify(record({ instance: '9' })));
    writeFileSync(join(dir, 'exits/0.json'), JSON.stringify(record({ instance: '8' })));
    expect((await readRecords(dir)).ended.map(({ instance }) => instance)).toEqual(['8', '9', '1', '2', '0']);
  });

  it('of a worker whose children live on keep its record, and no others do', async () => {
    await writeRecord(dir, record());
    await recordExit(dir, record(), exitAt('2026-01-02T03:04:07.000Z', 1));
    expect((await readRecords(dir)).running).toEqual([record({ exit: exitAt('2026-01-02T03:04:07.000Z', 1) })]);
    await recordExit(dir, record(), exitAt('2026-01-02T03:04:08.000Z'));
    expect((await readRecords(dir)).running).toEqual([]);
  });

  it('are kept for as long as is said, a thousand of them, and nothing else there is touched', async () => {
    mkdirSync(join(dir, 'exits'));
    const now = Date.now();
    const ago = (ms: number) => `${now - ms}-7.json`;
    for (const name of [ago(exitRetentionMs + 1), ago(exitRetentionMs), ago(0), '1.txt'])
      writeFileSync(join(dir, 'exits', name), JSON.stringify(record({ exit: exitAt('2026-01-02T03:04:07.000Z') })));
    await cleanRecords(dir, async () => true, now);
    expect(names('exits')).toEqual([ago(exitRetentionMs), ago(0), '1.txt'].sort());
    for (let i = 0; i < 1002; i++) writeFileSync(join(dir, 'exits', `${now + i}-8.json`), '{');
    await cleanRecords(dir, async () => true, now);
    const left = names('exits').filter((name) => name.endsWith('.json'));
    expect(left).toHaveLength(1000);
    expect(left[0]).toBe(`${now + 2}-8.json`);
  });
});

describe('the record of a worker', () => {
  it.each([
    ['the same', {}, false],
    ['of another process', { pid: 4322 }, true],
    ['of another start of that pid', { startTicks: 78 }, true],
  ])('goes where it is %s', async (_what, over, stays) => {
    await writeRecord(dir, record(over));
    await writeRecord(dir, record({ instance: 'beside' }));
    await removeRecord(dir, record());
    expect(names('workers/llm')).toEqual(stays ? ['8080.json', 'beside.json'] : ['beside.json']);
  });

  it('goes with its directory where it was the last, and it is no error where there is none', async () => {
    await writeRecord(dir, record());
    await removeRecord(dir, record());
    expect(names('workers')).toEqual([]);
    await removeRecord(dir, record());
    await removeRecord(join(dir, 'nowhere'), record());
  });

  it('is checked, and what may not be shown of its model is left out', () => {
    const check = (over: object) => checkRecord({ ...record(), ...over });
    expect(check({})).toEqual({ record: record() });
    expect(check({ model: 'org/m', command: ['x', '--key', 'y'] })).toEqual({ record: record({ model: 'org/m' }) });
    expect(check({ schema: 2 })).toEqual({ problem: expect.stringContaining('not a worker record: /schema') });
    expect(check({ shown: 'vllm serve', marker: 'm1' })).toMatchObject({
      record: { shown: 'vllm serve', marker: 'm1' },
    });
  });
});

describe('a sweep', () => {
  it('removes what cannot be read once it is a minute old, but no directory', async () => {
    await writeRecord(dir, record());
    for (const name of ['old.json', 'new.json']) writeFileSync(join(folder(), name), '{');
    mkdirSync(join(folder(), 'directory.json'));
    age(join(folder(), 'old.json'), 61_000);
    age(join(folder(), 'directory.json'), 61_000);
    expect(await cleanRecords(dir, async () => true)).toEqual([]);
    expect(names('workers/llm')).toEqual(['8080.json', 'directory.json', 'new.json']);
  });

  it.each([
    [60_000, true],
    [60_001, false],
  ])('leaves what cannot be read for a minute: after %i ms it is there: %s', async (ms, stays) => {
    mkdirSync(folder(), { recursive: true, mode: 0o700 });
    const path = join(folder(), 'torn.json');
    writeFileSync(path, '{');
    utimesSync(path, 1_790_000_000, 1_790_000_000);
    await cleanRecords(dir, async () => true, 1_790_000_000_000 + ms);
    expect(names('workers/llm')).toEqual(stays ? ['torn.json'] : []);
  });

  it('removes the locks of nobody, and no others', async () => {
    await writeRecord(dir, record());
    for (const [name, text] of [
      ['a.lock', '0'],
      ['b.lock', String(process.pid)],
      ['a.lock.kept', '0'],
    ] as const)
      writeFileSync(join(folder(), name), text);
    await cleanRecords(dir, async () => true);
    expect(names('workers/llm')).toEqual(['8080.json', 'a.lock.kept', 'b.lock']);
  });

  it('says whom it removed, and asks of each whether it lives', async () => {
    for (const [instance, pid] of [
      ['a', 11],
      ['b', 12],
      ['c', 13],
    ] as const)
      await writeRecord(dir, record({ instance, pid }));
    const asked: number[] = [];
    const removed = await cleanRecords(dir, async ({ pid }) => {
      asked.push(pid);
      return pid === 12;
    });
    expect(asked).toEqual([11, 12, 13]);
    expect(removed.map(({ instance }) => instance)).toEqual(['a', 'c']);
    expect(names('workers/llm')).toEqual(['b.json']);
  });

  it('removes temporary files of exits and of records that are old', async () => {
    await writeRecord(dir, record());
    mkdirSync(join(dir, 'exits'));
    for (const place of ['workers/llm', 'exits']) {
      for (const name of ['x.json.1.0123abcd.tmp', 'y.json.1.0123abcd.tmp']) writeFileSync(join(dir, place, name), '{');
      age(join(dir, place, 'x.json.1.0123abcd.tmp'), 3_600_000);
    }
    await cleanRecords(dir, async () => true);
    expect([...names('workers/llm'), ...names('exits')]).toEqual([
      '8080.json',
      'y.json.1.0123abcd.tmp',
      'y.json.1.0123abcd.tmp',
    ]);
  });

  it('of a directory that is not there finds nothing', async () => {
    expect(await cleanRecords(join(dir, 'nowhere'), async () => true)).toEqual([]);
  });
});

describe('a launch', () => {
  it('may still come for 35 s, whichever way the clock was set', () => {
    vi.useFakeTimers({ now: 1_000_000, toFake: ['Date'] });
    for (const [sinceMs, recent] of [
      [1_000_000, true],
      [965_001, true],
      [965_000, false],
      [1_034_999, true],
      [1_035_000, false],
    ] as const)
      expect(isRecentLaunch(sinceMs), String(sinceMs)).toBe(recent);
  });

  it('that finds its name taken hears which, and by what', async () => {
    const free = await lockInstance(dir, 'llm', '8080');
    await expect(lockInstance(dir, 'llm', '8080', 0)).rejects.toMatchObject({
      code: 'INSTANCE_OCCUPIED',
      message: expect.stringMatching(/^llm\/8080 is .*\/workers\/llm\/8080\.lock\.$/),
    });
    await writeRecord(dir, record());
    await free();
    await free();
    expect(names('workers/llm')).toEqual(['8080.json']);
  });

  it('that cannot write hears where and why', async () => {
    writeFileSync(join(dir, 'workers'), '');
    const refused = { code: 'STATE_UNWRITABLE', message: expect.stringContaining(dir) };
    await expect(writeRecord(dir, record())).rejects.toMatchObject(refused);
    await expect(lockInstance(dir, 'llm', '8080')).rejects.toMatchObject(refused);
    await expect(writeRecord(dir, record())).rejects.toThrow(/ENOTDIR|EEXIST/);
    await expect(writeRecord(dir, record())).rejects.toHaveProperty('cause.code');
    writeFileSync(join(dir, 'exits'), '');
    await expect(recordExit(dir, record(), exitAt('2026-01-02T03:04:07.000Z'))).rejects.toMatchObject(refused);
  });
});

it('a directory that others can write is believed in nothing, and nothing is written there', async () => {
  await writeRecord(dir, record());
  chmodSync(dir, 0o777);
  const untrusted = { code: 'DIRECTORY_UNTRUSTED' };
  const { problems, ...rest } = await readRecords(dir);
  expect(rest).toEqual({ running: [], ended: [], launching: [] });
  expect(problems).toEqual([{ path: dir, message: expect.stringContaining(dir) }]);
  await expect(readRecord(dir, 'llm', '8080')).rejects.toMatchObject(untrusted);
  await expect(writeRecord(dir, record())).rejects.toMatchObject(untrusted);
  await expect(lockInstance(dir, 'llm', '8080')).rejects.toMatchObject(untrusted);
  chmodSync(dir, 0o700);
  rmSync(dir, { recursive: true });
  expect(await readRecord(dir, 'llm', '8080')).toBeNull();
});

it('records of this user are where only they are', () => {
  const uid = process.geteuid?.();
  expect(defaultRuntimeDir({})).toBe(uid === 0 ? '/run/hivepulse' : `/tmp/hivepulse-${uid}`);
});

it.each([
  [{ XDG_RUNTIME_DIR: '/run/user/0' }, 0, '/run/hivepulse'],
  [{ XDG_RUNTIME_DIR: '/run/user/1001' }, 1001, '/run/user/1001/hivepulse'],
  [{ XDG_RUNTIME_DIR: '' }, 1001, '/tmp/hivepulse-1001'],
  [{ HIVEPULSE_RUNTIME_DIR: '/x', XDG_RUNTIME_DIR: '/run/user/1001' }, 1001, '/x'],
  [{ HIVEPULSE_RUNTIME_DIR: '' }, 0, '/run/hivepulse'],
])('records of %j, user %d, are in %s', (environment, uid, path) =>
  expect(defaultRuntimeDir(environment, uid)).toBe(path),
);
