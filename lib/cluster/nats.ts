import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import type { NatsConnection } from '@nats-io/transport-node';
import type { NatsOptions } from '../config/options.js';
import type { Fleet, PlacementReply, PlacementRequest } from '../contract/api.js';
import type { EventDraft } from '../contract/event-draft.js';
import type { Heartbeat } from '../contract/heartbeat.js';
import { connectionOptions, loadNats, NatsLink, type NatsPackages } from '../nats/nats-link.js';
import {
  allHeartbeats,
  allRemovals,
  heartbeatSubject,
  hiveOfToken,
  lastToken,
  removalSubject,
} from '../nats/subjects.js';
import type { HeartbeatBody } from '../queen/heartbeat-body.js';
import type { HeartbeatIntake } from '../queen/intake.js';
import type { Registry } from '../queen/registry.js';
import { type MessageLog, silentLog } from '../util/log.js';
import { Limiter } from '../util/rate-limiter.js';
import type { Bus, BusCounts } from './bus.js';
import { EventStream } from './event-stream.js';
import { Lease } from './lease.js';
import { NatsSession } from './nats-session.js';
import { explain } from './nats-store.js';
import { ReceivedHeartbeats } from './received-heartbeats.js';
import { SharedReservations } from './shared-reservations.js';
import { StandbyEvents } from './standby-events.js';

const compress = promisify(gzip);

/** A queen that speaks for the fleet and is not seen to renew for so long has lost that, ms. */
const leaseMs = 4000;
/** A queen must have heard the fleet for so long before it may speak for it in another's place, ms. */
const settleMs = 3000;
/** How long conclusions are kept for the case that their speaker has died. */
const silentMs = 15_000;
/** After so long without the shared stream a queen's events get one of its own. */
const localAfterMs = 5000;
const tendMs = 1000;
const sweepEvery = 30;

export interface NatsBusOptions {
  readonly registry: Registry;
  readonly nats: NatsOptions;
  readonly intake: HeartbeatIntake;
  readonly log?: MessageLog;
}

/**
 * Joins a queen to those that share NATS servers. Resolves at once, whether they are in reach or not.
 * @throws HivepulseError INVALID_OPTION (packages missing), CONFIG_UNREADABLE
 */
export async function openNatsBus(options: NatsBusOptions): Promise<NatsBus> {
  const packages = await loadNats();
  return new NatsBus(options, packages);
}

export class NatsBus implements Bus {
  readonly #registry: Registry;
  readonly #log: MessageLog;
  readonly #link: NatsLink;
  readonly #received: ReceivedHeartbeats;
  readonly #events: EventStream;
  readonly #reservations: SharedReservations;
  readonly #lease: Lease;
  readonly #silent: StandbyEvents;
  readonly #packages: NatsPackages;
  readonly #replicas: number;
  #session: NatsSession | null = null;
  #timer: NodeJS.Timeout;
  #tending: Promise<void> | null = null;
  #ticks = 0;
  #closed = false;
  /** Since when the shared part is in reach, else since when it is not. */
  #readySinceMs: number | null = null;
  #awaySinceMs = performance.now();
  /** Of what is said for each of those who ask for room: now and then is enough. */
  readonly #said = new Limiter({ perSecond: 0.1, burst: 1 });
  #oversized = 0;
  #passed = 0;

  constructor({ registry, nats, intake, log = silentLog }: NatsBusOptions, packages: NatsPackages) {
    const clock = () => performance.now();
    this.#registry = registry;
    this.#log = log;
    this.#packages = packages;
    this.#replicas = nats.replicas ?? 1;
    this.#received = new ReceivedHeartbeats(intake);
    this.#silent = new StandbyEvents(clock, silentMs);
    this.#events = new EventStream(registry, (event) => this.#silent.markPublished(event));
    this.#reservations = new SharedReservations(registry, {
      unanswered: (error) => {
        if (this.#said.take('unanswered') === 0)
          log.warn(`NATS: a reservation could not be written: ${explain(error)}`);
      },
    });
    this.#lease = new Lease({
      queenId: registry.queenId,
      clock,
      leaseMs,
      settled: () => this.#readySinceMs !== null && clock() - this.#readySinceMs >= settleMs,
    });
    registry.journal = (draft) => this.#concluded(draft);
    const options = connectionOptions(nats, packages, `hivepulse queen ${registry.queenId}`);
    this.#link = new NatsLink({
      options,
      connect: packages.transport.connect,
      log,
      hooks: { up: (connection) => this.#up(connection), down: () => this.#down() },
    });
    this.#timer = this.#arm();
  }

  state(): Fleet['bus'] {
    return this.#readySinceMs === null ? 'degraded' : 'nats';
  }

  /** This queen speaks for the fleet. */
  get isLeader(): boolean {
    return this.#readySinceMs !== null && this.#lease.held;
  }

  counts(): BusCounts {
    const { received, superseded, malformed } = this.#received;
    const { conflicts } = this.#reservations;
    return {
      forwarded: this.#passed,
      received,
      superseded,
      malformed,
      oversized: this.#oversized,
      conflicts,
      isLeader: this.isLeader,
    };
  }

  publishHeartbeat(heartbeat: Heartbeat, body: HeartbeatBody): number | Promise<number> {
    const { id, incarnation } = heartbeat.hive;
    this.#pass(id, body);
    const safe = this.#events.acknowledged(id, incarnation);
    const facts = heartbeat.events.filter(({ seq }) => seq > safe);
    const session = this.#session;
    if (facts.length === 0 || session === null || this.#readySinceMs === null) return safe;
    const models = new Map(heartbeat.workers.map((worker) => [worker.id, worker.model]));
    return this.#events.facts(session.js, id, incarnation, facts, (worker) => models.get(worker));
  }

  place(request: PlacementRequest): Promise<PlacementReply> {
    return this.#reservations.place(request);
  }

  release(id: string): Promise<boolean> {
    return this.#reservations.release(id);
  }

  removed(hive: string): void {
    this.#publish((connection) => connection.publish(removalSubject(hive)));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    const session = this.#session;
    if (session !== null && this.#readySinceMs !== null) {
      this.#events.send(session.js);
      await this.#lease.release(session.lease()).catch(() => undefined);
    }
    await session?.close();
    await this.#link.close();
    await this.#tending;
  }

  // ---- heartbeats

  #pass(hive: string, { bytes, encoding }: HeartbeatBody): void {
    const limit = this.#link.connection?.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (bytes.length < limit - 1024) {
      this.#publish((connection) => this.#send(connection, hive, bytes, encoding));
      return;
    }
    if (encoding === null && bytes.length < 16 * limit) {
      compress(bytes, { level: constants.Z_BEST_SPEED }).then(
        (packed) => {
          if (packed.length < limit - 1024) this.#publish((connection) => this.#send(connection, hive, packed, 'gzip'));
          else this.#tooLarge(hive, packed.length, limit);
        },
        () => undefined,
      );
      return;
    }
    this.#tooLarge(hive, bytes.length, limit);
  }

  #send(connection: NatsConnection, hive: string, bytes: Buffer, encoding: string | null): void {
    if (encoding === null) connection.publish(heartbeatSubject(hive), bytes);
    else {
      const headers = this.#packages.transport.headers();
      headers.set('content-encoding', encoding);
      connection.publish(heartbeatSubject(hive), bytes, { headers });
    }
    this.#passed++;
  }

  #tooLarge(hive: string, bytes: number, limit: number): void {
    this.#oversized++;
    if (this.#oversized === 1 || this.#oversized % 1000 === 0)
      this.#log.warn(
        `a heartbeat of ${hive} has ${bytes} bytes, and NATS takes ${limit} (max_payload): other queens do not hear it`,
      );
  }

  #publish(publish: (connection: NatsConnection) => void): void {
    const { connection } = this.#link;
    if (connection === null || this.#closed) return;
    try {
      publish(connection);
    } catch {
      // The connection is ending; whoever tends it says so.
    }
  }

  // ---- the connection

  #up(connection: NatsConnection): void {
    connection.subscribe(allHeartbeats, {
      callback: (error, { subject, data, headers }) => {
        if (error !== null || this.#closed) return;
        const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
        const encoding = headers?.get('content-encoding') || null;
        this.#received.add(hiveOfToken(lastToken(subject)), { bytes, encoding });
      },
    });
    connection.subscribe(allRemovals, {
      callback: (error, { subject }) => {
        if (error === null && !this.#closed) this.#registry.removeHive(hiveOfToken(lastToken(subject)));
      },
    });
    this.#session = new NatsSession({
      connection,
      packages: this.#packages,
      replicas: this.#replicas,
      events: this.#events,
      reservations: this.#reservations,
      log: this.#log,
      onBroken: () => void this.#reconcile(),
      onNewLease: () => this.#lease.forget(),
    });
    void this.#reconcile();
  }

  #down(): void {
    void this.#session?.close();
    this.#session = null;
    this.#received.clear();
    this.#leave();
    this.#goLocalWhenDue();
  }

  #arm(): NodeJS.Timeout {
    // Queens that were started together must not ask together.
    const ms = tendMs * (0.85 + 0.3 * Math.random());
    this.#timer = setTimeout(() => {
      void this.#reconcile().finally(() => {
        if (!this.#closed) this.#arm();
      });
    }, ms);
    return this.#timer.unref();
  }

  #reconcile(): Promise<void> {
    this.#tending ??= this.#tendOnce().finally(() => {
      this.#tending = null;
    });
    return this.#tending;
  }

  async #tendOnce(): Promise<void> {
    const session = this.#session;
    if (session === null || this.#closed) {
      this.#goLocalWhenDue();
      return;
    }
    const ready = await session.tend();
    if (session !== this.#session || this.#closed) return;
    if (!ready) {
      this.#leave();
      this.#goLocalWhenDue();
      return;
    }
    this.#enter();
    try {
      if (await this.#lease.reconcile(session.lease())) this.#onElected();
    } catch {
      // Not renewed: it lapses by itself, and the next round says what is wrong.
    }
    if (this.#session !== session) return;
    this.#events.send(session.js);
    this.#ticks++;
    if (this.#ticks % sweepEvery === 0) this.#reservations.sweep(this.#lease.held);
  }

  #enter(): void {
    if (this.#readySinceMs !== null) return;
    this.#readySinceMs = performance.now();
    this.#log.info('the queens share their fleet over NATS');
  }

  #leave(): void {
    if (this.#readySinceMs === null) return;
    this.#readySinceMs = null;
    this.#awaySinceMs = performance.now();
    this.#reservations.attach(null);
    for (const draft of this.#events.takeUnsent()) this.#silent.add(draft);
    this.#log.warn('degraded: this queen goes on alone; events of hives wait there, and no room is reserved');
  }

  #goLocalWhenDue(): void {
    if (this.#events.local || this.#readySinceMs !== null) return;
    if (performance.now() - this.#awaySinceMs < localAfterMs) return;
    this.#events.goLocal();
    this.#lease.drop();
    for (const draft of this.#silent.take(this.#awaySinceMs)) this.#registry.append(draft);
  }

  // ---- conclusions

  #concluded(draft: EventDraft): void {
    const session = this.#session;
    if (this.#events.local) this.#registry.append(draft);
    else if (session !== null && this.isLeader) this.#events.conclude(session.js, draft);
    else this.#silent.add(draft);
  }

  /** What the former speaker can no longer have said. */
  #onElected(): void {
    const session = this.#session;
    if (session === null) return;
    this.#log.info('this queen now speaks for the fleet');
    const since = this.#lease.renewedMs ?? Number.NEGATIVE_INFINITY;
    for (const draft of this.#silent.take(since)) this.#events.conclude(session.js, draft);
  }
}
