/** What was seen and is gone: kept with its last values until it is back, until somebody forgets it, or for seven days. */
import { type Static, Type } from 'typebox';
import { GpuView, HiveView, WorkerView } from './api.js';
import { Id, Nullable, OneOf } from './primitives.js';

export const missingKinds = ['hive', 'gpu', 'worker'] as const;
export type MissingKind = (typeof missingKinds)[number];

export const missingReasons = ['silent', 'stopped', 'notReported'] as const;
export type MissingReason = (typeof missingReasons)[number];

const common = {
  key: Type.String({ description: 'Id of the hive, uuid of the GPU, or `hive/group/instance` of the worker.' }),
  hive: Id('Id of the hive.'),
  since: Type.String({ format: 'date-time', description: 'When the queen last heard of it, by the queen’s clock.' }),
  missingMs: Type.Number({ minimum: 0, description: 'Since then.' }),
  reason: OneOf(
    missingReasons,
    'silent: its hive sends no heartbeats. stopped: its hive was stopped in an ordinary way. notReported: its hive sends heartbeats and names it no longer.',
  ),
};

export const MissingHive = Type.Object({ kind: Type.Literal('hive'), ...common, last: HiveView });
export const MissingGpu = Type.Object({
  kind: Type.Literal('gpu'),
  ...common,
  reportedBy: Type.Optional(
    Id(
      'Another hive, not known to be of the same token, says that it has this GPU now. Where it was moved there, forget it here.',
    ),
  ),
  last: GpuView,
});
export const MissingWorker = Type.Object({ kind: Type.Literal('worker'), ...common, last: WorkerView });
export type MissingHive = Static<typeof MissingHive>;
export type MissingGpu = Static<typeof MissingGpu>;
export type MissingWorker = Static<typeof MissingWorker>;

/** `last`: what it said last. Nothing is scheduled by it. */
export const Missing = Type.Union([MissingHive, MissingGpu, MissingWorker]);
export type Missing = Static<typeof Missing>;

export const MissingList = Type.Object({ items: Type.Array(Missing), nextCursor: Nullable(Type.String()) });
export type MissingList = Static<typeof MissingList>;
