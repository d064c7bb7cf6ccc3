import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { claimLock } from '../../lib/workers/instance-lock.js';
import {
  cleanRecords,
  defaultRuntimeDir,
  lockInstance,
  readRecord,
  readRecords,
  recordExit,
  recordPath,
  removeRecord,
  type WorkerExit,
  type WorkerRecord,
  writeRecord,
} from '../../lib/workers/records.js';
import { hostile, withPlanted } from '../io/hostile-files.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hivepulse-records-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const record = (over: Partial<WorkerRecord> = {}): WorkerRecord => ({
  schema: 1,
  group: 'llm',
  instance: '8080',
  owner: 'cgroup',
  cgroup: '/sys/fs/cgroup/hivepulse.slice/llm/8080',
  cgroupInode: 4711,
  unit: null,
  pid: 1234,
  startTicks: 987_654,
  startedAt: '2026-01-02T03:04:05.000Z',
  parentPid: 1200,
  parentStartTicks: 987_000,
  model: 'meta-llama/Llama-3.1-8B',
  port: 8080,
  labels: { team: 'search' },
  readyUrl: 'http://127.0.0.1:8080/health',
  reservationId: null,
  shown: 'vllm serve meta-llama/Llama-3.1-8B',
  command: [],
  limits: { cpu: '200%', memory: '24G' },
  notApplied: [],
  exit: null,
  ...over,
});
const exit: WorkerExit = { at: '2026-01-02T03:05:05.000Z', code: null, signal: 'SIGKILL', oomKills: 1, remaining: 0 };

describe('records', () => {
  it('come back as they were written, and only their owner may read them', async () => {
    await writeRecord(dir, record());
    await writeRecord(dir, record({ instance: '8081', pid: 1235 }));
    const read = await readRecords(dir);
    expect(read.running).toEqual([record(), record({ instance: '8081', pid: 1235 })]);
    expect(read.problems).toEqual([]);
    expect((await stat(recordPath(dir, 'llm', '8080'))).mode & 0o077).toBe(0);
  });

  it('a directory that does not exist is no worker and no problem', async () => {
    expect(await readRecords(join(dir, 'nowhere'))).toEqual({ running: [], ended: [], launching: [], problems: [] });
  });

  it('a torn, empty or foreign file costs no other record and is named', async () => {
    await writeRecord(dir, record());
    const folder = dirname(recordPath(dir, 'llm', '8080'));
    await writeFile(join(folder, 'torn.json'), JSON.stringify(record()).slice(0, 100));
    await writeFile(join(folder, 'empty.json'), '');
    await writeFile(join(folder, 'foreign.json'), '{"schema":1,"group":"llm"}');
    await writeFile(join(folder, 'left.json.12.ab.tmp'), '{');
    await mkdir(join(folder, 'folder.json'));
    const read = await readRecords(dir);
    expect(read.running).toEqual([record()]);
    expect(read.problems.map(({ path }) => path.slice(folder.length + 1))).toEqual([
      'empty.json',
      'folder.json',
      'foreign.json',
      'torn.json',
    ]);
  });

  it('a record cut at any byte is never read as a record', async () => {
    const text = JSON.stringify(record());
    const path = recordPath(dir, 'llm', '8080');
    await writeRecord(dir, record());
    await fc.assert(
      fc.asyncProperty(fc.nat(text.length - 1), async (length) => {
        await writeFile(path, text.slice(0, length));
        expect(await readRecord(dir, 'llm', '8080')).toBeNull();
      }),
      { numRuns: 40 },
    );
  });

  it('readers never see half a record while it is rewritten', async () => {
    await writeRecord(dir, record());
    let writing = true;
    const writer = (async () => {
      for (let i = 0; i < 100; i += 1)
        await writeRecord(dir, record({ notApplied: [{ name: 'x', message: 'x'.repeat(i * 200) }] }));
      writing = false;
    })();
    while (writing) {
      const { running, problems } = await readRecords(dir);
      expect(problems).toEqual([]);
      expect(running).toHaveLength(1);
    }
    await writer;
  });

  it('an exit moves the record to those that ended, and nothing of the name stays', async () => {
    await writeRecord(dir, record());
    await recordExit(dir, record(), exit);
    const read = await readRecords(dir);
    expect(read.running).toEqual([]);
    expect(read.ended).toEqual([record({ exit })]);
    expect(await readdir(join(dir, 'workers'))).toEqual([]);
  });

  it('children that live on keep the record, with the exit of the main process', async () => {
    await writeRecord(dir, record());
    await recordExit(dir, record(), { ...exit, remaining: 2 });
    expect((await readRecords(dir)).running[0]?.exit?.remaining).toBe(2);
  });

  it('a record of 0.1 holds a command line, which is neither read nor written again', async () => {
    const old = record({ command: ['x', '--api-key', 'planted'], model: 'http://u:planted@h/m?k=planted' });
    await writeRecord(dir, old);
    const read = (await readRecords(dir)).running[0] as WorkerRecord;
    expect(JSON.stringify(read)).not.toContain('planted');
    await writeRecord(dir, read);
    expect(await readFile(recordPath(dir, old.group, old.instance), 'utf8')).not.toContain('planted');
  });

  it('the late exit of an earlier worker leaves the record of its successor alone', async () => {
    const successor = record({ pid: 5678, startTicks: 999_999 });
    await writeRecord(dir, successor);
    await recordExit(dir, record(), exit);
    await removeRecord(dir, record());
    expect((await readRecords(dir)).running).toEqual([successor]);
  });

  it('stale records go, live ones stay, and old exits are forgotten', async () => {
    await writeRecord(dir, record());
    await writeRecord(dir, record({ group: 'other', instance: 'gone', pid: 99 }));
    await recordExit(dir, record({ instance: 'old', pid: 77 }), exit);
    expect((await readRecords(dir)).ended).toHaveLength(1);
    const removed = await cleanRecords(dir, async ({ pid }) => pid === 1234, Date.now() + 3_600_000);
    expect(removed.map(({ instance }) => instance)).toEqual(['gone']);
    const read = await readRecords(dir);
    expect(read.running).toEqual([record()]);
    expect(read.ended).toEqual([]);
  });
});

describe('what is kept of workers that have ended', () => {
  it('is kept for ten minutes', async () => {
    const endedMs = Date.now();
    await recordExit(dir, record(), exit);
    const endedAfter = async (ms: number) => {
      await cleanRecords(dir, async () => true, ms);
      return (await readRecords(dir)).ended.length;
    };
    expect(await endedAfter(endedMs + 600_000)).toBe(1);
    expect(await endedAfter(Date.now() + 600_001)).toBe(0);
  });
});

describe('a runtime directory that others can reach', () => {
  it('of another mode or behind a link is believed in nothing: no record, no worker, one problem', async () => {
    await writeRecord(dir, record());
    await chmod(dir, 0o777);
    const read = await readRecords(dir);
    expect(read).toMatchObject({ running: [], ended: [], problems: [{ path: dir }] });
    await expect(readRecord(dir, 'llm', '8080')).rejects.toMatchObject({ code: 'DIRECTORY_UNTRUSTED' });
    await expect(writeRecord(dir, record())).rejects.toMatchObject({ code: 'DIRECTORY_UNTRUSTED' });
    await chmod(dir, 0o700);
    await symlink(dir, `${dir}-link`);
    await expect(readRecord(`${dir}-link`, 'llm', '8080')).rejects.toMatchObject({ code: 'DIRECTORY_UNTRUSTED' });
    await rm(`${dir}-link`);
    expect(await readRecord(dir, 'llm', '8080')).toEqual(record());
  });

  it('whatever stands where a record should, the others are read at once and each is a problem', async () => {
    await writeRecord(dir, record());
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(hostile, { maxLength: 5 }), async (all) => {
        run += 1;
        const folder = join(dir, 'workers', `g${run}`);
        await mkdir(folder);
        await withPlanted(
          folder,
          all,
          (place) => `${place}.json`,
          async (paths) => {
            const { running, problems } = await readRecords(dir);
            expect(running).toEqual([record()]);
            expect(problems.map(({ path }) => path)).toEqual(paths);
          },
        );
        await rm(folder, { recursive: true });
      }),
      { numRuns: 30 },
    );
  });

  it.each([1, 0, -1, -4711])('a record that names the pid %d is none', async (pid) => {
    await writeRecord(dir, record({ pid }));
    expect(await readRecord(dir, 'llm', '8080')).toBeNull();
  });
});

describe('the lock of a name', () => {
  it('is held by one at a time', async () => {
    const free = await lockInstance(dir, 'llm', '8080');
    await expect(lockInstance(dir, 'llm', '8080', 30)).rejects.toMatchObject({ code: 'INSTANCE_OCCUPIED' });
    const other = await lockInstance(dir, 'llm', '8081');
    await free();
    await (await lockInstance(dir, 'llm', '8080', 30))();
    await other();
    expect(await readdir(join(dir, 'workers'))).toEqual([]);
  });

  it('of a process that is gone is taken over', async () => {
    await mkdir(join(dir, 'workers/llm'), { recursive: true });
    await writeFile(join(dir, 'workers/llm/8080.lock'), '4194304 1 abc');
    await (await lockInstance(dir, 'llm', '8080'))();
  });

  it.each([
    ['empty', ''],
    ['of no process', '0 1 abc'],
    ['of every process', '-1  abc'],
    ['of a process whose pid was given again', `${process.pid} 1 abc`],
    ['garbage', '\u0000\u0000 x'],
  ])('that is %s is nobody’s: it is taken over, goes with its worker, and is swept', async (_, text) => {
    const folder = join(dir, 'workers/llm');
    const plant = async () => {
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, '8080.lock'), text);
    };
    await plant();
    await (await lockInstance(dir, 'llm', '8080'))();
    await writeRecord(dir, record());
    await plant();
    await removeRecord(dir, record());
    expect(await readdir(join(dir, 'workers'))).toEqual([]);
    await plant();
    await cleanRecords(dir, async () => true);
    expect(await readdir(folder)).toEqual([]);
  });

  it('that is held outlives the removal of a record and a sweep', async () => {
    const free = await lockInstance(dir, 'llm', '8080');
    await removeRecord(dir, record());
    await cleanRecords(dir, async () => false);
    expect(await readdir(join(dir, 'workers/llm'))).toEqual(['8080.lock']);
    await free();
  });

  it('is held by one at a time also where many find it left behind', async () => {
    await mkdir(join(dir, 'workers/llm'), { recursive: true });
    await writeFile(join(dir, 'workers/llm/8080.lock'), '4194304 1 abc');
    let holders = 0;
    let most = 0;
    const launch = async () => {
      const free = await lockInstance(dir, 'llm', '8080', 60_000);
      holders += 1;
      most = Math.max(most, holders);
      await new Promise((resolve) => setImmediate(resolve));
      holders -= 1;
      await free();
    };
    await Promise.all(Array.from({ length: 20 }, launch));
    expect(most).toBe(1);
    expect(await readdir(join(dir, 'workers'))).toEqual([]);
  });

  it('is made though its directory goes again and again while it is made, and not where that never ends', async () => {
    await mkdir(join(dir, 'llm'));
    const gone = Object.assign(new Error('gone'), { code: 'ENOENT' });
    const prepare = vi.fn<() => Promise<void>>();
    for (let i = 0; i < 3; i++) prepare.mockRejectedValueOnce(gone);
    expect(await claimLock(join(dir, 'llm/0.lock'), 1000, prepare)).toBe(true);
    expect(prepare).toHaveBeenCalledTimes(4);
    prepare.mockRejectedValue(gone);
    await expect(claimLock(join(dir, 'llm/1.lock'), 60_000, prepare)).rejects.toBe(gone);
  });

  it('in a directory that cannot be written says which and what to do', async () => {
    await writeFile(join(dir, 'file'), '');
    await expect(lockInstance(join(dir, 'file/below'), 'a', 'b')).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
  });
});

describe('where records are', () => {
  it.each([
    [{}, 0, '/run/hivepulse'],
    [{ XDG_RUNTIME_DIR: '/run/user/1000' }, 1000, '/run/user/1000/hivepulse'],
    [{}, 1000, '/tmp/hivepulse-1000'],
    [{ HIVEPULSE_RUNTIME_DIR: '/x' }, 0, '/x'],
  ])('%j, user %d: %s', (environment, uid, path) => expect(defaultRuntimeDir(environment, uid)).toBe(path));
});
