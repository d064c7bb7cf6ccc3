import { isIPv6 } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { Server } from 'node:tls';
import { getHeapStatistics } from 'node:v8';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import type { Logger } from 'pino';
import { HeartbeatStreams } from '../api/heartbeat-streams.js';
import { queenMetrics } from '../api/metrics.js';
import { buildServer } from '../api/server.js';
import { StreamHub } from '../api/stream-hub.js';
import type { Bus } from '../cluster/bus.js';
import { memoryBus } from '../cluster/memory.js';
import { checkQueenOptions } from '../config/check-options.js';
import type { QueenOptions, Running, TokenGrant } from '../config/options.js';
import { defaults } from '../contract/defaults.js';
import { readableByAll, readTokens, TokenTable } from '../http/auth.js';
import { HeartbeatIntake } from '../queen/intake.js';
import type { KeptFile } from '../queen/kept-file.js';
import { heapLimit, memoryLimits } from '../queen/memory-limits.js';
import { Registry } from '../queen/registry.js';
import type { RegistryOptions } from '../queen/registry-options.js';
import { nextRequestedInterval } from '../queen/requested-interval.js';
import { defined } from '../util/defined.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { isLoopbackAddress } from '../util/host-address.js';
import { readNamedFile } from '../util/named-file.js';
import { packageRoot } from '../util/package-root.js';
import { packageVersion } from '../util/version.js';
import { keepState } from './kept-state.js';
import { startNotifier } from './notifier.js';
import { sessionContextOf, ticketSeconds } from './ticket-keys.js';

/** How often liveness is looked at: everything due is done within this time. */
const tickMs = 250;
/** How often it is looked whether hives should speak less often. */
const paceEveryMs = 5000;

export interface Queen extends Running {
  readonly port: number;
  readonly registry: Registry;
  /** Reads the tokens file again; one that is wrong leaves the old tokens in force and throws. */
  reloadTokens(): void;
}

/** Where the build puts the page. */
const pageDirectory = join(packageRoot, 'dist/dashboard');

interface QueenExtras {
  readonly plugins?: (registry: Registry, hub: StreamHub) => readonly FastifyPluginAsync[];
  /** Over what the options say: clocks, the name of the stream. */
  readonly registry?: RegistryOptions;
  /** Of one hive; a benchmark sends more than any hive. */
  readonly heartbeatsPerSecond?: number;
}

/**
 * Starts a queen: the registry, its HTTP API, its event stream and the page.
 * @throws HivepulseError INSECURE_BIND, ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, CONFIG_UNREADABLE, STATE_UNWRITABLE,
 * INVALID_OPTION, CLOSED
 */
export async function startQueen(options: QueenOptions = {}, extras: QueenExtras = {}): Promise<Queen> {
  checkQueenOptions(options);
  const { host = defaults.host, port = defaults.queenPort, logger, signal } = options;
  throwIfAborted(signal);
  const grants = grantsOf(options);
  const tokens = new TokenTable(grants());
  if (!isLoopbackAddress(host) && !tokens.required && options.tls?.clientCa === undefined && options.insecure !== true)
    throw new HivepulseError(
      'INSECURE_BIND',
      host,
      `${host} is reachable from other machines, and no token is set: name a tokens file, bind to 127.0.0.1, or accept it with --insecure.`,
    );
  const { registry, hub, streams, app, tickets, stop } = await assemble({ ...options, host }, extras, tokens);
  tickets?.attach(app.server as unknown as Server);
  const bound = await listen(app, host, port).catch(async (error) => {
    await stop();
    throw error;
  });

  const reloadTokens = () => {
    tokens.replace(grants());
    if (!tokens.required) return;
    hub.endWhere((caller) => !tokens.knows(caller));
    streams.endWhere((caller) => !tokens.knows(caller));
  };
  const onHangUp = () => reloadAndLog(reloadTokens, logger);
  if (options.tokensFile !== undefined) process.on('SIGHUP', onHangUp);

  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    signal?.removeEventListener('abort', onAbort);
    process.off('SIGHUP', onHangUp);
    closing ??= stop();
    return closing;
  };
  const onAbort = () => void close();
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) {
    await close();
    throwIfAborted(signal);
  }
  const url = urlOf(host, bound, options.tls !== undefined);
  return { url, port: bound, registry, reloadTokens, close, [Symbol.asyncDispose]: close };
}

/** All parts of a queen, not yet listening. `stop` ends them in order. */
async function assemble(options: QueenOptions & { host: string }, extras: QueenExtras, tokens: TokenTable) {
  const { logger, tls } = options;
  const { heartbeatsPerSecond = defaults.heartbeatsPerSecond } = extras;
  const { staleAfterMs, warmingMs, eventRingSize, maxHives, maxWorkersPerHive, maxHeartbeatBytes, ...settings } = {
    ...defaults,
    ...defined(options),
  };
  const memory = memoryOf(logger);
  const registry = new Registry({
    tickMs,
    staleAfterMs,
    warmingMs,
    eventRingSize,
    maxHives,
    maxWorkersPerHive,
    memory,
    ...extras.registry,
  });
  const hub = new StreamHub(registry, {
    maxClients: settings.maxStreams,
    maxUnreadBytes: memory.streamBytes,
    onEvicted: logEvicted(logger),
  });
  const intake = new HeartbeatIntake(registry, { maxHeartbeatBytes, maxWorkersPerHive, heartbeatsPerSecond });
  const kept = await keepState(registry, staleAfterMs, options);
  const bus = await openBus(registry, intake, options, kept.reservations);
  intake.forwarder = bus;
  const streams = new HeartbeatStreams({ registry, intake, ...(logger === undefined ? {} : { log: logger }) });
  bus.keyframeWanted = (hive) => streams.askForKeyframe(hive);
  const version = packageVersion();
  const metrics = queenMetrics(() => ({
    registry,
    heartbeats: intake.counts,
    streams: hub.clients,
    streamsParted: hub.evicted,
    maxWorkers: settings.metricsWorkers,
    maxGpus: settings.metricsGpus,
    version,
    bus: bus.state(),
    shared: bus.counts(),
  }));
  const app = await buildServer({
    registry,
    hub,
    intake,
    streams,
    bus,
    tokens,
    loopback: isLoopbackAddress(options.host),
    version,
    pageDirectory,
    allowedHosts: options.allowedHosts ?? [],
    requestsPerSecond: settings.requestsPerSecond,
    ...(logger === undefined ? {} : { logger }),
    ...(tls === undefined ? {} : { tls: readTls(tls) }),
    plugins: [metrics, ...(extras.plugins?.(registry, hub) ?? [])],
  });
  const stopNotifier = await notify(registry, bus, options);
  const stopTicking = tick(registry, intake, kept.look);
  const stop = async () => {
    stopTicking();
    await stopNotifier();
    await app.close();
    await bus.close();
    await kept.close();
  };
  return { registry, hub, streams, app, tickets: kept.tickets, stop };
}

const logEvicted = (logger: Logger | undefined) => (reader: object, count: number) =>
  logger?.warn({ ...reader, count }, 'an event stream was closed: its reader did not keep up');

/** Of queens that share a fleet the leader alone sends. */
function notify(registry: Registry, bus: Bus, options: QueenOptions): Promise<() => Promise<void>> {
  const { webhook, webhookSecret, webhookSecretFile, state, staleAfterMs = defaults.staleAfterMs, logger } = options;
  return startNotifier(registry, {
    ...defined({ webhook, webhookSecret, webhookSecretFile, state }),
    staleAfterMs,
    isLeader: () => bus.counts()?.isLeader ?? true,
    warn: (message) => logger?.warn(message),
  });
}

/** What each part may take of this process's heap; where that does not fit the cgroup, the log says so. */
function memoryOf(logger: QueenOptions['logger']) {
  const heap = heapLimit(getHeapStatistics().heap_size_limit, cgroupLimit());
  if (heap.warning !== null) logger?.warn(heap.warning);
  return memoryLimits(heap.bytes);
}

/** Bytes that the cgroup of this process may take; null: no limit. */
function cgroupLimit(): number | null {
  const bytes = process.constrainedMemory() ?? 0;
  return bytes > 0 && bytes < totalmem() ? bytes : null;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new HivepulseError('CLOSED', 'queen', 'The queen was asked to end before it had started.', {
      cause: signal.reason,
    });
}

/** The packages of NATS, and what builds on them, are loaded where they are asked for. */
async function openBus(
  registry: Registry,
  intake: HeartbeatIntake,
  { nats, logger }: QueenOptions,
  reservations: KeptFile | null,
): Promise<Bus> {
  if (nats === undefined)
    return memoryBus(
      registry,
      () => reservations?.saved() ?? Promise.resolve(),
      (error) => logger?.error({ err: error }, 'reservations are not kept over a restart'),
    );
  const { openNatsBus } = await import('../cluster/nats.js');
  return await openNatsBus({ registry, nats, intake, ...(logger === undefined ? {} : { log: logger }) });
}

/** What gives the tokens, now and at a reload. A file that is named but empty would open the queen to all: an error. */
function grantsOf({ tokens = [], tokensFile, logger }: QueenOptions): () => readonly TokenGrant[] {
  // A reload may not keep the queen waiting for a pipe, as its start may.
  let wait: { readonly deadlineMs?: number } = {};
  return () => {
    if (tokensFile === undefined) return tokens;
    const grants = [...tokens, ...readTokens(tokensFile, wait)];
    wait = { deadlineMs: 100 };
    if (readableByAll(tokensFile))
      logger?.warn(`every user of this machine can read the tokens in ${tokensFile}: chmod o-r ${tokensFile}`);
    if (grants.length === 0)
      throw new HivepulseError('CONFIG_UNREADABLE', tokensFile, `The tokens file ${tokensFile} holds no token.`);
    return grants;
  };
}

function reloadAndLog(reload: () => void, logger: Logger | undefined): void {
  try {
    reload();
    logger?.info('tokens read again');
  } catch (error) {
    logger?.error({ err: error }, 'the tokens file is wrong; the old tokens stay in force');
  }
}

function readTls(tls: NonNullable<QueenOptions['tls']>) {
  const read = (path: string) => readNamedFile(path, { fix: 'It was named for TLS' });
  const cert = read(tls.cert);
  const clientCa = tls.clientCa === undefined ? undefined : read(tls.clientCa);
  return {
    cert,
    key: read(tls.key),
    ...defined({ clientCa }),
    sessionIdContext: sessionContextOf(cert, clientCa),
    sessionTimeout: ticketSeconds,
  };
}

/** Re-armed after each look, so that a stalled loop is looked at once, not many times; never keeps the process alive. */
function tick(registry: Registry, intake: HeartbeatIntake, look: () => void): () => void {
  let lookedAt = performance.now();
  let { acceptedMs } = intake;
  let used = process.cpuUsage();
  /** Of many hives that fall silent together a part is removed at a time: whoever waits comes in between. */
  const advance = () => {
    registry.advance();
    if ((registry.nextDueMs() ?? Infinity) <= performance.now()) setImmediate(advance);
  };
  const timer = setTimeout(() => {
    advance();
    registry.sampleFleet();
    look();
    const elapsedMs = performance.now() - lookedAt;
    if (elapsedMs >= paceEveryMs) {
      const { user, system } = process.cpuUsage(used);
      registry.requestedIntervalMs = nextRequestedInterval(registry.requestedIntervalMs, {
        all: (user + system) / 1000 / elapsedMs,
        heartbeats: (intake.acceptedMs - acceptedMs) / elapsedMs,
      });
      ({ acceptedMs } = intake);
      lookedAt = performance.now();
      used = process.cpuUsage();
    }
    timer.refresh();
  }, tickMs).unref();
  return () => clearTimeout(timer);
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const code = systemCode(error);
    const where = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
    if (code === 'EADDRINUSE')
      throw new HivepulseError(
        'ADDRESS_IN_USE',
        where,
        `${where} is taken, perhaps by another queen: end it, or choose another port with --port.`,
        { cause: error },
      );
    throw new HivepulseError('ADDRESS_UNAVAILABLE', where, `The queen cannot listen on ${where}: ${code ?? error}.`, {
      cause: error,
    });
  }
  const address = app.server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function urlOf(host: string, port: number, secure: boolean): string {
  const any = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${secure ? 'https' : 'http'}://${isIPv6(any) ? `[${any}]` : any}:${port}`;
}
