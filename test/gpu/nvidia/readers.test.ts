import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { reasonOf } from '../../../lib/gpu/nvidia/codes.js';
import { findHelper } from '../../../lib/gpu/nvidia/helper.js';
import { parseNvmlLine } from '../../../lib/gpu/nvidia/nvml-lines.js';
import { FakeGpuHost, fourH100, generations, h100, h100With } from '../../fakes/scenario.js';
import { reading, sourceOf, working } from './sources.js';

const MiB = 1024 * 1024;

describe('collect_queries_nvidia_smi', () => {
  it('collect_queries_nvidia_smi: every GPU and every process of the host, from one run of each query', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host, { gpu: 'nvidia-smi' });
    const { devices, processes, faults, reason } = await reading(source, working('nvidiaSmi'));
    expect(reason).toMatch(/asked for/);
    expect(faults).toEqual([]);
    expect(devices.map(({ index, health, memoryTotalBytes }) => [index, health, memoryTotalBytes])).toEqual(
      [0, 1, 2, 3].map((index) => [index, 'ok', 81559 * MiB]),
    );
    expect(devices[0]).toMatchObject({
      name: 'NVIDIA H100 80GB HBM3',
      pciBusId: '00000000:1B:00.0',
      memoryUsedBytes: 70_254 * MiB,
      memoryReservedBytes: 479 * MiB,
      utilizationPercent: 87,
      memoryBusPercent: 43,
      temperatureCelsius: 31,
      powerWatts: 593.35,
      powerLimitWatts: 700,
      smClockMhz: 1980,
      fanPercent: null,
      throttleReasons: [],
      eccUncorrected: 0,
      remappedRows: { pending: false, failed: false },
      computeCapability: '9.0',
    });
    expect(devices[2]!.throttleReasons).toEqual(['idle']);
    expect(devices[0]!.unsupported).toContain('fanPercent');
    expect(processes).toEqual([
      { gpuUuid: devices[0]!.uuid, pid: 4101, memoryUsedBytes: 70_254 * MiB, utilizationPercent: 87 },
      { gpuUuid: devices[1]!.uuid, pid: 4102, memoryUsedBytes: 40_960 * MiB, utilizationPercent: 12 },
      // The comma in its name moves nothing, and "-" beside a process with samples is idle.
      { gpuUuid: devices[1]!.uuid, pid: 4103, memoryUsedBytes: 1537 * MiB, utilizationPercent: 0 },
    ]);
  });
});

describe('collect_handles_missing_gpu', () => {
  it('collect_handles_missing_gpu: no library and no nvidia-smi is a host without GPUs, not a fault', async () => {
    using host = new FakeGpuHost({ gpus: [] });
    using source = sourceOf(host, {
      paths: { nvml: ['/nonexistent/libnvidia-ml.so.1'], nvidiaSmi: '/nonexistent/nvidia-smi' },
    });
    const found = await reading(source, ({ status }) => status === 'absent');
    expect(found).toMatchObject({ reader: 'none', devices: [], processes: [], faults: [] });
    expect(found.reason).toMatch(/libnvidia-ml.*nvidia-smi is not there/);
  });

  it('collect_handles_missing_gpu: a driver without GPUs works, and shows none', async () => {
    using host = new FakeGpuHost({ gpus: [] });
    using source = sourceOf(host);
    expect(await reading(source, working('nvml'))).toMatchObject({ devices: [], processes: [], faults: [] });
    using other = sourceOf(host, { gpu: 'nvidia-smi' });
    expect(await reading(other, working('nvidiaSmi'))).toMatchObject({ devices: [], processes: [], faults: [] });
  });
});

describe.each(['process', 'thread'] as const)('isolation %s', (isolation) => {
  it('NVML: the same four GPUs, to the byte', async () => {
    using host = new FakeGpuHost(fourH100());
    process.env.HIVEPULSE_FAKE_GPU = host.file;
    using source = sourceOf(host, {
      isolation,
      gpu: 'nvml',
      paths: { nvml: [`${host.env.LD_LIBRARY_PATH}/libnvidia-ml.so.1`] },
    });
    const { devices, processes, faults, reason } = await reading(source, working('nvml'));
    expect(reason).toBeNull();
    expect(faults).toEqual([]);
    expect(devices).toHaveLength(4);
    expect(devices[0]).toMatchObject({
      memoryTotalBytes: 81559 * MiB,
      memoryUsedBytes: 70_254 * MiB,
      memoryReservedBytes: 501481472,
      powerWatts: 593.35,
      nvlinks: { up: 18, total: 18 },
      health: 'ok',
    });
    expect(
      processes.map(({ pid, memoryUsedBytes, utilizationPercent }) => [pid, memoryUsedBytes, utilizationPercent]),
    ).toEqual([
      [4101, 70_254 * MiB, 87],
      [4102, 40_960 * MiB, 12],
      [4103, 1536 * MiB + 4096, 0],
    ]);
    expect(source.latest().ageMs).toBeLessThan(1000);
  });
});

describe('driver_generations', () => {
  const processes = [
    { pid: 11, bytes: 300 * MiB, utilization: 30 },
    { pid: 1234567, bytes: 2000 * MiB, utilization: null },
    { pid: 33, bytes: null, utilization: 5 },
  ];
  const expected = [
    [11, 300 * MiB, 30],
    [33, null, 5],
    [1234567, 2000 * MiB, 0],
  ];

  it.each(generations)('driver_generations: process lists of %i are read at their own stride', async (generation) => {
    using host = new FakeGpuHost({ generation, gpus: [h100With(0, processes)] });
    using source = sourceOf(host, { gpu: 'nvml' });
    const found = await reading(source, working('nvml'));
    expect(found.processes.map((p) => [p.pid, p.memoryUsedBytes, p.utilizationPercent])).toEqual(expected);
    // The first layout of memory counts what is reserved as used, and can't tell it.
    const v1 = generation === 440 || generation === 470;
    expect(found.devices[0]!.memoryUsedBytes).toBe(2300 * MiB + (v1 ? 501481472 : 0));
    expect(found.devices[0]!.memoryReservedBytes).toBe(v1 ? null : 501481472);
    expect(found.devices[0]!.unsupported.includes('memoryReservedBytes')).toBe(v1);
  });

  it.each([16, 24, 32] as const)(
    'driver_generations: a library that writes %i bytes under an unchanged name',
    async (stride) => {
      using host = new FakeGpuHost({ generation: 550, stride, gpus: [h100With(0, processes)] });
      using source = sourceOf(host, { gpu: 'nvml' });
      const found = await reading(source, working('nvml'));
      expect(found.processes.map((p) => [p.pid, p.memoryUsedBytes, p.utilizationPercent])).toEqual(expected);
    },
  );
});

describe('one_gpu_lost_of_four', () => {
  const lost = (code: number) => ({
    ...fourH100(),
    gpus: fourH100().gpus.map((gpu, i) => (i === 2 ? { ...gpu, codes: { nvmlDeviceGetHandleByIndex_v2: code } } : gpu)),
  });

  it.each([
    ['nvml', 999],
    ['nvml', 15],
    ['nvidia-smi', 999],
    ['nvidia-smi', 15],
  ] as const)('one_gpu_lost_of_four: %s, code %i: three go on, one is lost, by its name', async (gpu, code) => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host, { gpu });
    await reading(source, ({ devices }) => devices.length === 4);
    host.become(lost(code));
    const found = await reading(source, ({ devices }) => devices[2]?.health === 'lost');
    expect(found.status).toBe('working');
    expect(found.devices.map(({ uuid, health }) => [uuid, health])).toEqual(
      fourH100().gpus.map(({ uuid }, i) => [uuid, i === 2 ? 'lost' : 'ok']),
    );
    expect(found.devices[2]).toMatchObject({ memoryTotalBytes: null, utilizationPercent: null });
    expect(found.devices[3]!.memoryTotalBytes).toBe(81559 * MiB);
    expect(found.processes).toHaveLength(3);
    expect(found.faults).toEqual([
      expect.objectContaining({ code: code === 15 ? 'GPU_IS_LOST' : 'UNKNOWN_ERROR', gpuUuid: found.devices[2]!.uuid }),
    ]);
    expect(source.takeEvents()).toEqual([
      expect.objectContaining({ kind: 'gpuLost', gpuUuid: found.devices[2]!.uuid }),
    ]);

    host.become(fourH100());
    await reading(source, ({ devices }) => devices.every(({ health }) => health === 'ok'));
    expect(source.takeEvents()).toEqual([expect.objectContaining({ kind: 'gpuRecovered' })]);
  });

  it('one_gpu_lost_of_four: lost before it was ever seen, it has a place and no name', async () => {
    using host = new FakeGpuHost({ ...lost(999), generation: 590 });
    using nvml = sourceOf(host, { gpu: 'nvml' });
    using smi = sourceOf(host, { gpu: 'nvidia-smi' });
    for (const source of [nvml, smi]) {
      const { devices } = await reading(source, ({ status }) => status === 'working');
      expect(devices.map(({ index, health }) => [index, health])).toEqual([
        [0, 'ok'],
        [1, 'ok'],
        [2, 'lost'],
        [3, 'ok'],
      ]);
      expect(devices[2]!.uuid).toBe('unidentified-2');
    }
  });

  it('one_gpu_lost_of_four: one that the driver no longer lists is lost, not gone', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host, { gpu: 'nvml' });
    await reading(source, ({ devices }) => devices.length === 4);
    host.become({ ...fourH100(), gpus: fourH100().gpus.slice(0, 3) });
    const found = await reading(source, ({ devices }) => devices[3]?.health === 'lost');
    expect(found.devices).toHaveLength(4);
    expect(found.faults[0]).toMatchObject({ code: 'GPU_VANISHED' });
  });
});

describe('driver_appears_after_boot', () => {
  it('driver_appears_after_boot: nvmlInit says 9, 9, 0', async () => {
    using host = new FakeGpuHost({ ...fourH100(), calls: { nvmlInit_v2: { codes: [9, 9, 0] } }, smi: { exit: 9 } });
    using source = sourceOf(host);
    const before = await reading(source, ({ status }) => status === 'failed');
    expect(before.faults.map(({ code }) => code)).toEqual(['DRIVER_NOT_LOADED', 'DRIVER_NOT_LOADED']);
    const after = await reading(source, working('nvml'));
    expect(after.devices).toHaveLength(4);
    expect(after.faults).toEqual([]);
  });

  it('driver_appears_after_boot: NVML fails while nvidia-smi works: over and back, and the figures stay', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host);
    await reading(source, working('nvml'));
    const states = new Set<string>();
    host.become({
      ...fourH100(),
      calls: { nvmlDeviceGetCount_v2: { codes: [9] }, nvmlInit_v2: { codes: [9] } },
    });
    const over = await reading(source, (latest) => {
      states.add(latest.status);
      return latest.reader === 'nvidiaSmi';
    });
    expect(over.reason).toMatch(/NVML: the NVIDIA driver is not loaded/);
    expect(over.devices[0]).toMatchObject({ memoryUsedBytes: 70_254 * MiB, health: 'ok' });
    host.become(fourH100());
    await reading(source, (latest) => {
      states.add(latest.status);
      return latest.reader === 'nvml';
    });
    expect([...states]).toEqual(['working']);
    expect(source.takeEvents()).toEqual([]);
  });
});

describe('a driver that does not list its GPUs', () => {
  const counting = (code: number) => ({ calls: { nvmlDeviceGetCount_v2: { codes: [code] } } });

  it.each([4, 9, 18, 999])('from the start, code %i: nvidia-smi takes over, until it does', async (code) => {
    using host = new FakeGpuHost({ ...fourH100(), ...counting(code) });
    using source = sourceOf(host);
    const over = await reading(source, ({ status }) => status === 'working');
    expect(over).toMatchObject({ reader: 'nvidiaSmi', reason: `NVML: ${reasonOf(code).text}` });
    expect(over.devices.map(({ memoryTotalBytes }) => memoryTotalBytes)).toEqual(Array(4).fill(81559 * MiB));
    host.become(fourH100());
    await reading(source, working('nvml'));
  });

  it.each([9, 18])('later, code %i: it is initialized again, and nvidia-smi takes over', async (code) => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host);
    await reading(source, working('nvml'));
    host.become({ ...fourH100(), ...counting(code) });
    const over = await reading(source, working('nvidiaSmi'));
    expect(over.devices).toHaveLength(4);
    expect(source.takeEvents()).toEqual([]);
  });

  it.each([4, 999])('later, code %i: those known go on with a fault, and one that is lost is lost', async (code) => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host, { gpu: 'nvml' });
    await reading(source, ({ devices }) => devices.length === 4);
    const gpus = fourH100().gpus.map((gpu, i) =>
      i === 2 ? { ...gpu, codes: { nvmlDeviceGetHandleByIndex_v2: 15 } } : gpu,
    );
    host.become({ ...fourH100(), gpus, ...counting(code) });
    const found = await reading(source, ({ devices }) => devices[2]?.health === 'lost');
    expect(found.devices.map(({ health }) => health)).toEqual(['ok', 'ok', 'lost', 'ok']);
    expect(found.devices[3]!.memoryTotalBytes).toBe(81559 * MiB);
    expect(found.faults.map(({ code, field }) => [code, field])).toEqual([
      [reasonOf(code).code, 'gpus'],
      ['GPU_IS_LOST', undefined],
    ]);
  });

  it('it is not asked again without pause', async () => {
    using host = new FakeGpuHost({ ...fourH100(), ...counting(999) });
    const start = performance.now();
    const child = spawn(findHelper()!, ['--interval-ms', '20', '--retry-ms', '200'], {
      env: { ...process.env, ...host.env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let failures = 0;
    try {
      for await (const line of createInterface({ input: child.stdout })) {
        if (parseNvmlLine(line)?.type === 'failed' && ++failures === 3) break;
      }
    } finally {
      child.kill('SIGKILL');
    }
    // A pause of 200 ms, then one of twice that.
    expect(performance.now() - start).toBeGreaterThan(600);
  });
});

describe('vram_is_per_gpu', () => {
  it.each(['nvml', 'nvidia-smi'] as const)('vram_is_per_gpu: 8, 24 and 80 GiB in one host, by %s', async (gpu) => {
    const GiB = 1024 * MiB;
    using host = new FakeGpuHost({
      gpus: [8, 24, 80].map((size, i) =>
        h100(i, { name: `${size} GiB card`, memory: { total: size * GiB, reserved: 256 * MiB, used: i * GiB } }),
      ),
    });
    using source = sourceOf(host, { gpu });
    const { devices } = await reading(source, ({ status }) => status === 'working');
    expect(devices.map((d) => [d.memoryTotalBytes, d.memoryUsedBytes, d.memoryReservedBytes])).toEqual(
      [8, 24, 80].map((size, i) => [size * GiB, i * GiB, 256 * MiB]),
    );
  });
});

describe('release', () => {
  it.each(['process', 'thread'] as const)(
    'release lets go of the driver and takes it up again (%s)',
    async (isolation) => {
      using host = new FakeGpuHost(fourH100());
      process.env.HIVEPULSE_FAKE_GPU = host.file;
      const nvml = [`${host.env.LD_LIBRARY_PATH}/libnvidia-ml.so.1`];
      using source = sourceOf(host, { isolation, paths: { nvml } });
      await reading(source, working('nvml'));
      const helpers = () =>
        readdirSync('/proc').filter((pid) => {
          try {
            return /hivepulse-gpu$/.test(readlinkSync(`/proc/${pid}/exe`)) && parentOf(pid) === process.pid;
          } catch {
            return false;
          }
        });
      if (isolation === 'process') expect(helpers().length).toBeGreaterThan(0);
      await source.release(0.5);
      expect(source.latest()).toMatchObject({ status: 'released', processes: [] });
      expect(source.latest().devices.map(({ memoryUsedBytes }) => memoryUsedBytes)).toEqual([null, null, null, null]);
      if (isolation === 'process') expect(helpers()).toEqual([]);
      await reading(source, working('nvml'));
      expect(source.takeEvents()).toEqual([]);
    },
  );

  it('release refuses a time that is none', async () => {
    using host = new FakeGpuHost(fourH100());
    using source = sourceOf(host);
    await expect(source.release(-1)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(source.release(Number.NaN)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

function parentOf(pid: string): number {
  return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
