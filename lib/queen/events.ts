import type { FleetEvent } from '../contract/api.js';
import { defaults } from '../contract/defaults.js';
import type { EventDraft } from '../contract/event-draft.js';
import { lowerBound } from './sorted-set.js';

/** What a filter of a stream asks for. */
export interface EventHead {
  readonly id: string;
  readonly kind: string;
  readonly hive: string;
  readonly workerId?: string | undefined;
  readonly model?: string | null | undefined;
}

/** An event as it is kept: its head, and the whole as JSON, since objects take many times the memory of their text. */
export interface StoredEvent extends EventHead {
  readonly json: string;
}

/**
 * What came after an id. `reset`: not all of that is known any more; the events are then those among them that count most and are still kept.
 */
export interface Replay {
  readonly type: 'events' | 'reset';
  readonly events: readonly StoredEvent[];
}

/** Kinds that come with every change of a fleet. They have a lane of their own, so that none of the others makes room for them. */
const ordinaryKinds: ReadonlySet<string> = new Set([
  'workerStarted',
  'workerAppeared',
  'workerGone',
  'workerStateChanged',
  'eventsOmitted',
]);
/** Of a full lane one hive has no more than this part, where its events are what it is full of. */
const partOfOneHive = 8;
/** What an event takes besides its text, bytes. */
const eventOverhead = 512;

interface Kept {
  readonly sequence: number;
  /** Null once it was dropped: its place in the order goes later, with others. */
  event: StoredEvent | null;
}
type Held = Kept & { readonly event: StoredEvent };

/** Events of one hive, oldest first; those before `first` are dropped. */
interface OfHive {
  kept: Kept[];
  first: number;
}

/** Places of dropped events that may stand in a list before it is made anew. */
const maxDropped = 1024;

/** Events in their order, of bounded number and bytes; the oldest make room. To drop one costs the same whosever it is. */
class Lane {
  readonly #capacity: number;
  readonly #maxBytes: number;
  readonly #byHive = new Map<string, OfHive>();
  #kept: Kept[] = [];
  #size = 0;
  #bytes = 0;
  /** The place of the oldest. */
  #first = 0;
  /** The newest sequence that was dropped. */
  floor = 0;

  constructor(capacity: number, maxBytes: number) {
    this.#capacity = capacity;
    this.#maxBytes = maxBytes;
  }

  clear(floor: number): void {
    this.#kept = [];
    this.#first = 0;
    this.#size = 0;
    this.#bytes = 0;
    this.#byHive.clear();
    this.floor = floor;
  }

  get size(): number {
    return this.#size;
  }

  add(sequence: number, event: StoredEvent): void {
    const kept: Kept = { sequence, event };
    this.#kept.push(kept);
    const own = this.#byHive.get(event.hive);
    if (own === undefined) this.#byHive.set(event.hive, { kept: [kept], first: 0 });
    else own.kept.push(kept);
    this.#size++;
    this.#bytes += bytesOf(event);
    while (this.#size > 1 && (this.#size > this.#capacity || this.#bytes > this.#maxBytes)) this.#dropFor(event.hive);
  }

  /** Those after a sequence. */
  after(sequence: number): readonly Held[] {
    const from = lowerBound(this.#kept, (kept) => kept.sequence - sequence - 0.5);
    return this.#kept.slice(Math.max(this.#first, from)).filter((kept): kept is Held => kept.event !== null);
  }

  /** A hive that fills the lane makes room by its own oldest. */
  #dropFor(hive: string): void {
    const own = this.#byHive.get(hive)!;
    const fills = own.kept.length - own.first > this.#size / partOfOneHive;
    // The oldest of all is the oldest of its hive too.
    const dropped = (fills ? own.kept[own.first] : this.#kept[this.#first]) as Held;
    this.#takeFrom(dropped.event.hive);
    this.#size--;
    this.#bytes -= bytesOf(dropped.event);
    this.floor = Math.max(this.floor, dropped.sequence);
    (dropped as Kept).event = null;
    // One at least is left.
    while (this.#kept[this.#first]!.event === null) this.#first++;
    if (this.#kept.length - this.#size <= Math.max(maxDropped, this.#size)) return;
    this.#kept = this.#kept.filter(({ event }) => event !== null);
    this.#first = 0;
  }

  #takeFrom(hive: string): void {
    const own = this.#byHive.get(hive)!;
    own.first++;
    if (own.first === own.kept.length) this.#byHive.delete(hive);
    else if (own.first > maxDropped && own.first > own.kept.length / 2) {
      own.kept = own.kept.slice(own.first);
      own.first = 0;
    }
  }
}

const bytesOf = ({ json }: StoredEvent): number => json.length + eventOverhead;

/**
 * The newest events of a stream. Ids are `epoch-sequence`: the epoch names the stream, so that an id of another stream
 * (before a restart of the queen) is recognized. The sequence rises by one.
 */
export class EventRing {
  #epoch: string;
  readonly #capacity: number;
  readonly #ordinary: Lane;
  readonly #severe: Lane;
  #sequence = 0;

  /** Of `capacity` events and `maxBytes` in each of two lanes: of the ordinary kinds, and of all others. */
  constructor(epoch: string, capacity: number = defaults.eventRingSize, maxBytes = Number.POSITIVE_INFINITY) {
    this.#epoch = epoch;
    this.#capacity = Math.max(1, Math.floor(capacity));
    this.#ordinary = new Lane(this.#capacity, maxBytes);
    this.#severe = new Lane(this.#capacity, maxBytes);
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** Most events it keeps of ordinary kinds, and of others. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Becomes the ring of another stream, of which it holds nothing yet: readers of the former one have to begin anew. */
  restart(epoch: string, sequence = 0): void {
    this.#epoch = epoch;
    this.#beginAfter(sequence);
  }

  /** Id of the newest event; `epoch-0` before the first. */
  get lastId(): string {
    return `${this.epoch}-${this.#sequence}`;
  }

  get size(): number {
    return this.#ordinary.size + this.#severe.size;
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
    if (sequence !== this.#sequence + 1) this.#beginAfter(sequence - 1);
    this.#put(event);
    return true;
  }

  /** What has this id is no event, so that nothing is missing without it. */
  skip(id: string): void {
    const sequence = this.#sequenceOf(id);
    if (sequence === this.#sequence + 1) this.#sequence = sequence;
  }

  #beginAfter(sequence: number): void {
    this.#sequence = sequence;
    this.#ordinary.clear(sequence);
    this.#severe.clear(sequence);
  }

  #put(event: FleetEvent): void {
    const { id, kind, hive, workerId, model } = event;
    const lane = ordinaryKinds.has(kind) ? this.#ordinary : this.#severe;
    // Written out, so that all have one shape: V8 makes one anew for each object that is spread from the rest of another.
    lane.add(++this.#sequence, { id, kind, hive, workerId, model, json: JSON.stringify(event) });
  }

  #sequenceOf(id: string): number | null {
    const dash = id.lastIndexOf('-');
    const digits = id.slice(dash + 1);
    return dash >= 0 && id.slice(0, dash) === this.epoch && /^\d{1,15}$/.test(digits) ? Number(digits) : null;
  }

  /** The newest events, oldest first. */
  recent(limit = this.size): FleetEvent[] {
    const all = this.#after(0);
    return all.slice(Math.max(0, all.length - limit)).map(({ json }) => JSON.parse(json) as FleetEvent);
  }

  /** What came after an id. */
  since(id: string): Replay {
    const sequence = this.#sequenceOf(id);
    if (sequence === null || sequence > this.#sequence) return { type: 'reset', events: [] };
    if (sequence >= Math.max(this.#ordinary.floor, this.#severe.floor))
      return { type: 'events', events: this.#after(sequence) };
    return { type: 'reset', events: this.#severe.after(sequence).map(({ event }) => event) };
  }

  #after(sequence: number): StoredEvent[] {
    const kept = [...this.#ordinary.after(sequence), ...this.#severe.after(sequence)];
    return kept.sort((a, b) => a.sequence - b.sequence).map(({ event }) => event);
  }
}
