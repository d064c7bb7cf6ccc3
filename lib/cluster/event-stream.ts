import { randomUUID } from 'node:crypto';
import type { JetStreamClient, JsMsg, StreamInfo } from '@nats-io/jetstream';
import type { EventDraft } from '../contract/event-draft.js';
import type { Heartbeat } from '../contract/heartbeat.js';
import { publishHiveEvents, publishTimeoutMs, type Received, readMessage } from '../nats/messages.js';
import { epochOf, isHiveEvent, lastToken, queenEventSubject } from '../nats/subjects.js';
import { AckedSeqs } from '../queen/acked-seqs.js';
import type { Registry } from '../queen/registry.js';
import { Limiter } from '../util/rate-limiter.js';
import { RecentSeqs } from './recent-seqs.js';

const maxUnsent = 10_000;
/** Far more hives than a queen takes. */
const maxAckedHives = 100_000;
const maxRecentHives = 10_000;
/** Of one hive. One that was cut off may publish its whole log at once; what is beyond it no reader gets. */
const receivedEventRate = { perSecond: 500, burst: 12_000 };

/**
 * The registry's events, where they come from a stream that queens share: what is published goes out, what the stream holds
 * comes in, under ids that mean the same at every queen. While the stream is out of reach the registry has one of its own.
 */
export class EventStream {
  readonly #registry: Registry;
  readonly #acked = new AckedSeqs(maxAckedHives);
  readonly #rates: Limiter;
  readonly #recent = new RecentSeqs(maxRecentHives);
  readonly #onQueenEvent: (event: EventDraft) => void;
  /** The shared stream that the registry's ring was last part of. */
  #epoch: string | null = null;
  #sequence = 0;
  #local = false;
  /** Up to this sequence of the stream the registry's listeners have had everything. */
  #oldUntil = 0;
  #unsent: { readonly id: string; readonly draft: EventDraft }[] = [];
  #sending = false;

  constructor(registry: Registry, onQueenEvent: (event: EventDraft) => void, now = () => performance.now()) {
    this.#rates = new Limiter({ ...receivedEventRate, now });
    this.#registry = registry;
    this.#onQueenEvent = onQueenEvent;
  }

  /** The registry's events are its own now. */
  get local(): boolean {
    return this.#local;
  }

  /** Turns to a stream of the registry's own. */
  goLocal(): void {
    if (this.#local) return;
    this.#local = true;
    this.#registry.events.restart(`local${randomUUID().slice(0, 8)}`);
  }

  /** Turns to the shared stream. Gives the sequence after which it is to be read. */
  begin(info: StreamInfo): number {
    const epoch = epochOf(String(info.created));
    const { first_seq: first, last_seq: last } = info.state;
    const same = epoch === this.#epoch;
    if (same && !this.#local) return this.#sequence;
    const isFirst = this.#epoch === null;
    if (!same && !isFirst) this.#acked.clear();
    this.#recent.clear();
    // What happened while this queen was away is new to its readers; what was there before it started is not.
    this.#oldUntil = same ? this.#sequence : isFirst ? last : 0;
    this.#epoch = epoch;
    this.#local = false;
    this.#sequence = Math.max(0, first - 1, last - this.#registry.events.capacity);
    this.#registry.events.restart(epoch, this.#sequence);
    return this.#sequence;
  }

  /** The stream is another one than the registry's ring is part of. */
  isOther(info: StreamInfo): boolean {
    return epochOf(String(info.created)) !== this.#epoch;
  }

  receive(message: JsMsg): void {
    this.#sequence = message.seq;
    const id = `${this.#epoch}-${message.seq}`;
    const received = this.#isTooFast(message.subject) ? null : readMessage(message.data, message.subject, id);
    if (received === null || !this.#isFirst(received, message)) {
      this.#registry.events.skip(id);
      return;
    }
    if (received.type === 'queenEvent') this.#onQueenEvent(received.event);
    this.#registry.deliver(received.type, received.event, message.seq <= this.#oldUntil);
  }

  /** Seen by the subject, before a message costs more than that. */
  #isTooFast(subject: string): boolean {
    return isHiveEvent(subject) && this.#rates.take(lastToken(subject)) > 0;
  }

  /**
   * Notes an event of a hive. False for one that two queens have published, since the answer to the first was lost, and for one
   * with a seq that its run cannot have reached: no queen would store what follows.
   */
  #isFirst(received: Received, stored: JsMsg): boolean {
    if (received.type !== 'event') return true;
    const { event, incarnation, seq } = received;
    const verdict = this.#recent.add(event.hive, incarnation, seq, stored.time.getTime());
    if (verdict !== 'jump') this.#acked.set(event.hive, incarnation, seq);
    return verdict === 'first';
  }

  /** Stores a hive's events that are not stored yet (`js` null: none can be). Gives the seq up to which all are. */
  ingest(
    js: JetStreamClient | null,
    { id, incarnation }: Pick<Heartbeat['hive'], 'id' | 'incarnation'>,
    events: Heartbeat['events'],
    modelOf: (workerId: string) => string | null | undefined,
  ): number | Promise<number> {
    const acked = this.#acked.get(id, incarnation);
    if (js === null) return acked;
    const fresh = this.#registry.withinEventRate(
      id,
      events.filter(({ seq }) => seq > acked),
    );
    if (fresh.length === 0) return acked;
    return publishHiveEvents(js, id, incarnation, fresh, modelOf).then((written) => {
      if (written > 0) this.#acked.set(id, incarnation, written);
      return this.#acked.get(id, incarnation);
    });
  }

  /** Publishes an event of this queen, which is the leader. */
  publish(js: JetStreamClient, draft: EventDraft): void {
    if (this.#unsent.length >= maxUnsent) this.#unsent.shift();
    this.#unsent.push({ id: randomUUID(), draft });
    this.send(js);
  }

  /** Writes what is not written yet, in order. */
  send(js: JetStreamClient): void {
    if (this.#sending) return;
    this.#sending = true;
    void this.#send(js).finally(() => {
      this.#sending = false;
    });
  }

  async #send(js: JetStreamClient): Promise<void> {
    while (this.#unsent.length > 0) {
      // Sent together, in order; the server takes each id once, so what was not answered may go again.
      const batch = this.#unsent.slice(0, 100);
      const answers = await Promise.allSettled(
        batch.map(({ id, draft }) =>
          js.publish(queenEventSubject(draft.hive), JSON.stringify(draft), { msgID: id, timeout: publishTimeoutMs }),
        ),
      );
      const failed = answers.findIndex(({ status }) => status === 'rejected');
      const done = new Set((failed < 0 ? batch : batch.slice(0, failed)).map(({ id }) => id));
      this.#unsent = this.#unsent.filter(({ id }) => !done.has(id));
      if (failed >= 0) return;
    }
  }

  /** What could not be written, oldest first; it is given up here. */
  takeUnsent(): EventDraft[] {
    return this.#unsent.splice(0).map(({ draft }) => draft);
  }
}
