import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import type { NatsConnection } from '@nats-io/transport-node';
import type { NatsOptions } from '../config/options.js';
import type { Fleet, PlacementReply, PlacementRequest } from '../contract/api.js';
import type { EventDraft } from '../contract/event-draft.js';
import type { Heartbeat } from '../contract/heartbeat.js';
import { maxMessageBytes, publishDelta, publishHeartbeat, readHeartbeatMessage } from '../nats/messages.js';
import { connectionOptions, loadNats, NatsLink, type NatsPackages } from '../nats/nats-link.js';
import {
  actSubject,
  allActs,
  allDeltas,
  allHeartbeats,
  allKeyframeWishes,
  allRemovals,
  deltaOf,
  hiveOfToken,
  keyframeSubject,
  lastToken,
  queenInbox,
  removalSubject,
} from '../nats/subjects.js';
import type { HeartbeatBody } from '../queen/heartbeat-body.js';
import type { AcceptedDelta, AcceptedLoads, HeartbeatIntake, StreamOrigin } from '../queen/intake.js';
import type { Registry } from '../queen/registry.js';
import { type MessageLog, silentLog } from '../util/log.js';
import { Limiter } from '../util/rate-limiter.js';
import { type Act, apply, decisionActs, readAct } from './acts.js';
import type { Bus, BusCounts } from './bus.js';
import { EventStream } from './event-stream.js';
import { Lease } from './lease.js';
import { NatsSession } from './nats-session.js';
import { explain } from './nats-store.js';
import { ReceivedHeartbeats } from './received-heartbeats.js';
import { SharedReservations } from './shared-reservations.js';
import { SharedStreams } from './shared-streams.js';
import { StandbyEvents } from './standby-events.js';

const compress = promisify(gzip);

/** A leader that is not seen to renew its lease for so long has lost it, ms. */
const leaseMs = 4000;
/** A queen must have heard the fleet for so long before it may take the lease over from another, ms. */
const settleMs = 3000;
/** How long a queen that is not the leader keeps its events, in case the leader has died, ms. */
const standbyMs = 15_000;
/** After so long without the shared stream a queen's events get a stream of their own, ms. */
const localAfterMs = 5000;
const reconcileMs = 1000;
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
  keyframeWanted: ((hive: string) => void) | null = null;
  readonly #registry: Registry;
  readonly #log: MessageLog;
  readonly #link: NatsLink;
  readonly #received: ReceivedHeartbeats;
  readonly #streams: SharedStreams;
  readonly #events: EventStream;
  readonly #reservations: SharedReservations;
  readonly #lease: Lease;
  readonly #standby: StandbyEvents;
  readonly #packages: NatsPackages;
  readonly #replicas: number;
  #session: NatsSession | null = null;
  #timer: NodeJS.Timeout;
  #reconciling: Promise<void> | null = null;
  #ticks = 0;
  #closed = false;
  /** Since when the shared part is in reach, else since when it is not. */
  #readySinceMs: number | null = null;
  #awaySinceMs = performance.now();
  /** A failed write is logged once in ten seconds, not for each placement. */
  readonly #warnings = new Limiter({ perSecond: 0.1, burst: 1 });
  #oversized = 0;
  #forwarded = 0;

  constructor({ registry, nats, intake, log = silentLog }: NatsBusOptions, packages: NatsPackages) {
    const clock = () => performance.now();
    this.#registry = registry;
    this.#log = log;
    this.#packages = packages;
    this.#replicas = nats.replicas ?? 1;
    this.#streams = new SharedStreams(registry, intake, (hive) =>
      this.#publish((connection) => connection.publish(keyframeSubject(hive))),
    );
    this.#received = new ReceivedHeartbeats(intake, this.#streams);
    this.#standby = new StandbyEvents(clock, standbyMs);
    this.#events = new EventStream(registry, (event) => this.#standby.markPublished(event));
    this.#reservations = new SharedReservations(registry, {
      unanswered: (error) => {
        if (this.#warnings.take('unanswered') === 0)
          log.warn(`NATS: a reservation could not be written: ${explain(error)}`);
      },
    });
    this.#lease = new Lease({
      queenId: registry.queenId,
      clock,
      leaseMs,
      settled: () => this.#readySinceMs !== null && clock() - this.#readySinceMs >= settleMs,
    });
    registry.journal = (draft) => this.#onQueenEvent(draft);
    const options = connectionOptions(nats, packages, `hivepulse queen ${registry.queenId}`, queenInbox);
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

  get isLeader(): boolean {
    return this.#readySinceMs !== null && this.#lease.held;
  }

  counts(): BusCounts {
    const { received, superseded, malformed } = this.#received;
    const { conflicts } = this.#reservations;
    return {
      forwarded: this.#forwarded,
      received,
      superseded,
      malformed,
      oversized: this.#oversized,
      conflicts,
      isLeader: this.isLeader,
    };
  }

  publishHeartbeat(
    heartbeat: Heartbeat,
    body: HeartbeatBody,
    _acknowledged: number,
    origin: StreamOrigin | null,
  ): number | Promise<number> {
    this.#forward(heartbeat.hive.id, body, origin);
    const { hive, events, workers } = heartbeat;
    const models = new Map(workers.map((worker) => [worker.id, worker.model]));
    return this.#events.ingest(this.#store, hive, events, (worker) => models.get(worker));
  }

  publishDelta({ base, events, stream, bytes }: AcceptedDelta): number | Promise<number> {
    const { id, incarnations, workers } = base.hive;
    this.#publish((connection) => {
      publishDelta(connection, id, stream, bytes);
      this.#forwarded++;
    });
    const run = { id, incarnation: incarnations.current };
    return this.#events.ingest(this.#store, run, events, (worker) => workers.get(worker)?.sample.model);
  }

  /** In the order of deltas: each has a place among them. */
  publishLoads({ base, stream, bytes }: AcceptedLoads): void {
    this.#publish((connection) => publishDelta(connection, base.hive.id, stream, bytes));
  }

  /** Where events are stored; null: nowhere, for now. */
  get #store() {
    return this.#readySinceMs === null ? null : (this.#session?.js ?? null);
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

  passOn(act: Act): void {
    this.#publish((connection) => connection.publish(actSubject(act.hive), JSON.stringify(act)));
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
    await this.#reconciling;
  }

  /** Passes a heartbeat on to the other queens. */
  #forward(hive: string, body: HeartbeatBody, origin: StreamOrigin | null): void {
    const { connection } = this.#link;
    if (connection === null) return;
    const { length } = body.bytes;
    const limit = maxMessageBytes(connection);
    const schemaBytes = origin?.schema.length ?? 0;
    if (length + schemaBytes < limit) this.#send(hive, body, origin);
    else if (body.encoding !== null || length >= 16 * limit) this.#tooLarge(hive, length);
    else
      compress(body.bytes, { level: constants.Z_BEST_SPEED }).then(
        (bytes) => {
          if (bytes.length + schemaBytes < limit) this.#send(hive, { bytes, encoding: 'gzip' }, origin);
          else this.#tooLarge(hive, bytes.length);
        },
        () => undefined,
      );
  }

  #send(hive: string, body: HeartbeatBody, origin: StreamOrigin | null): void {
    this.#publish((connection) => {
      publishHeartbeat(this.#packages, connection, hive, body, origin);
      this.#forwarded++;
    });
  }

  #tooLarge(hive: string, bytes: number): void {
    this.#oversized++;
    if (this.#oversized !== 1 && this.#oversized % 1000 !== 0) return;
    const limit = this.#link.connection?.info?.max_payload;
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
      // The connection is ending, which is reported where it is reconciled.
    }
  }

  #up(connection: NatsConnection): void {
    connection.subscribe(allHeartbeats, {
      callback: (error, message) => {
        if (error !== null || this.#closed) return;
        const read = readHeartbeatMessage(message);
        if (read === null) return void this.#received.malformed++;
        this.#received.add(hiveOfToken(lastToken(message.subject)), read.body, read.origin);
      },
    });
    connection.subscribe(allDeltas, {
      callback: (error, { subject, data }) => {
        if (error !== null || this.#closed) return;
        const { hive, stream } = deltaOf(subject);
        this.#received.addDelta(hive, { stream, bytes: Buffer.from(data.buffer, data.byteOffset, data.byteLength) });
      },
    });
    connection.subscribe(allKeyframeWishes, {
      callback: (error, { subject }) => {
        if (error === null && !this.#closed) this.keyframeWanted?.(hiveOfToken(lastToken(subject)));
      },
    });
    connection.subscribe(allRemovals, {
      callback: (error, { subject }) => {
        if (error === null && !this.#closed) this.#registry.removeHive(hiveOfToken(lastToken(subject)));
      },
    });
    connection.subscribe(allActs, {
      callback: (error, { data }) => {
        const act = error !== null || this.#closed ? null : readAct(data);
        for (const answer of act === null ? [] : apply(this.#registry, act)) this.passOn(answer);
      },
    });
    for (const act of [...decisionActs(this.#registry), { type: 'hello', hive: 'all' } as const]) this.passOn(act);
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
    const ms = reconcileMs * (0.85 + 0.3 * Math.random());
    this.#timer = setTimeout(() => {
      void this.#reconcile().finally(() => {
        if (!this.#closed) this.#arm();
      });
    }, ms);
    return this.#timer.unref();
  }

  #reconcile(): Promise<void> {
    this.#reconciling ??= this.#reconcileOnce().finally(() => {
      this.#reconciling = null;
    });
    return this.#reconciling;
  }

  async #reconcileOnce(): Promise<void> {
    const session = this.#session;
    if (session === null || this.#closed) {
      this.#goLocalWhenDue();
      return;
    }
    const ready = await session.reconcile();
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
    if (this.#ticks % sweepEvery !== 0) return;
    this.#reservations.sweep(this.#lease.held);
    this.#streams.sweep();
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
    for (const draft of this.#events.takeUnsent()) this.#standby.add(draft);
    this.#log.warn('degraded: this queen goes on alone; events of hives wait there, and no room is reserved');
  }

  #goLocalWhenDue(): void {
    if (this.#events.local || this.#readySinceMs !== null) return;
    if (performance.now() - this.#awaySinceMs < localAfterMs) return;
    this.#events.goLocal();
    this.#lease.drop();
    for (const draft of this.#standby.take(this.#awaySinceMs)) this.#registry.append(draft);
  }

  #onQueenEvent(draft: EventDraft): void {
    const session = this.#session;
    if (this.#events.local) this.#registry.append(draft);
    else if (session !== null && this.isLeader) this.#events.publish(session.js, draft);
    else this.#standby.add(draft);
  }

  /** Publishes what the former leader can no longer have published. */
  #onElected(): void {
    const session = this.#session;
    if (session === null) return;
    this.#log.info('this queen now speaks for the fleet');
    const since = this.#lease.renewedMs ?? Number.NEGATIVE_INFINITY;
    for (const draft of this.#standby.take(since)) this.#events.publish(session.js, draft);
  }
}
