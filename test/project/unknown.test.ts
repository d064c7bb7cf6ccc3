import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Field } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { plausibleRules, roundingBytes } from '../../lib/contract/fields/plausible.js';
import { known } from '../../lib/contract/fields/shape.js';
import type { GpuSample, Heartbeat } from '../../lib/contract/heartbeat.js';
import { gpuKnowledge } from '../../lib/gpu/knowledge.js';
import { type GpuReasonName, gpuReason } from '../../lib/gpu/reasons.js';
import type { ReportedGpu, ReportedValues } from '../../lib/gpu/report.js';
import type { GpuReader, VendorReading } from '../../lib/gpu/vendor.js';
import { VendorGpus } from '../../lib/gpu/vendor-gpus.js';
import { gpuNullText, nullPaths, unexplained } from '../../lib/present/null-text.js';
import { readerDraws as draws } from '../harness/draws.js';
import { fleetSamples, shownText } from '../harness/every-output.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { heartbeatOfReading, holdOutputs } from '../harness/held-outputs.js';
import { type SchemaNode, schemaValue } from '../harness/schema-values.js';
import { TestQueen } from '../queen/heartbeats.js';

const gpuCount = 8;
/** Numbers that a reader reports; derived, so that a field that is added is drawn from that day on. */
const rules = plausibleRules(gpuFields).filter(
  ({ name, part }) => part === undefined && !['processCount', 'unattributedBytes', 'lastXid'].includes(name),
);
const nested = plausibleRules(gpuFields).filter(({ part }) => part !== undefined);
/** All else that a driver may say: lists, flags and records of them; derived as well. */
const others = Object.entries<Field>(gpuFields).flatMap(([name, { shape, unmeasured }]) =>
  unmeasured === undefined || [...rules, ...nested].some((rule) => rule.name === name) ? [] : [{ name, shape }],
);
/** The last two are cut from the one before them. */
const parentOf = (index: number): string => (index < gpuCount - 2 ? '' : `GPU-${gpuCount - 3}`);
const stepsPerRun = 5;
/** A quarter of the steps and an eighth of the GPUs give no values, and those do not count. */
const perRun = stepsPerRun * gpuCount * rules.length * (3 / 4) * (7 / 8);

type Draw =
  | { readonly value: unknown }
  | { readonly impossible: number }
  | { readonly reason: GpuReasonName }
  | 'absent';

const drawOf = ({ least, most }: (typeof rules)[number]): fc.Arbitrary<Draw> =>
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.integer({ min: Math.ceil(least), max: Math.min(most, 2 ** 40) }).map((value) => ({ value })),
    },
    {
      weight: 2,
      arbitrary: fc
        .constantFrom(2 ** 32 - 1, 2 ** 64 - 1, -1, 2 ** 63, 1e300, most + 2 ** 31)
        .map((impossible) => ({ impossible })),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom<GpuReasonName>('unknown', 'timeout', 'notSupported', 'noPermission')
        .map((reason) => ({ reason })),
    },
    { weight: 1, arbitrary: fc.constant<Draw>('absent') },
  );
const otherDraw = ({ name, shape }: (typeof others)[number]): fc.Arbitrary<Draw> => {
  const { items } = known(shape);
  const drawn = fc.integer({ min: 1, max: 9 }).map((seed) => schemaValue(known(shape) as SchemaNode, name, seed));
  return fc.oneof(
    {
      weight: 3,
      arbitrary: (items === undefined ? drawn : fc.oneof(drawn, fc.constant([]))).map((value) => ({ value })),
    },
    { weight: 1, arbitrary: fc.constantFrom<GpuReasonName>('unknown', 'notSupported').map((reason) => ({ reason })) },
    { weight: 1, arbitrary: fc.constant<Draw>('absent') },
  );
};
const gpuDraw = fc.record({
  fields: fc.record(
    Object.fromEntries([
      ...rules.map((rule) => [rule.name, drawOf(rule)] as const),
      ...others.map((other) => [other.name, otherDraw(other)] as const),
    ]),
  ),
  nested: fc.record(
    Object.fromEntries(nested.map(({ part }) => [part, fc.constantFrom(0, 4, 18, 255, 2 ** 16 - 1, 2 ** 32 - 1, -1)])),
  ),
  /** Its driver was loaded anew: the GPUs come in another order. */
  renumbered: fc.boolean(),
  unreachable: fc.oneof(
    { weight: 7, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constantFrom<GpuReasonName>('lost', 'noPermission', 'timeout', 'resetRequired') },
  ),
});
type GpuDraw = {
  readonly fields: Readonly<Record<string, Draw>>;
  readonly nested: Readonly<Record<string, number>>;
  readonly renumbered: boolean;
  readonly unreachable: GpuReasonName | null;
};

const step = fc.oneof(
  { weight: 3, arbitrary: fc.array(gpuDraw, { minLength: gpuCount, maxLength: gpuCount }) },
  { weight: 1, arbitrary: fc.constantFrom('failed' as const, 'stalled' as const, 'initializing' as const) },
);

const reported = ({ fields, nested: links, unreachable }: GpuDraw, index: number): ReportedGpu => {
  const values: Record<string, unknown> = { nvlinks: { ...links } };
  const reasons: Record<string, ReturnType<typeof gpuReason>> = {};
  for (const [name, draw] of Object.entries(fields)) {
    if (draw === 'absent') continue;
    if ('reason' in draw) reasons[name] = gpuReason(draw.reason);
    else values[name] = 'value' in draw ? draw.value : draw.impossible;
  }
  return {
    index,
    uuid: `GPU-${index}`,
    parentUuid: parentOf(index),
    name: 'card',
    busId: '',
    computeCapability: '',
    unifiedMemory: false,
    unreachable: unreachable === null ? null : gpuReason(unreachable),
    values: values as Partial<ReportedValues>,
    reasons,
    problems: [],
    processesKnown: true,
  };
};

/** As the driver lists them; identity is by uuid, whatever their places are. */
const inOrder = (gpus: readonly ReportedGpu[], renumbered: boolean): readonly ReportedGpu[] =>
  renumbered ? gpus.toReversed().map((gpu, index) => ({ ...gpu, index })) : gpus;

/** The chain from what a reader reports to a heartbeat that a queen took. */
function chain() {
  let answer: VendorReading = { status: 'initializing', reader: 'nvml', reason: null, faults: [] };
  const reader: GpuReader = {
    read: () => answer,
    takeEvents: () => [],
    release: async () => undefined,
    resume: () => undefined,
    close: () => undefined,
  };
  const vendor = new VendorGpus(() => reader);
  const queen = new TestQueen();
  let seq = 0;
  return (next: readonly GpuDraw[] | 'failed' | 'stalled' | 'initializing') => {
    const at = ++seq;
    answer =
      typeof next === 'string'
        ? {
            status: next,
            reader: 'nvml',
            reason: null,
            faults: [{ source: 'gpu', code: 'X', message: next, field: 'gpus' }],
          }
        : {
            status: 'working',
            reader: 'nvml',
            reason: null,
            at,
            report: {
              unlisted: null,
              devices: inOrder(next.map(reported), next[0]?.renumbered ?? false),
              processes: [],
            },
          };
    vendor.update();
    const heartbeat = heartbeatOfReading(vendor.reading(at), at);
    queen.heartbeat(heartbeat);
    return { heartbeat, queen, events: vendor.takeEvents() };
  };
}

const numberOf = (gpu: GpuSample, name: string) => (gpu as unknown as Record<string, number | null>)[name] ?? null;

function holdBounds(gpu: GpuSample, { least, most, of }: (typeof rules)[number], value: number): void {
  expect(value >= least && value <= most).toBe(true);
  const limit = of === undefined ? null : numberOf(gpu, of);
  if (limit !== null) expect(value).toBeLessThanOrEqual(limit + roundingBytes);
}

/** What is no number is what was drawn, or null with words; of a GPU that does not answer nothing is known. */
function holdNulls(gpu: GpuSample, heartbeat: Heartbeat, { fields, nested, unreachable }: GpuDraw): void {
  const links = unreachable === null ? nested : null;
  const possible = links !== null && Object.values(links).every((value) => value >= 0 && value <= 254);
  expect(gpu.nvlinks).toEqual(possible ? links : null);
  // An empty list is known to be empty.
  for (const { name } of others) {
    const draw = fields[name] as Draw;
    const isSaid = links !== null && draw !== 'absent' && 'value' in draw;
    expect((gpu as unknown as Readonly<Record<string, unknown>>)[name], name).toEqual(isSaid ? draw.value : null);
  }
  for (const name of nullPaths(gpuFields, gpu)) {
    if (name === 'processCount' || name === 'unattributedBytes') continue; // not of the reader
    expect(gpuNullText(gpu, name, heartbeat).text, name).not.toBe(unexplained);
  }
}

function holdValues(heartbeat: Heartbeat, drawn: readonly GpuDraw[]): void {
  expect(new Set(heartbeat.gpus.map(({ uuid }) => uuid)).size).toBe(gpuCount);
  for (const gpu of heartbeat.gpus) {
    const i = Number(gpu.uuid.slice('GPU-'.length));
    const { fields, unreachable } = drawn[i] as GpuDraw;
    if (gpu.health === 'lost') expect(unreachable).toBe('lost');
    for (const rule of rules) {
      const { name } = rule;
      const value = numberOf(gpu, name);
      const draw = fields[name] as Draw;
      // Without memory of its own a GPU uses what its processes hold.
      const unified = fields.memoryTotalBytes as Draw;
      if (
        name === 'memoryUsedBytes' &&
        unified !== 'absent' &&
        'reason' in unified &&
        unified.reason === 'notSupported'
      )
        continue;
      if (value !== null) {
        expect(draw).toEqual({ value });
        holdBounds(gpu, rule, value);
        continue;
      }
      const why = heartbeat.faults.filter(
        ({ gpuUuid, field }) => gpuUuid === gpu.uuid && (field === name || unreachable),
      );
      const explained = why.length > 0 || gpu.unsupported.includes(name);
      expect(explained, `${name} of GPU ${i}: ${JSON.stringify(draw)}`).toBe(true);
    }
    holdNulls(gpu, heartbeat, drawn[i] as GpuDraw);
    // No fault of a value that is well now.
    for (const { code, field, gpuUuid } of heartbeat.faults)
      if (gpuUuid === gpu.uuid && code === 'IMPLAUSIBLE')
        expect((gpu as unknown as Record<string, unknown>)[field ?? '']).toBeNull();
  }
}

describe('unknown is never none, and garbage is never a value', () => {
  it(
    `${draws} draws of values, failures and recoveries of GPU readers, held to every output`,
    () => {
      let count = 0;
      const held = fc.property(fc.array(step, { minLength: stepsPerRun, maxLength: stepsPerRun }), (steps) => {
        const report = chain();
        let known = false;
        let lost = new Set<number>();
        for (const next of steps) {
          const { heartbeat, queen, events } = report(next);
          if (typeof next === 'string') {
            // The reader failed: its GPUs stay, nothing of them is known, and none is lost for that.
            expect(heartbeat.gpusKnown).toBe('unknown');
            expect(heartbeat.gpus).toHaveLength(known ? gpuCount : 0);
            for (const gpu of heartbeat.gpus) {
              expect(gpu.health).not.toBe('lost');
              for (const { name } of [...rules, ...others]) expect(numberOf(gpu, name)).toBeNull();
            }
            expect(events).toEqual([]);
          } else {
            const nowLost = new Set(
              next.flatMap(({ unreachable }, i) =>
                unreachable === 'lost' || unreachable === 'resetRequired' ? [i] : [],
              ),
            );
            expect(events).toHaveLength(
              [...nowLost].filter((i) => !lost.has(i)).length + [...lost].filter((i) => !nowLost.has(i)).length,
            );
            lost = nowLost;
            known = true;
            holdValues(heartbeat, next);
            count += next.filter(({ unreachable }) => unreachable === null).length * rules.length;
          }
          holdOutputs(heartbeat, queen);
        }
      });
      while (count < draws) fc.assert(held, { numRuns: Math.ceil((draws - count) / perRun), endOnFailure: true });
    },
    60_000 + 3 * draws,
  );

  it.each([
    ['off', 'unknown', 'gpusUnknown'],
    ['absent', 'none', 'noGpu'],
  ] as const)(
    'a reader that is %s: GPUs are %s on every output, and placement refuses with %s',
    (status, gpusKnown, why) => {
      const reading = {
        reader: 'none',
        reason: null,
        ageMs: null,
        status,
        devices: [],
        processes: [],
        faults: [],
      } as const;
      const knowledge = gpuKnowledge(reading);
      expect(knowledge).toMatchObject({ gpusKnown, gpusReason: expect.any(String) });
      const gpusReason = gpusKnown === 'none' ? null : knowledge.gpusReason;
      const workers = [workerOf('llm/0', { gpus: [], vramUsedBytes: null, gpusReason })];
      const queen = new TestQueen();
      queen.heartbeat(heartbeatOf('h', 1, { gpus: [], ...knowledge, workers }));
      const unknown = gpusKnown === 'unknown' ? 1 : 0;
      expect(queen.fleet().gpus).toMatchObject({ total: 0, unknownHives: unknown });
      expect(queen.place({ vramBytes: 1 }).refusals).toMatchObject([
        { reason: why, detail: expect.stringContaining(knowledge.gpusReason ?? '') },
      ]);
      expect(/no GPU/i.test(shownText(queen))).toBe(gpusKnown === 'none');
      expect(fleetSamples(queen)).toContainEqual(['hivepulse_fleet_unknown_gpu_hives', unknown]);
    },
  );
});
