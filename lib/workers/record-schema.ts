import { shapeProblem } from '../contract/fields/check-shape.js';
import {
  integer,
  labels,
  list,
  nullable,
  oneOf,
  record,
  type Shape,
  text,
  time,
  type ValueOfShape,
} from '../contract/fields/shape.js';
import { idPattern } from '../contract/limits.js';
import { shownModel } from './shown-command.js';

/** Who owns the worker's cgroup: we ourselves, a systemd manager, or nobody (no cgroup v2 here). */
export const cgroupOwners = ['cgroup', 'systemd', 'systemdUser', 'none'] as const;

const exitShape = record({
  at: time,
  /** Exit code, or null where a signal ended it. */
  code: nullable(integer(0, undefined, 255)),
  /** `SIGKILL`..., or null. */
  signal: nullable(text({ maxLength: 16 })),
  /** memory.events `oom_kill` of its cgroup, read before the cgroup went away; null where it could not be read. */
  oomKills: nullable(integer(0)),
  /** Processes that were still in its cgroup when the main process had ended. */
  remaining: integer(0),
});
export type WorkerExit = ValueOfShape<typeof exitShape>;

const anyObject: Shape<Record<string, unknown>> = { type: 'object' };

const required = record({
  schema: integer(1, undefined, 1),
  group: text({ pattern: idPattern }),
  instance: text({ pattern: idPattern }),
  owner: oneOf(cgroupOwners),
  /** Absolute path of the cgroup directory. */
  cgroup: nullable(text({ maxLength: 4096 })),
  /** Its inode: a cgroup made again under the same name has another one, and this record is not about it. */
  cgroupInode: nullable(integer(0)),
  /** systemd scope, where systemd owns the cgroup. */
  unit: nullable(text({ maxLength: 256 })),
  /** Never 1, to which a signal would reach every process, nor a group. */
  pid: integer(2),
  /** /proc/<pid>/stat field 22; with the pid the identity of the process. */
  startTicks: nullable(integer(0)),
  startedAt: time,
  /** The process that waits for it and will write its exit. */
  parentPid: integer(1),
  parentStartTicks: nullable(integer(0)),
  model: nullable(text({ maxLength: 512 })),
  port: nullable(integer(1, undefined, 65535)),
  labels,
  readyUrl: nullable(text({ maxLength: 2048 })),
  reservationId: nullable(text({ maxLength: 64 })),
  /** Always empty. Records of 0.1 hold the command line here, which is not kept; its hives ask for the field. */
  command: list(text({}), 1_000_000),
  /** Limits as they were asked for, by name. */
  limits: anyObject,
  /** Limits that do not hold, or only in part, with the reason. */
  notApplied: list(record({ name: text({}), message: text({}) }), 1000),
  /** null while it runs. */
  exit: nullable(exitShape),
});

/** What may be shown of its command line; absent in records of 0.1. */
const shown = text({ maxLength: 256 });
/** Of a worker without a cgroup: the mark of its processes, in their environment. Absent of others. */
const marker = text({ maxLength: 64 });
/** Of a worker without a cgroup: what each of its processes began with in place of limits. Absent of others. */
const bounds = record({
  /** CPUs of its affinity: `0-3,8`. */
  cpus: nullable(text({ maxLength: 4096 })),
  nice: nullable(integer(0)),
  /** Level of the best-effort class. */
  ioPriority: nullable(integer(0)),
  /** RLIMIT_DATA. */
  dataBytes: nullable(integer(0)),
});

/**
 * What `run` leaves of a worker, so that a hive started later knows it again. Checked without the schema library, which
 * takes a hive 14 MiB, and a second of a slow CPU before the first record is known.
 */
export const recordShape: Shape<unknown> = {
  ...required,
  properties: { ...required.properties, shown, marker, bounds },
};
export type WorkerRecord = Omit<ValueOfShape<typeof required>, 'schema'> & {
  schema: 1;
  shown?: string;
  marker?: string;
  bounds?: ValueOfShape<typeof bounds>;
};

/** The record that a file holds, or why it is none. */
export function checkRecord(value: unknown): { readonly record: WorkerRecord } | { readonly problem: string } {
  const problem = shapeProblem(recordShape, value);
  if (problem !== null) return { problem: `not a worker record: ${problem}` };
  const { model, ...rest } = value as WorkerRecord;
  return { record: { ...rest, model: model === null ? null : shownModel(model), command: [] } };
}
