import fc from 'fast-check';
import { expect, it } from 'vitest';
import { gpuFields } from '../../../lib/contract/fields/gpu.js';
import { plausibleRules } from '../../../lib/contract/fields/plausible.js';
import type { Fault } from '../../../lib/contract/heartbeat.js';
import type { GpuDevice } from '../../../lib/gpu/reading.js';
import { type FakeGpu, FakeGpuHost, generations, h100 } from '../../fakes/scenario.js';
import { reading, sourceOf } from './sources.js';

/** Those that no reader fills in are not of the driver. */
const rules = plausibleRules(gpuFields).filter(
  ({ name }) => !['processCount', 'unattributedBytes', 'lastXid'].includes(name),
);
const MiB = 2n ** 20n;
const gpuCount = 8;

/** All ones of every width, the sign bits, and whatever else fits into the type. */
const garbage = (bits: 32 | 64): fc.Arbitrary<bigint> =>
  fc.oneof(
    fc.constantFrom(...[8n, 16n, 32n, 64n].filter((width) => width <= BigInt(bits)).map((width) => 2n ** width - 1n)),
    fc.constantFrom(2n ** 31n, 2n ** 31n - 1n),
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
  nvlinks: fc.record({
    up: fc.constant(18),
    total: fc.constant(18),
    state: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(0n, 1n) }, { weight: 1, arbitrary: garbage(32) }),
  }),
});

/** What was drawn, in the contract's units; of what is not here only the bounds are held. */
const drawnOf = ({ temperature, smClock, fan, powerMilliwatts, ecc }: Partial<FakeGpu>) => ({
  temperatureCelsius: temperature,
  smClockMhz: smClock,
  fanPercent: fan,
  powerWatts: powerMilliwatts == null ? powerMilliwatts : Number(powerMilliwatts) / 1000,
  eccUncorrected: ecc,
});

type Values = Record<string, Record<string, number> | number | null>;

function holdBounds(device: GpuDevice, faults: readonly Fault[]): void {
  const values = device as unknown as Values;
  for (const { name, part, least, most } of rules) {
    const value = part === undefined ? values[name] : (values[name] as Record<string, number> | null)?.[part];
    if (typeof value === 'number') expect(value >= least && value <= most, `${name} ${value}`).toBe(true);
    const isSaid = faults.some(({ gpuUuid, field }) => gpuUuid === device.uuid && field === name);
    if (values[name] === null) expect(isSaid || device.unsupported.includes(name), name).toBe(true);
  }
}

function holdDrawn(device: GpuDevice, drawn: Partial<FakeGpu>): void {
  const values = device as unknown as Values;
  for (const [name, value] of Object.entries(drawnOf(drawn))) {
    const read = values[name];
    // Newer drivers give temperatures with a sign.
    if (typeof read === 'number') expect(Math.abs(Number(value) - read) % 2 ** 32, name).toBeLessThan(0.01);
  }
  const state = Number(drawn.nvlinks?.state);
  expect(device.nvlinks).toEqual(state > 1 ? null : { up: 17 + state, total: 18 });
  expect(['ok', 'degraded']).toContain(device.health);
}

it('implausible_value: whatever the driver answers, NVML gives a value that can be, or null with its reason', {
  timeout: 120_000,
}, async () => {
  const machine = fc.record({
    generation: fc.constantFrom(...generations.filter((generation) => generation >= 470)),
    steps: fc.array(fc.array(changes, { minLength: gpuCount, maxLength: gpuCount }), { minLength: 6, maxLength: 6 }),
  });
  await fc.assert(
    fc.asyncProperty(machine, async ({ generation, steps }) => {
      const scenarioOf = (drawn: readonly Partial<FakeGpu>[], step: number) => ({
        generation,
        // The errors of the GPU that is asked first, which are asked last, say which step a reading is of.
        gpus: [
          h100(0, { uuid: 'GPU-step', bus: '00000000:FE:00.0', ecc: step }),
          ...drawn.map((each, i) => h100(i, each)),
        ],
      });
      using host = new FakeGpuHost(scenarioOf(steps[0] ?? [], 1));
      using source = sourceOf(host, { intervalMs: 20, times: { slowIntervalMs: 40 } });
      for (const [i, drawn] of steps.entries()) {
        host.become(scenarioOf(drawn, i + 1));
        const latest = await reading(source, ({ devices }) => devices[0]?.eccUncorrected === i + 1);
        for (const [at, device] of latest.devices.slice(1).entries()) {
          holdBounds(device, latest.faults);
          holdDrawn(device, drawn[at] ?? {});
        }
      }
    }),
    { numRuns: 12, endOnFailure: true },
  );
});
