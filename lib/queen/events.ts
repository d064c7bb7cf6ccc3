import type { FleetEvent } from '../contract/api.js';
import { defaults } from '../defaults.js';

/** An event before it has its place in the stream. */
export type EventDraft = Omit<FleetEvent, 'id'>;

/** What a reader that stood at an id has missed; `reset` where that can't be told any more. */
export type Replay = { readonly type: 'events'; readonly events: readonly FleetEvent[] } | { readonly type: 'reset' };

/**
 * The newest events of a stream. Ids are `epoch-sequence`: the epoch names the stream, so that an id of another one
 * (a queen that restarted) is told from a place in this one. The sequence rises by one.
 */
export class EventRing {
  readonly epoch: string;
  readonly #capacity: number;
  readonly #ring: FleetEvent[] = [];
  #sequence = 0;

  constructor(epoch: string, capacity: number = defaults.eventRingSize) {
    this.epoch = epoch;
    this.#capacity = Math.max(1, Math.floor(capacity));
  }

  /** Id of the newest event; `epoch-0` before the first. */
  get lastId(): string {
    return `${this.epoch}-${this.#sequence}`;
  }

  get size(): number {
    return this.#ring.length;
  }

  append(draft: EventDraft): FleetEvent {
    this.#sequence++;
    const event: FleetEvent = { id: this.lastId, ...draft };
    if (this.#ring.length < this.#capacity) this.#ring.push(event);
    else this.#ring[(this.#sequence - 1) % this.#capacity] = event;
    return event;
  }

  /** The newest events, oldest first. */
  recent(limit = this.#ring.length): FleetEvent[] {
    return this.#slice(Math.max(0, this.#sequence - Math.min(limit, this.#ring.length)));
  }

  /** What came after an id. */
  since(id: string): Replay {
    const dash = id.lastIndexOf('-');
    const digits = id.slice(dash + 1);
    if (dash < 0 || id.slice(0, dash) !== this.epoch || !/^\d{1,15}$/.test(digits)) return { type: 'reset' };
    const sequence = Number(digits);
    if (sequence > this.#sequence || sequence < this.#sequence - this.#ring.length) return { type: 'reset' };
    return { type: 'events', events: this.#slice(sequence) };
  }

  #slice(after: number): FleetEvent[] {
    const events: FleetEvent[] = [];
    for (let sequence = after; sequence < this.#sequence; sequence++)
      events.push(this.#ring[sequence % this.#capacity]!);
    return events;
  }
}
