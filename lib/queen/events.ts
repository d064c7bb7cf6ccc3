import type { FleetEvent } from '../contract/api.js';
import { defaults } from '../contract/defaults.js';
import type { EventDraft } from '../contract/event-draft.js';

/** What came after an id; `reset` where that is not known any more. */
export type Replay = { readonly type: 'events'; readonly events: readonly FleetEvent[] } | { readonly type: 'reset' };

/**
 * The newest events of a stream. Ids are `epoch-sequence`: the epoch names the stream, so that an id of another stream
 * (before a restart of the queen) is recognized. The sequence rises by one.
 */
export class EventRing {
  #epoch: string;
  readonly #capacity: number;
  readonly #ring: FleetEvent[] = [];
  #size = 0;
  #sequence = 0;

  constructor(epoch: string, capacity: number = defaults.eventRingSize) {
    this.#epoch = epoch;
    this.#capacity = Math.max(1, Math.floor(capacity));
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** Most events it keeps. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Becomes the ring of another stream, of which it holds nothing yet: readers of the former one have to begin anew. */
  restart(epoch: string, sequence = 0): void {
    this.#epoch = epoch;
    this.#sequence = sequence;
    this.#size = 0;
  }

  /** Id of the newest event; `epoch-0` before the first. */
  get lastId(): string {
    return `${this.epoch}-${this.#sequence}`;
  }

  get size(): number {
    return this.#size;
  }

  append(draft: EventDraft): FleetEvent {
    const event: FleetEvent = { id: `${this.epoch}-${this.#sequence + 1}`, ...draft };
    this.#put(event);
    return event;
  }

  /**
   * Takes an event that has its id already. False for one of another stream, or that is not newer than the newest here.
   * After a gap the ring begins anew, since nothing may seem to follow what it does not.
   */
  adopt(event: FleetEvent): boolean {
    const sequence = this.#sequenceOf(event.id);
    if (sequence === null || sequence <= this.#sequence) return false;
    if (sequence !== this.#sequence + 1) {
      this.#size = 0;
      this.#sequence = sequence - 1;
    }
    this.#put(event);
    return true;
  }

  #put(event: FleetEvent): void {
    this.#ring[this.#sequence % this.#capacity] = event;
    this.#sequence++;
    this.#size = Math.min(this.#size + 1, this.#capacity);
  }

  #sequenceOf(id: string): number | null {
    const dash = id.lastIndexOf('-');
    const digits = id.slice(dash + 1);
    return dash >= 0 && id.slice(0, dash) === this.epoch && /^\d{1,15}$/.test(digits) ? Number(digits) : null;
  }

  /** The newest events, oldest first. */
  recent(limit = this.#size): FleetEvent[] {
    return this.#slice(Math.max(0, this.#sequence - Math.min(limit, this.#size)));
  }

  /** What came after an id. */
  since(id: string): Replay {
    const sequence = this.#sequenceOf(id);
    if (sequence === null || sequence > this.#sequence || sequence < this.#sequence - this.#size)
      return { type: 'reset' };
    return { type: 'events', events: this.#slice(sequence) };
  }

  #slice(after: number): FleetEvent[] {
    const events: FleetEvent[] = [];
    for (let sequence = after; sequence < this.#sequence; sequence++)
      events.push(this.#ring[sequence % this.#capacity]!);
    return events;
  }
}
