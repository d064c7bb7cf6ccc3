import type { Fleet } from '../contract/api.js';
import type { Heartbeat, HeartbeatReply } from '../contract/heartbeat.js';
import { type Refusal, readHeartbeat } from '../contract/validate.js';
import { Limiter } from '../util/rate-limiter.js';
import { WorkClock } from '../util/work-clock.js';
import type { HeartbeatCost } from './fleet-budget.js';
import { decompress, encodingOf, type HeartbeatBody, parseJson, UnreadableBody } from './heartbeat-body.js';
import type { Registry } from './registry.js';
import type { HeartbeatOutcome, RefusalCode } from './registry-options.js';
import { SlowLane } from './slow-lane.js';
import type { StreamBase } from './stream-base.js';
import type { HeartbeatChange } from './stream-merge.js';

/** Who sent a heartbeat, and what it may do. */
export interface HeartbeatSource {
  /** Refused heartbeats are limited by this key: a token and an address. */
  readonly key: string;
  /** Whose share of the memory it is charged to: its token, or its address where it has none. */
  readonly owner: string;
  /** The only hive whose heartbeats it may send; null: any. */
  readonly hive: string | null;
}

export interface RefusedHeartbeat {
  readonly accepted: false;
  readonly code: Refusal['code'] | UnreadableBody['code'] | RefusalCode | 'WRONG_HIVE' | 'RATE_LIMITED';
  readonly message: string;
  /** The field that is wrong, as a dotted path. */
  readonly field?: string | undefined;
  /** When the same heartbeat may be accepted; absent: sending it again does not help. */
  readonly retryAfterSeconds?: number;
  /** The hive it is of; null where it could not be read, or its sender may not speak for that hive. */
  readonly hive: string | null;
}

/** A heartbeat that was taken in, for whoever wants to send only differences to it from then on. */
export interface TakenIn {
  /** As it was sent, with what this version does not know. */
  readonly sent: unknown;
  readonly heartbeat: Heartbeat;
  /** Some of it was left out, so that what is known is not what was sent. */
  readonly isAltered: boolean;
}

/** Which keyframe deltas refer to, for whoever reads them elsewhere. */
export interface StreamOrigin {
  /** Of one connection: no other has it. */
  readonly stream: string;
  readonly epoch: number;
  /** Columns of the hive, as its hello had them. */
  readonly schema: string;
}

/** Beside the outcome. `extraBytes`: memory to be charged beside its text, where it can be read; then `taken` is called. */
export interface StreamHooks {
  readonly origin: StreamOrigin;
  extraBytes(read: TakenIn, textBytes: number): number;
  taken(taken: TakenIn, textBytes: number): void;
}

export type IntakeOutcome = { readonly accepted: true; readonly ack: HeartbeatReply } | RefusedHeartbeat;

type Merged = Extract<HeartbeatOutcome, { accepted: true }>;

export interface IntakeLimits {
  /** Of one body, as it arrives and decompressed. */
  readonly maxHeartbeatBytes: number;
  readonly maxWorkersPerHive: number;
  /** Of one hive. */
  readonly heartbeatsPerSecond: number;
  /** Of one `HeartbeatSource.key`; accepted ones do not count. Default 10, ten times as many at once. */
  readonly refusedHeartbeatsPerSecond?: number;
}

/** A delta that was taken in, as it came. `bytes` are good until whoever is given it returns. */
export interface AcceptedDelta {
  readonly base: StreamBase;
  readonly events: Heartbeat['events'];
  readonly stream: string;
  readonly bytes: Buffer;
}

/** What engines say of their load between two heartbeats, taken in and as it came. */
export type AcceptedLoads = Omit<AcceptedDelta, 'events'>;

/** Passes accepted heartbeats on to the other queens. Either resolves with the number up to which the hive's events are safe, and never rejects. */
export interface Forwarder {
  state(): Fleet['bus'];
  /** `origin`: deltas to it may follow; null: it stands by itself. */
  publishHeartbeat(
    heartbeat: Heartbeat,
    body: HeartbeatBody,
    acknowledged: number,
    origin: StreamOrigin | null,
  ): number | Promise<number>;
  publishDelta(delta: AcceptedDelta, acknowledged: number): number | Promise<number>;
  publishLoads(loads: AcceptedLoads): void;
}

/** Takes in what comes by a stream: of a hive's own connection, or from the queen that has it. */
export interface StreamIntake {
  charged<T>(source: HeartbeatSource, work: () => T, isAccepted: (result: T) => boolean): T;
  receive(body: HeartbeatBody, source: HeartbeatSource, hooks: StreamHooks): IntakeOutcome | Promise<IntakeOutcome>;
  /** Null: only a whole heartbeat helps. */
  receiveChange(
    base: StreamBase,
    change: HeartbeatChange,
    source: HeartbeatSource,
    delta: Pick<AcceptedDelta, 'stream' | 'bytes'>,
  ): IntakeOutcome | Promise<IntakeOutcome> | null;
  /** What engines say of their load between two heartbeats. Not null: why only a whole heartbeat helps. */
  receiveLoads(
    base: StreamBase,
    change: HeartbeatChange,
    source: HeartbeatSource,
    delta: Pick<AcceptedDelta, 'stream' | 'bytes'>,
  ): 'rate' | 'replaced' | null;
}

/** Heartbeats since the queen started that hives sent to this queen itself. */
export class HeartbeatCounts {
  accepted = 0;
  /** By the code of the refusal. */
  readonly refused = new Map<string, number>();
}

/** A hive has at most one request in flight; more come at once only after a pause of the network. */
const burstSeconds = 2;
const refusedBurstSeconds = 10;
/** Milliseconds of the event loop's own work, a second, that heartbeats of one source may cost beyond the work of a good one. */
const wastedMs = { perSecond: 200, burst: 2000 };
/** What reading and merging the largest good heartbeat takes at most; the rest of a longer one is charged. */
const goodHeartbeatMs = 50;

/**
 * The only way for a heartbeat into the registry, whatever transport it came by: decompresses, validates, checks the
 * sender's hive and rates, merges, counts. `admit` runs before the body is read, `receive` after; limits on what a
 * sender may cost (nesting, members, CPU time) are here, those on bytes under way where the transport reads them.
 */
export class HeartbeatIntake implements StreamIntake {
  readonly limits: IntakeLimits;
  readonly counts = new HeartbeatCounts();
  /** Time of the event loop that heartbeats which were taken in have used, ms; of one at most what a good one may take. */
  acceptedMs = 0;
  /** Where accepted heartbeats go on to; null: this queen is alone. */
  forwarder: Forwarder | null = null;
  readonly #registry: Registry;
  readonly #perHive: Limiter;
  readonly #refused: Limiter;
  readonly #wasted: Limiter;
  readonly #work: WorkClock;
  readonly #slowLane = new SlowLane();

  constructor(
    registry: Registry,
    limits: IntakeLimits,
    now: () => number = () => performance.now(),
    cpu?: () => number,
  ) {
    const { heartbeatsPerSecond, refusedHeartbeatsPerSecond = 10 } = limits;
    this.#registry = registry;
    this.limits = limits;
    this.#perHive = new Limiter({
      perSecond: heartbeatsPerSecond,
      burst: Math.max(2, heartbeatsPerSecond * burstSeconds),
    });
    this.#refused = new Limiter({
      perSecond: refusedHeartbeatsPerSecond,
      burst: refusedHeartbeatsPerSecond * refusedBurstSeconds,
    });
    this.#wasted = new Limiter({ ...wastedMs, now });
    this.#work = new WorkClock(now, cpu);
  }

  /** Whether to read a body from this sender at all: not from one that sent too many that were refused. Null: read it. */
  admit(key: string): RefusedHeartbeat | null {
    const isRefusedTooOften = this.#refused.size > 0 && this.#refused.isEmpty(key);
    if (!isRefusedTooOften && (this.#wasted.size === 0 || !this.#wasted.isEmpty(key))) return null;
    const message = isRefusedTooOften
      ? 'Too many heartbeats that were refused; see what was wrong with them.'
      : 'These heartbeats took too much of the time of this queen.';
    return { accepted: false, code: 'RATE_LIMITED', message, retryAfterSeconds: 1, hive: null };
  }

  /** Counts a refusal. `avoidable`: the sender could have known, so it counts towards the limit of its key. */
  countRefusal(key: string, code: string, avoidable: boolean): void {
    this.counts.refused.set(code, (this.counts.refused.get(code) ?? 0) + 1);
    if (avoidable) this.#refused.take(key);
  }

  /** Takes in a heartbeat that a hive sent to this queen, and passes it on. Throws only where the queen itself fails. */
  receive(body: HeartbeatBody, source: HeartbeatSource, hooks?: StreamHooks): IntakeOutcome | Promise<IntakeOutcome> {
    const plain = this.#plain(body);
    return plain instanceof Promise
      ? plain.then((bytes) => this.#inTurn(bytes, body, source, hooks))
      : this.#inTurn(plain, body, source, hooks);
  }

  #inTurn(plain: Buffer | RefusedHeartbeat, body: HeartbeatBody, source: HeartbeatSource, hooks?: StreamHooks) {
    const textBytes = lengthOf(plain);
    const turn = this.#slowLane.run(textBytes, source.key, () =>
      this.#timed(source, () => this.#receive(this.#read(plain, source.hive), body, textBytes, source, hooks)),
    );
    if (turn !== null) return turn;
    const message = 'Too many large heartbeats wait to be read.';
    return this.#refuse({ accepted: false, code: 'RATE_LIMITED', message, retryAfterSeconds: 1, hive: null }, source);
  }

  receiveChange(
    base: StreamBase,
    change: HeartbeatChange,
    source: HeartbeatSource,
    delta: Pick<AcceptedDelta, 'stream' | 'bytes'>,
  ): IntakeOutcome | Promise<IntakeOutcome> | null {
    const limited = this.#overRate(base.hive.id, source);
    if (limited !== null) return limited;
    const outcome = this.#registry.patch(base, change, source.owner);
    if (outcome === null || !outcome.accepted) return null;
    this.counts.accepted++;
    const { ackEventSeq, intervalMs } = outcome;
    if (this.forwarder === null) return this.#accept(ackEventSeq, intervalMs);
    const safe = this.forwarder.publishDelta({ base, events: change.text?.events ?? [], ...delta }, ackEventSeq);
    return this.#whenSafe(safe, intervalMs);
  }

  receiveLoads(
    base: StreamBase,
    change: HeartbeatChange,
    source: HeartbeatSource,
    delta: Pick<AcceptedDelta, 'stream' | 'bytes'>,
  ): 'rate' | 'replaced' | null {
    if (this.#overRate(base.hive.id, source) !== null) return 'rate';
    if (!this.#registry.patchLoads(base, change)) return 'replaced';
    this.forwarder?.publishLoads({ base, ...delta });
    return null;
  }

  /**
   * What another queen has taken in from a stream and passed on: neither counted nor passed on again. What differs is limited as
   * that of the queen's own hives, since each is taken in; of whole heartbeats only the newest is.
   */
  readonly shared: StreamIntake = {
    charged: (source, work, isAccepted) => this.charged(source, work, isAccepted),
    receive: async (body, source, hooks) => {
      const outcome = await this.receiveShared(body, source.hive!, hooks);
      return outcome.accepted ? this.#accept(outcome.ackEventSeq, outcome.intervalMs) : outcome;
    },
    receiveChange: (base, change, { owner, key }) => {
      if (this.#perHive.take(key) > 0) return null;
      const outcome = this.#registry.patch(base, change, owner);
      return outcome?.accepted ? this.#accept(outcome.ackEventSeq, outcome.intervalMs) : null;
    },
    receiveLoads: (base, change, { key }) => {
      if (this.#perHive.take(key) > 0) return 'rate';
      return this.#registry.patchLoads(base, change) ? null : 'replaced';
    },
  };

  /** Charges a source for the time that a message of a stream takes, as `receive` does for a heartbeat. */
  charged<T>(source: HeartbeatSource, work: () => T, isAccepted: (result: T) => boolean): T {
    const began = this.#work.begin();
    let accepted = false;
    try {
      const result = work();
      accepted = isAccepted(result);
      return result;
    } finally {
      this.#chargeTime(source.key, this.#work.spentMs(began), accepted);
    }
  }

  #overRate(id: string, source: HeartbeatSource): RefusedHeartbeat | null {
    const retryAfterSeconds = this.#perHive.take(id);
    if (retryAfterSeconds === 0) return null;
    const message = `${id} sends more than ${this.limits.heartbeatsPerSecond} heartbeats a second.`;
    return this.#refuse({ accepted: false, code: 'RATE_LIMITED', message, retryAfterSeconds, hive: id }, source);
  }

  #timed(source: HeartbeatSource, work: () => IntakeOutcome | Promise<IntakeOutcome>) {
    const began = this.#work.begin();
    const outcome = work();
    // Only one that was merged has something to wait for.
    this.#chargeTime(source.key, this.#work.spentMs(began), outcome instanceof Promise || outcome.accepted);
    return outcome;
  }

  /** Of a heartbeat that was refused all its time is charged, of a good one what is beyond the usual. */
  #chargeTime(key: string, ms: number, accepted: boolean): void {
    if (accepted) this.acceptedMs += Math.min(ms, goodHeartbeatMs);
    const wasted = accepted ? ms - goodHeartbeatMs : ms;
    if (wasted > 0) this.#wasted.charge(key, wasted);
  }

  /**
   * Takes in a heartbeat of this hive that reached the other queens too. The transport decides who may send for which
   * hive and keeps only the newest of each, so it has no limit of rate here, and is neither counted nor passed on.
   */
  async receiveShared(body: HeartbeatBody, hive: string, hooks?: StreamHooks): Promise<Merged | RefusedHeartbeat> {
    const key = sharedKey(hive);
    const limited = this.admit(key);
    if (limited !== null) return limited;
    const plain = await this.#plain(body);
    const began = this.#work.begin();
    const read = this.#read(plain, hive);
    const outcome = 'accepted' in read ? read : this.#mergeRead(read, lengthOf(plain), key, hooks);
    this.#chargeTime(key, this.#work.spentMs(began), outcome.accepted);
    return outcome;
  }

  #receive(
    read: TakenIn | RefusedHeartbeat,
    body: HeartbeatBody,
    textBytes: number,
    source: HeartbeatSource,
    hooks?: StreamHooks,
  ): IntakeOutcome | Promise<IntakeOutcome> {
    if ('accepted' in read) return this.#refuse(read, source);
    const { heartbeat } = read;
    const limited = this.#overRate(heartbeat.hive.id, source);
    if (limited !== null) return limited;
    const outcome = this.#mergeRead(read, textBytes, source.owner, hooks);
    if (!outcome.accepted) return this.#refuse(outcome, source);
    this.counts.accepted++;
    const { ackEventSeq, intervalMs } = outcome;
    const origin = hooks?.origin ?? null;
    const safe = this.forwarder?.publishHeartbeat(heartbeat, body, ackEventSeq, origin) ?? ackEventSeq;
    return this.#whenSafe(safe, intervalMs);
  }

  #mergeRead(read: TakenIn, textBytes: number, owner: string, hooks?: StreamHooks): Merged | RefusedHeartbeat {
    const extraBytes = hooks?.extraBytes(read, textBytes) ?? 0;
    const outcome = this.#merge(read.heartbeat, { owner, textBytes: textBytes + extraBytes });
    if (outcome.accepted) hooks?.taken(read, textBytes);
    return outcome;
  }

  #whenSafe(safe: number | Promise<number>, intervalMs: number): IntakeOutcome | Promise<IntakeOutcome> {
    return typeof safe === 'number'
      ? this.#accept(safe, intervalMs)
      : safe.then((seq) => this.#accept(seq, intervalMs));
  }

  #accept(ackEventSeq: number, intervalMs: number): IntakeOutcome {
    const { queenId } = this.#registry;
    const ack = { accepted: true, queenId, ackEventSeq, intervalMs } as const;
    return { accepted: true, ack: this.forwarder?.state() === 'degraded' ? { ...ack, degraded: true } : ack };
  }

  /** A refusal that says when to come back is not the sender's fault. */
  #refuse(refused: RefusedHeartbeat, source: HeartbeatSource): RefusedHeartbeat {
    this.countRefusal(source.key, refused.code, refused.retryAfterSeconds === undefined);
    return refused;
  }

  #plain({ bytes, encoding }: HeartbeatBody): Buffer | Promise<Buffer | RefusedHeartbeat> {
    const name = encodingOf(encoding);
    return name === null ? bytes : decompress(bytes, name, this.limits.maxHeartbeatBytes).catch(unreadable);
  }

  /** `only`: the hive it has to be of; null: any. */
  #read(plain: Buffer | RefusedHeartbeat, only: string | null): TakenIn | RefusedHeartbeat {
    if ('accepted' in plain) return plain;
    let value: unknown;
    try {
      value = parseJson(plain);
    } catch (error) {
      return unreadable(error);
    }
    const verdict = readHeartbeat(value, { maxWorkers: this.limits.maxWorkersPerHive });
    if (!verdict.ok) return { accepted: false, ...verdict.refusal, hive: null };
    const { heartbeat, isAltered } = verdict;
    const { id } = heartbeat.hive;
    if (only === null || only === id) return { sent: value, heartbeat, isAltered };
    const message = `This token speaks for ${only}, not for ${id}.`;
    return { accepted: false, code: 'WRONG_HIVE', message, field: 'hive.id', hive: null };
  }

  #merge(heartbeat: Heartbeat, cost: HeartbeatCost): Merged | RefusedHeartbeat {
    const outcome = this.#registry.heartbeat(heartbeat, cost);
    if (outcome.accepted) return outcome;
    const isFull = outcome.code === 'TOO_MANY_HIVES' || outcome.code === 'TOO_MUCH_MEMORY';
    const retry = isFull ? { retryAfterSeconds: 10 } : {};
    return { ...outcome, ...retry, hive: heartbeat.hive.id };
  }
}

/** Whom the heartbeats of a hive are charged to that another queen has passed on. */
export const sharedKey = (hive: string): string => `shared ${hive}`;

const lengthOf = (plain: Buffer | RefusedHeartbeat): number => ('accepted' in plain ? 0 : plain.length);

function unreadable(error: unknown): RefusedHeartbeat {
  if (!(error instanceof UnreadableBody)) throw error;
  const { code, message, field } = error;
  return { accepted: false, code, message, field, hive: null };
}
