import { describe, expect, it } from 'vitest';
import { noCounters } from '../../lib/engines/load/reading.js';
import { finding, key, socket, World } from './endpoints-world.js';
import { SamplerWorld } from './sampler-world.js';
import { record } from './worker-support.js';

const kinds = (world: SamplerWorld) => world.sampler.takeEvents().map(({ kind, workerId }) => [kind, workerId]);
const codes = (faults: readonly { readonly code: string; readonly workerId?: string | undefined }[]) =>
  faults.map(({ code, workerId }) => [code, workerId]);

describe('why a figure of a worker is null', () => {
  const why = (world: SamplerWorld, name = 'llm/a') => world.worker(name).nullReasons;

  it('is what its files say: the kernel does not offer it, or it is not in the file', () => {
    const world = new SamplerWorld();
    world.watch('a', 'b');
    world.cgroup('/llm/a').errors = { 'memory.peak': 2, 'cpu.stat': 5 };
    world.tick();
    expect(why(world)).not.toHaveProperty('memoryPeakBytes');
    expect(why(world)).not.toHaveProperty('cpuPercent');
    expect(why(world, 'llm/b')).toMatchObject({ memoryPeakBytes: 'notInFile', cpuPercent: 'notInFile' });
  });

  it('of a tree is that it has no cgroup, whatever the files of a cgroup say', () => {
    const world = new SamplerWorld();
    world.watch('a');
    world.cgroup('/llm/a').errors = { 'cpu.stat': 5, 'memory.current': 5, 'io.stat': 5 };
    world.watchAs({ path: 'tree 7', id: 'processes/vllm-7', scope: 'processes', directory: null });
    world.tree('tree 7');
    world.tick();
    expect(why(world, 'processes/vllm-7')).toMatchObject({ memoryPeakBytes: 'noCgroup', ioReadBytesPerSecond: io });
    expect(why(world)).not.toHaveProperty('ioReadBytesPerSecond');
    const alone = new SamplerWorld({ reader: null });
    alone.watchAs({ path: 'tree 7', id: 'processes/vllm-7', scope: 'processes', directory: null });
    alone.tree('tree 7');
    alone.tick();
    expect(why(alone, 'processes/vllm-7')).toMatchObject({ memoryPeakBytes: 'noCgroup' });
  });
  /** Its processes could not be asked. */
  const io = 'processesHidden';

  it('of I/O that processes have is theirs where the controller is not there', () => {
    for (const [fromProc, expected] of [
      [{ memory: false, io: true }, 'processesHidden'],
      [{ memory: true, io: false }, 'notInFile'],
    ] as const) {
      const world = new SamplerWorld({ fromProc });
      world.watch('a');
      world.tick();
      expect(why(world)?.ioReadBytesPerSecond).toBe(expected);
    }
  });

  it('of its start is that the uptime of the host is not known', () => {
    const world = new SamplerWorld();
    world.watch('a');
    world.tick();
    expect(world.worker('llm/a')).toMatchObject({ startedAt: null, uptimeSeconds: null });
    expect(why(world)).toMatchObject({ startedAt: 'uptimeUnknown', uptimeSeconds: 'uptimeUnknown' });
  });

  it('of what its processes say is that they cannot be listed', () => {
    const world = new SamplerWorld({ fromProc: { memory: true, io: true } });
    world.watch('a');
    world.cgroup('/llm/a').values = { processCount: Number.NaN };
    world.cgroup('/llm/a').errors = { 'cgroup.procs': 13 };
    world.reading = { ...world.reading, status: 'working', processes: [held(11)], devices: [device] };
    world.tick();
    expect(world.tick().workers[0]).toMatchObject({ pid: null, processCount: null, memoryBytes: null });
    expect(world.worker('llm/a').gpus).toMatchObject([{ uuid: 'G0' }]);
  });

  const device = { uuid: 'G0', health: 'ok', unsupported: [], memoryTotalBytes: 1, processesKnown: true } as never;
  const held = (pid: number) => ({ gpuUuid: 'G0', pid, memoryUsedBytes: 1, utilizationPercent: 0 });

  it('a process that only the pass lists holds its GPU all the same', () => {
    const world = new SamplerWorld();
    world.watch('a', 'b');
    world.table.clear();
    world.reading = { ...world.reading, status: 'working', processes: [held(22)], devices: [device] };
    expect(world.tick().workers.map(({ gpus }) => gpus.length)).toEqual([0, 1]);
  });
});

describe('an exit that nobody saw', () => {
  it('is none of a worker whose cgroup lives', () => {
    const reported = { continued: true, exited: () => false, oomKills: () => 0 };
    const world = new SamplerWorld({ reported });
    world.watch('a');
    world.tick();
    const ended = record({
      ...{ group: 'llm', instance: 'a', cgroup: '/cg/llm/a', cgroupInode: 50, startedAt: '2026-03-04T05:00:00Z' },
      exit: { at: '2026-03-04T05:06:00Z', code: 1, signal: null, oomKills: null, remaining: 1 },
    });
    world.set = { ...world.set, ended: [ended], recordsReadAtMs: world.nowMs };
    world.tick();
    expect(kinds(world)).toEqual([]);
    world.cgroup('/llm/a').values = { populated: 0 };
    world.nowMs += 60_000;
    world.set = { ...world.set, recordsReadAtMs: world.nowMs };
    world.tick();
    expect(kinds(world)).toEqual([['workerExited', 'llm/a']]);
  });
});

describe('what the engine of a worker says', () => {
  const reading = {
    ...{ version: null, models: [], adapters: null, maxContext: null, running: 2, waiting: 0, waitingTokens: null },
    ...{ kvPercent: 0, prefixHitPercent: null, generationTokensPerSecond: null, sleeping: false, ranks: null },
    ...{ counters: noCounters, capacity: null, progress: 7 },
  };
  const asking = () => {
    const sockets = new World();
    const loads = {
      onAnswer: undefined as ((id: string) => void) | undefined,
      targets: [] as readonly object[],
      load: null as object | null,
      update: (targets: readonly object[]) => {
        loads.targets = [...targets];
      },
      loadOf: () => loads.load,
    };
    const own = new Map([[key(8000, 1), finding()]]);
    const world = new SamplerWorld({
      ...{ listening: sockets.listening as never, loads: loads as never },
      prober: { update: () => undefined, readyOf: () => true, unclearOf: () => null, findingsOf: () => own },
    });
    world.watch('a');
    world.has('/llm/a', [[11, 1000]], { usageUsec: 0 }, 'vllm serve org/phi');
    sockets.sockets.set(11, [socket(1, 8000)]);
    world.tick();
    return { world, loads, sockets };
  };

  it('is asked for where it listens, and passed on as it comes', () => {
    const { world, loads } = asking();
    expect(loads.targets).toMatchObject([{ id: 'llm/a', server: { address: { port: 8000 } } }]);
    const heard: unknown[] = [];
    world.sampler.onLoad((id, { running }) => heard.push([id, running]));
    loads.load = { engine: 'vllm', reading, atMs: world.nowMs, countedMs: world.nowMs, reason: null };
    loads.onAnswer?.('llm/a');
    expect(heard).toEqual([['llm/a', 2]]);
    expect(world.tick().workers[0]?.serving?.running).toBe(2);
  });

  it('shows that it computes nothing though it has requests: an event, and a fault', () => {
    const { world, loads } = asking();
    for (let second = 0; second < 40; second++) {
      loads.load = { engine: 'vllm', reading, atMs: world.nowMs, countedMs: world.nowMs, reason: null };
      world.tick();
    }
    expect(world.worker('llm/a').state).toBe('stalled');
    expect(kinds(world)).toEqual([['workerStalled', 'llm/a']]);
    expect(codes(world.sampler.latest()!.faults)).toContainEqual(['ENGINE_STALLED', 'llm/a']);
  });
});

describe('the port that `run` wrote down', () => {
  it('is that of the worker, where it listens on several', () => {
    const sockets = new World();
    const world = new SamplerWorld({ listening: sockets.listening as never });
    const [a] = world.watch('a');
    const written = record({ pid: 11, startTicks: 1000, cgroupInode: 50, port: 9000 });
    world.set = { ...world.set, watched: [{ ...a!, record: written }] };
    sockets.sockets.set(11, [socket(1, 8000), socket(2, 9000)]);
    expect(world.tick().workers[0]?.port).toBe(9000);
  });

  it('that nothing listens on is no news where processes are hidden', () => {
    const sockets = new World();
    const world = new SamplerWorld({ listening: sockets.listening as never });
    world.watch('a');
    sockets.sockets.set(11, []);
    expect(world.tick().workers[0]?.endpointReason).toBe('notListening');
    world.cgroup('/llm/a').pids = [...world.cgroup('/llm/a').pids, [12, Number.NaN]];
    world.denied.add(12);
    world.tick();
    expect(world.tick().workers[0]?.endpointReason).toBe('socketsUnknown');
  });
});

describe('I/O that is summed over processes', () => {
  const reads = (world: SamplerWorld) => world.worker('llm/a').ioReadBytesPerSecond;
  const summing = (io = true) => {
    const world = new SamplerWorld({ fromProc: { memory: true, io } });
    world.watch('a');
    world.cgroup('/llm/a').values = { ioDevices: 1, ioReadBytes: 0, ioWriteBytes: 0 };
    return world;
  };
  /** Two passes with these counters of process 11, and one more beside it. */
  const passes = (world: SamplerWorld, beside: readonly number[] = []) => {
    for (const read of [1000, 3000]) {
      const others = beside.map((startTicks, i) => [12 + i, startTicks] as const);
      world.cgroup('/llm/a').pids = [[11, 1000, { resident: 4096, read }], ...others];
      world.tick();
    }
  };

  it('is what they have read, and memory what they hold', () => {
    const world = summing();
    passes(world);
    expect(reads(world)).toBe(2000);
    expect(world.worker('llm/a')).toMatchObject({ memoryBytes: 4096, memorySource: 'proc' });
    // Not where the kernel says it itself.
    world.cgroup('/llm/a').values = { memoryCurrentBytes: 9 };
    world.tick();
    expect(world.worker('llm/a')).toMatchObject({ memoryBytes: 9, memorySource: 'cgroup' });
  });

  it('one that ended while it was read is no part of it', () => {
    const world = summing();
    passes(world, [Number.NaN]);
    expect(reads(world)).toBe(2000);
  });

  it('is not known where some of them are in cgroups below, or hidden', () => {
    const below = summing();
    below.runs(13, 1000, '/llm/a/container');
    passes(below);
    expect(reads(below)).toBe(0);
    const hidden = summing();
    hidden.denied.add(12);
    passes(hidden, [Number.NaN]);
    expect(hidden.worker('llm/a').ioReadBytesPerSecond).toBeNull();
    expect(codes(hidden.sampler.latest()!.faults)).toContainEqual(['PROC_UNREADABLE', 'llm/a']);
  });

  it('is that of the cgroup where its controller is there, and of a tree what its reader sums', () => {
    const world = summing(false);
    passes(world);
    expect(reads(world)).toBe(0);
    const trees = new SamplerWorld({ fromProc: { memory: false, io: true } });
    trees.watchAs({ path: 'tree 7', id: 'processes/vllm-7', scope: 'processes', directory: null });
    for (const ioReadBytes of [1000, 4000]) {
      trees.tree('tree 7', { ioDevices: 1, ioReadBytes, ioWriteBytes: 0, monotonicMs: trees.nowMs + 1000 });
      trees.tick();
    }
    expect(trees.worker('processes/vllm-7')).toMatchObject({ ioReadBytesPerSecond: 3000, memorySource: 'proc' });
  });
});
