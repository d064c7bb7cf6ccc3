import type { HeartbeatBody } from '../queen/heartbeat-body.js';
import type { HeartbeatIntake } from '../queen/intake.js';

/** How long heartbeats are taken in before other work of the event loop has its turn, ms. */
const sliceMs = 8;
/** Bytes that wait at most; what comes beyond them is not taken, and the hive's next heartbeat is as good. */
const maxWaitingBytes = 128 * 1024 * 1024;

/**
 * Takes in the heartbeats that other queens and hives publish. Where they come faster than that, the newest of each hive
 * replaces those before it.
 */
export class ReceivedHeartbeats {
  readonly #intake: HeartbeatIntake;
  readonly #waiting = new Map<string, HeartbeatBody>();
  #waitingBytes = 0;
  #draining = false;
  /** Given to the registry. */
  received = 0;
  /** Replaced by a newer one before their turn came. */
  superseded = 0;
  /** Not heartbeats, or of another hive than their subject says. */
  malformed = 0;

  constructor(intake: HeartbeatIntake) {
    this.#intake = intake;
  }

  add(hive: string, body: HeartbeatBody): void {
    if (this.#forget(hive)) this.superseded++;
    if (this.#waitingBytes + body.bytes.length > maxWaitingBytes) {
      this.superseded++;
      return;
    }
    this.#waiting.set(hive, body);
    this.#waitingBytes += body.bytes.length;
    if (this.#draining) return;
    this.#draining = true;
    setImmediate(() => void this.#drain());
  }

  clear(): void {
    this.#waiting.clear();
    this.#waitingBytes = 0;
  }

  #forget(hive: string): boolean {
    const body = this.#waiting.get(hive);
    if (body === undefined) return false;
    this.#waitingBytes -= body.bytes.length;
    return this.#waiting.delete(hive);
  }

  async #drain(): Promise<void> {
    let beganMs = performance.now();
    for (;;) {
      const next = this.#waiting.entries().next();
      if (next.done) break;
      const [hive, body] = next.value;
      this.#forget(hive);
      // Who may publish for which hive is decided by the NATS server, by subject.
      const outcome = await this.#intake.receiveShared(body, hive).catch(() => null);
      if (outcome?.accepted || outcome?.hive === hive) this.received++;
      else this.malformed++;
      if (performance.now() - beganMs < sliceMs) continue;
      await new Promise((resolve) => setImmediate(resolve));
      beganMs = performance.now();
    }
    this.#draining = false;
  }
}
