import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { describe, expect, it } from 'vitest';
import { type HiveEvent, HostSample, type Snapshot, WorkerSample } from '../../lib/contract/heartbeat.js';
import type { GpuDevice } from '../../lib/gpu/reading.js';
import type { RunningSampler, SamplerOptions } from '../../lib/sampling/create.js';
import { lockInstance, recordExit } from '../../lib/workers/records.js';
import { gpuOf } from '../harness/heartbeats.js';
import { waitFor } from '../harness/wait.js';
import { recordOn, workerOf } from './collect-support.js';
import { bootSeconds, FakeHost, fakeGpu } from './fake-host.js';

const ours = '/hivepulse.slice';
const path = `${ours}/g/i`;

/** A host with the worker `g/i`, process 100; `files` replaces some of its cgroup. */
function oneWorker(files?: Parameters<FakeHost['cgroup']>[1]): FakeHost {
  const host = new FakeHost();
  host.worker(path, { pid: 100, argv: ['a'] }, files);
  return host;
}

/** A host with the workers `g/NAME`, processes 100 and on. */
function hostOf(...names: readonly string[]): FakeHost {
  const host = new FakeHost();
  for (const [i, name] of names.entries()) {
    host.worker(`${ours}/g/${name}`, { pid: 100 + i, argv: ['a'] });
  }
  return host;
}

/** Samples until one snapshot is as said, and gives that. */
const until = (sampler: RunningSampler, holds: (snapshot: Snapshot) => boolean): Promise<Snapshot> =>
  waitFor(async () => {
    const snapshot = await sampler.sample();
    return holds(snapshot) && snapshot;
  });

describe('enumerate', () => {
  it('enumerate_walks_cgroup_tree: 3 workers in 2 groups, in our tree and in systemd scopes', async () => {
    const host = new FakeHost();
    for (const [i, path] of [
      `${ours}/llm/8080`,
      `${ours}/llm/8081`,
      `${ours}/hivepulse-my\\x2dgroup.slice/hivepulse-my\\x2dgroup-a.scope`,
    ].entries()) {
      host.worker(path, { pid: 100 + i, argv: ['node', 'x.js'] });
    }
    host.cgroup('/system.slice/ssh.service');
    const snapshot = await host.sampler().sample();
    expect(snapshot.workersComplete).toBe(true);
    expect(snapshot.workers.map(({ id }) => id)).toEqual(['llm/8080', 'llm/8081', 'my-group/a']);
    expect(snapshot.workers.every(({ origin }) => origin === 'launched')).toBe(true);
  });

  it.each(['native', 'files'] as const)(
    'processes that /proc hides (hidepid) are said, and what they hold is no 0: %s',
    async (reader) => {
      const host = new FakeHost();
      for (const [i, name] of ['hidden', 'half', 'seen', 'ending'].entries()) {
        host.cgroup(`${ours}/g/${name}`, { 'memory.current': null, 'io.stat': null });
        if (name !== 'hidden') host.process({ pid: 100 + i, argv: ['node', 'x.js'], cgroup: `${ours}/g/${name}` });
      }
      host.set(`${ours}/g/hidden`, 'cgroup.procs', '500\n');
      host.set(`${ours}/g/half`, 'cgroup.procs', '101\n501\n');
      const sampler = host.sampler({ reader, fromProc: { memory: true, io: true } });
      await sampler.sample();
      const told: Snapshot['faults'][number][][] = [];
      const snapshot = await waitFor(async () => {
        // Each pass meets another process that has just ended: that is no hiding.
        host.set(`${ours}/g/ending`, 'cgroup.procs', `103\n${600 + told.length}\n`);
        const next = await sampler.sample();
        told.push(next.faults.filter(({ code }) => code === 'PROC_UNREADABLE'));
        return told.at(-1)!.length === 2 && told.length > 5 && next;
      });
      expect(told.at(-1)).toEqual([
        expect.objectContaining({ source: 'proc', workerId: 'g/half', field: 'command' }),
        expect.objectContaining({ source: 'proc', workerId: 'g/hidden', field: 'command' }),
      ]);
      for (const faults of told)
        expect(faults.every(({ workerId }) => workerId === 'g/hidden' || workerId === 'g/half')).toBe(true);
      expect(told.at(-1)!.map(({ message }) => message)).toEqual([
        expect.stringMatching(/hides 1 of its 2 processes .*hidepid=0/),
        expect.stringMatching(/hides its process .*CAP_SYS_PTRACE/),
      ]);
      expect(workerOf(snapshot, 'g/hidden')).toMatchObject({
        command: null,
        startedAt: null,
        processCount: 1,
        memoryBytes: null,
        ioReadBytesPerSecond: null,
      });
      expect(workerOf(snapshot, 'g/half')).toMatchObject({ command: 'node …', memoryBytes: null });
      expect(workerOf(snapshot, 'g/seen')).toMatchObject({ command: 'node …', memoryBytes: 4096 });
      expect(workerOf(snapshot, 'g/ending')).toMatchObject({ command: 'node …', memoryBytes: 4096 });
      // Shown again: nothing is left of it.
      host.set(`${ours}/g/ending`, 'cgroup.procs', '103\n');
      host.process({ pid: 500, argv: ['node', 'y.js'], cgroup: '/nowhere' });
      host.process({ pid: 501, argv: ['node', 'z.js'], cgroup: '/nowhere' });
      await waitFor(async () => !(await sampler.sample()).faults.some(({ code }) => code === 'PROC_UNREADABLE'));
    },
  );

  it('in a container, whose first cgroup is not the host’s, an engine beside the hive is seen', async () => {
    const host = new FakeHost();
    host.worker('/', { pid: 9, argv: ['vllm', 'serve', 'a/b'] });
    writeFileSync(join(host.cgroupRoot, 'cgroup.procs'), '9\n');
    const sampler = host.sampler();
    const snapshot = await until(sampler, ({ workers }) => workers.length > 0);
    expect(snapshot.workers[0]).toMatchObject({ id: 'container/self', model: 'a/b', origin: 'adopted' });
  });

  it('--no-auto leaves only our own and what is named', async () => {
    const host = new FakeHost();
    const docker = `/system.slice/docker-${'ab'.repeat(32)}.scope`;
    for (const [i, path] of [
      `${ours}/g/i`,
      docker,
      '/system.slice/vllm.service',
      '/system.slice/job.service',
    ].entries()) {
      host.worker(path, { pid: 20 + i, argv: ['vllm', 'serve', 'a/b'] });
    }
    const only = await host.sampler({ auto: false, watch: ['system.slice/job*'] }).sample();
    expect(only.workers.map(({ id }) => id)).toEqual(['g/i', 'system/job.service']);
    const all = await host.sampler().sample();
    expect(all.workers.map(({ id }) => id)).toEqual([
      'docker/abababababab',
      'g/i',
      'system/job.service',
      'system/vllm.service',
    ]);
  });

  it('the sandbox of a pod is no worker, its containers are', async () => {
    const host = new FakeHost();
    const pod = '/kubepods.slice/kubepods-pod0f3a1c2d_4e5f_6789_abcd_ef0123456789.slice';
    const [sandbox, app] = ['11', '22'].map((digits) => `${pod}/cri-containerd-${digits.repeat(32)}.scope`) as [
      string,
      string,
    ];
    for (const path of [sandbox, app]) host.cgroup(path);
    host.process({ pid: 30, argv: ['/pause'], cgroup: sandbox });
    host.process({ pid: 31, argv: ['python3', 'app.py'], cgroup: app });
    const snapshot = await host.sampler().sample();
    expect(snapshot.workers.map(({ id }) => id)).toEqual(['kubepods/222222222222']);
  });

  it('a container whose processes are in a cgroup below its own is known all the same', async () => {
    const host = new FakeHost();
    const container = `/machine.slice/libpod-${'ab'.repeat(32)}.scope`;
    host.cgroup(container);
    host.worker(`${container}/container`, { pid: 30, argv: ['vllm', 'serve', 'a/b'] });
    host.process({ pid: 31, argv: ['VLLM::EngineCore'], cgroup: `${container}/container`, startTicks: 900_050 });
    const snapshot = await host.sampler().sample();
    expect(snapshot.workers).toHaveLength(1);
    expect(snapshot.workers[0]).toMatchObject({
      id: 'podman/abababababab',
      pid: 30,
      processCount: 2,
      model: 'a/b',
      memoryBytes: 1_048_576,
    });
  });

  it('a tree that could not be read whole says so', async () => {
    const host = new FakeHost();
    rmSync(host.cgroupRoot, { recursive: true });
    const snapshot = await host.sampler().sample();
    expect(snapshot.workersComplete).toBe(false);
    expect(snapshot.faults).toContainEqual(expect.objectContaining({ code: 'CGROUP_UNREADABLE' }));
  });
});

describe('collect', () => {
  it('collect_reads_cgroup_stats: every field of a sample is in its place and the contract holds', async () => {
    const host = new FakeHost();
    const path = `${ours}/llm/8080`;
    host.cgroup(path, { 'cpu.max': '150000 100000\n', 'memory.max': '8388608\n', 'memory.events': 'oom_kill 2\n' });
    host.set('/hivepulse.slice', 'memory.max', '4194304\n');
    host.set('/hivepulse.slice', 'cpu.max', '100000 100000\n');
    const listens = [{ address: '0.0.0.0', port: 8000 }];
    host.process({ pid: 100, argv: ['vllm', 'serve', 'a/b', '--api-key', 'hush'], cgroup: path, listens });
    await recordOn(host, { group: 'llm', instance: '8080', labels: { zone: 'a' }, reservationId: 'r1' });
    const sampler = host.sampler({ address: '10.0.0.7' });
    await sampler.sample();
    const worker = workerOf(await sampler.sample(), 'llm/8080');
    expect(Value.Check(WorkerSample, worker)).toBe(true);
    expect(worker).toMatchObject({
      pid: 100,
      processCount: 1,
      model: 'a/b',
      port: 8000,
      endpoint: 'http://10.0.0.7:8000',
      endpointReason: undefined,
      command: 'vllm serve a/b --api-key …',
      labels: { zone: 'a' },
      reservationId: 'r1',
      cpuPercent: 0,
      cpuThrottledPercent: 0,
      // Its own is 150 %, but an ancestor allows less.
      cpuLimitPercent: 100,
      memoryBytes: 1_048_576,
      workingSetBytes: 1_000_000,
      memoryPeakBytes: 2_097_152,
      memoryLimitBytes: 4_194_304,
      memorySource: 'cgroup',
      oomKills: 2,
      ioReadBytesPerSecond: 0,
      pressure: { cpu: 3, memory: 2, io: 1 },
      origin: 'launched',
    });
  });

  it('collect_calculates_uptime: from the host’s uptime and the start of the main process', async () => {
    const host = new FakeHost();
    const path = `${ours}/g/i`;
    host.cgroup(path);
    host.process({
      pid: 100,
      argv: ['a'],
      cgroup: path,
      startTicks: (bootSeconds - 120) * 100,
      comm: 'evil) R 1 (',
    });
    host.process({ pid: 7, argv: ['b'], cgroup: path, startTicks: (bootSeconds - 5) * 100 });
    const worker = workerOf(await host.sampler().sample(), 'g/i');
    expect(worker.pid).toBe(100);
    expect(worker.uptimeSeconds).toBeGreaterThanOrEqual(120);
    expect(worker.uptimeSeconds).toBeLessThan(130);
    expect(Math.abs(Date.parse(worker.startedAt ?? '') - (Date.now() - 120_000))).toBeLessThan(10_000);
  });

  it('collect_handles_dead_process: a worker whose cgroup is gone leaves at once, one that is empty too', async () => {
    const host = hostOf('gone', 'empty', 'alive');
    const sampler = host.sampler();
    expect((await sampler.sample()).workers).toHaveLength(3);
    host.remove(`${ours}/g/gone`);
    host.set(`${ours}/g/empty`, 'cgroup.events', 'populated 0\nfrozen 0\n');
    host.set(`${ours}/g/empty`, 'cgroup.procs', '');
    const after = await until(sampler, ({ workers }) => workers.length === 1);
    expect(after.workersComplete).toBe(true);
    expect(after.workers[0]?.id).toBe('g/alive');
    // The rows go at once; how they ended is told when no `run` has noted it in its time.
    const events: Omit<HiveEvent, 'seq'>[] = [];
    await waitFor(
      async () => {
        await sampler.sample();
        events.push(...sampler.takeEvents().filter(({ kind }) => kind === 'workerExited'));
        return events.length >= 2;
      },
      { timeoutMs: 15_000, everyMs: 200, what: 'both exits told' },
    );
    expect(events.map(({ workerId }) => workerId).sort()).toEqual(['g/empty', 'g/gone']);
    expect(events[0]?.detail).toMatchObject({
      code: null,
      signal: null,
      reason: expect.stringMatching(/hivepulse run/),
    });
  });

  it('collect_all_workers_partial_failure: one dead, one unreadable, one torn; the rest is complete', async () => {
    const host = hostOf('dead', 'unreadable', 'torn', 'good1', 'good2');
    // A directory where a file should be reads as EISDIR: an errno that is no absence.
    rmSync(join(host.cgroupRoot, ours, 'g/unreadable/memory.current'));
    mkdirSync(join(host.cgroupRoot, ours, 'g/unreadable/memory.current'));
    host.set(`${ours}/g/torn`, 'memory.current', 'garbage\n');
    const sampler = host.sampler();
    await sampler.sample();
    host.remove(`${ours}/g/dead`);
    const snapshot = await until(sampler, ({ workers }) => workers.length === 4);
    expect(snapshot.workersComplete).toBe(true);
    for (const name of ['good1', 'good2']) {
      const worker = workerOf(snapshot, `g/${name}`);
      expect(worker).toMatchObject({ memoryBytes: 1_048_576, cpuPercent: 0, ioReadBytesPerSecond: 0 });
    }
    for (const name of ['unreadable', 'torn']) {
      expect(workerOf(snapshot, `g/${name}`)).toMatchObject({ memoryBytes: null, cpuPercent: 0 });
      expect(snapshot.faults).toContainEqual(expect.objectContaining({ field: 'memoryBytes', workerId: `g/${name}` }));
    }
    expect(snapshot.faults.filter(({ workerId }) => workerId?.includes('good'))).toEqual([]);
  });

  it('without the memory controller memory is summed over processes and says so', async () => {
    const host = new FakeHost();
    const path = `${ours}/g/i`;
    const none = {
      'memory.current': null,
      'memory.stat': null,
      'memory.peak': null,
      'memory.events': null,
      'memory.max': null,
    };
    host.cgroup(path, {
      ...none,
      'io.stat': null,
      'cpu.max': null,
      'cpu.stat': 'usage_usec 5\nuser_usec 3\nsystem_usec 2\n',
    });
    host.process({ pid: 100, argv: ['a'], cgroup: path, residentBytes: 40_960 });
    host.process({ pid: 101, argv: ['b'], cgroup: path, residentBytes: 8192 });
    const sampler = host.sampler({ fromProc: { memory: true, io: true } });
    await sampler.sample();
    const snapshot = await sampler.sample();
    expect(workerOf(snapshot, 'g/i')).toMatchObject({
      memoryBytes: 49_152,
      memorySource: 'proc',
      workingSetBytes: null,
      memoryLimitBytes: null,
      cpuThrottledPercent: null,
      ioReadBytesPerSecond: 0,
    });
    expect(snapshot.faults.map(({ code }) => code)).toEqual(
      expect.arrayContaining(['MEMORY_CONTROLLER_MISSING', 'CPU_CONTROLLER_MISSING']),
    );
    // Once for the host, not once for each worker.
    expect(snapshot.faults.every(({ workerId }) => workerId === undefined)).toBe(true);
  });

  it('OOM kills are told by their delta, with worker and time', async () => {
    const host = oneWorker({ 'memory.events': 'oom_kill 3\n' });
    const sampler = host.sampler();
    await sampler.sample();
    expect(sampler.takeEvents()).toEqual([]); // what was before we looked is not told as new
    host.set(path, 'memory.events', 'oom_kill 5\n');
    await until(sampler, ({ workers }) => workers[0]?.oomKills === 5);
    expect(sampler.takeEvents()).toMatchObject([{ kind: 'oomKill', workerId: 'g/i', detail: { kills: 2, total: 5 } }]);
  });

  it('an exit that `run` noted comes with its code and signal, and with the kill that nobody saw live', async () => {
    const host = oneWorker();
    const kept = await recordOn(host, { group: 'g', instance: 'i' });
    const sampler = host.sampler();
    await until(sampler, ({ workers }) => workers.length === 1);
    host.remove(path);
    await recordExit(host.runtimeDir, kept, {
      at: '2026-02-03T04:05:06.000Z',
      code: null,
      signal: 'SIGKILL',
      oomKills: 1,
      remaining: 0,
    });
    const events = await waitFor(async () => {
      await sampler.sample();
      const taken = sampler.takeEvents();
      return taken.length > 0 && taken;
    });
    expect(events).toEqual([
      { at: '2026-02-03T04:05:06.000Z', kind: 'oomKill', workerId: 'g/i', detail: { kills: 1, total: 1 } },
      expect.objectContaining({
        at: '2026-02-03T04:05:06.000Z',
        kind: 'workerExited',
        workerId: 'g/i',
        detail: expect.objectContaining({ code: null, signal: 'SIGKILL' }),
      }),
    ]);
  });

  it('an instance made again under the same name is a new worker, not a jump', async () => {
    const host = oneWorker({ 'cpu.stat': 'usage_usec 900000000\nuser_usec 0\nsystem_usec 0\n' });
    const sampler = host.sampler();
    await sampler.sample();
    await sampler.sample();
    host.remove(path);
    // The kernel answers ENODEV on descriptors of a removed cgroup; a directory that stands for one has to be missed first.
    await until(sampler, ({ workers }) => workers.length === 0);
    host.worker(
      path,
      { pid: 200, argv: ['b'], startTicks: 950_000 },
      { 'cpu.stat': 'usage_usec 999000000\nuser_usec 0\nsystem_usec 0\n' },
    );
    const seen: (number | null)[] = [];
    await waitFor(async () => {
      const worker = (await sampler.sample()).workers.find(({ pid }) => pid === 200);
      if (worker) seen.push(worker.cpuPercent);
      return seen.length >= 3;
    });
    expect(seen).toEqual([null, 0, 0]);
  });

  it('a worker whose record is still being written comes with it, never as one without labels', async () => {
    const host = oneWorker();
    const free = await lockInstance(host.runtimeDir, 'g', 'i');
    const sampler = host.sampler();
    expect(await sampler.sample()).toMatchObject({ workersComplete: true, workers: [] });
    await recordOn(host, { group: 'g', instance: 'i', labels: { team: 'search' } });
    await free();
    const snapshot = await until(sampler, ({ workers }) => workers.length > 0);
    expect(workerOf(snapshot, 'g/i').labels).toEqual({ team: 'search' });
  });

  it('a launch that died half-way does not hide its worker for longer than one may take', async () => {
    const host = oneWorker();
    await lockInstance(host.runtimeDir, 'g', 'i');
    const long = new Date(Date.now() - 36_000);
    utimesSync(join(host.runtimeDir, 'workers', 'g', 'i.lock'), long, long);
    expect((await host.sampler().sample()).workers.map(({ id }) => id)).toEqual(['g/i']);
  });

  it('the host’s figures hold the contract', async () => {
    const { host } = await new FakeHost().sampler().sample();
    expect(Value.Check(HostSample, host)).toBe(true);
    expect(host).toMatchObject({
      cpuCount: 2,
      memoryTotalBytes: 1_024_000,
      memoryAvailableBytes: 614_400,
      load1: 0.5,
      uptimeSeconds: bootSeconds,
    });
  });
});

describe('GPUs of workers', () => {
  const GiB = 1024 ** 3;
  const device = (uuid: string, over: Partial<GpuDevice> = {}): GpuDevice => {
    const { processCount: _, unattributedBytes: __, ...gpu } = gpuOf(uuid, { memoryTotalBytes: 24 * GiB, ...over });
    return { ...gpu, processesKnown: true };
  };
  const holds = (gpuUuid: string, pid: number, gib: number, utilizationPercent = 10) => ({
    gpuUuid,
    pid,
    memoryUsedBytes: gib * GiB,
    utilizationPercent,
  });

  async function prepared(reading: Parameters<typeof fakeGpu>[0], options: SamplerOptions = {}) {
    const host = new FakeHost();
    host.worker(`${ours}/llm/a`, { pid: 100, argv: ['a'] });
    host.worker('/system.slice/train.service', { pid: 300, argv: ['python', 'train.py'] });
    host.process({ pid: 400, argv: ['x'], cgroup: '/' });
    const gpu = fakeGpu(reading);
    return { host, gpu, sampler: host.sampler({ ...options, gpu, pidNamespace: 'pid:[4026531836]' }) };
  }

  it('each worker has its share, a stranger’s cgroup or process is adopted, and the rest is unattributed', async () => {
    const { sampler } = await prepared({
      devices: [device('G0'), device('G1', { index: 1 })],
      processes: [
        holds('G0', 100, 4),
        holds('G1', 100, 2, 25),
        holds('G0', 300, 8),
        holds('G0', 400, 2),
        holds('G0', 900, 1),
      ],
    });
    const snapshot = await until(sampler, ({ workers }) => workers.length === 3);
    expect(workerOf(snapshot, 'llm/a')).toMatchObject({
      gpus: [
        { uuid: 'G0', memoryUsedBytes: 4 * GiB, utilizationPercent: 10 },
        { uuid: 'G1', memoryUsedBytes: 2 * GiB, utilizationPercent: 25 },
      ],
      gpuUtilizationPercent: 35,
      vramUsedBytes: 6 * GiB,
      vramTotalBytes: 48 * GiB,
    });
    expect(workerOf(snapshot, 'system/train.service')).toMatchObject({ vramUsedBytes: 8 * GiB, origin: 'adopted' });
    expect(workerOf(snapshot, 'processes/x-400')).toMatchObject({ vramUsedBytes: 2 * GiB, scope: 'processes' });
    expect(
      snapshot.gpus.map(({ uuid, processCount, unattributedBytes }) => [uuid, processCount, unattributedBytes]),
    ).toEqual([
      ['G0', 4, GiB],
      ['G1', 1, 0],
    ]);
  });

  it('in another pid namespace no worker is given a stranger’s memory, and the fault says why', async () => {
    const { host, gpu } = await prepared({ devices: [device('G0')], processes: [holds('G0', 100, 4)] });
    const apart = host.sampler({ gpu, pidNamespace: 'pid:[4026532999]' });
    const snapshot = await apart.sample();
    expect(workerOf(snapshot, 'llm/a')).toMatchObject({ gpus: [], vramUsedBytes: null, gpuUtilizationPercent: null });
    expect(snapshot.gpus[0]).toMatchObject({ processCount: 1, unattributedBytes: null });
    expect(snapshot.faults).toContainEqual(expect.objectContaining({ code: 'PID_NAMESPACE' }));
  });

  it('a stalled reader costs only GPU values: state unknown, CPU goes on, the adopted stay', async () => {
    const { sampler, gpu } = await prepared({
      devices: [device('G0')],
      processes: [holds('G0', 100, 4), holds('G0', 300, 8)],
    });
    await until(sampler, ({ workers }) => workers.length === 2);
    gpu.reading = { ...gpu.reading, status: 'stalled', processes: [], devices: [device('G0', { health: 'stalled' })] };
    const snapshot = await sampler.sample();
    expect(snapshot.workers).toHaveLength(2);
    expect(workerOf(snapshot, 'llm/a')).toMatchObject({ state: 'unknown', vramUsedBytes: null, cpuPercent: 0 });
    expect(snapshot.gpus[0]).toMatchObject({ processCount: null, unattributedBytes: null });
  });
});
