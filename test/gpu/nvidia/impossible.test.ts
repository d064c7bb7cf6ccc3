import fc from 'fast-check';
import { expect, it } from 'vitest';
import { gpuFields } from '../../../lib/contract/fields/gpu.js';
import { plausibleRules } from '../../../lib/contract/fields/plausible.js';
import type { GpuDevice, GpuEvent, GpuReading } from '../../../lib/gpu/reading.js';
import { type FakeGpu, FakeGpuHost, type FakeProcess, generations, h100, type Scenario } from '../../fakes/scenario.js';
import { readerDraws } from '../../harness/draws.js';
import { heartbeatOfReading, holdOutputs, holdValues, notOfReaders } from '../../harness/held-outputs.js';
import { TestQueen } from '../../queen/heartbeats.js';
import { reading, sourceOf } from './sources.js';

const fields = plausibleRules(gpuFields).filter(({ name }) => !notOfReaders.includes(name));
const MiB = 2n ** 20n;
const gpuCount = 8;
/** At least half of the runs, so that failures and answers are both among them. */
const factor = Math.max(0.5, readerDraws / 20_000);

/** All ones of every width, the sign bits, and whatever else fits into the type. */
const garbage = (bits: 32 | 64): fc.Arbitrary<bigint> =>
  fc.oneof(
    fc.constantFrom(...[8n, 16n, 32n, 64n].filter((width) => width <= BigInt(bits)).map((width) => 2n ** width - 1n)),
    // Not 2 ** 31: with the other it is 2 ** 32 - 1, which a sum is never to be.
    fc.constantFrom(2n ** 31n + 1n, 2n ** 31n - 1n),
    fc.bigInt(0n, 2n ** BigInt(bits) - 1n),
  );
const word = (most: number) =>
  fc.oneof(
    { weight: 2, arbitrary: fc.integer({ min: 0, max: most }).map(BigInt) },
    { weight: 1, arbitrary: garbage(32) },
    { weight: 1, arbitrary: fc.constant(null) },
  );
const bytes = fc.oneof(
  { weight: 3, arbitrary: fc.bigInt(0n, 81559n).map((n) => n * MiB) },
  { weight: 1, arbitrary: garbage(64) },
);
const flag = fc.oneof({ weight: 3, arbitrary: fc.boolean() }, { weight: 1, arbitrary: garbage(32) });

const isPid = (pid: number): boolean => pid >= 1 && pid <= 2 ** 22;
const processDraw = fc.record<FakeProcess>({
  pid: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 9 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 2 ** 22, 2 ** 22 + 1, 2 ** 32 - 1) },
  ),
  kind: fc.constantFrom('C', 'G', 'CG', 'M'),
  bytes: fc.option(bytes, { freq: 5, nil: null }),
  utilization: fc.option(fc.integer({ min: 0, max: 100 }), { nil: null }),
});

/** Any of them may fail for one GPU. */
const functions = [
  'nvmlDeviceGetUUID',
  'nvmlDeviceGetName',
  'nvmlDeviceGetMemoryInfo_v2',
  'nvmlDeviceGetUtilizationRates',
  'nvmlDeviceGetTemperature',
  'nvmlDeviceGetPowerUsage',
  'nvmlDeviceGetEnforcedPowerLimit',
  'nvmlDeviceGetClockInfo',
  'nvmlDeviceGetFanSpeed',
  'nvmlDeviceGetCurrentClocksThrottleReasons',
  'nvmlDeviceGetTotalEccErrors',
  'nvmlDeviceGetRemappedRows',
  'nvmlDeviceGetNvLinkState',
  'nvmlDeviceGetFieldValues',
  'nvmlDeviceGetMigMode',
  'nvmlDeviceGetProcessUtilization',
  'pmon',
] as const;

/** Lists of processes. One that the driver does not have (3) says nothing of what runs. */
const lists = [
  'nvmlDeviceGetComputeRunningProcesses_v2',
  'nvmlDeviceGetGraphicsRunningProcesses_v2',
  'nvmlDeviceGetMPSComputeRunningProcesses_v2',
] as const;
const failure = fc.constantFrom(3, 4, 10, 999);
/** GPU_IS_LOST and RESET_REQUIRED, which one answer is enough for. */
const goneCodes = [15, 16] as const;
/** Of the functions only those that both readers ask in each of their passes; without a handle none is asked. */
const handle = 'nvmlDeviceGetHandleByIndex_v2';
const goneDraw = fc
  .tuple(
    fc.constantFrom(handle, 'nvmlDeviceGetMemoryInfo_v2', 'nvmlDeviceGetFanSpeed', ...lists),
    fc.constantFrom(...goneCodes),
  )
  .map(([name, code]) => ({ [name]: code }));

const changes = fc.record({
  memory: fc.option(fc.record({ total: bytes, reserved: bytes, used: bytes }), { freq: 6 }),
  utilization: fc.option(fc.tuple(fc.oneof(fc.bigInt(0n, 100n), garbage(32)), fc.bigInt(0n, 100n))),
  temperature: word(110),
  powerMilliwatts: word(700_000),
  powerLimitMilliwatts: word(700_000),
  smClock: word(2500),
  fan: word(130),
  throttle: fc.oneof(fc.integer({ min: 0, max: 0x1ff }), garbage(64)),
  ecc: fc.oneof({ weight: 2, arbitrary: fc.bigInt(0n, 999n) }, { weight: 1, arbitrary: garbage(64) }),
  remap: fc.option(fc.record({ pending: flag, failed: flag })),
  recovery: fc.constantFrom(0, null, 2 ** 32 - 1),
  nvlinks: fc.record({
    up: fc.constant(18),
    total: fc.constant(18),
    state: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(0n, 1n) }, { weight: 1, arbitrary: garbage(32) }),
  }),
  processes: fc.array(processDraw, { maxLength: 3 }),
  codes: fc.oneof(
    { weight: 4, arbitrary: fc.constant<Readonly<Record<string, number>>>({}) },
    { weight: 1, arbitrary: fc.dictionary(fc.constantFrom(...functions), failure) },
    {
      weight: 1,
      arbitrary: fc.dictionary(
        fc.constantFrom(...lists),
        failure.filter((code) => code !== 3),
      ),
    },
    { weight: 1, arbitrary: goneDraw },
  ),
});

/** What was drawn, in the contract's units; of what is not here only the bounds are held. */
const drawnOf = ({ temperature, smClock, fan, powerMilliwatts, ecc }: Partial<FakeGpu>) => ({
  temperatureCelsius: temperature,
  smClockMhz: smClock,
  fanPercent: fan,
  powerWatts: powerMilliwatts == null ? powerMilliwatts : Number(powerMilliwatts) / 1000,
  eccUncorrected: ecc,
});

/** The driver fails as a whole, each in words of its own: by NVML and by nvidia-smi. */
const failures: readonly Pick<Scenario, 'calls' | 'smi'>[] = [
  { calls: { nvmlDeviceGetCount_v2: { codes: [1] } }, smi: { exit: 9 } },
  { calls: { nvmlDeviceGetCount_v2: { codes: [18] } }, smi: { exit: 18 } },
];
const gpus = fc.array(changes, { minLength: gpuCount, maxLength: gpuCount });
const step = fc.oneof({ weight: 6, arbitrary: gpus }, { weight: 1, arbitrary: fc.constantFrom(...failures) });

function holdDrawn(device: GpuDevice, drawn: Partial<FakeGpu>, byNvml: boolean): void {
  const values = device as unknown as Record<string, number | null>;
  for (const [name, value] of Object.entries(drawnOf(drawn))) {
    const read = values[name];
    // Newer drivers give temperatures with a sign.
    if (typeof read === 'number') expect(Math.abs(Number(value) - read) % 2 ** 32, name).toBeLessThan(0.01);
  }
  if (Object.keys(drawn.codes ?? {}).length > 0) return;
  const state = Number(drawn.nvlinks?.state);
  const links = !byNvml || state > 1 ? null : { up: 17 + state, total: 18 };
  // A driver that said once that a GPU has none is not asked again.
  expect(device.nvlinks).toEqual(device.unsupported.includes('nvlinks') ? null : links);
  expect(['ok', 'degraded']).toContain(device.health);
}

/** A GPU that is cut into MIG devices, of which one has what was drawn. */
function cut({ memory, processes = [], codes = {} }: Partial<FakeGpu> = {}): FakeGpu {
  const { total = 0, reserved = 0, used = 0 } = memory ?? {};
  const place = { gpuInstance: 1, computeInstance: 0 };
  const part = { slot: 1, uuid: 'MIG-drawn', totalBytes: total, reservedBytes: reserved, usedBytes: used, ...place };
  const known = { totalBytes: 2 ** 34, reservedBytes: 0, usedBytes: 0 };
  const other = { ...part, ...known, slot: 0, uuid: 'MIG-other', gpuInstance: 2 };
  return h100(0, {
    uuid: 'GPU-cut',
    bus: '00000000:FD:00.0',
    mig: { enabled: true, devices: [other, part] },
    processes: processes.map((each) => ({ ...each, ...place })),
    codes,
  });
}

/** Lost is the GPU that says so, and no other; it is back as soon as it no longer does. */
function holdGone({ health }: GpuDevice, { codes = {} }: Partial<FakeGpu>): void {
  const drawn = Object.values(codes);
  if (health === 'resetRequired') expect(drawn).toContain(16);
  if (health === 'lost') expect(drawn.includes(15) || drawn.includes(999)).toBe(true);
  if (codes[handle] === 15) expect(health).toBe('lost');
  if (codes[handle] === 16) expect(health).toBe('resetRequired');
}

/** By its name, else by its place in the machine, which one that never answered has of nvidia-smi alone. */
const deviceOf = (devices: readonly GpuDevice[], { uuid, bus }: FakeGpu): GpuDevice | undefined =>
  devices.find((device) => device.uuid === uuid) ?? devices.find(({ pciBusId }) => pciBusId === bus);

/** Which GPUs were said to be lost: each once, and back once. */
class HeldEvents {
  readonly #lost = new Set<string>();

  take(events: readonly GpuEvent[], devices: readonly GpuDevice[]): void {
    for (const { kind, gpuUuid } of events) {
      expect(this.#lost.has(gpuUuid), `${kind} of ${gpuUuid}`).toBe(kind === 'gpuRecovered');
      if (kind === 'gpuLost') this.#lost.add(gpuUuid);
      else this.#lost.delete(gpuUuid);
    }
    for (const { uuid, health } of devices)
      expect(this.#lost.has(uuid), uuid).toBe(health === 'lost' || health === 'resetRequired');
  }
}

/** Where NVML says that all processes are known, they are those that there are. */
function holdListed({ processes }: GpuReading, { uuid, processesKnown }: GpuDevice, drawn: Partial<FakeGpu>): void {
  if (!processesKnown) return;
  const pids = processes.filter(({ gpuUuid }) => gpuUuid === uuid).map(({ pid }) => pid);
  const there = (drawn.processes ?? []).map(({ pid }) => pid).filter(isPid);
  expect([...pids].sort()).toEqual([...new Set(there)].sort());
}

/** What was drawn of each GPU, by its name. `seen`: those that have answered once, and so have one. */
function holdGpus(latest: GpuReading, drawn: readonly Partial<FakeGpu>[], seen: Set<number>, byNvml: boolean): void {
  for (const [at, changes] of drawn.entries()) {
    const device = deviceOf(latest.devices, h100(at));
    if (device === undefined) {
      expect(seen.has(at)).toBe(false);
      continue;
    }
    seen.add(at);
    holdGone(device, changes);
    holdDrawn(device, changes, byNvml);
    if (byNvml) holdListed(latest, device, changes);
  }
  for (const part of latest.devices.filter(({ uuid }) => /^(?:MIG-|GPU-(?:cut|step))/.test(uuid)))
    holdGone(part, part.uuid === 'GPU-step' ? {} : (drawn[0] ?? {}));
}

/** Processes that can be, each once on its GPU. */
function holdProcesses({ processes, devices }: GpuReading): void {
  const totals = new Map(devices.map(({ uuid, memoryTotalBytes }) => [uuid, memoryTotalBytes]));
  for (const { pid, gpuUuid, memoryUsedBytes, utilizationPercent } of processes) {
    expect(isPid(pid)).toBe(true);
    expect(memoryUsedBytes ?? 0).toBeLessThanOrEqual((totals.get(gpuUuid) ?? 2 ** 46) + 4 * 64 * 2 ** 20);
    expect(utilizationPercent ?? 0).toBeLessThanOrEqual(100);
  }
  expect(new Set(processes.map(({ pid, gpuUuid }) => `${pid} ${gpuUuid}`)).size).toBe(processes.length);
}

it.each([
  { gpu: 'nvml', numRuns: 14, more: { intervalMs: 20, times: { slowIntervalMs: 40, retryMs: 20 } } },
  { gpu: 'nvidia-smi', numRuns: 4, more: { intervalMs: 20 } },
] as const)(
  'implausible_value: whatever the driver answers, $gpu gives a value that can be, or null with its reason',
  {
    timeout: 120_000 * Math.max(1, factor),
  },
  async ({ gpu, numRuns, more }) => {
    const machine = fc.record({
      generation: fc.constantFrom(...generations.filter((generation) => generation >= 470)),
      steps: fc.array(step, { minLength: 6, maxLength: 6 }),
    });
    const runs = Math.ceil(numRuns * factor);
    let draws = 0;
    await fc.assert(
      fc.asyncProperty(machine, async ({ generation, steps }) => {
        const scenarioOf = (drawn: (typeof steps)[number] | undefined, at: number): Scenario => ({
          generation,
          // Of the GPU that comes first the mode is asked before any other, and the errors last: they say which step a reading is of.
          gpus: [
            h100(0, {
              ...{ uuid: 'GPU-step', bus: '00000000:FE:00.0', ecc: at },
              mig: { enabled: at % 2 === 1, devices: [] },
            }),
            ...Array.from({ length: gpuCount }, (_, i) => h100(i, Array.isArray(drawn) ? drawn[i] : {})),
            cut(Array.isArray(drawn) ? drawn[0] : {}),
          ],
          ...(Array.isArray(drawn) ? {} : drawn),
        });
        using host = new FakeGpuHost(scenarioOf(steps[0], 1));
        using source = sourceOf(host, { gpu, isPid, ...more });
        const queen = new TestQueen();
        const seen = new Set<number>();
        const events = new HeldEvents();
        for (const [i, drawn] of steps.entries()) {
          host.become(scenarioOf(drawn, i + 1));
          const fails = !Array.isArray(drawn);
          const latest = await reading(source, ({ status, devices }) =>
            fails
              ? status === 'failed'
              : status === 'working' &&
                devices[0]?.eccUncorrected === i + 1 &&
                devices[0].migMode === ((i + 1) % 2 === 1),
          );
          const heartbeat = heartbeatOfReading(latest, i + 1);
          if (fails) expect(heartbeat).toMatchObject({ gpusKnown: 'unknown', gpusReason: expect.any(String) });
          else {
            holdGpus(latest, drawn, seen, gpu === 'nvml');
            draws += gpuCount * fields.length;
          }
          events.take(source.takeEvents(), fails ? [] : latest.devices);
          holdProcesses(latest);
          holdValues(heartbeat);
          queen.heartbeat(heartbeat);
          holdOutputs(heartbeat, queen);
        }
      }),
      { numRuns: runs, endOnFailure: true },
    );
    expect(draws).toBeGreaterThan(runs * gpuCount * fields.length);
  },
);
