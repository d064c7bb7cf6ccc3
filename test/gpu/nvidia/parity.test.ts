import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Assembled } from '../../../lib/gpu/assemble.js';
import { FakeGpuHost, type FakeProcess, fourH100, generations, h100, type Scenario } from '../../fakes/scenario.js';
import { portion } from '../../harness/draws.js';
import { hazards, listCodes } from './hazards.js';
import { nvidiaSmiOnce, nvmlOnce } from './read-once.js';

const MiB = 1024 * 1024;

/**
 * What only NVML can tell; of all else the two readers must say the same.
 * - `nvlinks`: no query of nvidia-smi gives them in CSV.
 * - MIG devices, and on which of them a process is: nvidia-smi lists the parent GPU alone.
 * - `lastXid`: only an event of NVML has it.
 * - utilization of a process without a sample on a busy GPU none of whose processes has one: pmon's "-" may be idle or
 *   unknown, NVML's NOT_FOUND is idle.
 * - `computeCapability` before 510: its nvidia-smi has no such field.
 * - utilization of processes, when the driver does not support it: pmon shows "-" as for an idle one.
 * And one that only nvidia-smi can: `pciBusId` of a GPU that was lost before it was ever seen.
 */
function comparable({ devices, processes, faults }: Assembled) {
  const parentOf = new Map(devices.map((device) => [device.uuid, device.parentUuid ?? device.uuid]));
  const whole = devices.filter((device) => device.parentUuid === null);
  const held = new Map<string, { bytes: number | null; parts: number; utilization: number | null }>();
  for (const { gpuUuid, pid, memoryUsedBytes, utilizationPercent } of processes) {
    const key = `${parentOf.get(gpuUuid)} ${pid}`;
    const before = held.get(key);
    const bytes =
      before && before.bytes !== null && memoryUsedBytes !== null ? before.bytes + memoryUsedBytes : memoryUsedBytes;
    held.set(key, { bytes, parts: (before?.parts ?? 0) + 1, utilization: utilizationPercent });
  }
  return {
    devices: whole.map(({ nvlinks: _, lastXid: __, unsupported, ...device }) => ({
      ...device,
      unsupported: unsupported
        .filter((name) => !['nvlinks', 'lastXid', 'workers.gpus.utilizationPercent'].includes(name))
        .sort(),
    })),
    held,
    faults: faults
      .filter((fault) => parentOf.get(fault.gpuUuid!) === fault.gpuUuid)
      .filter((fault) => fault.field !== 'nvlinks' && fault.field !== 'workers.gpus.utilizationPercent')
      .map(({ code, field, gpuUuid }) => `${gpuUuid} ${field ?? ''} ${code}`)
      .sort(),
  };
}

const rounded = ['memoryTotalBytes', 'memoryUsedBytes', 'memoryReservedBytes'] as const;

function expectSame(nvml: Assembled, smi: Assembled): void {
  const [exact, coarse] = [comparable(nvml), comparable(smi)];
  expect(coarse.faults).toEqual(exact.faults);
  expect([...coarse.held.keys()].sort()).toEqual([...exact.held.keys()].sort());
  expect(coarse.devices.map(({ uuid }) => uuid)).toEqual(exact.devices.map(({ uuid }) => uuid));
  exact.devices.forEach((device, i) => {
    const other = coarse.devices[i]!;
    const processes = [...exact.held.keys()].filter((key) => key.startsWith(device.uuid)).length;
    for (const field of rounded) {
      const [bytes, cell] = [device[field], other[field]];
      if (bytes === null || cell === null) expect([field, cell]).toEqual([field, bytes]);
      else {
        // Each cell is rounded up to MiB; a sum over processes is rounded once for each.
        const slack = device.memoryTotalBytes === null ? Math.max(processes, 1) : 1;
        expect(cell, field).toBeGreaterThanOrEqual(bytes);
        expect(cell - bytes, field).toBeLessThan(slack * MiB);
      }
    }
    for (const field of ['powerWatts', 'powerLimitWatts'] as const) {
      if (device[field] === null) expect(other[field], field).toBeNull();
      else expect(other[field], field).toBeCloseTo(device[field], 1);
    }
    const rest = (entry: typeof device) => ({
      ...entry,
      memoryTotalBytes: 0,
      memoryUsedBytes: 0,
      memoryReservedBytes: 0,
      powerWatts: 0,
      powerLimitWatts: 0,
      computeCapability: other.computeCapability === null ? null : entry.computeCapability,
      pciBusId: device.uuid.startsWith('unidentified-') ? null : entry.pciBusId,
    });
    expect(rest(other)).toEqual(rest(device));
  });
  for (const [key, { bytes, parts, utilization }] of exact.held) {
    const other = coarse.held.get(key)!;
    if (bytes === null) expect(other.bytes, key).toBeNull();
    else expect(Math.abs(other.bytes! - bytes), key).toBeLessThan(parts * MiB);
    if (other.utilization !== null) expect(other.utilization, key).toBe(utilization);
  }
}

async function compare(scenario: Scenario): Promise<void> {
  using host = new FakeGpuHost(scenario);
  const smi = await nvidiaSmiOnce(host);
  if (!('devices' in smi)) throw new Error(`nvidia-smi: ${smi.message}`);
  expectSame(await nvmlOnce(host), smi);
}

describe('parity', () => {
  it('parity: NVML and nvidia-smi agree on four H100s', () => compare(fourH100()));

  it.each(Object.entries(hazards))('parity: they agree on %s', (_, scenario) => compare(scenario));

  const amount = (max: number) => fc.option(fc.nat(max), { freq: 5 });
  const failing = [
    'nvmlDeviceGetPowerUsage',
    'nvmlDeviceGetEnforcedPowerLimit',
    'nvmlDeviceGetTemperature',
    'nvmlDeviceGetFanSpeed',
    'nvmlDeviceGetClockInfo',
    'nvmlDeviceGetTotalEccErrors',
    'nvmlDeviceGetUtilizationRates',
    'nvmlDeviceGetCurrentClocksThrottleReasons',
  ];
  const seldom = (...failures: number[]) =>
    fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constantFrom(...failures) });
  const codes = fc
    .tuple(
      fc.dictionary(fc.constantFrom(...failing), fc.constantFrom(3, 4, 13, 15, 16, 26, 999), { maxKeys: 2 }),
      seldom(3, 4, 13, 15, 999),
      seldom(4, 15, 16, 999),
    )
    .map(([own, list, handle]) => ({
      ...own,
      ...(list === 0 ? {} : listCodes(list)),
      ...(handle === 0 ? {} : { nvmlDeviceGetHandleByIndex_v2: handle }),
    }));
  const process = fc.record({
    pid: fc.integer({ min: 1, max: 4_194_304 }),
    kind: fc.constantFrom<NonNullable<FakeProcess['kind']>>('C', 'G', 'CG', 'M'),
    bytes: amount(70 * 1024 * MiB),
    utilization: amount(100),
    name: fc.constantFrom('python', '/opt/a, b/serve', 'x, 5, GPU-1', '[N/A]', 'VLLM::EngineCore'),
  });
  const gpu = fc.record({
    memory: fc.option(
      fc.record({ total: fc.constant(81559 * MiB), reserved: fc.nat(600 * MiB), used: fc.nat(75_000 * MiB) }),
      { freq: 6 },
    ),
    utilization: fc.option(fc.tuple(fc.nat(100), fc.nat(100)), { freq: 5 }),
    temperature: amount(110),
    powerMilliwatts: amount(700_000),
    powerLimitMilliwatts: amount(700_000),
    smClock: amount(2500),
    fan: amount(130),
    throttle: amount(0x1ff),
    ecc: amount(3),
    remap: fc.option(fc.record({ pending: fc.boolean(), failed: fc.boolean() })),
    recovery: amount(4),
    processes: fc.uniqueArray(process, { selector: ({ pid }) => pid, maxLength: 5 }),
    codes,
  });
  const scenario = fc.record({
    generation: fc.constantFrom(...generations),
    gpus: fc.array(gpu, { minLength: 1, maxLength: 4 }).map((gpus) => gpus.map((changes, i) => h100(i, changes))),
  });

  it('parity: they agree on random machines', { timeout: 120_000 }, () =>
    fc.assert(fc.asyncProperty(scenario, compare), { numRuns: portion(40) }),
  );
});
