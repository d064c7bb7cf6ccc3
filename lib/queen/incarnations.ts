import { defaults } from '../contract/defaults.js';

/** What a queen remembers of the runs of one hive. */
export interface Incarnations {
  current: string;
  seq: number;
  /** Wall time at which the current run started, as it says; only ever compared with that of another run of this hive. */
  startedAt: string;
  /** Liveness time of the current run's last beat. */
  heardAtMs: number;
  /** Runs that were replaced, oldest first, with the time of it. */
  retired: { readonly incarnation: string; readonly atMs: number }[];
}

/** Runs remembered per hive. A crash loop must not grow it; an older one that speaks counts as a new run. */
export const retiredKept = 8;

export type Verdict = 'next' | 'restarted' | 'staleSeq' | 'latePacket' | 'duplicate';

/**
 * What a beat is, given what is known of its hive. Pure.
 * `latePacket`: a run that was replaced speaks within the sender's deadline, or one never heard that started before the
 * current one arrives while that one is being heard: a packet that was under way. Refused, and no cause for alarm.
 * `duplicate`: a replaced run still speaks after that deadline, so two hives share one id.
 */
export function classifyHeartbeat(
  known: Readonly<Incarnations>,
  beat: { readonly incarnation: string; readonly seq: number; readonly startedAt: string },
  nowMs: number,
  senderDeadlineMs: number = defaults.sendTimeoutMs,
): Verdict {
  if (beat.incarnation === known.current) return beat.seq > known.seq ? 'next' : 'staleSeq';
  const retired = known.retired.find((run) => run.incarnation === beat.incarnation);
  if (retired) return nowMs - retired.atMs <= senderDeadlineMs ? 'latePacket' : 'duplicate';
  // A clock that was set back between two runs looks the same; then the new run waits out the deadline, once.
  const older = Date.parse(beat.startedAt) < Date.parse(known.startedAt);
  return older && nowMs - known.heardAtMs <= senderDeadlineMs ? 'latePacket' : 'restarted';
}

/** Makes a run the current one. */
export function replaceRun(known: Incarnations, beat: { incarnation: string; startedAt: string }, nowMs: number): void {
  known.retired.push({ incarnation: known.current, atMs: nowMs });
  if (known.retired.length > retiredKept) known.retired.shift();
  known.current = beat.incarnation;
  known.startedAt = beat.startedAt;
}
