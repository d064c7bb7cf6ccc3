import { describe, expect, it } from 'vitest';
import { collectionFields } from '../../lib/contract/fields/collection.js';
import { type FieldTable, rowsOf } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { hostFields } from '../../lib/contract/fields/host.js';
import { servingFields } from '../../lib/contract/fields/serving.js';
import { isNullable, known, type Shape } from '../../lib/contract/fields/shape.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import { workerGpuFields } from '../../lib/contract/fields/worker-gpu.js';
import { type GpuSample as Gpu, GpuSample, Heartbeat } from '../../lib/contract/heartbeat.js';
import { addAbsentOfGpu, asSent } from '../../lib/contract/stored.js';
import { readHeartbeat } from '../../lib/contract/validate.js';
import { familiesOfHive, hiveScrape } from '../../lib/hive/metric-families.js';
import { gpuOf, heartbeatOf, wire } from '../harness/heartbeats.js';

const tables: Readonly<Record<string, FieldTable>> = {
  collection: collectionFields,
  gpu: gpuFields,
  host: hostFields,
  serving: servingFields,
  worker: workerFields,
  workerGpu: workerGpuFields,
};

/** What always has a value, and why that is none that stands for "not known". */
const always: Readonly<Record<string, string>> = {
  'collection.cgroupReader': 'none is a value of its own',
  'collection.gpuReader': 'none is a value of its own',
  'collection.gpuReaders': 'the hive itself knows which readers it has',
  'gpu.health': 'initializing and stalled say that nothing is known',
  'gpu.index': 'the place in the list of the driver, or of its message',
  'gpu.memoryKind': 'what reads it is null until it is known, as its memory is',
  'gpu.unsupported': 'of what was asked; all else that is null has a fault',
  'host.cpuCount': 'the process itself is given it by its system, if /proc is not',
  'serving.engine': 'there are no figures without an engine that has answered',
  'worker.gpus': 'gpusReason says whether all are listed',
  'worker.labels': 'of the record; one that cannot be read has a fault',
  'worker.memorySource': 'how it is read, not what was read',
  'worker.origin': 'adopted is what is found running',
};

/** Of a record each part can be null, or all of it. */
function canBeUnknown(shape: Shape<unknown>): boolean {
  if (isNullable(shape)) return true;
  const { enum: values, properties } = known(shape);
  if (values !== undefined) return values.includes('unknown');
  return properties !== undefined && Object.values(properties).every(canBeUnknown);
}

const isUnknown = (value: unknown): boolean =>
  value === null ||
  value === 'unknown' ||
  (typeof value === 'object' && !Array.isArray(value) && Object.values(value).every(isUnknown));

describe('of every field of the contract', () => {
  const rows = Object.entries(tables).flatMap(([name, table]) =>
    rowsOf(table).map(({ name: path, field }) => ({ path: `${name}.${path}`, table, field })),
  );

  it('"not known" is a value of its own, or there is a reason why it is always known', () => {
    const named = rows.filter(({ field }) => !field.identity && !canBeUnknown(field.shape));
    // Rows of serving stand in those of a worker too.
    const paths = named.map(({ path }) => path.replace(/^worker\.serving\./, 'serving.'));
    expect([...new Set(paths)].sort()).toEqual(Object.keys(always).sort());
  });

  it('what cannot be measured is not known: no empty list, no false, no 0', () => {
    const reasons = ['gpusReason', 'servingReason'];
    for (const { path, table, field } of rows) {
      const name = path.split('.').at(-1) as string;
      if (field.unmeasured === undefined || reasons.includes(name)) continue;
      // An empty list only beside a field that says whether it is whole.
      if (Array.isArray(field.unmeasured)) expect(table, path).toHaveProperty(`${name}Reason`);
      else expect(isUnknown(field.unmeasured), path).toBe(true);
    }
  });

  it('lists of a heartbeat itself have a field that says whether they are whole', () => {
    const ofItself = ['events', 'faults'];
    const shapes = Object.entries(Heartbeat.properties as Readonly<Record<string, Shape<unknown>>>);
    const lists = shapes.filter(([, { type }]) => type === 'array');
    expect(lists.map(([name]) => name).filter((name) => !ofItself.includes(name))).toEqual(['gpus', 'workers']);
    expect(Heartbeat.properties).toMatchObject({ gpusKnown: {}, workersComplete: { type: 'boolean' } });
  });
});

describe('reasons for which a GPU is throttled', () => {
  const read = (gpu: Gpu) => {
    const verdict = readHeartbeat(wire(heartbeatOf('h', 1, { gpus: [gpu] })), { maxWorkers: 10 });
    if (!verdict.ok) throw new Error(verdict.refusal.message);
    expect(verdict.heartbeat.faults).toEqual([]);
    return verdict.heartbeat.gpus[0]?.throttleReasons;
  };

  it.each([[null], [[]], [['idle']], [['powerCap', 'thermalHardware']]])(
    '%j come to a queen as they are',
    (reasons) => {
      const gpus = [gpuOf('GPU-0', { throttleReasons: reasons })];
      const [sent] = asSent(heartbeatOf('h', 1, { gpus })).gpus as [Gpu];
      expect(read(sent)).toEqual(reasons);
      expect(read(gpuOf('GPU-0', { throttleReasons: reasons }))).toEqual(reasons);
      // A queen of 0.1 takes a list of texts and nothing else.
      expect(sent.throttleReasons).toSatisfy((list) => Array.isArray(list) && list.every((e) => typeof e === 'string'));
      expect(isNullable(GpuSample.properties.throttleReasons as Shape<unknown>)).toBe(true);
    },
  );

  it('a hive of 0.1 sends none of a device that cannot tell: they are not known', () => {
    expect(read(gpuOf('GPU-0', { throttleReasons: [], unsupported: ['throttleReasons'] }))).toBeNull();
    expect(addAbsentOfGpu({ uuid: 'GPU-0', throttleReasons: [] })).toMatchObject({ throttleReasons: [] });
  });

  it.each([
    [null, 0],
    [[], 0],
    [['idle', 'powerCap'], 2],
  ])('%j are %i samples', (throttleReasons, count) => {
    const scrape = hiveScrape({
      heartbeat: heartbeatOf('h', 1, { gpus: [gpuOf('GPU-0', { throttleReasons })] }),
      sinceSnapshotMs: 0,
      counters: new Map(),
      sends: { taken: 0, failed: 0 },
      oomKills: 0,
    });
    const throttled = familiesOfHive.find(({ name }) => name === 'hivepulse_gpu_throttled');
    expect([...(throttled?.collect(scrape) ?? [])]).toHaveLength(count);
  });
});
