import type { HiveOptions, NatsOptions, QueenOptions } from '../config/options.js';
import type { Settings } from '../config/settings.js';
import { HivepulseError } from '../util/errors.js';

/** Without the keys that are undefined, as exact optional properties want it. */
export function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

export function hiveOptions(settings: Settings, token: string | null): HiveOptions {
  const { tlsCa: ca, tlsCert: cert, tlsKey: key } = settings;
  requirePair(settings);
  return defined({
    id: settings.id,
    queens: settings.queens,
    nats: natsOptions(settings),
    token: token ?? undefined,
    tls: ca || cert ? defined({ ca, cert, key }) : undefined,
    labels: settings.label,
    address: settings.address,
    intervalMs: settings.interval,
    host: settings.host,
    port: settings.port,
    insecure: settings.insecure,
    root: settings.root,
    procRoot: settings.procRoot,
    watch: settings.watch,
    auto: settings.auto,
    gpu: settings.gpu,
    gpuIsolation: settings.gpuIsolation,
    reader: settings.reader,
    idleBelowPercent: settings.idleBelowPercent,
    idleBelowCpuPercent: settings.idleBelowCpuPercent,
    idleForMs: settings.idleFor,
    runtimeDir: settings.runtimeDir,
  });
}

export function queenOptions(settings: Settings): QueenOptions {
  const { tlsCert: cert, tlsKey: key, tlsClientCa: clientCa } = settings;
  requirePair(settings);
  if (clientCa && !cert) {
    throw new HivepulseError(
      'INVALID_OPTION',
      'tlsClientCa',
      'tlsClientCa needs tlsCert and tlsKey: clients show their certificate over TLS alone.',
    );
  }
  return defined({
    host: settings.host,
    port: settings.port,
    insecure: settings.insecure,
    tokensFile: settings.tokensFile,
    tls: cert && key ? { cert, key, ...defined({ clientCa }) } : undefined,
    state: settings.state,
    staleAfterMs: settings.staleAfter,
    warmingMs: settings.warming,
    eventRingSize: settings.eventRingSize,
    maxHives: settings.maxHives,
    maxWorkersPerHive: settings.maxWorkersPerHive,
    maxHeartbeatBytes: settings.maxHeartbeatBytes,
    allowedHosts: settings.allowedHosts,
    requestsPerSecond: settings.requestsPerSecond,
    maxStreams: settings.maxStreams,
    metricsWorkers: settings.metricsWorkers,
    nats: natsOptions(settings),
  });
}

function natsOptions(settings: Settings): NatsOptions | undefined {
  const {
    nats: servers,
    natsCredentials: credentialsFile,
    natsTlsCa: ca,
    natsTlsCert: cert,
    natsTlsKey: key,
  } = settings;
  if ((cert === undefined) !== (key === undefined)) {
    const [given, missing] = cert ? ['natsTlsCert', 'natsTlsKey'] : ['natsTlsKey', 'natsTlsCert'];
    throw new HivepulseError('INVALID_OPTION', given, `${given} was given without ${missing}: name both PEM files.`);
  }
  if (servers === undefined || servers.length === 0) {
    const given = credentialsFile ? 'natsCredentials' : ca ? 'natsTlsCa' : cert ? 'natsTlsCert' : null;
    if (given === null) return undefined;
    throw new HivepulseError('INVALID_OPTION', given, `${given} was given without nats: name the servers as well.`);
  }
  const tls = ca || cert ? defined({ ca, cert, key }) : undefined;
  return { servers, ...defined({ credentialsFile, tls, replicas: settings.natsReplicas }) };
}

function requirePair({ tlsCert, tlsKey }: Settings): void {
  if ((tlsCert === undefined) === (tlsKey === undefined)) return;
  const [given, missing] = tlsCert ? ['tlsCert', 'tlsKey'] : ['tlsKey', 'tlsCert'];
  throw new HivepulseError('INVALID_OPTION', given, `${given} was given without ${missing}: name both PEM files.`);
}
