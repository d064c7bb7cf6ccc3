import type { HiveEvent } from '../contract/heartbeat.js';
import type { WorkerExit, WorkerRecord } from '../workers/records.js';
import { type ReportMark, workerRunKey } from './reported.js';

/** A hive-side fact before the event log gives it its number. */
export type HiveEventDraft = Omit<HiveEvent, 'seq'> & {
  /** What the next run of this hive need not tell again; it does not travel. Only where somebody keeps it. */
  readonly reportMark?: ReportMark;
};

/** What is known of a worker that has vanished and whose exit `run` may still write down. */
export interface DepartedWorker {
  readonly id: string;
  readonly group: string;
  readonly instance: string;
  readonly origin: 'launched' | 'adopted';
  readonly record: WorkerRecord | null;
  readonly inode: number;
  readonly oomKills: number | null;
  readonly uptimeSeconds: number | null;
  readonly atMs: number;
  readonly at: string;
}

/** How long `run` is given to write down how its child ended. */
export const exitGraceMs = 3000;

export const matchesExit = (ended: WorkerRecord, departed: DepartedWorker): boolean =>
  ended.group === departed.group &&
  ended.instance === departed.instance &&
  (departed.record === null
    ? ended.cgroupInode === departed.inode
    : ended.pid === departed.record.pid && ended.startTicks === departed.record.startTicks);

/**
 * The events of a worker that is gone: `workerExited` with code or signal where `run` noted them, null with the reason
 * where nobody did, and `oomKill` where a kill shows only in the exit. `null` as long as it is worth waiting for `run`.
 */
export function exitEvents(
  departed: DepartedWorker,
  ended: readonly WorkerRecord[],
  nowMs: number,
  options: { readonly tell: boolean } = { tell: false },
): readonly HiveEventDraft[] | null {
  const record = ended.find((candidate) => matchesExit(candidate, departed));
  // An exit that left children behind is in the running record as well, for longer.
  const exit = record?.exit ?? departed.record?.exit ?? null;
  // One of ours may go before its record was read; its exit is found by the cgroup then.
  const ours = departed.record !== null || departed.origin === 'launched';
  if (exit === null && ours && nowMs - departed.atMs < exitGraceMs) return null;
  const events: HiveEventDraft[] = [];
  const kills = exit?.oomKills ?? null;
  const known = record ?? departed.record;
  const oomKills = Math.max(kills ?? 0, departed.oomKills ?? 0);
  const reportMark = (exited: boolean): Pick<HiveEventDraft, 'reportMark'> =>
    options.tell && known !== null ? { reportMark: { worker: workerRunKey(known), exited, oomKills } } : {};
  if (kills !== null && kills > (departed.oomKills ?? 0)) {
    events.push({
      at: exit?.at ?? departed.at,
      kind: 'oomKill',
      workerId: departed.id,
      detail: { kills: kills - (departed.oomKills ?? 0), total: kills },
      ...reportMark(false),
    });
  }
  const reason =
    exit !== null
      ? null
      : departed.origin === 'adopted' || departed.record === null
        ? 'it was not started by `hivepulse run`, so nobody here waited for it'
        : 'its `hivepulse run` ended before it and could not note how it ended';
  events.push({
    at: exit?.at ?? departed.at,
    kind: 'workerExited',
    workerId: departed.id,
    detail: {
      code: exit?.code ?? null,
      signal: exit?.signal ?? null,
      ...(reason === null ? {} : { reason }),
      ...(exit !== null && exit.remaining > 0 ? { remaining: exit.remaining } : {}),
      uptimeSeconds: departed.uptimeSeconds,
    },
    ...reportMark(true),
  });
  return events;
}

/** A worker that came and went, or went, while nobody looked: all that is known of it is what `run` wrote down. */
export function exitWithoutSighting(
  record: WorkerRecord,
  exit: WorkerExit,
  oomKills: number,
  nowMs: number,
): DepartedWorker {
  const seconds = (Date.parse(exit.at) - Date.parse(record.startedAt)) / 1000;
  return {
    id: `${record.group}/${record.instance}`,
    group: record.group,
    instance: record.instance,
    origin: 'launched',
    record,
    inode: Number.NaN,
    oomKills,
    // By the wall clock, which may have been set meanwhile.
    uptimeSeconds: seconds >= 0 ? Math.round(seconds * 100) / 100 : null,
    atMs: nowMs,
    at: exit.at,
  };
}
