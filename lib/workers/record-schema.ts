import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { Id, Labels, Nullable, OneOf } from '../contract/primitives.js';
import { shownModel } from './shown-command.js';

/** Who owns the worker's cgroup: we ourselves, a systemd manager, or nobody (no cgroup v2 here). */
export const cgroupOwners = ['cgroup', 'systemd', 'systemdUser', 'none'] as const;

export const WorkerExit = Type.Object({
  at: Type.String({ format: 'date-time' }),
  /** Exit code, or null where a signal ended it. */
  code: Nullable(Type.Integer({ minimum: 0, maximum: 255 })),
  /** `SIGKILL`..., or null. */
  signal: Nullable(Type.String({ maxLength: 16 })),
  /** memory.events `oom_kill` of its cgroup, read before the cgroup went away; null where it could not be read. */
  oomKills: Nullable(Type.Integer({ minimum: 0 })),
  /** Processes that were still in its cgroup when the main process had ended. */
  remaining: Type.Integer({ minimum: 0 }),
});
export type WorkerExit = Static<typeof WorkerExit>;

/** What `run` leaves of a worker, so that a hive started later knows it again. */
export const WorkerRecord = Type.Object({
  schema: Type.Literal(1),
  group: Id('First part of the worker id.'),
  instance: Id('Second part of the worker id.'),
  owner: OneOf(cgroupOwners),
  /** Absolute path of the cgroup directory. */
  cgroup: Nullable(Type.String({ maxLength: 4096 })),
  /** Its inode: a cgroup made again under the same name has another one, and this record is not about it. */
  cgroupInode: Nullable(Type.Integer({ minimum: 0 })),
  /** systemd scope, where systemd owns the cgroup. */
  unit: Nullable(Type.String({ maxLength: 256 })),
  pid: Type.Integer({ minimum: 1 }),
  /** /proc/<pid>/stat field 22; with the pid the identity of the process. */
  startTicks: Nullable(Type.Integer({ minimum: 0 })),
  startedAt: Type.String({ format: 'date-time' }),
  /** The process that waits for it and will write its exit. */
  parentPid: Type.Integer({ minimum: 1 }),
  parentStartTicks: Nullable(Type.Integer({ minimum: 0 })),
  model: Nullable(Type.String({ maxLength: 512 })),
  port: Nullable(Type.Integer({ minimum: 1, maximum: 65535 })),
  labels: Labels,
  readyUrl: Nullable(Type.String({ maxLength: 2048 })),
  reservationId: Nullable(Type.String({ maxLength: 64 })),
  /** What may be shown of its command line; absent in records of 0.1. */
  shown: Type.Optional(Type.String({ maxLength: 256 })),
  /** Always empty. Records of 0.1 hold the command line here, which is not kept; its hives ask for the field. */
  command: Type.Array(Type.String()),
  /** Limits as they were asked for, by name. */
  limits: Type.Record(Type.String(), Type.Unknown()),
  /** Limits that do not hold, with the reason. */
  notApplied: Type.Array(Type.Object({ name: Type.String(), message: Type.String() })),
  /** null while it runs. */
  exit: Nullable(WorkerExit),
});
export type WorkerRecord = Static<typeof WorkerRecord>;

/** The record that a file holds, or why it is none. */
export function checkRecord(value: unknown): { readonly record: WorkerRecord } | { readonly problem: string } {
  if (Value.Check(WorkerRecord, value)) {
    const model = value.model === null ? null : shownModel(value.model);
    return { record: { ...value, model, command: [] } };
  }
  const first = Value.Errors(WorkerRecord, value)[0];
  return { problem: `not a worker record: ${first?.instancePath || '/'} ${first?.message ?? ''}`.trim() };
}
