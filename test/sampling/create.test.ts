import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { HostReaders, SamplerOptions } from '../../lib/sampling/create.js';
import { systemClock } from '../../lib/util/clock.js';
import { quiet } from '../fakes/engines/pages.js';
import { FakeEngine } from '../fakes/engines/server.js';
import { gpuOf } from '../harness/heartbeats.js';
import { waitFor } from '../harness/wait.js';
import { recordOn, workerOf } from './collect-support.js';
import { counted, whole } from './create-support.js';
import { FakeHost, fakeGpu } from './fake-host.js';

const firstNamespace = 'pid:[4026531836]';

describe('a sampler that is put together', () => {
  it('closes all that it opened', async () => {
    const host = new FakeHost();
    host.worker('/hivepulse.slice/llm/a', { pid: 7, argv: ['vllm', 'serve', 'x'] });
    let closed = 0;
    const gpu = { ...fakeGpu({}), close: () => void closed++ };
    const { assemble, open } = counted(host);
    const sampler = assemble({ readiness: true, gpu, pidNamespace: 'pid:[4026532999]' });
    await sampler.sample();
    const [readers, files] = open();
    expect([readers, files! > 5]).toEqual([1, true]);
    await sampler.close();
    expect([open(), closed]).toEqual([[0, 0], 1]);
    await expect(sampler.sample()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('without cgroups says why, and watches trees of processes', async () => {
    const host = new FakeHost();
    host.process({ pid: 9, argv: ['vllm', 'serve', 'a/b'], cgroup: '/' });
    const { assemble, asked, open } = counted(host, { place: { root: null, reason: 'None is mounted.' } });
    const sampler = assemble();
    const snapshot = await sampler.sample();
    // It has neither a reader of cgroups nor anybody who asks: all else is closed.
    await sampler.close();
    expect(open()).toEqual([0, 0]);
    expect(snapshot).toMatchObject({
      collection: { cgroupReader: 'none', cgroupReaderReason: 'None is mounted.' },
      workers: [{ id: 'processes/vllm-9', scope: 'processes', model: 'a/b', ioReadBytesPerSecond: null }],
    });
    expect(snapshot.faults.map(({ code }) => code)).toContain('CGROUP_UNAVAILABLE');
    expect(asked).toEqual([]);
  });

  it('has what controllers do not give summed over processes', async () => {
    const host = new FakeHost();
    const fromProc = { memory: true, io: true };
    const { assemble, asked } = counted(host, { place: { root: host.cgroupRoot, prefix: '', missing: fromProc } });
    expect((await assemble().sample()).workersComplete).toBe(true);
    expect(asked).toEqual([fromProc]);
  });

  it('finds the processes of a tree of cgroups that /proc calls otherwise', async () => {
    const host = new FakeHost();
    host.cgroup('/hivepulse.slice/llm/a');
    host.process({ pid: 7, argv: ['vllm', 'serve', 'a/b'], cgroup: '/docker/9/hivepulse.slice/llm/a' });
    host.set('/hivepulse.slice/llm/a', 'cgroup.procs', '7\n');
    const place = { root: host.cgroupRoot, prefix: '/docker/9', missing: whole };
    const snapshot = await counted(host, { place }).assemble().sample();
    expect(workerOf(snapshot, 'llm/a')).toMatchObject({ pid: 7, model: 'a/b' });
  });

  it('has the host by its files, in the limits of what is shown as the host', async () => {
    const host = new FakeHost();
    expect((await counted(host).assemble().sample()).host).toMatchObject({ cpuCount: 2, load1: 0.5 });
    const container = { place: null, paths: [] };
    const { host: shown, faults } = await counted(host, { container }).assemble().sample();
    expect(shown.container).toMatchObject({ cpus: null, machineCpuCount: 2 });
    expect(faults.map(({ code }) => code)).toEqual(['CONTAINER_LIMITS_UNKNOWN']);
  });

  it('takes its clocks from the machine', async () => {
    const host = new FakeHost();
    const wallMs = Date.parse('2031-02-03T04:05:06Z');
    host.worker('/hivepulse.slice/llm/a', { pid: 7, argv: ['x'], startTicks: bootTicks - 500 });
    const started = async (over: Partial<HostReaders>) =>
      workerOf(await counted(host, over).assemble().sample(), 'llm/a').startedAt;
    const shown = Date.parse((await started({ wallMs: () => wallMs }))!) - wallMs;
    expect([shown > -65_000, shown <= -5000]).toEqual([true, true]);
    const now = Date.parse((await started({}))!) - Date.now();
    expect(now).toBeGreaterThan(-65_000);
    expect(now).toBeLessThan(0);
    const clock = { ...systemClock, now: () => systemClock.now() + 1e6 };
    const { collection } = await counted(host, { clock }).assemble().sample();
    expect(collection.ageMs).toBeGreaterThan(900_000);
  });

  it('has names of containers from the file system of the host', async () => {
    const host = new FakeHost();
    const id = 'ab'.repeat(32);
    host.worker(`/system.slice/docker-${id}.scope`, { pid: 7, argv: ['vllm', 'serve', 'x'] });
    host.write(`host/var/lib/docker/containers/${id}/config.v2.json`, JSON.stringify({ Name: '/box' }));
    const sampler = counted(host).assemble();
    await waitFor(async () => (await sampler.sample()).workers[0]?.name === 'box', { what: 'the name of a container' });
  });

  it('knows launched workers by their records, and adopts others unless it is asked not to', async () => {
    const host = new FakeHost();
    const path = '/hivepulse.slice/llm/a';
    host.worker(path, { pid: 7, argv: ['x'] });
    host.worker('/system.slice/vllm.service', { pid: 8, argv: ['vllm', 'serve', 'x'] });
    await recordOn(host, { group: 'llm', instance: 'a', pid: 7, startTicks: null, cgroupInode: null, model: 'phi' });
    const seen = async (options: SamplerOptions) =>
      (await counted(host).assemble(options).sample()).workers.map(({ id, model }) => [id, model]);
    const [own, adopted] = [
      ['llm/a', 'phi'],
      ['system/vllm.service', 'x'],
    ];
    expect(await seen({})).toEqual([own, adopted]);
    expect(await seen({ auto: false })).toEqual([own]);
    expect(await seen({ auto: false, watch: ['system.slice/vllm*'] })).toEqual([own, adopted]);
  });

  it('leaves its own process out, by the pid that /proc has for it', async () => {
    const host = new FakeHost();
    host.worker('/box', { pid: 5, argv: ['hivepulse', 'up'] });
    host.process({ pid: 7, argv: ['vllm', 'serve', 'a/b'], cgroup: '/box' });
    const seen = async (options: SamplerOptions = {}) =>
      (await counted(host).assemble(options).sample()).workers.map(({ id }) => id);
    // Its own cgroup is no worker: what is beside it is by its processes.
    expect(await seen({ ownPid: 5 })).toEqual(['processes/vllm-7']);
    expect(await seen()).toEqual(['cgroup/box']);
    rmSync(join(host.procRoot, 'self'), { recursive: true });
    symlinkSync('5', join(host.procRoot, 'self'));
    expect(await seen()).toEqual(['processes/vllm-7']);
    rmSync(join(host.procRoot, 'self'));
    symlinkSync('elsewhere', join(host.procRoot, 'self'));
    expect(await seen()).toEqual(['cgroup/box']);
  });
});

/** Since boot, by /proc/uptime of the machine. */
const bootTicks = 1_000_000;

describe('GPUs of workers', () => {
  const device = { ...gpuOf('GPU-0'), processesKnown: true };
  const process = { gpuUuid: 'GPU-0', pid: 7, memoryUsedBytes: 1024, utilizationPercent: 10 };
  const oneCard = () => {
    const host = new FakeHost();
    host.worker('/hivepulse.slice/llm/a', { pid: 7, argv: ['vllm', 'serve', 'x'] });
    host.devices('nvidia0');
    host.holds(7, ['/dev/nvidia0'], ['/dev/nvidia0']);
    return host;
  };
  const seen = async (host: FakeHost, options: SamplerOptions = {}) => {
    const gpu = fakeGpu({ devices: [device], processes: [process] });
    const sampler = counted(host).assemble({ gpu, ...options });
    const { gpus, gpusInferred } = await waitFor(async () => {
      const worker = workerOf(await sampler.sample(), 'llm/a');
      return worker.gpus.length > 0 ? worker : null;
    });
    return [gpus[0]?.memoryUsedBytes, gpusInferred ?? null];
  };

  it('are known by the pids of the driver where those are the ones of /proc', async () => {
    expect(await seen(oneCard(), { pidNamespace: firstNamespace })).toEqual([1024, null]);
    const host = oneCard();
    const pid = join(host.procRoot, 'self/ns/pid');
    mkdirSync(join(host.procRoot, 'self/ns'), { recursive: true });
    symlinkSync(firstNamespace, pid);
    expect(await seen(host)).toEqual([1024, null]);
    expect(await seen(host, { pidNamespace: 'pid:[4026532999]' })).toEqual([null, 'deviceMapped']);
    rmSync(pid);
    symlinkSync('pid:[4026532999]', pid);
    expect(await seen(host)).toEqual([null, 'deviceMapped']);
  });

  it('are not read where no reader was given, which is said', async () => {
    const snapshot = await counted(oneCard()).assemble().sample();
    expect(snapshot).toMatchObject({ gpusKnown: 'unknown', gpusReason: 'no GPU reader was given', gpus: [] });
  });
});

describe('what engines are asked', () => {
  const oneEngine = async () => {
    const engine = new FakeEngine('lmdeploy', '0.12');
    onTestFinished(() => void engine.close());
    const port = await engine.listen();
    engine.show({ running: 3 });
    const host = new FakeHost();
    const listens = [{ address: '127.0.0.1', port }];
    host.worker('/hivepulse.slice/llm/a', {
      pid: 7,
      argv: ['lmdeploy', 'serve', 'api_server', quiet.model, '--server-port', String(port)],
      listens,
    });
    return host;
  };
  const worker = async (
    host: FakeHost,
    options: SamplerOptions,
    until: (each: ReturnType<typeof workerOf>) => boolean,
  ) => {
    const sampler = counted(host).assemble(options);
    return await waitFor(async () => {
      const found = workerOf(await sampler.sample(), 'llm/a');
      return until(found) ? found : null;
    });
  };

  it('is whether they are ready and what they do, unless it is switched off', async () => {
    const host = await oneEngine();
    const asked = await worker(host, { readiness: undefined as never }, ({ serving }) => serving?.running === 3);
    expect([asked.ready, asked.servingReason ?? null]).toEqual([true, null]);
    const unasked = await worker(host, { readiness: true, engineLoad: false }, ({ ready }) => ready === true);
    expect([unasked.serving ?? null, unasked.servingReason]).toEqual([null, 'notAsked']);
    const none = await worker(host, { readiness: false }, ({ uptimeSeconds }) => uptimeSeconds !== null);
    expect(none).toMatchObject({ ready: null, nullReasons: { ready: 'notProbed' }, servingReason: 'notAsked' });
  });

  it('and they are reached at the address of the host', async () => {
    const host = new FakeHost();
    const listens = [{ address: '0.0.0.0', port: 8000 }];
    host.worker('/hivepulse.slice/llm/a', { pid: 7, argv: ['vllm', 'serve', 'x'], listens });
    const endpoint = async (options: SamplerOptions) =>
      (await worker(host, options, ({ port }) => port === 8000)).endpoint;
    expect(await endpoint({ address: '10.4.4.4' })).toBe('http://10.4.4.4:8000');
    expect(await endpoint({})).toBeNull();
  });
});

describe('when a worker is idle', () => {
  /** Time passes a thousand times slower, so that three samples take less than three seconds on any machine. */
  const clock = { ...systemClock, now: () => systemClock.now() / 1000 };
  const stateAt = async (host: FakeHost, options: SamplerOptions) => {
    const sampler = counted(host, { clock }).assemble({ idleForMs: 0, ...options });
    for (let i = 0; i < 2; i++) await sampler.sample();
    return workerOf(await sampler.sample(), 'llm/a').state;
  };

  it('is as it was set: how much it may use, and for how long it has to', async () => {
    const host = new FakeHost();
    host.worker('/hivepulse.slice/llm/a', { pid: 7, argv: ['x'] });
    expect(await stateAt(host, {})).toBe('idle');
    expect(await stateAt(host, { idleForMs: 60_000 })).toBe('busy');
    // By default it is three seconds.
    expect(await stateAt(host, { idleForMs: undefined as never })).toBe('busy');
  });

  it.each([
    [0, {}, 'idle'],
    [3, {}, 'busy'],
    [3, { idleBelowPercent: 3 }, 'idle'],
    [4, { idleBelowPercent: 3 }, 'busy'],
  ])('with a GPU at %i percent and %j it is %s', async (utilizationPercent, options, state) => {
    const host = new FakeHost();
    host.worker('/hivepulse.slice/llm/a', { pid: 7, argv: ['x'] });
    const process = { gpuUuid: 'GPU-0', pid: 7, memoryUsedBytes: 1024, utilizationPercent };
    const gpu = fakeGpu({ devices: [{ ...gpuOf('GPU-0'), processesKnown: true }], processes: [process] });
    expect(await stateAt(host, { gpu, pidNamespace: firstNamespace, ...options })).toBe(state);
  });
});
