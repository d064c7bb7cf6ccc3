import { defaults } from '../contract/defaults.js';
import type { ValueType } from './types.js';
import * as type from './types.js';

/** Who reads a setting. `client` is every command that asks a queen: top, workers, hives, events, doctor. */
export const settingUsers = ['up', 'queen', 'hive', 'sample', 'client'] as const;
export type SettingUser = (typeof settingUsers)[number];

/**
 * One setting: the only place from which its flag, its variable, its key in the file, its line of help and its entry in
 * docs/configuration.md come.
 */
export interface Setting<T> {
  /** Long flag without dashes; null where a flag would show a secret in the list of processes. */
  readonly flag: string | null;
  /** Environment variable, where it is not the key in capitals. */
  readonly variable?: string;
  readonly type: ValueType<T>;
  /** Null: unset, and `without` says what happens then. */
  readonly default: NoInfer<T> | null;
  readonly without?: string;
  readonly description: string;
  /** What going either way costs. */
  readonly tradeoff: string;
  readonly users: readonly SettingUser[];
  /** May stand in the YAML file (default true). */
  readonly inFile?: boolean;
  /** Another default for one user. */
  readonly defaultFor?: Partial<Record<SettingUser, NoInfer<T>>>;
  /** In the documentation only. */
  readonly group:
    | 'Where it listens'
    | 'Who may ask'
    | 'Hive'
    | 'What is watched'
    | 'Worker state'
    | 'Queen'
    | 'NATS'
    | 'Commands that ask'
    | 'All';
}

const define = <T>(setting: Setting<T>): Setting<T> => setting;

const watchers: readonly SettingUser[] = ['up', 'hive'];
const samplers: readonly SettingUser[] = ['up', 'hive', 'sample'];
const queens: readonly SettingUser[] = ['up', 'queen'];
const daemons: readonly SettingUser[] = ['up', 'queen', 'hive'];

export const settings = {
  host: define({
    flag: 'host',
    type: type.host,
    default: defaults.host,
    description: 'Address to listen on.',
    tradeoff:
      'Loopback serves this machine alone. Any other address serves the network, and is refused without tokens unless `insecure` is set.',
    users: daemons,
    group: 'Where it listens',
  }),
  port: define({
    flag: 'port',
    type: type.port,
    default: defaults.queenPort,
    defaultFor: { hive: defaults.hivePort },
    description: 'Port to listen on. 0: one that is free, written to the log.',
    tradeoff: 'A fixed port is found by everyone; a free one never collides, but has to be read from the log.',
    users: daemons,
    group: 'Where it listens',
  }),
  hivePort: define({
    flag: 'hive-port',
    type: type.port,
    default: defaults.hivePort,
    description: 'Port on which the hive part of `up` listens. 0: one that is free.',
    tradeoff: 'As for `port`.',
    users: ['up'],
    group: 'Where it listens',
  }),
  allowedHosts: define({
    flag: 'allowed-host',
    type: type.list(type.host),
    default: [],
    description: 'Names besides loopback under which a browser or proxy may ask a queen that listens on loopback.',
    tradeoff:
      'Needed behind a proxy that passes the Host header on; each name more is one that a hostile page may use.',
    users: queens,
    group: 'Where it listens',
  }),
  insecure: define({
    flag: 'insecure',
    type: type.boolean,
    default: false,
    description: 'Listen on other addresses than loopback without asking for a token.',
    tradeoff:
      'Without it nobody reads command lines or claims GPUs unasked; with it everyone who reaches the port may.',
    users: daemons,
    group: 'Where it listens',
  }),
  tokensFile: define({
    flag: 'tokens-file',
    type: type.path,
    default: null,
    without: 'no token is asked for, and only loopback is served.',
    description:
      'File of the tokens that the queen accepts: lines of `role token [hive]`, roles hive, read, schedule, admin. Read again on SIGHUP.',
    tradeoff: 'One token for all hives is simple; a token bound to its hive cannot speak for another one.',
    users: queens,
    group: 'Who may ask',
  }),
  token: define({
    flag: null,
    type: type.string('token', 'a token of 1 to 255 characters without white space or control characters'),
    default: null,
    without: 'requests carry no token.',
    description: 'Token sent to the queen. There is no flag for it: it would show in the list of processes.',
    tradeoff: 'A variable is seen by every child process; a file (`tokenFile`) only by whoever may read it.',
    users: ['hive', 'client'],
    inFile: false,
    group: 'Who may ask',
  }),
  tokenFile: define({
    flag: 'token-file',
    type: type.path,
    default: null,
    without: 'see `token`.',
    description: 'File that holds the token sent to the queen.',
    tradeoff: 'Keep it readable for the daemon alone (mode 0600); a change takes effect at the next start.',
    users: ['hive', 'client'],
    group: 'Who may ask',
  }),
  tlsCert: define({
    flag: 'tls-cert',
    type: type.path,
    default: null,
    without: 'no certificate is shown: a queen serves plain HTTP.',
    description: 'PEM file of the certificate: of the server for a queen, of the client for a hive. Needs `tlsKey`.',
    tradeoff: 'TLS hides tokens and command lines on the network, and costs a handshake per connection.',
    users: daemons,
    group: 'Who may ask',
  }),
  tlsKey: define({
    flag: 'tls-key',
    type: type.path,
    default: null,
    without: 'see `tlsCert`.',
    description: 'PEM file of the private key of `tlsCert`.',
    tradeoff: 'Keep it readable for the daemon alone.',
    users: daemons,
    group: 'Who may ask',
  }),
  tlsCa: define({
    flag: 'tls-ca',
    type: type.path,
    default: null,
    without: 'the certificate authorities that Node.js knows.',
    description: 'PEM file of the certificate authority that signed the certificate of the queen.',
    tradeoff: 'A private authority needs no outside party, but has to reach every host.',
    users: ['hive', 'client'],
    group: 'Who may ask',
  }),
  tlsClientCa: define({
    flag: 'tls-client-ca',
    type: type.path,
    default: null,
    without: 'clients need no certificate.',
    description:
      'PEM file of the certificate authority of clients; with it a queen serves only those who show a certificate.',
    tradeoff: 'A stolen token alone is useless then; every client, browsers included, needs a certificate.',
    users: queens,
    group: 'Who may ask',
  }),

  id: define({
    flag: 'id',
    type: type.id,
    default: null,
    without: 'the host name.',
    description: 'Id of this hive, unique in the fleet.',
    tradeoff: 'The host name needs no care; a name of your own survives a renamed or re-imaged host.',
    users: watchers,
    group: 'Hive',
  }),
  queens: define({
    flag: 'queen',
    variable: 'HIVEPULSE_QUEEN',
    type: type.list(type.url(['http:', 'https:'], 'http://10.0.0.1:7833'), 16),
    default: null,
    defaultFor: { client: [`http://${defaults.host}:${defaults.queenPort}`] },
    without: 'the hive only samples and serves itself.',
    description: 'Address of the queen. Several may be named; the first that answers is used.',
    tradeoff: 'Several queens survive the loss of one, but need a shared bus (`nats`) to know the same fleet.',
    users: ['hive', 'client'],
    group: 'Hive',
  }),
  label: define({
    flag: 'label',
    type: type.labels,
    default: {},
    description: 'Labels of this hive; placements and queries can ask for them.',
    tradeoff: 'Each one is sent with every heartbeat and kept by the queen.',
    users: watchers,
    group: 'Hive',
  }),
  address: define({
    flag: 'address',
    type: type.string('host', 'a host name or address of at most 255 characters'),
    default: null,
    without: 'none is said.',
    description: 'Where this host is reached by those who use its workers.',
    tradeoff: 'Routers can build an endpoint from it; it is taken on trust.',
    users: watchers,
    group: 'Hive',
  }),
  interval: define({
    flag: 'interval',
    type: type.duration(100, 600_000),
    default: defaults.intervalMs,
    description: 'Time between two samples, and between two heartbeats.',
    tradeoff:
      'Shorter notices changes sooner and costs more CPU on the host and at the queen; longer also delays `late` and `offline`, which count intervals.',
    users: watchers,
    group: 'Hive',
  }),
  runtimeDir: define({
    flag: 'runtime-dir',
    type: type.path,
    default: null,
    without: '`/run/hivepulse`, or `$XDG_RUNTIME_DIR/hivepulse` for an ordinary user.',
    description: 'Directory in which `hivepulse run` leaves what it knows of workers, and where the control socket is.',
    tradeoff: '`run` and `hive` must name the same one, or workers lose their model, port and labels.',
    users: samplers,
    group: 'Hive',
  }),

  watch: define({
    flag: 'watch',
    type: type.list(type.glob),
    default: [],
    description: 'cgroups to watch besides those found by themselves.',
    tradeoff:
      'Each one costs about 10 microseconds per sample; a pattern that is too wide shows system services as workers.',
    users: samplers,
    group: 'What is watched',
  }),
  auto: define({
    flag: 'auto',
    type: type.boolean,
    default: true,
    description:
      'Watch containers, known inference engines and whatever holds a GPU. `--no-auto` watches only own workers and `watch`.',
    tradeoff: 'On: nothing is overlooked. Off: nothing is shown that was not asked for.',
    users: samplers,
    group: 'What is watched',
  }),
  root: define({
    flag: 'root',
    type: type.path,
    default: null,
    without: 'the cgroup2 mount in /proc/self/mountinfo.',
    description: 'Root of the cgroup v2 tree.',
    tradeoff: 'Set it only where the tree of the host is mounted elsewhere, as in a container.',
    users: samplers,
    group: 'What is watched',
  }),
  procRoot: define({
    flag: 'proc-root',
    type: type.path,
    default: '/proc',
    description: 'The proc file system of the host.',
    tradeoff: 'Set it only where /proc of the host is mounted elsewhere, as in a container without its pid namespace.',
    users: samplers,
    group: 'What is watched',
  }),
  reader: define({
    flag: 'reader',
    type: type.oneOf(['auto', 'native', 'files']),
    default: 'auto',
    description: 'Reader of cgroup files: `native` (C++), `files` (TypeScript), or `auto`: native where it loads.',
    tradeoff:
      '`native` refuses to start where the addon does not load; `files` runs everywhere and costs several times the CPU.',
    users: samplers,
    group: 'What is watched',
  }),
  gpu: define({
    flag: 'gpu',
    type: type.oneOf(['auto', 'nvml', 'nvidia-smi', 'none']),
    default: 'auto',
    description: 'Reader of GPUs: NVML, the `nvidia-smi` program, none, or `auto`: the first that works.',
    tradeoff:
      'NVML answers in milliseconds and keeps the driver open; nvidia-smi takes seconds, but each run lets go of the driver.',
    users: samplers,
    group: 'What is watched',
  }),
  gpuIsolation: define({
    flag: 'gpu-isolation',
    type: type.oneOf(['process', 'thread']),
    default: 'process',
    description: 'Where NVML is called: in a process of its own, or in a thread of the daemon.',
    tradeoff:
      'A driver that hangs or crashes costs only the process; the thread saves about 10 MiB, but can keep a dying daemon alive.',
    users: samplers,
    group: 'What is watched',
  }),

  idleBelowPercent: define({
    flag: 'idle-below',
    type: type.percent(100),
    default: defaults.idleBelowPercent,
    description: 'A worker that holds GPU memory is idle at or below this GPU utilization.',
    tradeoff: 'Higher calls a worker with background work idle; lower may never find one whose engine polls the GPU.',
    users: watchers,
    group: 'Worker state',
  }),
  idleBelowCpuPercent: define({
    flag: 'idle-below-cpu',
    type: type.percent(6400),
    default: defaults.idleBelowCpuPercent,
    description: 'A worker without GPU memory is idle at or below this CPU; 100 is one core.',
    tradeoff: 'Higher calls slow work idle; lower lets housekeeping threads look like work.',
    users: watchers,
    group: 'Worker state',
  }),
  idleFor: define({
    flag: 'idle-for',
    type: type.duration(0, 3_600_000),
    default: defaults.idleForMs,
    description: 'How long a worker must be below before it is called idle.',
    tradeoff: 'Longer bridges pauses between requests; shorter frees a worker for scheduling sooner.',
    users: watchers,
    group: 'Worker state',
  }),

  state: define({
    flag: 'state',
    type: type.path,
    default: null,
    without: 'reservations are lost at a restart.',
    description: 'Directory in which the queen keeps reservations.',
    tradeoff: 'Reservations outlive a restart; each costs a synchronous write.',
    users: queens,
    group: 'Queen',
  }),
  staleAfter: define({
    flag: 'stale-after',
    type: type.duration(10_000, 86_400_000),
    default: defaults.staleAfterMs,
    description: 'A hive and all its workers are forgotten this long after its last heartbeat.',
    tradeoff: 'Longer keeps a rebooting host in the lists; shorter clears the dead away sooner.',
    users: queens,
    group: 'Queen',
  }),
  warming: define({
    flag: 'warming',
    type: type.duration(0, 600_000),
    default: defaults.warmingMs,
    description: 'How long a started queen says `warming`, because it has not yet heard the whole fleet.',
    tradeoff:
      'Shorter than the longest interval and backoff of the hives, schedulers see half a fleet; longer delays them after a restart.',
    users: queens,
    group: 'Queen',
  }),
  eventRingSize: define({
    flag: 'event-ring-size',
    type: type.integer(100, 1_000_000),
    default: defaults.eventRingSize,
    description: 'Events kept, so that a stream that was cut goes on where it ended.',
    tradeoff: 'More covers longer cuts, at about 300 bytes an event.',
    users: queens,
    group: 'Queen',
  }),
  maxHives: define({
    flag: 'max-hives',
    type: type.integer(1, 1_000_000),
    default: defaults.maxHives,
    description: 'Hives beyond this are refused.',
    tradeoff: 'Bounds the memory that a faulty or hostile sender can take; too low keeps new hosts out.',
    users: queens,
    group: 'Queen',
  }),
  maxWorkersPerHive: define({
    flag: 'max-workers-per-hive',
    type: type.integer(1, 100_000),
    default: defaults.maxWorkersPerHive,
    description: 'A heartbeat with more workers is refused.',
    tradeoff: 'Bounds memory; too low loses a crowded host.',
    users: queens,
    group: 'Queen',
  }),
  maxHeartbeatBytes: define({
    flag: 'max-heartbeat-bytes',
    type: type.bytes(64 * 1024, 256 * 1024 ** 2),
    default: defaults.maxHeartbeatBytes,
    description: 'Largest heartbeat that is read, counted after decompression.',
    tradeoff: 'Bounds memory per request; 100 workers take about 100 KiB.',
    users: queens,
    group: 'Queen',
  }),
  requestsPerSecond: define({
    flag: 'requests-per-second',
    type: type.integer(1, 1_000_000),
    default: defaults.requestsPerSecond,
    description: 'Requests that one token (without tokens, one address) may make; heartbeats are counted per hive.',
    tradeoff: 'Lower keeps one caller from starving the others; too low refuses an eager scheduler with 429.',
    users: queens,
    group: 'Queen',
  }),
  maxStreams: define({
    flag: 'max-streams',
    type: type.integer(1, 100_000),
    default: defaults.maxStreams,
    description: 'Event streams that may be open at one time.',
    tradeoff: 'Each one costs some 10 KiB and a share of every heartbeat; too low keeps pages and routers out.',
    users: queens,
    group: 'Queen',
  }),
  metricsWorkers: define({
    flag: 'metrics-workers',
    type: type.integer(0, 100_000),
    default: defaults.metricsWorkers,
    description: 'Workers that have series of their own at /metrics of the queen; 0: none.',
    tradeoff:
      'Each one is some 15 series; where Prometheus scrapes the hives as well, it has them from there, and 0 saves them here.',
    users: queens,
    group: 'Queen',
  }),
  nats: define({
    flag: 'nats',
    type: type.list(type.url(['nats:', 'tls:'], 'nats://10.0.0.1:4222'), 16),
    default: null,
    without: 'one queen, everything in its memory; a hive sends to its queens over HTTP.',
    description:
      'NATS servers through which several queens share one fleet. A hive that names them publishes there, and uses `queens` only where they are out of reach.',
    tradeoff: 'The fleet survives the loss of a queen; it needs a NATS server (2.9 or newer) with JetStream.',
    users: daemons,
    group: 'NATS',
  }),
  natsCredentials: define({
    flag: 'nats-credentials',
    type: type.path,
    default: null,
    without: 'none are shown.',
    description: 'Credentials file for the NATS servers, as `nsc` writes it.',
    tradeoff: 'With it the servers decide who may publish as which hive; keep it readable for the daemon alone.',
    users: daemons,
    group: 'NATS',
  }),
  natsTlsCa: define({
    flag: 'nats-tls-ca',
    type: type.path,
    default: null,
    without: 'the certificate authorities that Node.js knows, where the address begins with tls://.',
    description: 'PEM file of the certificate authority that signed the certificates of the NATS servers.',
    tradeoff: 'A private authority needs no outside party, but has to reach every host.',
    users: daemons,
    group: 'NATS',
  }),
  natsTlsCert: define({
    flag: 'nats-tls-cert',
    type: type.path,
    default: null,
    without: 'no certificate is shown to the NATS servers.',
    description: 'PEM file of the certificate to show to the NATS servers. Needs `natsTlsKey`.',
    tradeoff: 'A stolen credentials file alone is useless then; every host needs a certificate.',
    users: daemons,
    group: 'NATS',
  }),
  natsTlsKey: define({
    flag: 'nats-tls-key',
    type: type.path,
    default: null,
    without: 'see `natsTlsCert`.',
    description: 'PEM file of the private key of `natsTlsCert`.',
    tradeoff: 'Keep it readable for the daemon alone.',
    users: daemons,
    group: 'NATS',
  }),
  natsReplicas: define({
    flag: 'nats-replicas',
    type: type.integer(1, 5),
    default: 1,
    description: 'Copies of events, reservations and the lease that NATS keeps, where it has to make them: 1, 3 or 5.',
    tradeoff: '3 survive the loss of a NATS server and need a cluster of three; each write then waits for two of them.',
    users: queens,
    group: 'NATS',
  }),

  logLevel: define({
    flag: 'log-level',
    type: type.oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], 'level'),
    default: 'info',
    description: 'Least severe messages that are logged, to standard error: JSON lines, or plain lines on a terminal.',
    tradeoff: '`debug` explains decisions at some lines a second; `warn` leaves only what needs somebody.',
    users: daemons,
    group: 'All',
  }),
} as const;

export type SettingKey = keyof typeof settings;
type ValueOf<S> = S extends Setting<infer T> ? T : never;
/** Values by key; what is absent was neither given nor has a default. */
export type Settings = { readonly [K in SettingKey]?: ValueOf<(typeof settings)[K]> };

export const settingKeys = Object.keys(settings) as SettingKey[];

/** The settings of one user, in the order of the table. */
export const settingsOf = (user: SettingUser): readonly SettingKey[] =>
  settingKeys.filter((key) => settings[key].users.includes(user));

/** The table entry without its value type, for code that handles all settings alike. */
export const settingOf = (key: SettingKey): Setting<unknown> => settings[key] as unknown as Setting<unknown>;

/** `HIVEPULSE_MAX_HIVES` for `maxHives`. */
export const variableOf = (key: SettingKey): string =>
  settingOf(key).variable ?? `HIVEPULSE_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

export function defaultOf(key: SettingKey, user: SettingUser): unknown {
  const setting = settingOf(key);
  return setting.defaultFor?.[user] ?? setting.default;
}
