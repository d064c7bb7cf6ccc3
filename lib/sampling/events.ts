import type { HiveEvent } from '../contract/heartbeat.js';
import type { WorkerRecord } from '../hive/records.js';

/** A hive-side fact before the event log gives it its number. */
export type Occurrence = Omit<HiveEvent, 'seq'>;

/** What is known of a worker that has vanished and whose exit `run` may still write down. */
export interface Departed {
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

const speaksOf = (ended: WorkerRecord, departed: Departed): boolean =>
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
  departed: Departed,
  ended: readonly WorkerRecord[],
  nowMs: number,
): readonly Occurrence[] | null {
  const record = ended.find((candidate) => speaksOf(candidate, departed));
  const exit = record?.exit ?? null;
  if (exit === null && departed.record !== null && nowMs - departed.atMs < exitGraceMs) return null;
  const events: Occurrence[] = [];
  const kills = exit?.oomKills ?? null;
  if (kills !== null && kills > (departed.oomKills ?? 0)) {
    events.push({
      at: exit?.at ?? departed.at,
      kind: 'oomKill',
      workerId: departed.id,
      detail: { kills: kills - (departed.oomKills ?? 0), total: kills },
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
  });
  return events;
}
