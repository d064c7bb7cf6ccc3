import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { HiveView } from '../../lib/contract/api.js';
import type { FieldTable } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { hostFields } from '../../lib/contract/fields/host.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import { GpuSample, type Heartbeat, HiveInfo, HostSample, WorkerSample } from '../../lib/contract/heartbeat.js';
import { readHeartbeat } from '../../lib/contract/validate.js';
import { compiledMerger, loopMerger, type Merger, mergeGpu, mergeWorker } from '../../lib/queen/merge.js';
import { Registry } from '../../lib/queen/registry.js';
import { unmeasuredWorker } from '../../lib/sampling/worker.js';
import { wire } from '../harness/heartbeats.js';
import { gpuValues, recordedFleet, workerValues } from '../harness/recorded-fleet.js';
import { nodeOf, sampleValue, schemaValue } from '../harness/schema-values.js';

type Item = Record<string, unknown>;

const tables = [
  { what: 'worker', table: workerFields as FieldTable, schema: WorkerSample },
  { what: 'GPU', table: gpuFields as FieldTable, schema: GpuSample },
] as const;

const without = (table: FieldTable, name: string): FieldTable =>
  Object.fromEntries(Object.entries(table).filter(([each]) => each !== name));

/** Fields of the schema whose second value a merge does not take over, or whose change it does not report. */
function unmerged({ table, schema }: (typeof tables)[number], merger: Merger<Item>): string[] {
  const [first, second] = [1, 2].map((seed) => sampleValue<Item>(schema, 'item', seed)) as [Item, Item];
  const nothing = sampleValue<Item>(schema, 'item', 1, 'all');
  return Object.keys(schema.properties).filter((name) => {
    if (table[name]?.identity) return false;
    return [second, nothing].some((other) => {
      if (other === nothing && nothing[name] !== null) return false;
      const stored = merger.copy(structuredClone(first));
      const next = structuredClone({ ...first, [name]: other[name] });
      const change = merger.merge(stored, next);
      expect(next[name], name).not.toEqual(first[name]);
      const isReported = table[name]?.ticks ? change === 'none' : change !== 'none';
      return !isReported || JSON.stringify(stored[name]) !== JSON.stringify(next[name]);
    });
  });
}

/** Fields that can be measured, from the schema: what is a number or a list, or made of numbers, and may be unknown. */
const settings = ['pid', 'models', 'limitNotes', 'port', 'cpuLimitPercent', 'memoryLimitBytes'];
function stillMeasured(table: FieldTable): string[] {
  const worker = sampleValue<WorkerSample>(WorkerSample, 'worker', 1);
  const after = unmeasuredWorker(worker, table) as unknown as Item;
  const isMeasure = (value: unknown): boolean =>
    typeof value === 'number' ||
    Array.isArray(value) ||
    (typeof value === 'object' && value !== null && Object.values(value).some(isMeasure));
  const isUnknown = (value: unknown): boolean =>
    value === null ||
    (typeof value === 'object' && (Array.isArray(value) ? value.length === 0 : Object.values(value).every(isUnknown)));
  return Object.entries(worker)
    .filter(([name, value]) => !settings.includes(name) && isMeasure(value) && !isUnknown(after[name]))
    .map(([name]) => name);
}

/** Two heartbeats of one hive that differ in every field. */
function twoHeartbeats(): readonly Heartbeat[] {
  return [1, 2].map((seed) => {
    const base = recordedFleet()[0] as Heartbeat;
    const hive = schemaValue(nodeOf(HiveInfo), 'hive', seed) as Heartbeat['hive'];
    return {
      ...base,
      seq: seed,
      intervalMs: 1000 * seed,
      hive: { ...hive, id: 'h', incarnation: base.hive.incarnation },
      host: { ...sampleValue<Heartbeat['host']>(HostSample, 'host', seed), memoryTotalBytes: seed * 2 ** 41 },
      gpus: [
        gpuValues('GPU-x', seed, 'none', {
          ...{
            migMode: seed === 1,
            parentUuid: `GPU-${seed}`,
            unsupported: [`field${seed}`],
            fanPercent: seed,
            memoryReservedBytes: seed,
          },
        }),
      ],
      workers: [workerValues('llm/0', seed, 'none', ['GPU-x'])],
      workersComplete: seed === 1,
      faults: [],
      collection: sampleValue<Heartbeat['collection']>(HiveView.properties.collection, 'collection', seed),
    };
  });
}

describe('every field that a hive sends', () => {
  it('of worker, GPU, host and hive is served with its second value after two heartbeats that differ in all', () => {
    const registry = new Registry({ warmingMs: 0, clock: () => 0 });
    const [first, second] = twoHeartbeats() as [Heartbeat, Heartbeat];
    for (const heartbeat of [first, second]) {
      const verdict = readHeartbeat(wire(heartbeat), { maxWorkers: 10 });
      if (!verdict.ok) throw new Error(verdict.refusal.message);
      expect(verdict.heartbeat.faults).toEqual([]);
      expect(registry.heartbeat(verdict.heartbeat).accepted).toBe(true);
    }
    const [hive] = registry.hives({}).items;
    const [worker] = registry.workers({}).items;
    const [gpu] = registry.gpus({}).items;
    const answers: readonly (readonly [string, object, Item, Item, readonly string[]])[] = [
      [
        'worker',
        WorkerSample.properties,
        second.workers[0] as Item,
        worker as unknown as Item,
        ['id', 'group', 'instance'],
      ],
      ['GPU', GpuSample.properties, second.gpus[0] as Item, gpu as unknown as Item, ['uuid']],
      ['host', HostSample.properties, second.host, hive?.host as Item, []],
      ['hive', HiveInfo.properties, second.hive, hive as unknown as Item, ['id', 'incarnation']],
    ];
    for (const [what, properties, sent, served, same] of answers)
      for (const name of Object.keys(properties)) {
        expect(served[name], `${what} ${name}`).toEqual(sent[name]);
        const before = { worker: first.workers[0], GPU: first.gpus[0], host: first.host, hive: first.hive }[
          what
        ] as Item;
        if (!same.includes(name)) expect(sent[name], `${what} ${name}`).not.toEqual(before[name]);
      }
    expect(hive?.collection).toEqual(second.collection);
    expect(hive?.gpus[0]).toEqual(second.gpus[0]);
    expect(hive?.workersComplete).toBe(second.workersComplete);
  });

  it.each(tables)('of a $what is merged, and one whose row is missing is found out', (each) => {
    const { table } = each;
    for (const make of [compiledMerger<Item>, loopMerger<Item>]) {
      expect(unmerged(each, make(table, []) as Merger<Item>)).toEqual([]);
      for (const [name, { identity }] of Object.entries(table))
        if (!identity) expect(unmerged(each, make(without(table, name), []) as Merger<Item>)).toEqual([name]);
    }
  });

  it('that is measured is null for a stalled worker, and one whose row is missing is found out', () => {
    expect(stillMeasured(workerFields)).toEqual([]);
    for (const [name, { unmeasured }] of Object.entries(workerFields as FieldTable))
      if (unmeasured !== undefined && !['state', 'gpusReason', 'gpusInferred', 'servingReason'].includes(name))
        expect(stillMeasured(without(workerFields, name))).toEqual([name]);
    expect(unmeasuredWorker(sampleValue<WorkerSample>(WorkerSample, 'worker', 2)).state).toBe('unknown');
    // What is said of a host that cannot be read.
    const given = ['cpuCount', 'container'];
    const measured = Object.entries(hostFields as FieldTable).filter(([name]) => !given.includes(name));
    for (const [name, { unmeasured }] of measured) expect(unmeasured, name).toBeDefined();
  });
});

describe('merge', () => {
  it.each(tables)('compiled and by loops do the same to a $what', ({ table, schema }) => {
    const [compiled, loops] = [
      compiledMerger<Item>(table, ['first', 'second']) as Merger<Item>,
      loopMerger<Item>(table, ['first', 'second']),
    ];
    const nulls = ['none', 'some', 'all'] as const;
    for (let seed = 0; seed < 60; seed++) {
      const [a, b] = [0, 1].map((n) => sampleValue<Item>(schema, 'item', (seed + n) >> 1, nulls[(seed + n) % 3])) as [
        Item,
        Item,
      ];
      const stored = [compiled, loops].map((merger) => {
        const copy = merger.copy(structuredClone(a));
        const change = merger.merge(copy, structuredClone(b));
        merger.share(copy, structuredClone(b));
        return { copy, change, view: merger.view(copy, 1, 'two') };
      });
      expect(stored[0]).toEqual(stored[1]);
      expect(Object.keys(stored[0]?.copy ?? {})).toEqual(Object.keys(table));
      expect(stored[0]?.view).toEqual({ ...stored[0]?.copy, first: 1, second: 'two' });
    }
  });

  it('is the compiled one; where no code may be generated it goes by loops', () => {
    for (const merge of [mergeWorker, mergeGpu])
      expect(String(merge)).toContain('stored.processCount === next.processCount');
    const program = `import { mergeWorker, keepWorker } from ${JSON.stringify(
      fileURLToPath(new URL('../../lib/queen/merge.ts', import.meta.url)),
    )};
      const worker = keepWorker({ cpuPercent: 1, labels: {}, gpus: [] });
      const change = mergeWorker(worker, { ...worker, cpuPercent: 2 });
      process.stdout.write(JSON.stringify([String(mergeWorker).includes('processCount'), change, worker.cpuPercent]));`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--disallow-code-generation-from-strings', '--import', 'tsx', '--input-type=module', '-e', program],
      { encoding: 'utf8' },
    );
    expect(stdout, stderr).toBe('[false,"values",2]');
  });
});
