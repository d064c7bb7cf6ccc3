import { defaults } from '../contract/defaults.js';

/** What a queen remembers of the runs of one hive. */
export interface Incarnations {
  current: string;
  seq: number;
  /** Wall time at which the current run started, as it says; only ever compared with that of another run of this hive. */
  startedAt: string;
  /** When the current run's last heartbeat came, by the listening clock. */
  heardAtMs: number;
  /** Runs that were replaced, oldest first, with the time of it. */
  retired: { readonly incarnation: string; readonly atMs: number }[];
}

/** Runs remembered per hive. A crash loop must not grow it; an older one that sends counts as a new run. */
export const retiredKept = 8;

export type Verdict = 'next' | 'restarted' | 'staleSeq' | 'latePacket' | 'duplicate';

/**
 * What a heartbeat is, given what is known of its hive. Pure.
 * `latePacket`: it is of a run that was replaced less than the sender's deadline ago, or of an unknown run that started
 * before the current one, while that one is being heard: it was under way. Refused, and harmless.
 * `duplicate`: it is of a run that was replaced longer ago, so two hives share one id.
 */
export function classifyHeartbeat(
  known: Readonly<Incarnations>,
  heartbeat: { readonly incarnation: string; readonly seq: number; readonly startedAt: string },
  nowMs: number,
  senderDeadlineMs: number = defaults.sendTimeoutMs,
): Verdict {
  if (heartbeat.incarnation === known.current) return heartbeat.seq > known.seq ? 'next' : 'staleSeq';
  const retired = known.retired.find((run) => run.incarnation === heartbeat.incarnation);
  if (retired) return nowMs - retired.atMs <= senderDeadlineMs ? 'latePacket' : 'duplicate';
  // A clock that was set back between two runs looks the same; then the new run waits out the deadline, once.
  const older = Date.parse(heartbeat.startedAt) < Date.parse(known.startedAt);
  return older && nowMs - known.heardAtMs <= senderDeadlineMs ? 'latePacket' : 'restarted';
}

/** Makes a run the current one. */
export function replaceRun(
  known: Incarnations,
  heartbeat: { incarnation: string; startedAt: string },
  nowMs: number,
): void {
  known.retired.push({ incarnation: known.current, atMs: nowMs });
  if (known.retired.length > retiredKept) known.retired.shift();
  known.current = heartbeat.incarnation;
  known.startedAt = heartbeat.startedAt;
}
