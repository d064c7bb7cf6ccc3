import type { HiveEvent } from '../contract/heartbeat.js';
import { round2 } from '../procfs/round.js';
import type { WorkerExit, WorkerRecord } from '../workers/records.js';
import { type ReportMark, workerRunKey } from './reported.js';

/** A hive event before the event log numbers it. */
export type HiveEventDraft = Omit<HiveEvent, 'seq'> & {
  /** Noted once a queen has acknowledged the event; not sent. Missing where nothing is noted. */
  readonly reportMark?: ReportMark;
};

/** A worker that has ended, whose exit `run` may still record. */
export interface DepartedWorker {
  readonly id: string;
  readonly group: string;
  readonly instance: string;
  readonly origin: 'launched' | 'adopted';
  readonly record: WorkerRecord | null;
  /** Its main process and its run; null where they were never seen. */
  readonly pid: number | null;
  readonly incarnation: string | null;
  readonly inode: number;
  readonly oomKills: number | null;
  readonly uptimeSeconds: number | null;
  readonly atMs: number;
  readonly at: string;
}

/** How long `run` has to record how its child ended. */
export const exitGraceMs = 3000;
/** How long an exit waits for records that can't be read. */
const unreadGraceMs = 60_000;

/** By the monotonic clock, ms. */
export interface ExitTimes {
  readonly nowMs: number;
  /** When the read of the records that are given began. */
  readonly recordsReadAtMs: number;
}

/** As `WorkerRun.incarnation`; null where the record does not have the start of its process. */
const incarnationOf = ({ pid, startTicks }: WorkerRecord): string | null =>
  startTicks === null ? null : `${pid}/${startTicks}`;

export const matchesExit = (ended: WorkerRecord, departed: DepartedWorker): boolean =>
  ended.group === departed.group &&
  ended.instance === departed.instance &&
  (departed.record === null
    ? ended.cgroupInode === departed.inode
    : ended.pid === departed.record.pid && ended.startTicks === departed.record.startTicks);

/**
 * Events of a worker that has ended: `workerExited` with code or signal where `run` recorded them, else null with the
 * reason; and `oomKill` where only the exit shows a kill. null while `run` may still record the exit, or its record may
 * still be read.
 */
export function exitEvents(
  departed: DepartedWorker,
  ended: readonly WorkerRecord[],
  { nowMs, recordsReadAtMs }: ExitTimes,
  withMarks = false,
): readonly HiveEventDraft[] | null {
  const record = ended.find((candidate) => matchesExit(candidate, departed));
  // An exit that left children behind is in the running record as well, for longer.
  const exit = record?.exit ?? departed.record?.exit ?? null;
  // A launched worker may end before its record was read; its exit is then found by the cgroup's inode.
  const launched = departed.record !== null || departed.origin === 'launched';
  // Only a read of the records that began after the grace shows that nothing was recorded.
  const unread = recordsReadAtMs - departed.atMs < exitGraceMs;
  if (exit === null && launched && unread && nowMs - departed.atMs < unreadGraceMs) return null;
  const kills = exit?.oomKills ?? 0;
  const killsBefore = departed.oomKills ?? 0;
  const known = record ?? departed.record;
  const draft = (kind: HiveEvent['kind'], detail: HiveEvent['detail']): HiveEventDraft => ({
    at: exit?.at ?? departed.at,
    kind,
    workerId: departed.id,
    detail,
    ...(withMarks && known !== null
      ? {
          reportMark: {
            worker: workerRunKey(known),
            exited: kind === 'workerExited',
            oomKills: Math.max(kills, killsBefore),
          },
        }
      : {}),
  });
  const reason =
    departed.origin === 'adopted' || departed.record === null
      ? 'it was not started by `hivepulse run`, so nobody here waited for it'
      : unread
        ? 'the records of `hivepulse run` could not be read'
        : 'its `hivepulse run` ended before it and could not note how it ended';
  return [
    ...(kills > killsBefore ? [draft('oomKill', { kills: kills - killsBefore, total: kills })] : []),
    draft('workerExited', {
      pid: departed.pid ?? known?.pid ?? null,
      incarnation: departed.incarnation ?? (known === null ? null : incarnationOf(known)),
      code: exit?.code ?? null,
      signal: exit?.signal ?? null,
      ...(exit === null ? { reason } : {}),
      ...(exit !== null && exit.remaining > 0 ? { remaining: exit.remaining } : {}),
      uptimeSeconds: departed.uptimeSeconds,
    }),
  ];
}

/** A worker that ended while no hive watched: all that is known of it is what `run` recorded. */
export function exitWithoutSighting(
  record: WorkerRecord,
  exit: WorkerExit,
  oomKills: number,
  nowMs: number,
): DepartedWorker {
  const { group, instance, startedAt } = record;
  const seconds = (Date.parse(exit.at) - Date.parse(startedAt)) / 1000;
  return {
    id: `${group}/${instance}`,
    group,
    instance,
    origin: 'launched',
    record,
    pid: record.pid,
    incarnation: incarnationOf(record),
    inode: Number.NaN,
    oomKills,
    // By the wall clock, which may have been set meanwhile.
    uptimeSeconds: seconds >= 0 ? round2(seconds) : null,
    atMs: nowMs,
    at: exit.at,
  };
}
