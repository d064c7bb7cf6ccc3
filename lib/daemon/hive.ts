import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { checkHiveOptions } from '../config/check-options.js';
import type { HiveOptions, NatsOptions, Running } from '../config/options.js';
import { defaults } from '../contract/defaults.js';
import type { Fault, Heartbeat, HiveInfo, Snapshot } from '../contract/heartbeat.js';
import { asSent } from '../contract/stored.js';
import type { GpuSource } from '../gpu/reading.js';
import { createGpuSource } from '../gpu/source.js';
import { EventLog } from '../hive/event-log.js';
import { HeartbeatSender, type SenderLog } from '../hive/heartbeat-sender.js';
import { LoadReporter } from '../hive/load-reporter.js';
import { hiveMetrics } from '../hive/metrics.js';
import { rendezvousOrder } from '../hive/rendezvous.js';
import { type HiveControl, type HiveListener, serveControl, serveHive } from '../hive/server.js';
import type { HeartbeatTransport } from '../hive/transport.js';
import { httpTransport } from '../hive/transport-http.js';
import { StreamTransport } from '../hive/transport-stream.js';
import { assembleSampler, type HostReaders, type SamplerOptions } from '../sampling/create.js';
import { openMachine } from '../sampling/open-machine.js';
import { ReportedStore } from '../sampling/reported.js';
import { type Clock, systemClock } from '../util/clock.js';
import { defined } from '../util/defined.js';
import { readNamedText } from '../util/named-file.js';
import { packageVersion } from '../util/version.js';
import { defaultRuntimeDir } from '../workers/records.js';

/** What a hive stands on; each has a default, and tests put others in their place. */
export interface HiveDeps {
  readonly machine?: HostReaders;
  readonly gpu?: GpuSource;
  /** The way to a queen, from its URL. */
  readonly transport?: (queen: string) => HeartbeatTransport;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly hostRoot?: string;
}

/** What a hive says of itself, for its own routes. */
export interface HiveState {
  /** The newest heartbeat, as it would be sent now; null before the first sample. */
  readonly snapshot: () => Heartbeat | null;
  /** Why heartbeats are not taken; null while they are. */
  readonly sendFailure: () => { readonly code: string; readonly message: string } | null;
}

export interface RunningHive extends Running, HiveState {
  readonly id: string;
  readonly incarnation: string;
  /** Path of the control socket; null where it could not be made. */
  readonly control: string | null;
}

/** The hostname as an id: what an id may not hold becomes `-`. */
export function idOfHost(name: string): string {
  const id = name
    .replace(/[^A-Za-z0-9_.:@+-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 128);
  return id === '' ? 'localhost' : id;
}

/** A hive that has seen what it can for so many intervals says that it is ready, whole or not. */
const startingAtMost = 10;

/** Of the last beat; what is left of `shutdownMs` is for streams and sockets. */
const lastBeatMs = 1200;

const silent: SenderLog = { info: () => undefined, warn: () => undefined };

const readPem = (path: string | undefined): string | undefined => (path === undefined ? path : readNamedText(path));

function readTls(tls: HiveOptions['tls']): { ca?: string; cert?: string; key?: string } {
  const [ca, cert, key] = [readPem(tls?.ca), readPem(tls?.cert), readPem(tls?.key)];
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

function transportTo(
  queen: string,
  tls: ReturnType<typeof readTls>,
  { token, stream }: HiveOptions,
  parts: HiveDeps,
  log: SenderLog,
): HeartbeatTransport {
  const access = { tls, ...defined({ token }) };
  if (stream === false) return httpTransport(queen, access);
  return new StreamTransport(queen, { ...access, log, ...defined({ clock: parts.clock, random: parts.random }) });
}

/** What speaks NATS is loaded where it is asked for. */
async function openNats(nats: NatsOptions, id: string, log: SenderLog): Promise<HeartbeatTransport> {
  const { natsTransport } = await import('../hive/transport-nats.js');
  return await natsTransport(nats, id, log);
}

/** The GPUs of this host as the options say. */
const openGpus = (options: HiveOptions, intervalMs: number): GpuSource =>
  createGpuSource({
    gpu: options.gpu ?? 'auto',
    isolation: options.gpuIsolation ?? 'thread',
    intervalMs,
    roots: defined({ sys: options.sysRoot, proc: options.procRoot }),
    ...defined({ allGpus: options.allGpus, logger: options.logger }),
  });

/** What of the options is for sampling alone. */
const samplerOptions = (options: HiveOptions, { hostRoot }: HiveDeps): SamplerOptions => ({
  ...defined({
    procRoot: options.procRoot,
    sysRoot: options.sysRoot,
    hostRoot,
    commands: options.commands,
  }),
  watch: options.watch ?? [],
  auto: options.auto ?? true,
  idleBelowPercent: options.idleBelowPercent ?? defaults.idleBelowPercent,
  idleBelowCpuPercent: options.idleBelowCpuPercent ?? defaults.idleBelowCpuPercent,
  idleForMs: options.idleForMs ?? defaults.idleForMs,
});

/**
 * Starts a hive: samples this host, serves it on loopback, and sends heartbeats to the queens named. Resolves once it
 * listens; the first sample follows within an interval or two. `close` sends the last beat (`stopping`) and ends all of
 * it within two seconds, whatever hangs.
 */
export async function startHive(options: HiveOptions = {}, parts: HiveDeps = {}): Promise<RunningHive> {
  checkHiveOptions(options);
  options.signal?.throwIfAborted();
  const intervalMs = options.intervalMs ?? defaults.intervalMs;
  const clock = parts.clock ?? systemClock;
  const [id, address] = [options.id ?? idOfHost(hostname()), options.address ?? null];
  const log: SenderLog = options.logger ?? silent;
  const tls = readTls(options.tls);
  const overHttp = parts.transport ?? ((queen: string) => transportTo(queen, tls, options, parts, log));
  const transports = rendezvousOrder(options.queens ?? [], id).map((queen) => overHttp(queen));
  if (options.nats !== undefined) transports.unshift(await openNats(options.nats, id, log));
  const closeTransports = () => transports.map((transport) => transport.close());
  const runtimeDir = options.runtimeDir ?? defaultRuntimeDir();
  const machine = parts.machine ?? (await openMachine(options));
  const gpu = parts.gpu ?? openGpus(options, intervalMs);
  const told = machine.place.root === null ? null : await openTold(runtimeDir, id, log);
  const sampler = assembleSampler(machine, {
    ...samplerOptions(options, parts),
    ...(told === null ? {} : { reported: told }),
    ...{ gpu, intervalMs, runtimeDir, address },
  });

  const incarnation = randomUUID();
  const startedMs = Date.now();
  const events = new EventLog();
  const listeners = new Set<HiveListener>();
  let state: HiveInfo['state'] = 'starting';
  let draining = false;
  let seq = 0;

  /** A heartbeat of the newest snapshot; the number is given only to those that are sent. */
  const beatOf = (snapshot: Snapshot, number: number): Heartbeat => ({
    schema: 1,
    seq: number,
    sentAt: new Date().toISOString(),
    intervalMs: sender.intervalMs,
    hive: {
      id,
      hostname: hostname().slice(0, 253),
      version: packageVersion(),
      incarnation,
      startedAt: new Date(startedMs + sampler.wallStepMs()).toISOString(),
      address,
      labels: { ...options.labels },
      state,
    },
    ...snapshot,
    events: [...events.pending()],
    faults: [...snapshot.faults, ...ownFaults()],
  });
  const ownFaults = (): Fault[] => {
    const faults: Fault[] = [];
    const failure = sender.failure;
    if (failure !== null) faults.push({ source: 'queen', code: failure.code, message: failure.message.slice(0, 1024) });
    if (events.dropped > 0) {
      faults.push({
        source: 'hive',
        code: 'EVENTS_DROPPED',
        message: `${events.dropped} events were dropped, because no queen took them in time.`,
      });
    }
    return faults;
  };
  const collect = (): void => {
    for (const { reportMark, ...occurrence } of sampler.takeEvents()) {
      const event = events.append(occurrence);
      if (reportMark !== undefined) told?.sent(event.seq, reportMark);
      // Nobody else will acknowledge it.
      if (transports.length === 0) told?.acknowledged(event.seq);
      for (const listener of listeners) listener.event(event);
    }
  };
  const sender: HeartbeatSender = new HeartbeatSender({
    transports,
    intervalMs,
    build: () => {
      seq += 1;
      return asSent(beatOf(sampler.latest() ?? sampler.snapshot(), seq));
    },
    onReply: ({ ackEventSeq }) => {
      if (events.acknowledge(ackEventSeq)) told?.acknowledged(ackEventSeq);
    },
    log,
    clock,
    random: parts.random ?? Math.random,
  });
  const hiveState: HiveState = {
    snapshot: () => {
      const latest = sampler.latest();
      return latest === null ? null : beatOf(latest, Math.max(1, seq));
    },
    sendFailure: () => sender.failure,
  };

  const bornMs = clock.now();
  let lastTickMs = bornMs;
  let lastSnapshotMs: number | null = null;
  const metrics = hiveMetrics(() => ({
    heartbeat: hiveState.snapshot(),
    sinceSnapshotMs: lastSnapshotMs === null ? null : clock.now() - lastSnapshotMs,
    counters: sampler.counters(),
    sends: sender.counts,
    oomKills: events.oomKills,
  }));
  const served = await serveHive({
    host: options.host ?? defaults.host,
    port: options.port ?? defaults.hivePort,
    token: options.token,
    insecure: options.insecure ?? false,
    logger: options.logger,
    metrics: metrics.route,
    view: {
      snapshot: hiveState.snapshot,
      events: () => events.pending(Number.POSITIVE_INFINITY),
      subscribe: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      healthy: () => {
        const ageMs = Math.round(clock.now() - lastTickMs);
        return { ok: ageMs < Math.max(10_000, 5 * intervalMs), detail: { state, tickAgeMs: ageMs } };
      },
    },
  }).catch(async (error: unknown) => {
    metrics.close();
    await Promise.allSettled([sampler.close(), ...closeTransports()]);
    throw error;
  });
  const control = await openControl(join(runtimeDir, `hive-${new URL(served.url).port}.sock`), log, {
    release: (seconds) => sampler.gpu.release(seconds),
    drain: (wanted) => {
      draining = wanted;
      if (state === 'ready' || state === 'draining') state = wanted ? 'draining' : 'ready';
    },
  });

  const granted = () => sender.intervalMs;
  const loads = new LoadReporter(clock, granted, (newest) => sender.sendLoads(newest));
  sampler.onLoad((worker, serving) => loads.report(worker, serving));
  sampler.start((snapshot) => {
    lastTickMs = clock.now();
    lastSnapshotMs = lastTickMs;
    collect();
    // One cgroup that cannot be read must not keep the whole host out of every placement.
    const seen = snapshot.workersComplete || clock.now() - bornMs > startingAtMost * intervalMs;
    if (state === 'starting' && (seen || snapshot.collection.cgroupReader === 'none'))
      state = draining ? 'draining' : 'ready';
    sender.tick();
    if (listeners.size > 0) {
      const beat = beatOf(snapshot, Math.max(1, seq));
      for (const listener of listeners) listener.snapshot(beat);
    }
  });

  let closing: Promise<void> | null = null;
  const end = async (): Promise<void> => {
    state = 'stopping';
    loads.close();
    collect();
    const ended = [sender.stop(lastBeatMs), served.close(), control?.close(), metrics.close()];
    await Promise.allSettled(ended);
    await Promise.allSettled([sampler.close(), ...closeTransports(), told?.flush()]);
  };
  const close = (): Promise<void> => {
    closing ??= end();
    return closing;
  };
  options.signal?.addEventListener('abort', () => void close(), { once: true });
  if (options.signal?.aborted) {
    await close();
    options.signal.throwIfAborted();
  }
  return {
    ...hiveState,
    id,
    incarnation,
    url: served.url,
    control: control?.path ?? null,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Without it a hive tells no exit of the time before it started, rather than the same ones at each start. */
async function openTold(dir: string, id: string, log: SenderLog): Promise<ReportedStore | null> {
  const failed = (error: unknown) =>
    log.warn(
      { err: error },
      `which exits this hive has reported cannot be saved in ${dir}; after its restart some may be reported twice or not at all`,
    );
  try {
    return await ReportedStore.open(dir, id, failed);
  } catch (error) {
    failed(error);
    return null;
  }
}

/** One socket for each port, so that two hives of one user do not take each other's. Without it a hive still does its work. */
async function openControl(
  path: string,
  log: SenderLog,
  actions: HiveControl,
): Promise<{ readonly path: string; close(): Promise<void> } | null> {
  try {
    const { close } = await serveControl(path, actions);
    return { path, close };
  } catch (error) {
    log.warn({ err: error }, `the control socket ${path} cannot be made; the hive cannot be drained or release GPUs`);
    return null;
  }
}
