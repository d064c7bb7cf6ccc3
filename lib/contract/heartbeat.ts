import { type Static, type TObject, type TOptional, type TSchema, type TUnsafe, Type } from 'typebox';
import { shortestIntervalMs } from './defaults.js';
import { gpuKnowledge, hiveEventKinds, hiveStates } from './enums.js';
import { collectionFields, intervalShape } from './fields/collection.js';
import type { Field, FieldTable, ValueOf } from './fields/field.js';
import { gpuFields } from './fields/gpu.js';
import { hostFields } from './fields/host.js';
import type { Shape } from './fields/shape.js';
import { workerFields } from './fields/worker.js';
import { workerGpuFields } from './fields/worker-gpu.js';
import { Id, Labels, Nullable, OneOf } from './primitives.js';

export { gpuHealths, hiveEventKinds, hiveStates, workerStates } from './enums.js';

export const HiveInfo = Type.Object({
  id: Id('The hive: --id, else the hostname.'),
  hostname: Type.String({ maxLength: 253 }),
  version: Type.String({ maxLength: 64, description: 'Version of hivepulse on the host.' }),
  incarnation: Type.String({ format: 'uuid', description: 'One run of one hive process.' }),
  startedAt: Type.String({ format: 'date-time' }),
  address: Nullable(Type.String({ maxLength: 255, description: 'Where the host is reached, as configured.' })),
  labels: Labels,
  state: OneOf(hiveStates),
});
export type HiveInfo = Static<typeof HiveInfo>;

/** A record in a table, without what a hive may leave out. */
type SentRecord<R extends FieldTable> = {
  -readonly [K in keyof R as R[K] extends { readonly optional: true } ? never : K]: ValueOf<R[K]>;
} & { -readonly [K in keyof R as R[K] extends { readonly optional: true } ? K : never]?: ValueOf<R[K]> | undefined };

/** As a hive sends it. */
type SentValue<F extends Field> = F extends { readonly rows: infer R extends FieldTable }
  ? SentRecord<R> | Extract<ValueOf<F>, null>
  : ValueOf<F>;

type Properties<T extends FieldTable> = {
  -readonly [K in keyof T]: T[K] extends { readonly optional: true }
    ? TOptional<TUnsafe<SentValue<T[K]> | undefined>>
    : TUnsafe<SentValue<T[K]>>;
};

type AllProperties<T extends FieldTable> = { -readonly [K in keyof T]: TUnsafe<ValueOf<T[K]>> };

/** The shape of a record as a hive sends it: without what it may leave out. */
function sentShape(shape: Shape<unknown>, rows: FieldTable): Shape<unknown> {
  if (shape.anyOf !== undefined) return { ...shape, anyOf: shape.anyOf.map((each) => sentShape(each, rows)) };
  if (shape.required === undefined) return shape;
  return { ...shape, required: shape.required.filter((name) => !rows[name]?.optional) };
}

function schemaOf(table: FieldTable, mayLack: boolean): TSchema {
  const properties = Object.entries(table).map(([name, { shape, optional, rows }]) => {
    const schema = Type.Unsafe((mayLack && rows !== undefined ? sentShape(shape, rows) : shape) as TSchema);
    return [name, mayLack && optional ? Type.Optional(schema) : schema];
  });
  return Type.Object(Object.fromEntries(properties));
}

/** The schema of the fields of a table, as a hive sends them. */
const objectOf = <const T extends FieldTable>(table: T) => schemaOf(table, true) as unknown as TObject<Properties<T>>;
/** The same with every field: an optional one that a hive left out is null. */
const completeOf = <const T extends FieldTable>(table: T) =>
  schemaOf(table, false) as unknown as TObject<AllProperties<T>>;

export const HostSample = objectOf(hostFields);
export type HostSample = Static<typeof HostSample>;
export type Pressure = HostSample['pressure'];
export const Pressure = HostSample.properties.pressure;

export const GpuSample = objectOf(gpuFields);
export type GpuSample = Static<typeof GpuSample>;
/** A GPU as a queen stores and shows it. */
export const StoredGpu = completeOf(gpuFields);
export type StoredGpu = Static<typeof StoredGpu>;

export const WorkerGpu = objectOf(workerGpuFields);
export type WorkerGpu = Static<typeof WorkerGpu>;

export const WorkerSample = objectOf(workerFields);
export type WorkerSample = Static<typeof WorkerSample>;
/** A worker as a queen stores and shows it. */
export const StoredWorker = completeOf(workerFields);
export type StoredWorker = Static<typeof StoredWorker>;

/** An event that must not be lost: re-sent until the queen has acknowledged it. */
export const HiveEvent = Type.Object({
  seq: Type.Integer({ minimum: 1, description: 'Rises within an incarnation.' }),
  at: Type.String({ format: 'date-time' }),
  kind: OneOf(hiveEventKinds),
  workerId: Type.Optional(Type.String({ maxLength: 257 })),
  gpuUuid: Type.Optional(Type.String({ maxLength: 96 })),
  detail: Type.Record(Type.String(), Type.Unknown(), { maxProperties: 16 }),
});
export type HiveEvent = Static<typeof HiveEvent>;

/** Why a value is null, or what else is wrong on the host; gone from the next heartbeat once fixed. */
export const Fault = Type.Object({
  source: Type.String({ maxLength: 64, description: 'cgroup, proc, gpu, readiness, hive, queen...' }),
  code: Type.String({ maxLength: 64 }),
  message: Type.String({ maxLength: 1024, description: 'What is wrong, and the fix.' }),
  field: Type.Optional(Type.String({ maxLength: 128 })),
  workerId: Type.Optional(Type.String({ maxLength: 257 })),
  gpuUuid: Type.Optional(Type.String({ maxLength: 96 })),
});
export type Fault = Static<typeof Fault>;

export const Collection = objectOf(collectionFields);
export type Collection = Static<typeof Collection>;

/** Whether the list of GPUs says what the host has. Never judge by an empty list: it may be one that could not be read. */
export const gpuKnowledgeFields = {
  gpusKnown: OneOf(gpuKnowledge),
  gpusReason: Nullable(
    Type.String({
      maxLength: 512,
      description: 'Why the GPUs are not known, or why there are none; null where known.',
    }),
  ),
};

export const Heartbeat = Type.Object({
  schema: Type.Literal(1),
  seq: Type.Integer({ minimum: 1, description: 'Rises within an incarnation.' }),
  sentAt: Type.String({ format: 'date-time', description: 'For people, never for liveness.' }),
  intervalMs: Type.Unsafe<number>(intervalShape as TSchema),
  hive: HiveInfo,
  host: HostSample,
  ...gpuKnowledgeFields,
  gpus: Type.Array(GpuSample, { maxItems: 256 }),
  workersComplete: Type.Boolean({ description: 'false where the tree could not be read whole.' }),
  workers: Type.Array(WorkerSample),
  events: Type.Array(HiveEvent),
  faults: Type.Array(Fault),
  collection: Collection,
});
export type Heartbeat = Static<typeof Heartbeat>;

/** What one pass of the sampler gives: a heartbeat without its envelope. */
export type Snapshot = Pick<
  Heartbeat,
  'host' | 'gpusKnown' | 'gpusReason' | 'gpus' | 'workersComplete' | 'workers' | 'faults' | 'collection'
>;

export const HeartbeatReply = Type.Object({
  accepted: Type.Literal(true),
  queenId: Type.String(),
  ackEventSeq: Type.Integer({ minimum: 0, description: 'Every event up to this one is safe at the queen.' }),
  intervalMs: Type.Integer({
    minimum: shortestIntervalMs,
    description:
      'The shortest interval that suits the queen from now on; a hive keeps to its own where that is longer.',
  }),
  degraded: Type.Optional(
    Type.Boolean({
      description: 'true: this queen cannot pass the heartbeat on to the others now; send it to another one as well.',
    }),
  ),
});
export type HeartbeatReply = Static<typeof HeartbeatReply>;
