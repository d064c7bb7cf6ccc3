import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FieldTable } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { hostFields } from '../../lib/contract/fields/host.js';
import { plausibleRules, type Rule } from '../../lib/contract/fields/plausible.js';
import { isNullable, known } from '../../lib/contract/fields/shape.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import { workerGpuFields } from '../../lib/contract/fields/worker-gpu.js';
import type { Fault, Heartbeat } from '../../lib/contract/heartbeat.js';
import { readHeartbeat } from '../../lib/contract/validate.js';
import { readerDraws as draws } from '../harness/draws.js';
import { fleetSamples, monstrous, shownText } from '../harness/every-output.js';
import { gpuOf, heartbeatOf, wire, workerOf } from '../harness/heartbeats.js';
import { TestQueen } from '../queen/heartbeats.js';

const items = 6;

type Draw = number | null;
const rulesOf = (table: FieldTable): readonly Rule[] =>
  plausibleRules(table).filter(({ name, part }) => part === undefined && isNullable(table[name]!.shape));

/** A value that can be, one that no device has, or none. */
function drawOf(table: FieldTable, { name, least, most }: Rule): fc.Arbitrary<Draw> {
  const top = Math.min(most, 2 ** 31);
  const values =
    known(table[name]!.shape).type === 'integer' ? { min: Math.ceil(least), max: Math.floor(top) } : { min: 0, max: 0 };
  return fc.oneof(
    { weight: 4, arbitrary: values.max > 0 ? fc.integer(values) : fc.integer({ min: Math.ceil(least), max: top }) },
    { weight: 2, arbitrary: fc.constantFrom(2 ** 64 - 1, 2 ** 64, 2 ** 32 - 1 + 2 ** 63, -(2 ** 31), 1e300) },
    { weight: 1, arbitrary: fc.constant(null) },
  );
}

const rules = {
  gpu: rulesOf(gpuFields),
  worker: rulesOf(workerFields),
  held: rulesOf(workerGpuFields),
  host: rulesOf(hostFields),
};
const drawn = (table: FieldTable, of: readonly Rule[]) =>
  fc.record(Object.fromEntries(of.map((rule) => [rule.name, drawOf(table, rule)])));
const heartbeatDraw = fc.record({
  gpus: fc.array(drawn(gpuFields, rules.gpu), { minLength: items, maxLength: items }),
  workers: fc.array(drawn(workerFields, rules.worker), { minLength: items, maxLength: items }),
  held: fc.array(drawn(workerGpuFields, rules.held), { minLength: items, maxLength: items }),
  host: drawn(hostFields, rules.host),
});
const perRun = items * (rules.gpu.length + rules.worker.length + rules.held.length) + rules.host.length;

/** Of an older hive: it says neither what it knows of GPUs nor that a value can't be. */
function olderHeartbeat({ gpus, workers, held, host }: Drawn): unknown {
  const sent = heartbeatOf('h', 1);
  const { gpusKnown: _, gpusReason: __, ...rest } = sent;
  return wire({
    ...rest,
    host: { ...sent.host, ...host },
    gpus: gpus.map((values, i) => gpuOf(`GPU-${i}`, { index: i, ...values })),
    workers: workers.map((values, i) => {
      const { gpusReason: ___, ...worker } = workerOf(`llm/${i}`, values);
      // The first one holds no GPU that the hive could name.
      return { ...worker, gpus: i === 0 ? [] : [{ uuid: `GPU-${i}`, ...held[i] }] };
    }),
  } as unknown as Heartbeat);
}
type Drawn = typeof heartbeatDraw extends fc.Arbitrary<infer T> ? T : never;

type Values = Readonly<Record<string, Draw>>;

/** Each value is what was drawn and can be, else null, with a fault of its own where it can't be. */
function holdItem(of: readonly Rule[], taken: object, drawn: Values, faults: readonly Fault[]): void {
  const values = taken as Values;
  for (const { name, least, most } of of) {
    const [value, draw] = [values[name] ?? null, drawn[name] ?? null];
    const named = faults.filter(({ code, field }) => code === 'IMPLAUSIBLE' && field === name);
    if (value === null) expect(named.length, name).toBe(draw === null ? 0 : 1);
    else {
      expect(value).toBe(draw);
      expect(value >= least && value <= most).toBe(true);
      expect(named).toEqual([]);
    }
  }
}

function holdHeartbeat(heartbeat: Heartbeat, { gpus, workers, held, host }: Drawn): void {
  const { faults } = heartbeat;
  expect(heartbeat.gpus).toHaveLength(items);
  expect(heartbeat.workers).toHaveLength(items);
  holdItem(
    rules.host,
    heartbeat.host,
    host,
    faults.filter((f) => f.gpuUuid === undefined && f.workerId === undefined),
  );
  for (const [i, gpu] of heartbeat.gpus.entries()) {
    const own = faults.filter((f) => f.gpuUuid === gpu.uuid && f.workerId === undefined);
    holdItem(rules.gpu, gpu, gpus[i] as Values, own);
    expect(gpu.health).toBe('ok');
  }
  for (const [i, worker] of heartbeat.workers.entries()) {
    const own = faults.filter((f) => f.workerId === worker.id);
    holdItem(
      rules.worker,
      worker,
      workers[i] as Values,
      own.filter((f) => f.gpuUuid === undefined),
    );
    for (const entry of worker.gpus)
      holdItem(
        rules.held,
        entry,
        held[i] as Values,
        own.filter((f) => f.gpuUuid === entry.uuid),
      );
  }
  expect(heartbeat.workers[0]?.gpusReason).not.toBeNull();
}

function holdQueen(queen: TestQueen, heartbeat: Heartbeat): void {
  const counted = heartbeat.gpus.filter((gpu) => gpu.memoryTotalBytes !== null && gpu.memoryUsedBytes !== null);
  const { gpus } = queen.fleet();
  expect(gpus.memoryTotalBytes).toBe(
    counted.length === 0 ? null : counted.reduce((sum, gpu) => sum + (gpu.memoryTotalBytes ?? 0), 0),
  );
  expect(gpus.uncounted).toBe(items - counted.length);
  for (const gpu of queen.gpus({}).items) {
    const sent = heartbeat.gpus.find(({ uuid }) => uuid === gpu.uuid);
    expect(gpu).toMatchObject({ ...sent });
    if (gpu.memoryTotalBytes === null || gpu.memoryUsedBytes === null) expect(gpu.freeBytes).toBeNull();
  }
  for (const worker of queen.workers({}).items)
    expect(worker).toMatchObject({ ...heartbeat.workers.find(({ id }) => id === worker.id) });
  const shown = shownText(queen);
  expect(shown).not.toMatch(monstrous);
  expect(shown).not.toMatch(/no GPU/i);
  for (const [name, value] of fleetSamples(queen)) expect(String(value), name).not.toMatch(monstrous);
}

describe('what older hives send', () => {
  it(
    `${draws} draws of every number of host, GPU and worker: garbage is null with its fault, on every output`,
    () => {
      let count = 0;
      fc.assert(
        fc.property(heartbeatDraw, (values) => {
          const verdict = readHeartbeat(olderHeartbeat(values), { maxWorkers: 10 });
          if (!verdict.ok) throw new Error(verdict.refusal.message);
          holdHeartbeat(verdict.heartbeat, values);
          const queen = new TestQueen();
          queen.heartbeat(verdict.heartbeat);
          holdQueen(queen, verdict.heartbeat);
          // Each reason is gone with the next good heartbeat.
          const good = readHeartbeat(wire(heartbeatOf('h', 2)), { maxWorkers: 10 });
          if (!good.ok) throw new Error(good.refusal.message);
          queen.heartbeat(good.heartbeat);
          expect(queen.hive('h')?.faults).toEqual([]);
          count += perRun;
        }),
        { numRuns: Math.ceil(draws / perRun), endOnFailure: true },
      );
      expect(count).toBeGreaterThanOrEqual(draws);
    },
    60_000 + 3 * draws,
  );
});
