import type { HeartbeatBody } from '../queen/heartbeat-body.js';
import type { StreamOutcome } from '../queen/heartbeat-stream.js';
import type { HeartbeatIntake, RefusedHeartbeat, StreamOrigin } from '../queen/intake.js';
import type { SharedStreams } from './shared-streams.js';

/** How long heartbeats are taken in before other work of the event loop has its turn, ms. */
const sliceMs = 8;
/** Bytes that wait at most; what comes beyond them is not taken, and the hive's next heartbeat is as good. */
const maxWaitingBytes = 128 * 1024 * 1024;
/** Deltas of one hive that wait at most, ten seconds of them with what engines say meanwhile: a whole heartbeat then costs less. */
const maxWaitingDeltas = 50;

interface Delta {
  readonly stream: string;
  readonly bytes: Buffer;
}

/** What waits of one hive: the newest whole heartbeat, and the deltas since. */
interface Waiting {
  readonly whole: { readonly body: HeartbeatBody; readonly origin: StreamOrigin | null } | null;
  readonly deltas: Delta[];
  bytes: number;
}

/**
 * Takes in the heartbeats that other queens and hives publish. Where they come faster than that, the newest of each hive
 * replaces those before it; deltas are taken in all, in their order, or a whole heartbeat is asked for.
 */
export class ReceivedHeartbeats {
  readonly #intake: HeartbeatIntake;
  readonly #streams: SharedStreams;
  readonly #waiting = new Map<string, Waiting>();
  #waitingBytes = 0;
  #draining = false;
  /** Given to the registry. */
  received = 0;
  /** Replaced by a newer one before their turn came. */
  superseded = 0;
  /** Not heartbeats, or of another hive than their subject says. */
  malformed = 0;

  constructor(intake: HeartbeatIntake, streams: SharedStreams) {
    this.#intake = intake;
    this.#streams = streams;
  }

  /** Nothing waits. */
  get isIdle(): boolean {
    return !this.#draining;
  }

  add(hive: string, body: HeartbeatBody, origin: StreamOrigin | null): void {
    this.#supersede(hive);
    const bytes = body.bytes.length;
    if (this.#waitingBytes + bytes > maxWaitingBytes) {
      this.superseded++;
      return;
    }
    this.#waiting.set(hive, { whole: { body, origin }, deltas: [], bytes });
    this.#waitingBytes += bytes;
    this.#wake();
  }

  addDelta(hive: string, delta: Delta): void {
    const waiting = this.#waiting.get(hive) ?? { whole: null, deltas: [], bytes: 0 };
    const bytes = delta.bytes.length;
    if (waiting.deltas.length >= maxWaitingDeltas || this.#waitingBytes + bytes > maxWaitingBytes) {
      this.superseded++;
      this.#supersede(hive);
      this.#streams.lose(hive);
      return;
    }
    waiting.deltas.push(delta);
    waiting.bytes += bytes;
    this.#waitingBytes += bytes;
    this.#waiting.set(hive, waiting);
    this.#wake();
  }

  clear(): void {
    this.#waiting.clear();
    this.#waitingBytes = 0;
    this.#streams.clear();
  }

  #supersede(hive: string): void {
    const waiting = this.#forget(hive);
    if (waiting !== undefined) this.superseded += waiting.deltas.length + (waiting.whole === null ? 0 : 1);
  }

  #forget(hive: string): Waiting | undefined {
    const waiting = this.#waiting.get(hive);
    if (waiting === undefined) return undefined;
    this.#waitingBytes -= waiting.bytes;
    this.#waiting.delete(hive);
    return waiting;
  }

  #wake(): void {
    if (this.#draining) return;
    this.#draining = true;
    setImmediate(() => void this.#drain());
  }

  async #drain(): Promise<void> {
    let beganMs = performance.now();
    for (;;) {
      const next = this.#waiting.entries().next();
      if (next.done) break;
      const [hive, waiting] = next.value;
      this.#forget(hive);
      if (waiting.whole !== null) await this.#whole(hive, waiting.whole).catch(() => this.malformed++);
      for (const { stream, bytes } of waiting.deltas) {
        const outcome = await this.#streams.delta(hive, stream, bytes).catch(() => null);
        if (outcome?.kind === 'ack') this.received++;
      }
      if (performance.now() - beganMs < sliceMs) continue;
      await new Promise((resolve) => setImmediate(resolve));
      beganMs = performance.now();
    }
    this.#draining = false;
  }

  async #whole(hive: string, { body, origin }: NonNullable<Waiting['whole']>): Promise<void> {
    const followed = await this.#streams.whole(hive, body, origin);
    // Who may publish for which hive is decided by the NATS server, by subject.
    const outcome = followed === null ? await this.#intake.receiveShared(body, hive) : refusalOf(followed);
    if (outcome === null || outcome.accepted || outcome.hive === hive) this.received++;
    else this.malformed++;
  }
}

const refusalOf = (outcome: StreamOutcome): RefusedHeartbeat | null =>
  outcome.kind === 'refused' ? outcome.refusal : null;
