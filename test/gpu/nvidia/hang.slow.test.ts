import { spawn, spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { findHelper } from '../../../lib/gpu/nvidia/helper.js';
import { NvidiaSmi } from '../../../lib/gpu/nvidia/nvidia-smi.js';
import type { GpuReading, GpuSource } from '../../../lib/gpu/reading.js';
import { FakeGpuHost, fakeLibrary, fakeLibraryDirectory, fakeNvidiaSmi, fourH100 } from '../../fakes/scenario.js';
import { waitFor } from '../../harness/wait.js';
import { reading, sourceOf, working } from './sources.js';

const addon = fileURLToPath(new URL('../../../build/Release/hivepulse.node', import.meta.url));

/** Largest gap between calls of a timer that should fire each 20 ms, and of one that also takes a GPU reading each time. */
function evenness(source: GpuSource) {
  const gaps = { control: 0, tick: 0 };
  const timer = (name: keyof typeof gaps, work: () => void) => {
    let last = performance.now();
    return setInterval(() => {
      const now = performance.now();
      gaps[name] = Math.max(gaps[name], now - last);
      last = now;
      work();
    }, 20);
  };
  const timers = [timer('control', () => {}), timer('tick', () => source.latest())];
  return {
    stop: () => {
      for (const each of timers) clearInterval(each);
      return gaps;
    },
  };
}

/** A `spawn` whose children never end by themselves. */
function stuckChildren() {
  const children: EventEmitter[] = [];
  const stuck = () => {
    const child = Object.assign(new EventEmitter(), { stdout: new PassThrough(), unref: () => {} });
    children.push(child);
    return child;
  };
  return { children, stuck: stuck as unknown as typeof spawn };
}

/** Processes whose executable is `path` and that see this machine. */
function running(path: string, host: FakeGpuHost): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      if (readlinkSync(`/proc/${pid}/exe`) !== path) return false;
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(host.file);
    } catch {
      return false;
    }
  });
}

const values = ({ devices }: GpuReading) =>
  devices.flatMap((d) => [d.memoryTotalBytes, d.memoryUsedBytes, d.utilizationPercent, d.powerWatts]);
const hung = (call: string) => ({ ...fourH100(), calls: { [call]: { hang: true } } });

describe('nvidia_smi_timeout', () => {
  it('nvidia_smi_timeout: the tick goes on evenly, values are null with a fault, the child is gone', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host, {
      gpu: 'nvidia-smi',
      times: { nvidiaSmiTimeoutMs: 700, nvidiaSmiFirstTimeoutMs: 5000 },
    });
    await reading(source, working('nvidiaSmi'));
    host.become({ ...fourH100(), smi: { delayMs: 60_000 } });
    const even = evenness(source);
    await waitFor(() => running(fakeNvidiaSmi, host).length > 0);
    const found = await reading(source, ({ status }) => status === 'stalled');
    const { control, tick } = even.stop();
    expect(tick).toBeLessThan(control + 50);
    expect(found.devices.map(({ health }) => health)).toEqual(['stalled', 'stalled', 'stalled', 'stalled']);
    expect(new Set(values(found))).toEqual(new Set([null]));
    expect(found.processes).toEqual([]);
    expect(found.faults).toEqual([expect.objectContaining({ code: 'NVIDIA_SMI_TIMEOUT', field: 'gpus' })]);
    // Killed with its whole group. The next run may have begun; it is never more than one.
    expect(running(fakeNvidiaSmi, host).length).toBeLessThanOrEqual(1);
    source.close();
    await waitFor(() => running(fakeNvidiaSmi, host).length === 0);
    host.become(fourH100());
    using again = sourceOf(host, { gpu: 'nvidia-smi' });
    await reading(again, working('nvidiaSmi'));
  });

  it('nvidia_smi_timeout: children that SIGKILL does not end are counted, and three are enough', async () => {
    const { children, stuck } = stuckChildren();
    const smi = new NvidiaSmi(new GpuIdentities(), {
      binary: fakeNvidiaSmi,
      spawn: stuck,
      intervalMs: 10,
      timeoutMs: 20,
      firstTimeoutMs: 20,
    });
    smi.start();
    await waitFor(() => smi.state.failure?.code === 'NVIDIA_SMI_STUCK', { timeoutMs: 15_000 });
    expect(smi.state.abandoned).toBe(3);
    expect(children).toHaveLength(3);
    children[0]!.emit('exit');
    await waitFor(() => children.length === 4);
    await smi.stop();
  });

  it('nvidia_smi_timeout: the child is started with few descriptors', async () => {
    const seen: (readonly string[])[] = [];
    const spy = ((command: string, args: readonly string[], options: object) => {
      seen.push([command, ...args]);
      return spawn(command, [...args.slice(0, 2), '/bin/sh', '-c', 'ulimit -n'], options);
    }) as unknown as typeof spawn;
    const smi = new NvidiaSmi(new GpuIdentities(), { binary: fakeNvidiaSmi, spawn: spy });
    smi.start();
    const { message } = await waitFor(() => smi.state.failure);
    await smi.stop();
    expect(seen[0]!.slice(0, 2)).toEqual(['/bin/sh', '-c']);
    const limit = Number(/no rows: (\d+)/.exec(message)?.[1]);
    expect(limit).toBeGreaterThan(0);
    expect(limit).toBeLessThanOrEqual(1024);
  });
});

describe('nvml_hang', () => {
  afterEach(() => {
    delete process.env.HIVEPULSE_FAKE_GPU;
  });

  it('nvml_hang: as a process: stalled within 3 s, all else goes on, and a new reader takes over', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host, {
      intervalMs: 1000,
      times: { stalledMs: 2000, tickMs: 250, killAfterMs: 2500 },
    });
    await reading(source, working('nvml'));
    const before = running(findHelper()!, host);
    const even = evenness(source);
    const start = performance.now();
    host.become(hung('nvmlDeviceGetUtilizationRates'));
    const found = await reading(source, ({ status }) => status === 'stalled');
    const took = performance.now() - start;
    const { control, tick } = even.stop();
    // The last answer may be younger than the hang by one interval.
    expect(took).toBeLessThan(3500);
    expect(tick).toBeLessThan(control + 50);
    expect(found.devices.map(({ health }) => health)).toEqual(['stalled', 'stalled', 'stalled', 'stalled']);
    expect(new Set(values(found))).toEqual(new Set([null]));
    expect(found.faults).toEqual([expect.objectContaining({ code: 'NVML_STALLED', field: 'gpus' })]);
    expect(found.ageMs).toBeGreaterThan(1500);
    host.become({ ...fourH100(), calls: {} });
    await reading(source, working('nvml'));
    expect(source.takeEvents()).toEqual([]); // a silent driver has lost nothing
    source.close();
    await waitFor(() => running(findHelper()!, host).length === 0);
    expect(before).toHaveLength(1);
  });

  it('nvml_hang: as a process: one that never comes back is killed and replaced', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host);
    await reading(source, working('nvml'));
    const [first] = running(findHelper()!, host);
    host.become(hung('nvmlDeviceGetPowerUsage'));
    await reading(source, ({ status }) => status === 'stalled');
    await waitFor(() => !running(findHelper()!, host).includes(first!));
    await waitFor(() => running(findHelper()!, host).length === 1);
    expect(source.latest().status).toBe('stalled');
    host.become(fourH100());
    await reading(source, working('nvml'));
  });

  it('nvml_hang: on a thread: stalled, and working again when the driver lets go', async () => {
    using host = new FakeGpuHost(fourH100());
    process.env.HIVEPULSE_FAKE_GPU = host.file;
    using source = sourceOf(host, { isolation: 'thread', gpu: 'nvml', paths: { nvml: [fakeLibrary(550)] } });
    await reading(source, working('nvml'));
    host.become(hung('nvmlDeviceGetUtilizationRates'));
    const even = evenness(source);
    const found = await reading(source, ({ status }) => status === 'stalled');
    const { control, tick } = even.stop();
    expect(tick).toBeLessThan(control + 50);
    expect(new Set(values(found))).toEqual(new Set([null]));
    host.become(fourH100());
    await reading(source, working('nvml'));
  });

  it('nvml_hang: in nvmlInit, before anything was known', async () => {
    using host = new FakeGpuHost(hung('nvmlInit_v2'));
    using source = sourceOf(host, { times: { initializingMs: 1000 } });
    expect(source.latest().status).toBe('initializing');
    const found = await reading(source, ({ status }) => status === 'stalled');
    expect(found).toMatchObject({ devices: [], faults: [expect.objectContaining({ code: 'NVML_STALLED' })] });
  });

  it('nvml_hang: a release that the driver does not allow is refused, and the reader goes on', async () => {
    using host = new FakeGpuHost(fourH100());
    process.env.HIVEPULSE_FAKE_GPU = host.file;
    using source = sourceOf(host, { isolation: 'thread', gpu: 'nvml', paths: { nvml: [fakeLibrary(550)] } });
    await reading(source, working('nvml'));
    host.become(hung('nvmlShutdown'));
    await expect(source.release(60)).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT', subject: 'gpu' });
    host.become(fourH100());
    await reading(source, working('nvml'));
  });
});

describe('release with a driver that holds on', () => {
  it('is refused while runs of nvidia-smi are stuck in it, and says how many', async () => {
    const { children, stuck } = stuckChildren();
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host, {
      gpu: 'nvidia-smi',
      spawn: stuck,
      times: { nvidiaSmiTimeoutMs: 20, nvidiaSmiFirstTimeoutMs: 20 },
    });
    await reading(source, ({ status }) => status === 'stalled');
    await expect(source.release(60)).rejects.toMatchObject({
      code: 'REQUEST_TIMEOUT',
      subject: 'gpu',
      message: expect.stringMatching(/\d runs? of nvidia-smi (is|are) stuck/),
    });
    expect(source.latest().status).not.toBe('released');
    await source.release(60).catch(() => {}); // ends the run that has begun since
    for (const child of children) child.emit('exit');
    await source.release(60);
    expect(source.latest().status).toBe('released');
  });
});

describe('crash inside the library', () => {
  it('crash inside the library: costs one restart of the process', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host);
    await reading(source, working('nvml'));
    const [first] = running(findHelper()!, host);
    process.kill(Number(first), 'SIGSEGV');
    await waitFor(() => {
      const now = running(findHelper()!, host);
      return now.length === 1 && now[0] !== first;
    });
    expect((await reading(source, working('nvml'))).faults).toEqual([]);
  });

  it('crash inside the library: a library that always crashes is left for nvidia-smi', async () => {
    using host = new FakeGpuHost({ ...fourH100(), calls: { nvmlDeviceGetName: { dieAt: 2 } } });
    using source = sourceOf(host);
    const found = await reading(source, working('nvidiaSmi'));
    expect(found.reason).toMatch(/the GPU reader died 3 times \(SIGSEGV/);
    expect(found.devices).toHaveLength(4);
  });
});

describe('teardown with a call stuck in the driver', () => {
  const open = `const { GpuThread } = require(${JSON.stringify(addon)});
    globalThis.thread = new GpuThread({ libraryPaths: [${JSON.stringify(fakeLibrary(550))}] });`;
  const whenStuck = (then: string) => `setInterval(() => {
      if (thread.take().some((line) => line.includes('init'))) setTimeout(() => { ${then} }, 100);
    }, 10);`;
  const inWorker = `${open}
    ${whenStuck("require('node:worker_threads').parentPort.postMessage('stuck');")}`;

  it.each([
    [
      'worker.terminate()',
      `const worker = new (require('node:worker_threads').Worker)(${JSON.stringify(inWorker)}, { eval: true });
       worker.once('message', async () => {
         const start = performance.now();
         await worker.terminate();
         console.log('ended in', Math.round(performance.now() - start));
       });`,
    ],
    ['process.exit()', `${open} ${whenStuck("console.log('ended in 0'); process.exit(0);")}`],
    ['the end of the event loop', `${open} setTimeout(() => { console.log('ended in 0'); }, 200);`],
  ])('teardown with a call stuck in the driver: %s ends at once, without abort', (_, code) => {
    using host = new FakeGpuHost(hung('nvmlInit_v2'));
    const start = performance.now();
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['-e', code], {
      env: { ...process.env, ...host.env },
      encoding: 'utf8',
      timeout: 10_000,
    });
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    expect(Number(/ended in (\d+)/.exec(stdout)?.[1])).toBeLessThan(500);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe('hivepulse-gpu', () => {
  it('hivepulse-gpu: stays under 15 MiB', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host);
    await reading(source, working('nvml'));
    const [pid] = running(findHelper()!, host);
    const rss = Number(/^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    expect(rss).toBeLessThan(15 * 1024);
  });

  it('hivepulse-gpu: ends with whoever started it, also with a call stuck', async () => {
    for (const scenario of [fourH100(), hung('nvmlInit_v2')]) {
      using host = new FakeGpuHost(scenario);
      const parent = spawn(
        process.execPath,
        [
          '-e',
          `require('node:child_process').spawn(${JSON.stringify(findHelper())}, { stdio: ['pipe', 'inherit', 'inherit'], detached: true }); setInterval(() => {}, 1000)`,
        ],
        { env: { ...process.env, ...host.env }, stdio: ['ignore', 'pipe', 'inherit'] },
      );
      await waitFor(() => running(findHelper()!, host).length === 1);
      parent.stdout.resume();
      parent.kill('SIGKILL');
      await waitFor(() => running(findHelper()!, host).length === 0);
    }
  });

  it('hivepulse-gpu: has no rights but those by which the driver judges it, and the driver answers as before', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host);
    await reading(source, working('nvml'));
    const [pid] = running(findHelper()!, host);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const value = (name: string) => new RegExp(`^${name}:\\s*(\\S+)$`, 'm').exec(status)?.[1];
    expect(value('NoNewPrivs')).toBe('1');
    expect(value('Seccomp')).toBe('2');
    const sysAdmin = 1n << 21n;
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect([0n, sysAdmin], set).toContain(BigInt(`0x${value(set)}`) & (process.getuid?.() === 0 ? ~0n : sysAdmin));
  });

  it('hivepulse-gpu: a library of a driver starts nothing, signals nobody, mounts nothing and has no network', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hivepulse-prying-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'tried');
    const library = join(fakeLibraryDirectory(), '../prying/libnvidia-ml.so.1');
    const env = { ...process.env, HIVEPULSE_FAKE_PRYING: file };
    const helper = spawn(findHelper()!, ['--library', library], { stdio: ['pipe', 'ignore', 'ignore'], env });
    onTestFinished(() => void helper.kill('SIGKILL'));
    await waitFor(() => existsSync(file) && readFileSync(file, 'utf8').endsWith('end 0\n'));
    const tried = Object.fromEntries(
      readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(' ')),
    );
    const { EPERM } = constants.errno;
    const denied = ['kill', 'execve', 'unshare', 'mount', 'bpf', 'process_vm_readv', 'inet', 'inet6'];
    const allowed = ['unix', 'read', 'end'];
    expect(tried).toEqual({
      ...Object.fromEntries(denied.map((name) => [name, String(EPERM)])),
      ...Object.fromEntries(allowed.map((name) => [name, '0'])),
    });
  });

  it('hivepulse-gpu: refuses what it does not understand', () => {
    for (const args of [['--interval-ms', '0'], ['--interval-ms'], ['--wrong', '1']]) {
      const { status, stderr } = spawnSync(findHelper()!, args, { encoding: 'utf8', input: '' });
      expect(status).toBe(2);
      expect(stderr).toMatch(/bad argument/);
    }
  });
});
