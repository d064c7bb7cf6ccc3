import { defaults } from '../contract/defaults.js';
import type { HiveEvent } from '../contract/heartbeat.js';
import type { HiveEventDraft } from '../sampling/events.js';

/** Most events that one heartbeat carries; the rest follows with the next ones. */
export const eventsPerHeartbeat = 500;

/**
 * The hive's events: numbered, kept until a queen has acknowledged them, and bounded. Where it overflows the oldest go; the
 * gap in the numbers and `dropped` show that.
 */
export class EventLog {
  readonly #capacity: number;
  #events: HiveEvent[] = [];
  #lastSeq = 0;
  #dropped = 0;
  #oomKills = 0;

  constructor(capacity: number = defaults.eventLogSize) {
    this.#capacity = Math.max(1, capacity);
  }

  append(occurrence: HiveEventDraft): HiveEvent {
    this.#lastSeq += 1;
    const event: HiveEvent = { ...occurrence, seq: this.#lastSeq };
    this.#events.push(event);
    if (event.kind === 'oomKill') this.#oomKills += killsOf(event);
    if (this.#events.length > this.#capacity) {
      // In steps, so that a full log does not move all of itself for each event.
      const excess = this.#events.length - this.#capacity + Math.floor(this.#capacity / 16);
      this.#dropped += excess;
      this.#events = this.#events.slice(excess);
    }
    return event;
  }

  /** The oldest that are not acknowledged, in order. */
  pending(limit: number = eventsPerHeartbeat): readonly HiveEvent[] {
    return this.#events.slice(0, limit);
  }

  /** All up to `seq` are safe at the queen. A number that was never given is ignored, and false. */
  acknowledge(seq: number): boolean {
    if (seq > this.#lastSeq) return false;
    const kept = this.#events.findIndex((event) => event.seq > seq);
    this.#events = kept < 0 ? [] : this.#events.slice(kept);
    return true;
  }

  get size(): number {
    return this.#events.length;
  }

  /** Processes that the kernel killed for memory, over all `oomKill` events since the start, acknowledged or not. */
  get oomKills(): number {
    return this.#oomKills;
  }

  /** Events lost because no queen took them in time. */
  get dropped(): number {
    return this.#dropped;
  }
}

const killsOf = ({ detail }: HiveEvent): number => (typeof detail.kills === 'number' ? detail.kills : 1);
