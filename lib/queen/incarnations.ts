import { defaults } from '../contract/defaults.js';
import type { Heartbeat } from '../contract/heartbeat.js';

/** What a queen remembers of the runs of one hive. */
export interface Incarnations {
  current: string;
  seq: number;
  /** The highest of an event that came with it. */
  eventSeq: number;
  /** Wall time at which the current run started, as it says; only ever compared with that of another run of this hive. */
  startedAt: string;
  /** When the current run's last heartbeat came, by the listening clock. */
  heardAtMs: number;
  /** Runs that were replaced, oldest first, with the time of it. */
  retired: { readonly incarnation: string; readonly atMs: number }[];
}

/** Runs remembered per hive. A crash loop must not grow it; an older one that sends counts as a new run. */
export const retiredKept = 8;

/**
 * By how much the seq of a run may rise between two heartbeats, and between two that bring events, while it is heard. A hive
 * counts by one; a queen misses some of its heartbeats, and of a log that overflowed it never sees the oldest.
 */
export const maxSeqJump = 1000;
export const maxEventSeqJump = 1_000_000;
/** A run that was not heard for so long may have counted on while this queen was cut off or asleep: any seq is believed then. */
export const seqResyncMs = defaults.offlineAfterMs;

/** No run counts so fast: a seq that nobody reaches would make a queen refuse, or take for acknowledged, all that comes after. */
export const isSeqJump = (known: number, seq: number, most: number, silentMs: number): boolean =>
  known > 0 && seq - known > most && silentMs < seqResyncMs;

export type Verdict = 'next' | 'restarted' | 'staleSeq' | 'seqJump' | 'latePacket' | 'duplicate';

/** What of a heartbeat says which one it is. `eventSeq`: the highest of its events, 0 without any. */
export interface HeartbeatNumbers {
  readonly incarnation: string;
  readonly seq: number;
  readonly eventSeq: number;
  readonly startedAt: string;
}

export const numbersOf = ({ hive, seq, events }: Pick<Heartbeat, 'hive' | 'seq' | 'events'>): HeartbeatNumbers => ({
  incarnation: hive.incarnation,
  startedAt: hive.startedAt,
  seq,
  eventSeq: lastEventSeq(events),
});

export const lastEventSeq = (events: Heartbeat['events']): number =>
  events.reduce((last, { seq }) => Math.max(last, seq), 0);

/**
 * What a heartbeat is, given what is known of its hive. Pure.
 * `seqJump`: its seq or that of an event is one that this run cannot have reached.
 * `latePacket`: it is of a run that was replaced less than the sender's deadline ago, or of an unknown run that started
 * before the current one, while that one is being heard: it was under way. Refused, and harmless.
 * `duplicate`: it is of a run that was replaced longer ago, so two hives share one id.
 */
export function classifyHeartbeat(
  known: Readonly<Incarnations>,
  heartbeat: HeartbeatNumbers,
  nowMs: number,
  senderDeadlineMs: number = defaults.sendTimeoutMs,
): Verdict {
  if (heartbeat.incarnation === known.current) return classifyOfRun(known, heartbeat, nowMs);
  const retired = known.retired.find((run) => run.incarnation === heartbeat.incarnation);
  if (retired) return nowMs - retired.atMs <= senderDeadlineMs ? 'latePacket' : 'duplicate';
  // A clock that was set back between two runs looks the same; then the new run waits out the deadline, once.
  const older = Date.parse(heartbeat.startedAt) < Date.parse(known.startedAt);
  return older && nowMs - known.heardAtMs <= senderDeadlineMs ? 'latePacket' : 'restarted';
}

/** What a heartbeat of the current run is. */
export function classifyOfRun(
  known: Readonly<Incarnations>,
  { seq, eventSeq }: Pick<HeartbeatNumbers, 'seq' | 'eventSeq'>,
  nowMs: number,
): 'next' | 'staleSeq' | 'seqJump' {
  if (seq <= known.seq) return 'staleSeq';
  const silentMs = nowMs - known.heardAtMs;
  const jumps =
    isSeqJump(known.seq, seq, maxSeqJump, silentMs) || isSeqJump(known.eventSeq, eventSeq, maxEventSeqJump, silentMs);
  return jumps ? 'seqJump' : 'next';
}

/** The current run was heard. */
export function noteSeqs(known: Incarnations, { seq, events }: Pick<Heartbeat, 'seq' | 'events'>, nowMs: number): void {
  known.seq = seq;
  known.eventSeq = Math.max(known.eventSeq, lastEventSeq(events));
  known.heardAtMs = nowMs;
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
  known.eventSeq = 0;
}
