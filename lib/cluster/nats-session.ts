import type { JetStreamClient, JetStreamManager, JsMsg, StreamInfo } from '@nats-io/jetstream';
import type { KV } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import { type NatsPackages, versionNotes } from '../nats/nats-link.js';
import { eventStream, hiveOfKey, leaseBucket, reservationBucket } from '../nats/subjects.js';
import type { MessageLog } from '../util/log.js';
import type { EventStream } from './event-stream.js';
import { Follower } from './follower.js';
import type { LeaseStore } from './lease.js';
import { bucketOptions, explain, infoOf, leaseStore, makeEventStream, reservationStore } from './nats-store.js';
import type { ReservationStore, SharedReservations } from './shared-reservations.js';

/** A consumer that delivers nothing for so long although there are messages is made anew, ms. */
const silentMs = 2500;
const requestTimeoutMs = 1500;

export interface SessionOptions {
  readonly connection: NatsConnection;
  readonly packages: NatsPackages;
  readonly replicas: number;
  readonly events: EventStream;
  readonly reservations: SharedReservations;
  readonly log: MessageLog;
  /** A follower ended that should not have: it is time to reconcile. */
  readonly onBroken: () => void;
  readonly onNewLease: () => void;
}

/** The streams, their followers and the buckets on one connection. It ends with the connection. */
export class NatsSession {
  readonly js: JetStreamClient;
  readonly #options: SessionOptions;
  readonly #compress: boolean;
  readonly #supported: boolean;
  #jsm: JetStreamManager | null = null;
  #events: Follower | null = null;
  #reservations: Follower | null = null;
  #reservationsCreated: string | null = null;
  /** All that was in the bucket when it was opened has been read. */
  #mirrored = false;
  readonly #buckets = new Map<string, KV>();
  #leaseKv: KV | null = null;
  #store: ReservationStore | null = null;
  #leaseCreated: string | null = null;
  #warned = '';
  #closed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { connection, packages, log } = options;
    this.js = packages.jetstream.jetstream(connection, { timeout: requestTimeoutMs });
    const version = connection.info?.version ?? '';
    const { supported, lost } = versionNotes(version);
    this.#supported = supported;
    this.#compress = !lost.some((note) => note.includes('2.10'));
    if (!supported) log.warn(`nats-server ${version} is too old for several queens (${lost[0]}): install 2.9 or newer`);
    else for (const note of lost) log.info(`nats-server ${version}: ${note}`);
  }

  lease(): LeaseStore {
    return leaseStore(this.#options.packages, this.#leaseKv as KV);
  }

  /** Makes anew what is missing or silent. True where everything is there and up to date. Never rejects. */
  async reconcile(): Promise<boolean> {
    if (!this.#supported || this.#closed) return false;
    try {
      this.#jsm ??= await this.#options.packages.jetstream.jetstreamManager(this.#options.connection, {
        timeout: requestTimeoutMs,
        checkAPI: false,
      });
      const jsm = this.#jsm;
      const ready = [
        await this.#reconcileEvents(jsm),
        await this.#reconcileReservations(jsm),
        await this.#reconcileLease(jsm),
      ];
      this.#warn('');
      return ready.every(Boolean) && !this.#closed;
    } catch (error) {
      this.#warn(explain(error));
      return false;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#events?.stop();
    this.#reservations?.stop();
    const { reservations } = this.#options;
    if (this.#store !== null && reservations.isAttached(this.#store)) reservations.attach(null);
  }

  /** Logs each thing that is wrong once, not once a second. */
  #warn(what: string): void {
    if (what === this.#warned || this.#closed) return;
    this.#warned = what;
    if (what !== '') this.#options.log.warn(`NATS: ${what}`);
  }

  async #reconcileEvents(jsm: JetStreamManager): Promise<boolean> {
    const { packages, events, replicas, log } = this.#options;
    let info = await infoOf(jsm, packages, eventStream);
    if (info === null) {
      info = await makeEventStream(jsm, packages, replicas, this.#compress);
      log.info(`made the stream ${eventStream}: there was none`);
    }
    if (this.#events !== null) {
      const other = events.isOther(info);
      if (!other && this.#events.isHealthy(info, performance.now(), silentMs))
        return this.#caughtUp(this.#events, info);
      log.warn(
        other
          ? `${eventStream} is another stream than before: events are numbered anew`
          : `the reader of ${eventStream} fell silent: made anew`,
      );
      this.#events.stop();
      this.#events = null;
    }
    if (this.#closed) return false;
    this.#events = await this.#follow(eventStream, events.begin(info), (message) => events.receive(message));
    return this.#caughtUp(this.#events, info);
  }

  async #reconcileReservations(jsm: JetStreamManager): Promise<boolean> {
    const { packages, reservations, log } = this.#options;
    const bucket = await this.#bucket(jsm, reservationBucket);
    if (bucket === null) return false;
    const { kv, isNew, info } = bucket;
    if (isNew || this.#store === null) this.#store = reservationStore(packages, kv);
    const created = String(info.created);
    const other = created !== this.#reservationsCreated;
    if (this.#reservations !== null && (other || !this.#reservations.isHealthy(info, performance.now(), silentMs))) {
      log.warn(
        other
          ? `the bucket ${reservationBucket} is another one than before: reservations are written again`
          : `the reader of ${reservationBucket} fell silent: made anew`,
      );
      this.#reservations.stop();
      this.#reservations = null;
      reservations.attach(null);
    }
    if (this.#closed) return false;
    if (this.#reservations === null) {
      this.#mirrored = false;
      this.#reservationsCreated = created;
      reservations.reset();
      const prefix = `$KV.${reservationBucket}.`;
      this.#reservations = await this.#follow(info.config.name, 0, ({ subject, seq, data }) => {
        const hive = hiveOfKey(subject.slice(prefix.length));
        if (hive !== null) reservations.apply(hive, seq, data);
      });
    }
    this.#mirrored ||= await this.#caughtUp(this.#reservations, info);
    if (!this.#mirrored) return false;
    // It may have been detached while the server did not answer, though connection and mirror stayed. A session that ended
    // meanwhile must not attach: its store would replace that of the next session.
    if (!this.#closed && !reservations.isAttached(this.#store)) reservations.attach(this.#store);
    return true;
  }

  async #reconcileLease(jsm: JetStreamManager): Promise<boolean> {
    const bucket = await this.#bucket(jsm, leaseBucket);
    if (bucket === null) return false;
    this.#leaseKv = bucket.kv;
    const created = String(bucket.info.created);
    if (created !== this.#leaseCreated) {
      if (this.#leaseCreated !== null) this.#options.onNewLease();
      this.#leaseCreated = created;
    }
    return true;
  }

  /** A bucket and its stream. `isNew`: it was opened just now. Null: it was made, and the server does not know it yet. */
  async #bucket(jsm: JetStreamManager, name: string): Promise<{ kv: KV; isNew: boolean; info: StreamInfo } | null> {
    const { packages, replicas, log } = this.#options;
    const stream = `KV_${name}`;
    const known = await infoOf(jsm, packages, stream);
    const opened = known === null ? undefined : this.#buckets.get(name);
    const kv = opened ?? (await new packages.kv.Kvm(this.js).create(name, bucketOptions(name, replicas)));
    this.#buckets.set(name, kv);
    if (known === null) log.info(`made the bucket ${name}: there was none`);
    const info = known ?? (await infoOf(jsm, packages, stream));
    return info && { kv, isNew: opened === undefined, info };
  }

  async #follow(stream: string, after: number, onMessage: (message: JsMsg) => void): Promise<Follower> {
    const follower = new Follower(stream, after, onMessage, this.#options.onBroken);
    await follower.start(this.js, this.#options.packages.jetstream);
    if (this.#closed) follower.stop();
    return follower;
  }

  /** Waits a little for what was there already: most of it comes at once. */
  async #caughtUp(follower: Follower, info: StreamInfo): Promise<boolean> {
    const behind = () => info.state.messages > 0 && follower.sequence < info.state.last_seq;
    for (let tries = 0; tries < 50 && behind() && !this.#closed; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    return !behind();
  }
}
