import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Assembled } from '../../../lib/gpu/assemble.js';
import { Registry } from '../../../lib/queen/registry.js';
import {
  type FakeGpu,
  FakeGpuHost,
  fakeLibrary,
  fakeLibraryDirectory,
  generations,
  h100,
  h100With,
  type Scenario,
} from '../../fakes/scenario.js';
import { bareHeartbeat } from '../../queen/heartbeats.js';
import { catalogue, elsewhere, gb10, hazards, migGpu } from './hazards.js';
import { nvidiaSmiOnce, nvmlMessage, nvmlOnce } from './read-once.js';
import { reading, sourceOf, working } from './sources.js';

const MiB = 1024 * 1024;

type Check = (seen: Assembled, reader: 'nvml' | 'nvidiaSmi') => void;

const processes = (seen: Assembled) => seen.processes.map(({ pid, memoryUsedBytes }) => [pid, memoryUsedBytes]);
const only = (seen: Assembled) => seen.devices[0]!;
const codes = (seen: Assembled) => seen.faults.map(({ code, field }) => [code, field]);

/** What each machine of `hazards` must look like, through either reader. */
const expected: Record<keyof typeof hazards, Check> = {
  '01 a 535.54 whose _v3 lists take 32 bytes': (seen) =>
    expect(processes(seen)).toEqual([
      [100, 700 * MiB],
      [200, 900 * MiB],
    ]),
  '02 a 440 that knows only the first layouts': (seen) =>
    expect(processes(seen)).toEqual([
      [9980, 5 * MiB],
      [9981, 6 * MiB],
    ]),
  '03 a 535.98 without _v3 lists': (seen) => expect(processes(seen)).toEqual([[100, 700 * MiB]]),
  '04 memory info v2 that fails': (seen) => {
    // By the first layout: what is reserved counts as used, and its size is not known.
    expect(only(seen)).toMatchObject({ memoryUsedBytes: 400 * MiB, memoryReservedBytes: null, health: 'ok' });
    expect(only(seen).unsupported).toContain('memoryReservedBytes');
    expect(seen.faults).toEqual([]);
  },
  '05 an idle GPU of which the driver reserves some': (seen) =>
    expect(only(seen)).toMatchObject({ memoryUsedBytes: MiB, memoryReservedBytes: 308 * MiB }),
  '06 WSL: no memory of processes, v2 unknown': (seen) => {
    expect(only(seen)).toMatchObject({ memoryUsedBytes: 2000 * MiB, memoryReservedBytes: null });
    expect(processes(seen)).toEqual([[79, null]]);
    expect(only(seen).unsupported).toContain('workers.gpus.memoryUsedBytes');
  },
  '07 GB10: no memory info': (seen) => {
    expect(only(seen)).toMatchObject({
      memoryKind: 'unified',
      memoryTotalBytes: null,
      memoryReservedBytes: null,
      memoryUsedBytes: 34_120 * MiB,
      utilizationPercent: 0,
      fanPercent: null,
      powerLimitWatts: null,
      health: 'ok',
    });
    expect(only(seen).powerWatts).toBeCloseTo(21.48);
    expect(only(seen).unsupported).toEqual(expect.arrayContaining(['memoryTotalBytes', 'memoryReservedBytes']));
    expect(only(seen).unsupported).not.toContain('memoryUsedBytes');
    expect(seen.faults).toEqual([]);
  },
  '09 utilization that a card can not tell': (seen) => {
    expect(only(seen)).toMatchObject({ memoryTotalBytes: 2004 * MiB, memoryUsedBytes: 2004 * MiB, fanPercent: 44 });
    expect(only(seen)).toMatchObject({ utilizationPercent: null, powerWatts: null, powerLimitWatts: null });
    expect(only(seen).unsupported).toContain('utilizationPercent');
    expect(seen.faults).toEqual([]);
  },
  '10 tokens in another case': (seen) => {
    expect(only(seen)).toMatchObject({ utilizationPercent: null, powerWatts: null, powerLimitWatts: null });
    expect(only(seen)).toMatchObject({ memoryTotalBytes: 6144 * MiB, fanPercent: null, health: 'ok' });
    expect(only(seen).unsupported).toEqual(expect.arrayContaining(['utilizationPercent', 'fanPercent', 'powerWatts']));
    expect(processes(seen)).toEqual([[79, null]]);
    expect(seen.faults).toEqual([]);
  },
  '11 a nvidia-smi that knows none of the newer fields': (seen) => {
    expect(only(seen)).toMatchObject({ memoryTotalBytes: 81559 * MiB, throttleReasons: ['idle'], health: 'ok' });
    expect(seen.faults).toEqual([]);
  },
  '14 one lost handle between healthy ones': (seen) =>
    expect(seen.devices.map(({ health }) => health)).toEqual(['ok', 'ok', 'lost', 'ok']),
  '14b one lost in the middle of its answers': (seen) => {
    expect(seen.devices.map(({ health }) => health)).toEqual(['ok', 'lost', 'ok']);
    expect(seen.devices[1]).toMatchObject({
      memoryUsedBytes: null,
      utilizationPercent: null,
      temperatureCelsius: null,
    });
    expect(processes(seen)).toEqual([]);
    expect(codes(seen)).toEqual([['GPU_IS_LOST', undefined]]);
  },
  '15 a fan that errs and a recovery action': (seen) => {
    expect(only(seen)).toMatchObject({ fanPercent: null, health: 'resetRequired', memoryTotalBytes: 24564 * MiB });
    expect(codes(seen)).toEqual([
      ['GPU_RESET_REQUIRED', undefined],
      ['UNKNOWN_ERROR', 'fanPercent'],
    ]);
  },
  '16 only the fan is unknown': (seen) => {
    expect(only(seen)).toMatchObject({ utilizationPercent: 53, memoryBusPercent: 3, temperatureCelsius: 84 });
    expect(only(seen)).toMatchObject({ powerWatts: 123, powerLimitWatts: 262.5, fanPercent: null, health: 'ok' });
    expect(codes(seen)).toEqual([['UNKNOWN_ERROR', 'fanPercent']]);
  },
  '18 a container that may not see processes': (seen) => {
    expect(only(seen)).toMatchObject({ health: 'ok', memoryTotalBytes: 81559 * MiB, processesKnown: false });
    expect(codes(seen)).toEqual([['NO_PERMISSION', 'processCount']]);
  },
  '18b a process list that fails beside one that does not': (seen) => {
    expect(seen.devices.map(({ health, processesKnown }) => [health, processesKnown])).toEqual([
      ['ok', true],
      ['ok', false],
    ]);
    expect(processes(seen)).toEqual([[42, 500 * MiB]]);
    expect(codes(seen)).toEqual([['UNKNOWN_ERROR', 'processCount']]);
  },
  '20 an idle GPU has no samples': (seen) => {
    expect(seen.processes[0]!.utilizationPercent).toBe(0);
    expect(seen.faults).toEqual([]);
  },
  '21 a ring full of nonsense': (seen) =>
    expect(seen.processes.map(({ pid, utilizationPercent }) => [pid, utilizationPercent])).toEqual([
      [42, 61],
      [43, 2],
    ]),
  '22 Blackwell: the old utilization call stays empty': (seen) =>
    expect(seen.processes[0]!.utilizationPercent).toBe(77),
  '24 MIG': (seen, reader) => {
    expect(only(seen)).toMatchObject({ utilizationPercent: null, memoryBusPercent: null, remappedRows: null });
    expect(only(seen).unsupported).toContain('utilizationPercent');
    expect(seen.devices.map(({ migMode }) => migMode)).toEqual([true, false, false].slice(0, seen.devices.length));
    if (reader === 'nvidiaSmi') {
      expect(seen.devices).toHaveLength(1);
      expect(seen.processes).toEqual([
        { gpuUuid: migGpu.uuid, pid: 777, memoryUsedBytes: 8900 * MiB, utilizationPercent: null },
      ]);
      return;
    }
    const [, one, two] = seen.devices;
    expect(one).toMatchObject({ parentUuid: migGpu.uuid, memoryTotalBytes: 40_448 * MiB, memoryUsedBytes: 9000 * MiB });
    expect(two).toMatchObject({ parentUuid: migGpu.uuid, memoryTotalBytes: 19_968 * MiB, memoryUsedBytes: 0 });
    expect(one).toMatchObject({
      utilizationPercent: null,
      temperatureCelsius: null,
      memoryKind: 'device',
      health: 'ok',
    });
    expect(one!.unsupported).toContain('utilizationPercent');
    // Once, on its instance, though the parent's list repeats it.
    expect(seen.processes).toEqual([
      { gpuUuid: one!.uuid, pid: 777, memoryUsedBytes: 8900 * MiB, utilizationPercent: null },
    ]);
    expect(seen.faults).toEqual([]);
  },
  '24b MIG is on, and nothing is cut yet': (seen) =>
    expect(seen.devices.map(({ migMode, processesKnown }) => [migMode, processesKnown])).toEqual([
      [true, true],
      [false, true],
    ]),
  '28 utilization latched at 100 %': (seen) => {
    expect(only(seen).utilizationPercent).toBe(100);
    expect(codes(seen)).toEqual([['UTILIZATION_SUSPECT', 'utilizationPercent']]);
  },
  '32 a vGPU guest that can tell little': (seen) => {
    expect(only(seen)).toMatchObject({ temperatureCelsius: null, powerWatts: null, remappedRows: null, health: 'ok' });
    expect(only(seen).unsupported).toEqual(
      expect.arrayContaining(['temperatureCelsius', 'powerWatts', 'remappedRows']),
    );
    expect(seen.faults).toEqual([]);
  },
  '34 a library under one name alone': (seen) => {
    expect(readdirSync(fakeLibraryDirectory())).toEqual(['libnvidia-ml.so.1']);
    expect(processes(seen)).toEqual([[42, 500 * MiB]]);
  },
  '35 an order that is not that of the bus, nor of CUDA': (seen) => {
    const [first, second, third] = hazards['35 an order that is not that of the bus, nor of CUDA'].gpus;
    expect(seen.devices.map(({ index, uuid, pciBusId }) => [index, uuid, pciBusId])).toEqual(
      [first, second, third].map((gpu, index) => [index, gpu!.uuid, gpu!.bus]),
    );
    expect(seen.processes.map(({ gpuUuid, pid }) => [gpuUuid, pid])).toEqual([
      [first!.uuid, 43],
      [third!.uuid, 42],
    ]);
  },
  'graphics and MPS processes, some in two lists': (seen) =>
    expect(processes(seen)).toEqual([
      [10, 700 * MiB],
      [11, 40 * MiB],
      [12, 900 * MiB],
    ]),
  'rows waiting to be remapped': (seen) => {
    expect(only(seen)).toMatchObject({
      remappedRows: { pending: true, failed: false },
      eccUncorrected: 2,
      health: 'degraded',
    });
    expect(codes(seen)).toEqual([
      ['GPU_REMAP_PENDING', undefined],
      ['GPU_ECC_UNCORRECTED', undefined],
    ]);
  },
  'a GPU that must be reset': (seen) =>
    expect(seen.devices.map(({ health, memoryTotalBytes }) => [health, memoryTotalBytes])).toEqual([
      ['resetRequired', null],
      ['ok', 81559 * MiB],
    ]),
  'no permission for one device': (seen) =>
    expect(seen.devices.map(({ health }) => health)).toEqual(['ok', 'noPermission']),
};

describe('known faults', () => {
  it.each(Object.entries(expected))('known faults: %s, by NVML', async (name, check) => {
    using host = new FakeGpuHost(hazards[name as keyof typeof hazards] as Scenario);
    check(await nvmlOnce(host), 'nvml');
  });

  it.each(Object.entries(expected))('known faults: %s, by nvidia-smi', async (name, check) => {
    using host = new FakeGpuHost(hazards[name as keyof typeof hazards] as Scenario);
    const seen = await nvidiaSmiOnce(host);
    if (!('devices' in seen)) throw new Error(seen.message);
    check(seen, 'nvidiaSmi');
  });

  it('known faults: every row of the catalogue is a machine above, or a test that exists', () => {
    const hosts = Object.keys(hazards).flatMap((name) => /^\d+/.exec(name)?.[0] ?? []);
    const rows = new Set([...hosts, ...Object.keys(elsewhere)].map(Number));
    expect([...rows].sort((a, b) => a - b)).toEqual([...catalogue]);
    for (const [row, [file, title]] of Object.entries(elsewhere)) {
      const tests = readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8');
      expect(tests.includes(`it('${title}'`) || tests.includes(`  '${title}',\n    async`), `${row}: ${title}`).toBe(
        true,
      );
    }
  });

  it('known faults: 30 power is a column asked for by name; nothing is read from XML', async () => {
    using host = new FakeGpuHost({ generation: 590, driver: '570.86.15', gpus: [h100(0)] });
    const runs: string[] = [];
    const spy = ((command: string, args: readonly string[], options: object) => {
      runs.push(args.slice(3).join(' '));
      return spawn(command, args, options);
    }) as typeof spawn;
    using source = sourceOf(host, { gpu: 'nvidia-smi', spawn: spy });
    const { devices } = await reading(source, working('nvidiaSmi'));
    expect(devices[0]!.powerWatts).toBe(71.35);
    expect(runs.length).toBeGreaterThan(1);
    for (const run of runs)
      expect(run).toMatch(/^(--query-(gpu|compute-apps)=\S+ --format=csv,noheader,nounits|pmon )/);
    expect(runs[0]).toContain(',power.draw,');
  });

  it('known faults: 34 the name without a number, which is for linking, is not tried', async () => {
    using host = new FakeGpuHost({ gpus: [h100(0)] });
    const directory = join(host.directory, 'lib');
    mkdirSync(directory);
    const numbered = join(directory, 'libnvidia-ml.so.1');
    const message = () => nvmlMessage({ env: { ...host.env, LD_LIBRARY_PATH: directory } });
    writeFileSync(join(directory, 'libnvidia-ml.so'), 'no library');
    copyFileSync(fakeLibrary(), numbered);
    expect(await message()).toMatchObject({ type: 'report', library: numbered });
    copyFileSync(fakeLibrary(), join(directory, 'libnvidia-ml.so'));
    writeFileSync(numbered, 'no library');
    // Where this host has a driver, it is found in its own place.
    const found = await message();
    if (found.type === 'unavailable') expect(found.reason).toContain(numbered);
    else expect(found).not.toMatchObject({ library: join(directory, 'libnvidia-ml.so') });
  });

  it.each(['nvml', 'nvidia-smi'] as const)(
    'known faults: 35 GPUs that change their order keep their values, by %s',
    async (gpu) => {
      const gpus = [h100With(0, [{ pid: 42, bytes: 500 * MiB, utilization: 7 }]), h100(1, { temperature: 77 })];
      using host = new FakeGpuHost({ gpus });
      using source = sourceOf(host, { gpu });
      const before = await reading(source, ({ devices }) => devices.length === 2);
      host.become({ gpus: [...gpus].reverse() });
      const after = await reading(source, ({ devices }) => devices[0]?.uuid === gpus[1]!.uuid);
      const byUuid = ({ devices }: typeof before) =>
        new Map(devices.map(({ uuid, temperatureCelsius, health }) => [uuid, { temperatureCelsius, health }]));
      expect(byUuid(after)).toEqual(byUuid(before));
      expect(after.devices.map(({ index }) => index)).toEqual([0, 1]);
      expect(after.processes.map(({ gpuUuid, pid }) => [gpuUuid, pid])).toEqual([[gpus[0]!.uuid, 42]]);
      expect(source.takeEvents()).toEqual([]);
    },
  );

  it.each(['nvml', 'nvidia-smi'] as const)(
    'known faults: 24 nothing is placed on a GPU in MIG mode as a whole, by %s',
    async (reader) => {
      const place = async (gpus: readonly FakeGpu[]) => {
        using host = new FakeGpuHost({ gpus });
        using source = sourceOf(host, { gpu: reader });
        const { devices } = await reading(source, ({ status }) => status === 'working');
        const queen = new Registry({ queenId: 'q' });
        const samples = devices.map(({ processesKnown: _, ...device }) => ({
          ...device,
          processCount: 0,
          unattributedBytes: 0,
        }));
        queen.heartbeat(bareHeartbeat('a', 1, { gpus: samples }));
        return queen.place({ vramBytes: 30 * 1024 * MiB });
      };
      const whole = await place([migGpu]);
      if (reader === 'nvidia-smi') {
        expect(whole.candidates).toEqual([]);
        expect(whole.refusals).toMatchObject([{ reason: 'gpuUnhealthy', detail: expect.stringContaining('MIG') }]);
      } else {
        const [first] = migGpu.mig!.devices;
        expect(whole.candidates[0]!.gpus.map(({ uuid }) => uuid)).toEqual([first!.uuid]);
      }
      const uncut = { ...migGpu, mig: { enabled: true, slots: 7, devices: [] }, processes: [] };
      expect((await place([uncut])).candidates).toEqual([]);
      expect((await place([uncut, h100(1)])).candidates[0]!.gpus.map(({ uuid }) => uuid)).toEqual([h100(1).uuid]);
    },
  );

  it('known faults: 08 the memory of the host is never taken for that of a GPU', async () => {
    using host = new FakeGpuHost({ generation: 590, gpus: [{ ...gb10, processes: [] }] });
    // Nothing holds a context: nothing is used, whatever the host has in use.
    expect((await nvmlOnce(host)).devices[0]).toMatchObject({ memoryTotalBytes: null, memoryUsedBytes: 0 });
  });

  it('known faults: 26 access lost within a container: unknown errors everywhere, then re-initialized', async () => {
    using host = new FakeGpuHost({ gpus: [migGpu] });
    using source = sourceOf(host, { gpu: 'nvml' });
    await reading(source, working('nvml'));
    const everywhere = { codes: [999] };
    host.become({
      gpus: [migGpu],
      calls: { nvmlDeviceGetMemoryInfo: everywhere, nvmlDeviceGetMemoryInfo_v2: everywhere, nvmlInit_v2: everywhere },
    });
    const lost = await reading(source, ({ status }) => status === 'failed');
    expect(lost.devices.map(({ memoryUsedBytes, health }) => [memoryUsedBytes, health])).toEqual([
      [null, 'stalled'],
      [null, 'stalled'],
      [null, 'stalled'],
    ]);
    expect(lost.faults).toEqual([
      expect.objectContaining({ code: 'UNKNOWN_ERROR', message: expect.stringMatching(/container/) }),
    ]);
    host.become({ gpus: [migGpu] });
    await reading(source, working('nvml'));
  });

  it('a process that is listed twice counts once, and a dash of pmon takes no number away', async () => {
    const process = { pid: 4242, kind: 'C' as const, name: 'a, check version mismatch', bytes: 512 * 2 ** 20 };
    const twice = { ...gb10, processes: [{ ...process, utilization: 31 }, process] };
    using host = new FakeGpuHost({ gpus: [twice] });
    using source = sourceOf(host, { gpu: 'nvidia-smi' });
    const { processes, faults } = await reading(source, working('nvidiaSmi'));
    expect(processes).toEqual([
      expect.objectContaining({ pid: 4242, memoryUsedBytes: 512 * 2 ** 20, utilizationPercent: 31 }),
    ]);
    expect(faults.map(({ code }) => code)).not.toContain('VERSION_MISMATCH');
  });

  it.each(generations)(
    'lists that ask for more room, and name none, are asked for again with more (driver %i)',
    async (generation) => {
      const busy = {
        ...gb10,
        processes: [{ pid: 4242, kind: 'C' as const, name: 'a', bytes: 2 ** 20, utilization: 31 }],
      };
      const lists = ['', '_v2', '_v3'].map((version) => `nvmlDeviceGetComputeRunningProcesses${version}`);
      const names = [...lists, 'nvmlDeviceGetProcessUtilization', 'nvmlDeviceGetProcessesUtilizationInfo'];
      using host = new FakeGpuHost({
        generation,
        gpus: [busy],
        calls: Object.fromEntries(names.map((name) => [name, { codes: [7, 7, 7, 0] }])),
      });
      using source = sourceOf(host, { gpu: 'nvml' });
      const { processes } = await reading(source, working('nvml'));
      expect(processes).toEqual([
        expect.objectContaining({ pid: 4242, memoryUsedBytes: 2 ** 20, utilizationPercent: 31 }),
      ]);
    },
  );

  it('known faults: 29 a slow nvidia-smi ages, and is not cut off', async () => {
    using host = new FakeGpuHost({ gpus: [gb10], smi: { delayMs: 150 } });
    using source = sourceOf(host, { gpu: 'nvidia-smi' });
    await reading(source, working('nvidiaSmi'));
    // Three runs of 150 ms make a pass; the next begins after as long a pause.
    const aged = await reading(source, ({ ageMs }) => ageMs !== null && ageMs > 400);
    expect(aged.status).toBe('working');
  });

  it('known faults: an Xid is reported once, and stays with its GPU', async () => {
    const gpu = { ...migGpu, mig: null };
    using host = new FakeGpuHost({ gpus: [gpu] });
    using source = sourceOf(host, { gpu: 'nvml' });
    await reading(source, working('nvml'));
    host.become({ gpus: [gpu], xids: [{ gpu: 0, xid: 79 }] });
    const seen = await reading(source, ({ devices }) => devices[0]?.lastXid === 79);
    expect(seen.status).toBe('working');
    expect(source.takeEvents()).toEqual([
      { kind: 'xid', gpuUuid: gpu.uuid, at: expect.stringMatching(/^\d{4}-/), detail: { xid: 79, index: 0 } },
    ]);
    expect(source.takeEvents()).toEqual([]);
  });
});
