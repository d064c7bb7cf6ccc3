import { randomUUID } from 'node:crypto';
import type { JetStreamClient, JsMsg, StreamInfo } from '@nats-io/jetstream';
import type { EventDraft } from '../contract/event-draft.js';
import type { HiveEvent } from '../contract/heartbeat.js';
import { conclusionBytes, readMessage } from '../nats/messages.js';
import { publishFacts, publishTimeoutMs } from '../nats/publish-events.js';
import { conclusionSubject, epochOf, isFact } from '../nats/subjects.js';
import type { Registry } from '../queen/registry.js';
import { Acknowledged } from './acknowledged.js';

const maxUnsent = 10_000;

interface Unsent {
  readonly id: string;
  readonly draft: EventDraft;
}

/**
 * The registry's events, where they come from a stream that queens share: what is published goes out, what the stream says
 * comes in, under ids that mean the same at every queen. While the stream is out of reach the registry has one of its own.
 */
export class EventStream {
  readonly #registry: Registry;
  readonly #acknowledged = new Acknowledged();
  readonly #onSaid: (event: EventDraft) => void;
  /** The shared stream that the registry's ring was last part of. */
  #epoch: string | null = null;
  #sequence = 0;
  #local = false;
  #heard = false;
  #oldUntil = 0;
  #unsent: Unsent[] = [];
  #sending = false;

  constructor(registry: Registry, onSaid: (event: EventDraft) => void) {
    this.#registry = registry;
    this.#onSaid = onSaid;
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
    const known = same ? this.#sequence : 0;
    if (same && !this.#local) return known;
    if (!same && this.#epoch !== null) this.#acknowledged.clear();
    // What happened while this queen was away is new to its readers; what was there before it started is not.
    this.#oldUntil = same ? known : this.#heard ? 0 : last;
    this.#heard = true;
    this.#epoch = epoch;
    this.#local = false;
    const from = Math.max(0, first - 1, last - this.#registry.events.capacity);
    this.#sequence = from;
    this.#registry.events.restart(epoch, from);
    return from;
  }

  /** The stream is another one than the registry's ring is part of. */
  isOther(info: StreamInfo): boolean {
    return epochOf(String(info.created)) !== this.#epoch;
  }

  receive(message: JsMsg): void {
    this.#sequence = message.seq;
    const received = readMessage(message.data, isFact(message.subject), `${this.#epoch}-${message.seq}`);
    if (received === null) return;
    if (received.type === 'event') this.#acknowledged.add(received.event.hive, received.incarnation, received.seq);
    else this.#onSaid(received.event);
    this.#registry.deliver(received.type, received.event, message.seq <= this.#oldUntil);
  }

  acknowledged(hive: string, incarnation: string): number {
    return this.#acknowledged.of(hive, incarnation);
  }

  /** Writes facts in their order. Gives the number up to which all are in the stream. */
  async facts(
    js: JetStreamClient,
    hive: string,
    incarnation: string,
    events: readonly HiveEvent[],
    modelOf: (workerId: string) => string | null | undefined,
  ): Promise<number> {
    const written = await publishFacts(js, hive, incarnation, events, modelOf);
    if (written > 0) this.#acknowledged.add(hive, incarnation, written);
    return this.#acknowledged.of(hive, incarnation);
  }

  /** A conclusion of this queen, which speaks for the fleet. */
  conclude(js: JetStreamClient, draft: EventDraft): void {
    if (this.#unsent.length >= maxUnsent) this.#unsent.shift();
    this.#unsent.push({ id: randomUUID(), draft });
    this.send(js);
  }

  /** Writes what is not written yet, one after the other's answer: their order is what they mean. */
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
          js.publish(conclusionSubject(draft.hive), conclusionBytes(draft), { msgID: id, timeout: publishTimeoutMs }),
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
