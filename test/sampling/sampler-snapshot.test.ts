import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { GpuReading } from '../../lib/gpu/reading.js';
import { stalledFlag } from '../../lib/native/layout.js';
import type { SamplerDeps } from '../../lib/sampling/deps.js';
import { SamplerWorld } from './sampler-world.js';

const fault = (code: string) => ({ source: 'proc', code, message: 'as said' }) as const;
const codes = (faults: readonly { readonly code: string }[]) => faults.map(({ code }) => code);
const watching = (deps: Partial<SamplerDeps> = {}) => {
  const world = new SamplerWorld(deps);
  world.watch('a');
  world.cgroup('/llm/a').values = { memoryCurrentBytes: 7, usageUsec: 9 };
  return world;
};

describe('a snapshot', () => {
  it('is kept, and is there from the first on', () => {
    const world = watching();
    expect(world.sampler.latest()).toBeNull();
    const first = world.tick();
    expect(world.sampler.latest()).toBe(first);
    expect(world.tick()).not.toBe(first);
  });

  it('says of the pass how long it took and how old it is', () => {
    const world = watching();
    expect(world.sampler.snapshot().collection).toMatchObject({ ageMs: null, durationMs: null });
    expect(world.tick().collection).toMatchObject({
      ...{ durationMs: 1.235, ageMs: 0, cgroupReader: 'native', cgroupReaderReason: null },
      ...{ gpuReader: 'none', gpuReaderReason: 'no GPUs', gpuAgeMs: null },
    });
    world.nowMs += 0.123_456;
    expect(world.sampler.snapshot().collection.ageMs).toBe(0.123);
    // The clock of the pass may be a little ahead.
    world.nowMs -= 5;
    expect(world.sampler.snapshot().collection.ageMs).toBe(0);
  });

  it('says why the readers are not the first choice, in what the contract takes', () => {
    const world = watching({ readerReason: 'x'.repeat(600) });
    world.reading = { ...world.reading, reason: 'y'.repeat(600), ageMs: 1.23456 };
    expect(world.tick().collection).toMatchObject({
      ...{ cgroupReaderReason: 'x'.repeat(512), gpuReaderReason: 'y'.repeat(512), gpuAgeMs: 1.235 },
    });
    expect(world.sampler.latest()!.collection).not.toHaveProperty('gpuReaders');
    world.reading = { ...world.reading, reason: null, reader: 'nvml', readers: ['nvml', 'drm'] };
    expect(world.tick().collection).toMatchObject({ gpuReaderReason: null, gpuReaders: ['nvml', 'drm'] });
  });

  it('has the host as it was read, or what is known of one that was not', () => {
    const world = watching();
    expect(world.tick().host).toMatchObject({ cpuCount: availableParallelism(), uptimeSeconds: null });
    world.boot(77);
    world.host = { ...world.host!, faults: [fault('HOST_UNREADABLE')] };
    const { host, faults } = world.tick();
    expect(host).toEqual({ uptimeSeconds: 77, cpuCount: 3 });
    expect(codes(faults)).toContain('HOST_UNREADABLE');
  });

  it('has the faults of all its sources, and no more than a queen takes', () => {
    const world = watching({ blockDevices: { used: () => undefined, faults: () => [fault('BLOCK_UNREADABLE')] } });
    world.set = { ...world.set, faults: [fault('TREE_UNREADABLE')] };
    world.treeFaults = [fault('PROC_STALLED')];
    world.reading = { ...world.reading, faults: [fault('GPU_SUSPENDED')] };
    world.cgroup('/llm/a').errors = { 'memory.stat': 5, 'cpu.pressure': 95 };
    const { faults } = world.tick();
    expect(codes(faults)).toEqual([
      ...['TREE_UNREADABLE', 'GPU_SUSPENDED', 'CGROUP_FILE_UNREADABLE', 'BLOCK_UNREADABLE', 'PROC_STALLED'],
      'PRESSURE_UNAVAILABLE',
    ]);
    world.set = { ...world.set, faults: Array.from({ length: 600 }, () => fault('TREE_UNREADABLE')) };
    expect(world.tick().faults).toHaveLength(500);
    const few = watching({ blockDevices: null, trees: null });
    expect(few.tick().faults).toEqual([]);
  });

  it('a figure that no host can have is a fault of its worker', () => {
    const world = watching();
    world.cgroup('/llm/a').values = { memoryCurrentBytes: 2 ** 70 };
    expect(world.tick().faults).toMatchObject([{ code: 'IMPLAUSIBLE', workerId: 'llm/a', field: 'memoryBytes' }]);
    expect(world.worker('llm/a').memoryBytes).toBeNull();
  });

  it('clocks that differ are said, and no start is known then', () => {
    const world = watching();
    world.boot(1);
    world.cgroup('/llm/a').pids = [[11, 10_000]];
    world.runs(11, 10_000, '/llm/a');
    expect(codes(world.tick().faults)).toEqual(['CLOCKS_DIFFER']);
    expect(world.worker('llm/a')).toMatchObject({ startedAt: null, uptimeSeconds: null });
    // The fault says why.
    expect(world.worker('llm/a').nullReasons?.uptimeSeconds).toBeUndefined();
  });

  it('says by how much the wall clock was set', () => {
    const world = watching();
    world.boot();
    world.tick();
    world.wallMs += 60_000;
    world.tick();
    expect(world.sampler.wallStepMs).toBe(60_000);
  });
});

describe('whether all workers are known', () => {
  it('not before a pass, nor where discovery says so, nor without a reader', () => {
    const world = watching();
    expect(world.sampler.snapshot().workersComplete).toBe(false);
    const empty = new SamplerWorld();
    expect(empty.sampler.snapshot().workersComplete).toBe(false);
    expect(world.tick().workersComplete).toBe(true);
    world.set = { ...world.set, complete: false };
    expect(world.tick().workersComplete).toBe(false);
    const none = new SamplerWorld({ reader: null, trees: null });
    expect(none.tick()).toMatchObject({ workersComplete: false, workers: [] });
    const trees = new SamplerWorld({ reader: null });
    trees.treePass = { startedMs: trees.nowMs, durationMs: 1, rows: new Map() };
    expect(trees.sampler.snapshot().workersComplete).toBe(true);
  });

  it('without cgroups it is said why, and what is watched in their place', () => {
    const message = (deps: Partial<SamplerDeps>) => {
      const { faults } = new SamplerWorld({ reader: null, ...deps }).tick();
      expect(faults).toMatchObject([{ source: 'cgroup', code: 'CGROUP_UNAVAILABLE' }]);
      return faults[0]?.message;
    };
    expect(message({ trees: null })).toBe('No cgroup v2 can be read.');
    expect(message({ readerReason: 'None is mounted.', trees: null })).toBe('None is mounted.');
    expect(message({ readerReason: 'None is mounted.' })).toMatch(/^None is mounted\. Engines and .*trees/);
  });

  it('more workers than a queen takes are cut off, which is said', () => {
    const world = new SamplerWorld();
    world.watch(...Array.from({ length: 2001 }, (_unused, i) => `w${i}`));
    const { workers, workersComplete, faults } = world.tick();
    expect([workers.length, workersComplete, codes(faults)]).toEqual([2000, false, ['WORKERS_LEFT_OUT']]);
  });
});

describe('a pass that is late', () => {
  const stalled = (world: SamplerWorld) =>
    world.sampler.snapshot().faults.find(({ code }) => code === 'CGROUP_STALLED');

  it.each([
    [1000, 5000],
    [100, 5000],
    [3000, 15_000],
  ])('at an interval of %i ms is what is known for %i ms, and after that nothing is', (intervalMs, ms) => {
    const world = watching({ intervalMs });
    world.tick();
    world.nowMs += ms;
    expect(world.sampler.snapshot()).toMatchObject({ workersComplete: true, workers: [{ memoryBytes: 7 }] });
    expect([stalled(world), world.sampler.counters().size]).toEqual([undefined, 1]);
    world.nowMs += 1;
    const late = world.sampler.snapshot();
    expect(late).toMatchObject({ workersComplete: false, workers: [{ id: 'llm/a', memoryBytes: null }] });
    expect(stalled(world)?.message).toContain(` ${ms + 1} ms`);
    expect(world.sampler.counters().size).toBe(0);
    // It is taken as it is once it comes.
    expect(world.tick()).toMatchObject({ workersComplete: true, workers: [{ memoryBytes: 7 }], faults: [] });
  });

  it.each([
    [1000, 2000],
    [100, 2000],
    [3000, 6000],
  ])('at an interval of %i ms is a fault when it has run for %i ms', (intervalMs, ms) => {
    const world = watching({ intervalMs });
    world.tick();
    world.runningMs = ms;
    expect(stalled(world)).toBeUndefined();
    world.runningMs = ms + 0.6;
    expect(stalled(world)).toMatchObject({ source: 'cgroup', message: expect.stringContaining(` ${ms + 1} ms`) });
    expect(world.sampler.latest()?.workers[0]?.memoryBytes).toBe(7);
    const first = watching({ intervalMs });
    first.runningMs = 9000;
    expect(stalled(first)?.message).toContain(' 9000 ms');
  });

  it('trees alone that are late are stale too', () => {
    const world = new SamplerWorld({ reader: null, readerReason: 'none' });
    world.watchAs({ path: 'tree 7', id: 'processes/vllm-7', scope: 'processes', directory: null });
    world.tree('tree 7');
    world.tick();
    world.nowMs += 5001;
    const { workersComplete, faults, workers } = world.sampler.snapshot();
    expect([workersComplete, codes(faults), workers[0]?.processCount]).toEqual([false, ['CGROUP_UNAVAILABLE'], null]);
  });
});

describe('raw counters of workers', () => {
  it('are those of the newest pass of each in which something lives', () => {
    const world = watching();
    world.watch('b', 'c');
    world.cgroup('/llm/b').values = { populated: 0 };
    world.cgroup('/llm/c').values = { flags: stalledFlag };
    expect(world.sampler.counters().size).toBe(0);
    world.tick();
    world.cgroup('/llm/a').values = { usageUsec: 12 };
    world.tick();
    const counters = world.sampler.counters();
    expect([...counters.keys()]).toEqual(['llm/a']);
    expect(counters.get('llm/a')?.row.usageUsec).toBe(12);
  });

  it('of I/O have every device that ever counted, as long as none has left', () => {
    const world = watching();
    const whole = (ioDevices: number) => {
      world.cgroup('/llm/a').values = { ioDevices, ioReadBytes: 5, ioWriteBytes: 5 };
      world.tick();
      return world.sampler.counters().get('llm/a')?.ioWhole;
    };
    expect([whole(2), whole(3), whole(2), whole(3)]).toEqual([true, true, false, true]);
    const unknown = watching();
    unknown.tick();
    expect(unknown.sampler.counters().get('llm/a')?.ioWhole).toBe(false);
  });
});

describe('GPUs of workers', () => {
  const uuid = 'G0';
  const held = (pid: number, use: number | null = 0) => ({
    ...{ gpuUuid: uuid, pid, memoryUsedBytes: 1024, utilizationPercent: use },
  });
  const reading = (over: Partial<GpuReading> = {}): GpuReading => ({
    ...{ reader: 'nvml', reason: null, ageMs: 1, status: 'working', faults: [], processes: [] },
    devices: [{ uuid, index: 0, health: 'ok', unsupported: [], memoryTotalBytes: 4096, processesKnown: true } as never],
    ...over,
  });

  it('are those of its processes, as the pass lists them, with the sums of them', () => {
    const world = watching();
    world.reading = reading({ processes: [held(11, 30)] });
    world.tick();
    const { workers, gpus } = world.tick();
    expect(workers[0]).toMatchObject({
      ...{ gpus: [{ uuid, memoryUsedBytes: 1024, utilizationPercent: 30 }], gpuUtilizationPercent: 30 },
      ...{ vramUsedBytes: 1024, vramTotalBytes: 4096, state: 'busy' },
    });
    expect(gpus).toMatchObject([{ uuid, processCount: 1, unattributedBytes: 0 }]);
    world.reading = reading({ processes: [held(11, 0)] });
    expect(world.tick().workers[0]?.state).toBe('idle');
  });

  it('are not known while their reader says nothing, and neither is what the worker does', () => {
    const world = watching();
    world.reading = reading({ processes: [held(11)] });
    world.tick();
    world.tick();
    world.reading = reading({ status: 'stalled', processes: [], devices: [] });
    const { workers } = world.tick();
    expect(workers[0]).toMatchObject({ gpus: [], vramUsedBytes: null, gpuUtilizationPercent: null, state: 'unknown' });
    expect(workers[0]?.gpusReason).toEqual(expect.any(String));
  });

  it('that do not list their processes cast doubt on who may hold them', () => {
    const world = watching();
    world.reading = reading({ processes: [held(11)] });
    world.tick();
    const [device] = reading().devices;
    world.reading = reading({ devices: [{ ...device!, processesKnown: false }] });
    const { workers, faults } = world.tick();
    expect(workers[0]).toMatchObject({ state: 'unknown', gpusReason: expect.stringContaining('does not list') });
    expect(codes(faults)).toContain('GPU_PROCESSES_UNKNOWN');
  });

  it('events of them stand behind those of workers', () => {
    const world = new SamplerWorld();
    world.boot();
    world.nowMs += 5000;
    world.watch('a');
    world.cgroup('/llm/a').pids = [[11, 100_300]];
    world.runs(11, 100_300, '/llm/a');
    world.tick();
    const detail = { xid: 79 };
    world.gpuEvents = [{ kind: 'xid', gpuUuid: uuid, at: '2026-03-04T00:00:00Z', detail }];
    const events = world.sampler.takeEvents();
    expect(events).toMatchObject([
      { kind: 'workerStarted', workerId: 'llm/a' },
      { kind: 'xid', gpuUuid: uuid, at: '2026-03-04T00:00:00Z', detail },
    ]);
    expect(events[1]?.detail).not.toBe(detail);
    expect(world.sampler.takeEvents()).toEqual([]);
  });
});
