import { mkdirSync, symlinkSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { defaults } from '../../lib/contract/defaults.js';
import { assembleSampler, type HostReaders, type SamplerOptions } from '../../lib/sampling/create.js';
import type { ReportedEnds } from '../../lib/sampling/reported.js';
import { systemClock } from '../../lib/util/clock.js';
import { recordExit } from '../../lib/workers/records.js';
import { quiet } from '../fakes/engines/pages.js';
import { FakeEngine } from '../fakes/engines/server.js';
import { gpuOf } from '../harness/heartbeats.js';
import { waitFor } from '../harness/wait.js';
import { workerRecord } from '../harness/worker-record.js';
import { workerOf } from './collect-support.js';
import { counted, whole } from './create-support.js';
import { FakeHost, fakeGpu, PlainFiles } from './fake-host.js';

const ours = '/hivepulse.slice/llm/a';
const noCgroups = { root: null, reason: 'None is mounted.' } as const;

/** Has what stands below /proc from the files of a host that is made up. */
class Elsewhere extends PlainFiles {
  readonly #procRoot: string;

  constructor(procRoot: string) {
    super();
    this.#procRoot = procRoot;
  }

  #at(path: string): string {
    return path.startsWith('/proc/') || path === '/proc'
      ? join(this.#procRoot, path.slice('/proc'.length))
      : '/nowhere';
  }

  protected override readOne = (path: string, maxBytes: number) => super.readOne(this.#at(path), maxBytes);
  protected override listOne = (path: string) => super.listOne(this.#at(path));
  protected override linksOne = (path: string) => super.linksOne(this.#at(path));
}

/** A sampler to which nobody says where /proc is. */
function unnamedProc(host: FakeHost, over: Partial<HostReaders> = {}) {
  const machine: HostReaders = {
    place: noCgroups,
    openReader: () => expect.fail('nothing reads cgroups'),
    openFiles: () => new Elsewhere(host.procRoot),
    clockTicks: 100,
    ...over,
  };
  const sampler = assembleSampler(machine, { runtimeDir: host.runtimeDir, readiness: false });
  onTestFinished(() => sampler.close());
  return sampler;
}

/** As on another system than Linux, until the test ends. */
function onAnotherSystem(): void {
  const { platform } = process;
  Object.defineProperty(process, 'platform', { value: 'darwin' });
  onTestFinished(() => void Object.defineProperty(process, 'platform', { value: platform }));
}

describe('where nothing says where /proc is', () => {
  it('it is at /proc: the host, its workers, and which of its processes is the hive', async () => {
    const host = new FakeHost();
    host.process({ pid: 7, argv: ['vllm', 'serve', 'a/b'], cgroup: '/' });
    const { host: shown, workers } = await unnamedProc(host).sample();
    expect(shown).toMatchObject({ cpuCount: 2, load1: 0.5 });
    expect(workers).toMatchObject([{ id: 'processes/vllm-7', processCount: 1, model: 'a/b' }]);
  });

  it('the cgroup of the hive is no worker', async () => {
    const host = new FakeHost();
    host.worker('/box', { pid: process.pid, argv: ['hivepulse', 'up'] });
    host.worker('/other', { pid: process.pid + 1, argv: ['vllm', 'serve', 'a/b'] });
    host.process({ pid: process.pid + 2, argv: ['vllm', 'serve', 'c/d'], cgroup: '/box' });
    const { openReader } = host.readers();
    const place = { root: host.cgroupRoot, prefix: '', missing: whole };
    class Both extends Elsewhere {
      readonly #plain = new PlainFiles();
      override read = (paths: readonly string[], most: number) =>
        paths[0]?.startsWith('/proc/') ? super.read(paths, most) : this.#plain.read(paths, most);
      override list = (paths: readonly string[]) =>
        paths[0]?.startsWith('/proc') ? super.list(paths) : this.#plain.list(paths);
    }
    const sampler = unnamedProc(host, { place, openReader, openFiles: () => new Both(host.procRoot) });
    const ids = (await sampler.sample()).workers.map(({ id }) => id);
    expect(ids).toEqual(['cgroup/other', `processes/vllm-${process.pid + 2}`]);
  });
});

describe('on another system', () => {
  it('the host is what Node says of it, and there are no trees of processes', async () => {
    const host = new FakeHost();
    host.process({ pid: 7, argv: ['vllm', 'serve', 'a/b'], cgroup: '/' });
    onAnotherSystem();
    const sampler = unnamedProc(host);
    const { host: shown, workers, workersComplete, faults } = await sampler.sample();
    expect(shown.cpuCount).toBe(cpus().length);
    expect(shown.pressure).toEqual({ cpu: null, memory: null, io: null });
    expect([workers, workersComplete]).toEqual([[], false]);
    expect(faults.find(({ code }) => code === 'CGROUP_UNAVAILABLE')?.message).toBe('None is mounted.');
    await sampler.close();
    await expect(sampler.sample()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('a /proc that is named is read as on Linux', async () => {
    const host = new FakeHost();
    host.process({ pid: 7, argv: ['vllm', 'serve', 'a/b'], cgroup: '/' });
    onAnotherSystem();
    const snapshot = await counted(host, { place: noCgroups }).assemble().sample();
    expect(snapshot.host).toMatchObject({ cpuCount: 2, load1: 0.5 });
    expect(snapshot.workers).toMatchObject([{ id: 'processes/vllm-7' }]);
  });
});

describe('what a sampler hands on', () => {
  it('is how often cgroups are read: as it was set, each second by default', async () => {
    const intervals = async (options: SamplerOptions) => {
      const { assemble, intervals } = counted(new FakeHost());
      const sampler = assemble(options);
      sampler.start(() => undefined);
      await waitFor(() => intervals.length > 0, { what: 'the first pass' });
      await sampler.close();
      return intervals;
    };
    expect(await intervals({ intervalMs: 70 })).toEqual([70]);
    expect(await intervals({})).toEqual([defaults.intervalMs]);
    expect(defaults.intervalMs).toBe(1000);
  });

  it('is which block devices are on top of which: what they read is counted once', async () => {
    const host = new FakeHost();
    const block = (name: string, number: string, ...below: readonly string[]) => {
      host.write(`sys/block/${name}/dev`, `${number}\n`);
      mkdirSync(join(host.dir, 'sys/block', name, 'slaves'), { recursive: true });
      for (const each of below)
        symlinkSync(join(host.dir, 'sys/block', each), join(host.dir, 'sys/block', name, 'slaves', each));
      mkdirSync(join(host.dir, 'sys/dev/block'), { recursive: true });
      symlinkSync(join(host.dir, 'sys/block', name), join(host.dir, 'sys/dev/block', number));
    };
    block('sda', '8:0');
    block('dm-0', '253:0', 'sda');
    const io = (value: number) => `rbytes=${value} wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n`;
    host.worker(ours, { pid: 7, argv: ['x'] }, { 'io.stat': `253:0 ${io(700)}8:0 ${io(700)}` });
    const sampler = counted(host).assemble({ sysRoot: join(host.dir, 'sys') });
    const bytes = () => sampler.counters().get('llm/a')?.row.ioReadBytes;
    await waitFor(async () => (await sampler.sample()) && bytes() === 700, { what: 'the bytes of the disk, once' });
  });

  it('is where the cgroups of /proc are: a worker is found in its own, and that of the hive is none', async () => {
    const host = new FakeHost();
    host.cgroup('/box');
    host.set('/box', 'cgroup.procs', '5\n6\n');
    for (const [pid, argv] of [
      [5, ['hivepulse', 'up']],
      [6, ['vllm', 'serve', 'a/b']],
    ] as const)
      host.process({ pid, argv, cgroup: '/docker/9/box' });
    const place = { root: host.cgroupRoot, prefix: '/docker/9', missing: whole };
    const ids = async (options: SamplerOptions) =>
      (await counted(host, { place }).assemble(options).sample()).workers.map(({ id }) => id);
    expect(await ids({})).toEqual(['cgroup/box']);
    expect(await ids({ ownPid: 5 })).toEqual(['processes/vllm-6']);
  });

  it('is what earlier runs reported: they alone make an exit known of a worker that was never seen', async () => {
    const host = new FakeHost();
    host.cgroup('/hivepulse.slice');
    const record = workerRecord({
      ...{ group: 'llm', instance: 'a', pid: 7, startTicks: 5, cgroup: join(host.cgroupRoot, ours) },
      startedAt: new Date(Date.now() - 60_000).toISOString(),
    });
    await recordExit(host.runtimeDir, record, {
      ...{ at: new Date().toISOString(), code: 3, signal: null, oomKills: null, remaining: 0 },
    });
    const events = async (options: SamplerOptions) => {
      const sampler = counted(host).assemble(options);
      await sampler.sample();
      await sampler.sample();
      return sampler.takeEvents().map(({ kind, workerId }) => [kind, workerId]);
    };
    const reported: ReportedEnds = { continued: true, exited: () => false, oomKills: () => 0 };
    expect(await events({ reported })).toEqual([['workerExited', 'llm/a']]);
    expect(await events({ reported: { ...reported, exited: () => true } })).toEqual([]);
    expect(await events({})).toEqual([]);
  });

  it('is for how long a worker has to be idle, short of the default', async () => {
    const host = new FakeHost();
    host.worker(ours, { pid: 7, argv: ['x'] });
    // Three samples pass in less than the three seconds of the default on any machine.
    const clock = { ...systemClock, now: () => systemClock.now() / 1000 };
    const sampler = counted(host, { clock }).assemble({ idleForMs: 1e-9 });
    for (let i = 0; i < 2; i++) await sampler.sample();
    expect(workerOf(await sampler.sample(), 'llm/a').state).toBe('idle');
  });

  it('is nothing of device files, where the pids of the driver are those of /proc', async () => {
    const host = new FakeHost();
    host.worker(ours, { pid: 7, argv: ['vllm', 'serve', 'x'] });
    host.devices('nvidia0');
    host.holds(7, ['/dev/nvidia0'], ['/dev/nvidia0']);
    const gpu = fakeGpu({ devices: [{ ...gpuOf('GPU-0'), processesKnown: true }], processes: [] });
    const files = async (pidNamespace: string) => {
      const { assemble, open } = counted(host);
      const sampler = assemble({ gpu, pidNamespace });
      await sampler.sample();
      return open()[1]!;
    };
    expect((await files('pid:[4026532999]')) - (await files('pid:[4026531836]'))).toBe(1);
  });
});

/** What a kernel writes of a namespace with one address besides loopback. */
const trie = (address: string): string =>
  `Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- ${address}\n        /32 host LOCAL\nLocal:\n  +-- 0.0.0.0/0 3 0 5\n     |-- ${address}\n        /32 host LOCAL\n`;

it('a port that a container publishes is the endpoint of its worker, by the addresses of its namespace', async () => {
  const host = new FakeHost();
  host.worker(ours, {
    ...{ pid: 7, argv: ['vllm', 'serve', 'x'], namespace: 4_026_539_999 },
    listens: [{ address: '0.0.0.0', port: 8000 }],
  });
  host.write('proc/7/net/fib_trie', trie('172.17.0.2'));
  const forwards = '-proto tcp -host-ip 0.0.0.0 -host-port 18000 -container-ip 172.17.0.2 -container-port 8000';
  host.process({
    ...{ pid: 9, argv: ['/usr/bin/docker-proxy', ...forwards.split(' ')], cgroup: '/system.slice/docker.service' },
    listens: [{ address: '0.0.0.0', port: 18_000 }],
  });
  const sampler = counted(host).assemble({ address: '10.4.4.4' });
  const endpoint = await waitFor(async () => workerOf(await sampler.sample(), 'llm/a').endpoint, { timeoutMs: 10_000 });
  expect(endpoint).toBe('http://10.4.4.4:18000');
});

describe('by the clock of the machine', () => {
  /** A sampler of one engine, which asks at its next sample once so much time has passed. */
  async function oneEngine(options: SamplerOptions) {
    const engine = new FakeEngine('lmdeploy', '0.12');
    onTestFinished(() => void engine.close());
    const port = await engine.listen();
    const host = new FakeHost();
    host.worker(ours, {
      ...{ pid: 7, argv: ['lmdeploy', 'serve', 'api_server', quiet.model, '--server-port', String(port)] },
      listens: [{ address: '127.0.0.1', port }],
    });
    // It stands nearly still but for what the test adds: nothing is due by itself, however slow the machine.
    let passedMs = 0;
    const clock = { ...systemClock, now: () => systemClock.now() / 1e6 + passedMs };
    const sampler = counted(host, { clock }).assemble({ readiness: true, ...options });
    const seen = async () => workerOf(await sampler.sample(), 'llm/a');
    /** Until nothing is asked any more. */
    const rest = async () =>
      await waitFor(async () => {
        const { length } = engine.asked;
        for (let i = 0; i < 3; i++) await seen();
        return engine.open === 0 && engine.asked.length === length;
      });
    const isAskedAfter = async (ms: number, ...paths: readonly string[]) => {
      await rest();
      const asked = () => engine.asked.filter((each) => paths.includes(each)).length;
      const before = asked();
      passedMs += ms;
      await seen();
      await waitFor(() => asked() > before, { timeoutMs: 3000, what: `${paths} to be asked after ${ms} ms` });
    };
    return { seen, isAskedAfter };
  }

  it('an engine that is ready is asked again', async () => {
    const { seen, isAskedAfter } = await oneEngine({ engineLoad: false });
    await waitFor(async () => (await seen()).ready === true, { what: 'the engine to be ready' });
    for (let i = 0; i < 2; i++) await isAskedAfter(2 * defaults.readinessSettledIntervalMs, '/health', '/v1/models');
  });

  it('an engine is asked for its load each second', async () => {
    const { seen, isAskedAfter } = await oneEngine({});
    await waitFor(async () => (await seen()).serving?.running === quiet.running, { what: 'its load' });
    for (let i = 0; i < 3; i++) await isAskedAfter(1000, '/metrics');
  });
});
