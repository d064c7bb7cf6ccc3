import { describe, expect, it } from 'vitest';
import { rowFlags, stalledFlag } from '../../lib/native/layout.js';
import { socket, World } from './endpoints-world.js';
import { SamplerWorld } from './sampler-world.js';
import { record } from './worker-support.js';

const ids = (workers: readonly { readonly id: string }[]) => workers.map(({ id }) => id);
const kinds = (world: SamplerWorld) => world.sampler.takeEvents().map(({ kind, workerId }) => [kind, workerId]);
const codes = (faults: readonly { readonly code: string; readonly workerId?: string | undefined }[]) =>
  faults.map(({ code, workerId }) => [code, workerId]);

describe('what is watched', () => {
  it('has a slot of the reader from when it is watched until it is not, and a tree has none', () => {
    const world = new SamplerWorld();
    const [, b] = world.watch('a', 'b');
    world.watchAs({ path: 'tree 7', id: 'processes/vllm-7', scope: 'processes', directory: null });
    world.sampler.reconcile();
    world.sampler.reconcile();
    expect(world.asked).toEqual(['+/cg/llm/a', '+/cg/llm/b']);
    world.set = { ...world.set, watched: [b!] };
    world.sampler.reconcile();
    expect(world.asked.slice(2)).toEqual(['-/cg/llm/a']);
    // It is asked only of a list that it does not know.
    world.watch('c');
    world.sampler.reconcile({ watched: world.set.watched });
    world.slots.length = 0;
    world.sampler.reconcile({ watched: world.set.watched });
    expect(world.asked.slice(3)).toEqual(['+/cg/llm/c']);
  });

  it('is what is watched now: its name may have become known', () => {
    const world = new SamplerWorld();
    const [a] = world.watch('a');
    world.tick();
    world.set = { ...world.set, watched: [{ ...a!, name: 'box' }] };
    expect(world.tick().workers.map(({ name }) => name)).toEqual(['box']);
    expect(world.asked).toEqual(['+/cg/llm/a']);
  });

  it('has its processes, also where another one goes as it comes', () => {
    const world = new SamplerWorld();
    const [a] = world.watch('a');
    world.has('/llm/b', [[21, 1000]]);
    world.tick();
    world.set = { ...world.set, watched: [{ ...a!, id: 'llm/b', path: '/llm/b', directory: '/cg/llm/b' }] };
    world.tick();
    expect(world.targets.at(-1)).toMatchObject([{ id: 'llm/b', processes: [{ pid: 21 }] }]);
  });

  it('without a reader of cgroups has no slot', () => {
    const world = new SamplerWorld({ reader: null, trees: null });
    world.watch('a');
    expect([world.sampler.sampleWorkers(), world.tick().workers, world.asked]).toEqual([[], [], []]);
    world.set = { ...world.set, watched: [] };
    expect(world.tick().workers).toEqual([]);
  });

  it('is forgotten at once where it is not any more, with what it did', () => {
    const world = new SamplerWorld();
    const [, b] = world.watch('a', 'b');
    world.tick();
    world.set = { ...world.set, watched: [b!] };
    // No pass has been made since.
    expect(ids(world.sampler.snapshot().workers)).toEqual(['llm/b']);
    world.nowMs += 60_000;
    world.set = { ...world.set, recordsReadAtMs: world.nowMs };
    world.tick();
    expect(kinds(world).filter(([kind]) => kind === 'workerExited')).toEqual([['workerExited', 'llm/a']]);
  });

  it('of a pass that began before its slot was given nothing is taken', () => {
    const world = new SamplerWorld();
    world.watch('a');
    world.tick();
    // The slot is another worker's, and the pass of before is about the first.
    world.set = { ...world.set, watched: [] };
    world.nowMs += 1;
    world.pass = world.read();
    world.watch('b');
    world.nowMs += 1;
    expect(world.sampler.snapshot()).toMatchObject({ workers: [], workersComplete: false });
    world.pass = world.read();
    expect(ids(world.sampler.snapshot().workers)).toEqual(['llm/b']);
  });
});

describe('a pass', () => {
  it('is taken once: a snapshot before the next one says the same', () => {
    const world = new SamplerWorld();
    world.watch('a');
    world.tick();
    world.cgroup('/llm/a').values = { usageUsec: 5e6 };
    world.tick();
    world.cgroup('/llm/a').values = { usageUsec: 5.5e6 };
    expect(world.tick().workers[0]?.cpuPercent).toBe(50);
    expect(world.sampler.snapshot().workers[0]?.cpuPercent).toBe(50);
    expect(world.targets).toHaveLength(3);
  });

  it('is made on the thread of who asks for workers alone', () => {
    const world = new SamplerWorld();
    world.watch('b', 'a');
    expect(ids(world.sampler.sampleWorkers())).toEqual(['llm/a', 'llm/b']);
    expect(world.sampler.latest()).toBeNull();
    world.nowMs += 1000;
    expect(ids(world.sampler.sampleWorkers())).toEqual(['llm/a', 'llm/b']);
    expect(kinds(new SamplerWorld())).toEqual([]);
  });

  it('without cgroups the trees set the pace', () => {
    const world = new SamplerWorld({ reader: null, readerReason: 'no v2' });
    world.watchAs({ path: 'tree 7', id: 'processes/vllm-7', scope: 'processes', directory: null });
    expect(world.tick()).toMatchObject({ workers: [], collection: { ageMs: null, durationMs: null } });
    world.tree('tree 7');
    const first = world.tick();
    expect(first.workers.map(({ id, scope }) => [id, scope])).toEqual([['processes/vllm-7', 'processes']]);
    expect(first.collection).toMatchObject({ ageMs: 0, durationMs: 2.5, cgroupReader: 'none' });
    const taken = world.targets.length;
    world.nowMs += 400;
    expect(world.sampler.snapshot().collection.ageMs).toBe(400);
    expect(world.targets).toHaveLength(taken);
    expect(world.sampler.sampleWorkers()).toHaveLength(1);
  });

  it('a tree has no row of a cgroup, and a cgroup none of a tree', () => {
    const world = new SamplerWorld();
    world.watch('a');
    world.watchAs({ path: 'tree 7', id: 'processes/vllm-7', scope: 'processes', directory: null });
    world.tree('/llm/a', { memoryCurrentBytes: 9 });
    const { workers } = world.tick();
    expect(workers.map(({ id, memoryBytes }) => [id, memoryBytes])).toEqual([['llm/a', null]]);
    const without = new SamplerWorld({ trees: null });
    without.watch('a');
    without.watchAs({ path: 'tree 7', id: 'processes/vllm-7', scope: 'processes', directory: null });
    expect(ids(without.tick().workers)).toEqual(['llm/a']);
  });

  it('a tree that was not read again since is what it was', () => {
    const world = new SamplerWorld();
    world.watch('a');
    world.watchAs({ path: 'tree 7', id: 'processes/vllm-7', scope: 'processes', directory: null });
    world.tree('tree 7', { usageUsec: 1e6 });
    world.tick();
    world.tree('tree 7', { usageUsec: 1.5e6 });
    const tree = () => world.tick().workers.map(({ id, cpuPercent }) => [id, cpuPercent])[1];
    expect(tree()).toEqual(['processes/vllm-7', 50]);
    expect(tree()).toEqual(['processes/vllm-7', 50]);
    world.trees.clear();
    world.treePass = { startedMs: world.nowMs, durationMs: 1, rows: new Map() };
    expect(tree()).toBeUndefined();
  });

  it('a read that hangs costs the worker whose it is: which one it is stays known', () => {
    const world = new SamplerWorld();
    world.watch('a', 'b', 'c');
    world.cgroup('/llm/a').values = { memoryCurrentBytes: 7 };
    world.cgroup('/llm/b').values = { usageUsec: 7 };
    world.cgroup('/llm/c').values = { flags: stalledFlag };
    world.tick();
    world.cgroup('/llm/a').values = { flags: stalledFlag | rowFlags.partial };
    const { workers, faults } = world.tick();
    expect(workers.map(({ id, memoryBytes, state }) => [id, memoryBytes, state])).toEqual([
      ['llm/a', null, 'unknown'],
      ['llm/b', null, 'idle'],
    ]);
    // Of one that was never read nothing is shown.
    expect(faults.filter(({ code }) => code === 'CGROUP_STALLED')).toMatchObject([
      { source: 'cgroup', workerId: 'llm/a', field: 'workers' },
      { workerId: 'llm/c', message: expect.stringContaining('does not return') },
    ]);
    expect(world.sampler.latest()?.workersComplete).toBe(false);
    world.cgroup('/llm/c').values = {};
    expect(world.tick().workersComplete).toBe(true);
  });

  it('a worker whose cgroup is removed, or empty, is gone, once, and the first is looked for', () => {
    const world = new SamplerWorld();
    world.watch('a', 'b', 'c');
    world.tick();
    world.cgroup('/llm/a').values = { flags: rowFlags.removed };
    world.cgroup('/llm/b').values = { populated: 0 };
    expect(ids(world.tick().workers)).toEqual(['llm/c']);
    expect([world.changes, world.asked.slice(3)]).toEqual([1, ['-/cg/llm/a']]);
    world.nowMs += 60_000;
    world.set = { ...world.set, recordsReadAtMs: world.nowMs };
    world.tick();
    const exits = kinds(world).filter(([kind]) => kind === 'workerExited');
    expect(exits).toEqual([
      ['workerExited', 'llm/a'],
      ['workerExited', 'llm/b'],
    ]);
    // A cgroup that fills again is a worker that starts.
    world.has('/llm/b', [[99, 2000]]);
    expect(ids(world.tick().workers)).toEqual(['llm/b', 'llm/c']);
    // One without a directory is watched no longer, though the list still has it.
    expect(world.asked.filter((each) => each.startsWith('+/cg/llm/a'))).toHaveLength(3);
  });

  it('all is read when each that is watched was, whatever lives in it', () => {
    const world = new SamplerWorld();
    world.watch('a', 'b');
    world.cgroup('/llm/a').values = { populated: 0 };
    expect(world.tick()).toMatchObject({ workersComplete: true, workers: [{ id: 'llm/b' }] });
  });
});

describe('a worker in a pass', () => {
  it('is none where it is the sandbox of a pod, which runs `pause` alone', () => {
    const world = new SamplerWorld();
    world.has('/kubepods/p', [[31, 5]], {}, '/pause');
    world.has('/kubepods/q', [[32, 5]], {}, '/serve');
    world.has('/docker/p', [[33, 5]], {}, '/pause');
    for (const [group, instance] of [['kubepods', 'p'] as const, ['kubepods', 'q'] as const, ['docker', 'p'] as const])
      world.watchAs({ path: `/${group}/${instance}`, group, instance });
    expect(ids(world.tick().workers)).toEqual(['docker/p', 'kubepods/q']);
  });

  it('is asked about as the process that it is, or the cgroup where none is known', () => {
    const world = new SamplerWorld();
    world.watch('a', 'b');
    world.cgroup('/llm/b').pids = [];
    world.tick();
    // A pass that does not know it any more has it still.
    world.cgroup('/llm/b').values = { inode: Number.NaN };
    world.tick();
    expect(world.targets.map((all) => all.map(({ id, identity }) => [id, identity]))).toEqual(
      Array(2).fill([
        ['llm/a', '11/1000'],
        ['llm/b', '51'],
      ]),
    );
  });

  it('its devices are looked at where there are several of them', () => {
    const world = new SamplerWorld();
    world.watch('a', 'b');
    world.cgroup('/llm/a').values = { ioDevices: 1, ioUnknownDevice: 5 };
    world.cgroup('/llm/b').values = { ioDevices: 2, ioUnknownDevice: 6 };
    world.tick();
    expect(world.used).toEqual([6]);
    const without = new SamplerWorld({ blockDevices: null });
    without.watch('a');
    without.cgroup('/llm/a').values = { ioDevices: 2 };
    expect(without.tick().workers).toHaveLength(1);
  });

  it('starts once, and its OOM kills count', () => {
    const world = new SamplerWorld();
    world.boot();
    world.nowMs += 5000;
    world.watch('a');
    world.cgroup('/llm/a').pids = [[11, 100_300]];
    world.runs(11, 100_300, '/llm/a');
    world.cgroup('/llm/a').values = { oomKill: 0 };
    world.tick();
    world.cgroup('/llm/a').values = { oomKill: 2 };
    world.tick();
    world.tick();
    expect(kinds(world)).toEqual([
      ['workerStarted', 'llm/a'],
      ['oomKill', 'llm/a'],
    ]);
    expect(world.worker('llm/a')).toMatchObject({ pid: 11, oomKills: 2, startedAt: '2026-03-04T05:06:05.000Z' });
  });

  it('has what `run` wrote down of it, where that is of this cgroup', () => {
    const world = new SamplerWorld();
    const [a] = world.watch('a', 'b');
    const written = record({ pid: 11, startTicks: 1000, cgroupInode: 50, reservationId: 'r-1', model: 'phi' });
    world.set = {
      ...world.set,
      watched: [
        { ...a!, record: written },
        { ...world.set.watched[1]!, record: written },
      ],
    };
    const { workers } = world.tick();
    expect(workers.map(({ model, reservationId }) => [model, reservationId ?? null])).toEqual([
      ['phi', 'r-1'],
      [null, null],
    ]);
    expect(world.targets[0]?.map(({ unnamed }) => unnamed)).toEqual([false, true]);
  });

  it('is ready by its probe; else it says why that is not known', () => {
    const world = new SamplerWorld();
    world.watch('a', 'b', 'c');
    world.ready.set('llm/a', true).set('llm/b', false);
    const { workers } = world.tick();
    expect(workers.map(({ ready, state, nullReasons }) => [ready, state, nullReasons?.ready])).toEqual([
      [true, 'unknown', undefined],
      [false, 'starting', undefined],
      [null, 'starting', 'socketsUnknown'],
    ]);
    const unasked = new SamplerWorld({ prober: null });
    unasked.watch('a');
    unasked.cgroup('/llm/a').values = { usageUsec: 7 };
    expect(unasked.tick().workers[0]?.nullReasons?.ready).toBe('notProbed');
    // The second time it is no longer starting: nobody asks whether it is ready.
    expect(unasked.tick().workers[0]?.state).toBe('idle');
    expect(unasked.targets).toEqual([]);
  });

  it('says of a server that was asked that no answer came yet, or why there is none', () => {
    for (const [unclear, expected] of [
      [null, 'noAnswerYet'],
      ['unrecognized', 'unrecognized'],
    ] as const) {
      const sockets = new World();
      const world = new SamplerWorld({
        listening: sockets.listening as never,
        prober: {
          ...{ update: () => undefined, readyOf: () => null, findingsOf: () => new Map() },
          unclearOf: () => unclear as never,
        },
      });
      world.watch('a');
      world.has('/llm/a', [[11, 1000]], {}, 'vllm serve org/phi');
      sockets.sockets.set(11, [socket(1, 8000)]);
      expect(world.tick().workers[0]?.nullReasons?.ready).toBe(expected);
    }
  });

  it('has the server that its sockets show, and faults about it name it', async () => {
    const sockets = new World();
    sockets.faults = [{ source: 'proc', code: 'SOCKETS_STALLED', message: 'slow' }];
    const world = new SamplerWorld({ listening: sockets.listening as never, address: '10.4.4.4' });
    world.watch('a');
    world.has('/llm/a', [[11, 1000]], {}, 'vllm serve org/phi');
    sockets.sockets.set(11, [socket(1, 8000)]);
    world.sampler.reconcile();
    await world.sampler.lookAtSockets();
    expect([sockets.looks, sockets.updates[0]?.[0]]).toMatchObject([1, [{ pid: 11 }]]);
    const { workers, faults } = world.tick();
    expect(workers[0]).toMatchObject({ port: 8000 });
    expect(codes(faults)).toContainEqual(['SOCKETS_STALLED', undefined]);
  });

  it('is what its figures say: busy by its CPU, and not known where that is not', () => {
    const world = new SamplerWorld();
    world.watch('a', 'b');
    const states = () => world.tick().workers.map(({ state, cpuPercent }) => [state, cpuPercent]);
    world.cgroup('/llm/a').values = { usageUsec: 0 };
    world.ready.set('llm/a', true).set('llm/b', true);
    states();
    world.cgroup('/llm/a').values = { usageUsec: 400_000 };
    expect(states()).toEqual([
      ['busy', 40],
      ['unknown', null],
    ]);
    world.cgroup('/llm/a').values = { usageUsec: 400_000 };
    expect(states()[0]).toEqual(['idle', 0]);
    expect(world.targets.at(-1)?.map(({ working }) => working)).toEqual([false, false]);
    expect(world.targets.at(-2)?.map(({ working }) => working)).toEqual([true, false]);
  });
});
