import { describe, expect, it } from 'vitest';
import { processColumns, type RawPass, rowFlags } from '../../lib/native/layout.js';
import {
  describe as describeProcesses,
  isLive,
  isPause,
  mainProcess,
  processesOf,
  recordOf,
  type WorkerProcess,
} from '../../lib/sampling/worker.js';
import type { WorkerRecord } from '../../lib/workers/records.js';
import { none, process, record, row, watched } from './worker-support.js';

describe('the processes of a worker in a pass', () => {
  const pass = (...cells: readonly number[]): RawPass => ({ processes: Float64Array.from(cells) }) as never;
  const isPid = (pid: number) => pid > 0;

  it('are those of its rows that are pids, with what is known of each', () => {
    expect(processColumns).toHaveLength(5);
    const found = processesOf(
      pass(9, 9, 9, 9, 9, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 6, 7, 8, 9, 10, 3, 3, 3, 3, 3),
      row({ processOffset: 1, processCount: 3 }),
      isPid,
    );
    expect(found).toEqual([
      { pid: 1, startTicks: 2, residentBytes: 3, ioReadBytes: 4, ioWriteBytes: 5 },
      { pid: 6, startTicks: 7, residentBytes: 8, ioReadBytes: 9, ioWriteBytes: 10 },
    ]);
  });

  it('are not known where cgroup.procs was not read, and what a pass lacks is not known', () => {
    expect(processesOf(pass(), row({ processOffset: 0 }), isPid)).toBeNull();
    expect(processesOf(pass(), row({ processCount: 0 }), isPid)).toBeNull();
    const cutOff = processesOf(pass(1), row({ processOffset: 0, processCount: 2 }), isPid);
    expect(cutOff).toEqual([{ pid: 1, startTicks: none, residentBytes: none, ioReadBytes: none, ioWriteBytes: none }]);
  });
});

describe('a worker', () => {
  it.each([
    ['whose cgroup was removed', { flags: rowFlags.removed, populated: 1 }, false],
    ['of which a file could not be read', { flags: rowFlags.partial, populated: 1 }, true],
    ['in which something runs', { populated: 1, processCount: 0 }, true],
    ['in which nothing runs', { populated: 0, processCount: 1 }, false],
    ['without cgroup.events and with processes', { processCount: 1 }, true],
    ['without cgroup.events and processes', { processCount: 0 }, false],
    ['of which neither is known', {}, true],
  ])('%s: lives or not', (_, values, lives) => {
    expect(isLive(row(values))).toBe(lives);
  });

  it('has the record of its own cgroup, and not that of an earlier one of its name', () => {
    const of = (cgroupInode: number | null, inode: number) =>
      recordOf(watched({ record: record({ cgroupInode }) }), row({ inode })) !== null;
    expect([of(5, 5), of(5, 6), of(null, 6), of(5, none)]).toEqual([true, false, true, true]);
    expect(recordOf(watched(), row({ inode: 5 }))).toBeNull();
  });

  it('has the process that run started as its main one where it lives, else the oldest', () => {
    const all = [process(3, 300), process(7, 70), process(8, 20), process(9, none)];
    const main = (processes: readonly WorkerProcess[], of: WorkerRecord | null) => mainProcess(processes, of)?.pid;
    expect(main(all, record())).toBe(7);
    expect(main(all, record({ startTicks: null }))).toBe(7);
    expect(main(all, record({ startTicks: 71 }))).toBe(8);
    expect(main(all, record({ pid: 70 }))).toBe(8);
    expect(main(all, null)).toBe(8);
    expect(main([process(9, none), process(8, 20)], null)).toBe(8);
    expect(main([process(4, 5), process(5, 5)], null)).toBe(4);
    expect(main([process(1, none), process(2, none)], null)).toBe(1);
    expect(main([], null)).toBeUndefined();
  });

  it('that is the idle sandbox of a pod is known by its command', () => {
    expect([[['/pause']], [['pause']]].map(isPause)).toEqual([true, true]);
    expect([[], [[]], [['/pause'], ['x']], [['/pause2']], [['unpause']]].map(isPause)).toEqual(Array(5).fill(false));
  });
});

describe('what command lines say of a worker', () => {
  const vllm = ['vllm', 'serve', 'org/model'];
  const described = (...argvs: readonly string[][]) =>
    describeProcesses(
      argvs.map((argv, i) => ({ pid: i + 1, parentPid: i, argv })),
      (argv) => argv.join(' '),
    );

  it('the command shown is the engine’s, else that of the first that is known', () => {
    expect(described(['sh'], vllm)).toMatchObject({ command: 'vllm serve org/model', anyRead: true });
    expect(described([], ['sh'], ['sleep'])).toMatchObject({ command: 'sh', anyRead: true });
    expect(described([], vllm).command).toBe('vllm serve org/model');
    expect(described([], [])).toMatchObject({ command: null, anyRead: false, serving: { models: [] } });
  });

  it('a name of a model that may not be shown is left out', () => {
    const { models } = described([...vllm, '--served-model-name', 'user:secret@host', 'shown']).serving;
    expect(models).toEqual(['shown']);
  });
});
