import { describe, expect, it } from 'vitest';
import type { StartClock } from '../../lib/sampling/start-clock.js';
import { type Tracked, track } from '../../lib/sampling/tracked.js';
import type { WorkerProcess } from '../../lib/sampling/worker.js';
import { WorkerProcesses } from '../../lib/sampling/worker-processes.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import { noTrees } from '../../lib/workers/tree-workers.js';
import { none, process, record, watched } from './worker-support.js';

const path = '/llm/0';

/** A table of processes, and a clock that knows when each began: a second for each hundred ticks. */
function scene() {
  const table = new Map<number, KnownProcess>();
  const wanted: number[] = [];
  const denied = new Set<number>();
  const seen: number[] = [];
  const clock = { bootWallMs: 5000 as number | null, isKnown: true };
  const state = { generation: 1 };
  const processes = {
    get generation() {
      return state.generation;
    },
    all: () => table.values(),
    find: (pid: number, startTicks: number) => {
      const known = table.get(pid);
      return known?.startTicks === startTicks ? known : null;
    },
    get: (pid: number) => table.get(pid),
    want: (pid: number) => wanted.push(pid),
    denied: (pid: number) => denied.has(pid),
  };
  const workers = new WorkerProcesses({ processes: processes as never, showCommand: (argv) => argv.join(' ') }, {
    get bootWallMs() {
      return clock.bootWallMs;
    },
    seen: (ticks: number) => seen.push(ticks),
    uptimeSeconds: (ticks: number) => (clock.isKnown && !Number.isNaN(ticks) ? 1000 - ticks / 100 : null),
    startedAt: (ticks: number) => `start ${ticks} of ${clock.bootWallMs}`,
  } as unknown as StartClock);
  return {
    ...{ workers, table, wanted, denied, seen, clock, state },
    /** Puts a process into the table. */
    has: (pid: number, cgroup: string, command = 'sh', startTicks = pid * 10) =>
      table.set(pid, { pid, startTicks, cgroup, parentPid: 1, argv: command.split(' '), engine: null } as never),
    update: (paths: readonly string[] = [path], trackings = 1) => workers.update(paths, trackings, noTrees),
  };
}
const pids = (processes: readonly { readonly pid: number }[] | undefined) => processes?.map(({ pid }) => pid);
const own = (...all: readonly number[]): readonly WorkerProcess[] => all.map((pid) => process(pid, pid * 10));

describe('the processes of all workers', () => {
  it('are those in the cgroup of a worker, or below it', () => {
    const { workers, has, update, seen } = scene();
    has(11, path);
    has(12, `${path}/container`);
    has(13, '/llm/01');
    has(14, '/system.slice/x');
    has(15, '/llm/1');
    update([path, '/llm/1', '/llm/2']);
    expect([...workers.groups].map(([at, all]) => [at, pids(all)])).toEqual([
      [path, [11, 12]],
      ['/llm/1', [15]],
    ]);
    expect(seen).toEqual([150]);
  });

  it('are found anew only where the table, the workers or the trees have changed', () => {
    const { workers, has, update, state, seen } = scene();
    has(11, path);
    update();
    const before = workers.groups;
    has(12, path);
    update();
    expect(workers.groups).toBe(before);
    update([path], 2);
    expect(pids(workers.groups.get(path))).toEqual([11, 12]);
    has(13, path);
    state.generation = 2;
    update([path], 2);
    expect(pids(workers.groups.get(path))).toEqual([11, 12, 13]);
    has(14, path);
    workers.update([path], 2, { ...noTrees });
    expect(pids(workers.groups.get(path))).toEqual([11, 12, 13, 14]);
    expect(seen).toHaveLength(4);
  });

  it('are the same lists where others come and go', () => {
    const { workers, has, update, state, table } = scene();
    has(11, path);
    has(15, '/llm/1');
    update([path, '/llm/1']);
    const before = workers.groups;
    const next = (paths: readonly string[]) => {
      state.generation += 1;
      update(paths);
    };
    has(90, '/other');
    next([path, '/llm/1']);
    expect(workers.groups).toBe(before);
    has(16, '/llm/1');
    next([path, '/llm/1']);
    expect(workers.groups).not.toBe(before);
    expect(workers.groups.get(path)).toBe(before.get(path));
    table.delete(16);
    next([path]);
    expect([...workers.groups.keys()]).toEqual([path]);
    has(11, path, 'sh', 999);
    next([path]);
    expect(workers.groups.get(path)).not.toBe(before.get(path));
  });
});

describe('a worker by its processes', () => {
  it('has those of cgroups below as well, each once', () => {
    const { workers, has, update } = scene();
    has(11, path, 'vllm serve a');
    has(12, `${path}/container`);
    has(13, `${path}/threads`);
    update();
    const tracked = track(watched(), 1, 1);
    const found = workers.identify(tracked, own(11, 13), null);
    expect([found.nested, found.main?.pid]).toEqual([1, 11]);
    expect(tracked.identity.map((each) => each?.pid)).toEqual([11, 13, 12]);
    const alone = workers.identify(track(watched({ path: '/llm/9' }), 1, 1), own(77), null);
    expect([alone.nested, alone.main?.pid]).toEqual([0, 77]);
  });

  it('is described by command lines, the main process first, and again where one is known by then', () => {
    const { workers, has, update, wanted } = scene();
    has(11, path, 'sh -c x');
    has(20, path, 'vllm serve a');
    update();
    const tracked = track(watched(), 1, 1);
    const { commands, main } = workers.identify(tracked, own(11, 12, 20), record({ pid: 20, startTicks: 200 }));
    expect(main?.pid).toBe(20);
    expect(commands()).toEqual([['vllm', 'serve', 'a'], ['sh', '-c', 'x'], []]);
    expect(wanted).toEqual([12]);
    expect(tracked.described).toMatchObject({ command: 'vllm serve a' });
    const before = tracked.described;
    workers.identify(tracked, own(11, 12, 20), record({ pid: 20, startTicks: 200 }));
    expect(tracked.described).toBe(before);
    expect(wanted).toEqual([12, 12]);
    has(12, path, 'python b.py');
    workers.identify(tracked, own(11, 12, 20), record({ pid: 20, startTicks: 200 }));
    expect(tracked.described).not.toBe(before);
    const again = tracked.described;
    workers.identify(tracked, own(11, 20), null);
    expect(tracked.described).not.toBe(again);
    expect(workers.identify(tracked, [], null).commands()).toEqual([]);
    expect(tracked.described?.command ?? null).toBeNull();
  });

  it('starts when its main process did, and its run stays that of the first', () => {
    const { workers, clock } = scene();
    const tracked = track(watched(), 1, 1);
    const identify = (...all: readonly WorkerProcess[]) => workers.identify(tracked, all, null);
    identify(process(11, 110));
    const first = { key: '11/110', pid: 11, startTicks: 110, bootWallMs: 5000, startedAt: 'start 110 of 5000' };
    expect([tracked.main, tracked.uptimeSeconds]).toEqual([first, 998.9]);
    expect(tracked.run).toEqual({ pid: 11, incarnation: '11/110' });
    const { main } = tracked;
    identify(process(11, 110));
    expect(tracked.main).toBe(main);
    clock.bootWallMs = 6000;
    identify(process(11, 110));
    expect(tracked.main).toEqual({ ...first, bootWallMs: 6000, startedAt: 'start 110 of 6000' });
    identify(process(12, 110));
    expect(tracked.main).toMatchObject({ key: '12/110', pid: 12 });
    identify(process(12, 120));
    expect(tracked.main).toMatchObject({ key: '12/120', startTicks: 120 });
    expect(tracked.run).toEqual({ pid: 11, incarnation: '11/110' });
    identify(process(13, none));
    expect([tracked.main?.pid, tracked.uptimeSeconds]).toEqual([12, null]);
    identify();
    expect([tracked.main, tracked.uptimeSeconds]).toEqual([null, null]);
  });

  it('whose start is not known by the wall has it once it is', () => {
    const { workers, clock } = scene();
    clock.isKnown = false;
    const tracked = track(watched(), 1, 1);
    const identify = () => workers.identify(tracked, [process(11, 110)], null);
    identify();
    expect([tracked.main?.startedAt, tracked.uptimeSeconds]).toEqual([null, null]);
    const { main } = tracked;
    identify();
    expect(tracked.main).toBe(main);
    clock.isKnown = true;
    identify();
    expect(tracked.main?.startedAt).toBe('start 110 of 5000');
  });

  it('has processes that are hidden: twice listed, never read, and denied', () => {
    const { workers, denied } = scene();
    const tracked: Tracked = track(watched(), 1, 1);
    const pass = (...all: readonly WorkerProcess[]) => {
      workers.identify(tracked, all, null);
      return [tracked.hidden, [...tracked.unread]];
    };
    denied.add(12).add(13);
    expect(pass(process(11, 110))).toEqual([0, []]);
    expect(pass(process(12, none), process(14, none))).toEqual([0, [12, 14]]);
    expect(pass(process(12, none), process(13, none), process(14, none))).toEqual([1, [12, 13, 14]]);
    expect(pass(process(12, none), process(13, none))).toEqual([2, [12, 13]]);
    expect(pass(process(12, 120), process(13, none))).toEqual([1, [13]]);
    expect(pass(process(12, 120))).toEqual([0, []]);
    expect(pass(process(13, none))).toEqual([0, [13]]);
  });
});
