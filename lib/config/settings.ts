import { defaults } from '../contract/defaults.js';
import { commandModes } from '../contract/enums.js';
import { type Setting, type SettingUser, section } from './setting.js';
import * as type from './types.js';

const listening = section('Where it listens', ['up', 'queen', 'hive']);
const access = section('Who may ask', ['up', 'queen', 'hive']);
const hive = section('Hive', ['up', 'hive']);
const watched = section('What is watched', ['up', 'hive', 'sample']);
const workerState = section('Worker state', ['up', 'hive']);
const queen = section('Queen', ['up', 'queen']);
const nats = section('NATS', ['up', 'queen', 'hive']);
const log = section('All', ['up', 'queen', 'hive']);

export const settings = {
  host: listening({
    type: type.host,
    default: defaults.host,
    description: 'Address to listen on.',
    tradeoff:
      'Loopback serves this machine alone. Any other address serves the network, and is refused without tokens unless `insecure` is set.',
  }),
  port: listening({
    type: type.port,
    default: defaults.queenPort,
    defaultFor: { hive: defaults.hivePort },
    description: 'Port to listen on. 0: any free port, written to the log.',
    tradeoff: 'A fixed port is found by everyone; a free one never collides, but has to be read from the log.',
  }),
  hivePort: listening({
    type: type.port,
    option: null,
    default: defaults.hivePort,
    description: 'Port on which the hive part of `up` listens. 0: any free port.',
    tradeoff: 'As for `port`.',
    users: ['up'],
  }),
  allowedHosts: listening({
    flag: 'allowed-host',
    type: type.list(type.host),
    default: [],
    description: 'Names besides loopback under which a browser or proxy may ask a queen that listens on loopback.',
    tradeoff:
      'Needed behind a proxy that passes the Host header on; each name more is one that a hostile page may use.',
    users: ['up', 'queen'],
  }),
  insecure: listening({
    type: type.boolean,
    default: false,
    description: 'Listen on addresses other than loopback without requiring a token.',
    tradeoff:
      'Without it nobody reads command lines or claims GPUs unasked; with it everyone who reaches the port may.',
  }),
  tokensFile: access({
    type: type.path,
    without: 'no token is asked for, and only loopback is served.',
    description:
      'File of the tokens that the queen accepts: lines of `role token [hive]`, roles hive, read, schedule, admin. Read again on SIGHUP.',
    tradeoff: 'One token for all hives is simple; a token bound to its hive cannot speak for another one.',
    users: ['up', 'queen'],
  }),
  token: access({
    flag: null,
    type: type.secret('token'),
    option: null,
    without: 'requests carry no token.',
    description: 'Token sent to the queen. There is no flag for it: it would show in the list of processes.',
    tradeoff:
      'A variable is seen by whoever may read the environment of the process, which is its user and root, and reaches no worker; a file (`tokenFile`) by whoever may read it.',
    users: ['hive', 'client'],
    inFile: false,
  }),
  tokenFile: access({
    type: type.path,
    option: null,
    without: 'see `token`.',
    description: 'File that holds the token sent to the queen.',
    tradeoff: 'Keep it readable for the daemon alone (mode 0600); a change takes effect at the next start.',
    users: ['hive', 'client'],
  }),
  tlsCert: access({
    type: type.path,
    option: 'tls.cert',
    without: 'no certificate is shown: a queen serves plain HTTP.',
    description: 'PEM file of the certificate: of the server for a queen, of the client for a hive. Needs `tlsKey`.',
    tradeoff: 'TLS hides tokens and command lines on the network, and costs a handshake per connection.',
  }),
  tlsKey: access({
    type: type.path,
    option: 'tls.key',
    without: 'see `tlsCert`.',
    description: 'PEM file of the private key of `tlsCert`.',
    tradeoff: 'Keep it readable for the daemon alone.',
  }),
  tlsCa: access({
    type: type.path,
    option: 'tls.ca',
    without: 'the certificate authorities that Node.js knows.',
    description: 'PEM file of the certificate authority that signed the certificate of the queen.',
    tradeoff: 'A private authority needs no outside party, but has to reach every host.',
    users: ['hive', 'client'],
  }),
  tlsClientCa: access({
    type: type.path,
    option: 'tls.clientCa',
    without: 'clients need no certificate.',
    description:
      'PEM file of the certificate authority of clients; with it a queen serves only those who show a certificate.',
    tradeoff: 'A stolen token alone is useless then; every client, browsers included, needs a certificate.',
    users: ['up', 'queen'],
  }),
  id: hive({
    type: type.id,
    without: 'the host name.',
    description: 'Id of this hive, unique in the fleet.',
    tradeoff: 'The host name needs no care; a name of your own survives a renamed or re-imaged host.',
  }),
  queens: hive({
    flag: 'queen',
    variable: 'HIVEPULSE_QUEEN',
    type: type.list(type.urlOrHostPort(['http:', 'https:'], 'http://10.0.0.1:7833'), 16),
    defaultFor: { client: [`http://${defaults.host}:${defaults.queenPort}`] },
    without: 'the hive only samples and serves itself.',
    description: 'Address of the queen, also as host:port. Several may be named; the first that answers is used.',
    tradeoff: 'Several queens survive the loss of one, but need a shared bus (`nats`) to know the same fleet.',
    users: ['hive', 'client'],
  }),
  label: hive({
    type: type.labels,
    option: 'labels',
    default: {},
    description: 'Labels of this hive; placements and queries can ask for them.',
    tradeoff: 'Each one is sent with every heartbeat and kept by the queen.',
  }),
  address: hive({
    type: type.hostAddress,
    without: 'only a worker that listens on one address has an endpoint.',
    description: 'Where this host is reached by those who use its workers.',
    tradeoff: 'Endpoints of workers that listen on all addresses are made from it; it is taken on trust.',
  }),
  interval: hive({
    type: type.duration(100, 600_000),
    option: 'intervalMs',
    default: defaults.intervalMs,
    description: 'Time between two samples, and between two heartbeats.',
    tradeoff:
      'Shorter notices changes sooner and costs more CPU on the host and at the queen; longer also delays `late` and `offline`, which count intervals.',
  }),
  runtimeDir: hive({
    type: type.path,
    without: '`/run/hivepulse`, or `$XDG_RUNTIME_DIR/hivepulse` for an ordinary user.',
    description: 'Directory in which `hivepulse run` leaves what it knows of workers, and where the control socket is.',
    tradeoff: '`run` and `hive` must name the same one, or workers lose their model, port and labels.',
    users: ['up', 'hive', 'sample'],
  }),
  stream: hive({
    type: type.boolean,
    default: true,
    description:
      'Send heartbeats over one lasting WebSocket (docs/stream.md), falling back to POST. `--no-stream` sends each by POST.',
    tradeoff: 'On: a small part of the bytes and of the CPU of the queen. Off: one plain request for each heartbeat.',
  }),
  watch: watched({
    type: type.list(type.glob),
    default: [],
    description: 'Extra cgroups to watch, beyond those discovered.',
    tradeoff: 'Each one costs a little of every sample; a pattern that is too wide shows system services as workers.',
  }),
  auto: watched({
    type: type.boolean,
    default: true,
    description:
      'Watch containers, known inference engines and whatever holds a GPU. `--no-auto` watches only own workers and `watch`.',
    tradeoff: 'On: nothing is overlooked. Off: nothing is shown that was not asked for.',
  }),
  commands: watched({
    type: type.oneOf(commandModes),
    without: '`safe`; `none` where /proc is mounted with `hidepid`, since users then do not see those of others.',
    description:
      'What is shown of command lines: `safe` is the program, the names of options and, of known engines, the values that are known to be harmless; `full` is all but what looks like a secret; `none` is nothing.',
    tradeoff:
      '`safe` lets no secret out, and hides harmless arguments of unknown programs with it. `full` shows each secret that does not look like one to everybody who reads the fleet.',
  }),
  root: watched({
    type: type.path,
    without: 'the cgroup2 mount in /proc/self/mountinfo.',
    description: 'Root of the cgroup v2 tree.',
    tradeoff: 'Set it only where the tree of the host is mounted elsewhere, as in a container.',
  }),
  procRoot: watched({
    type: type.path,
    default: '/proc',
    description: 'The proc file system of the host.',
    tradeoff: 'Set it only where /proc of the host is mounted elsewhere, as in a container without its pid namespace.',
  }),
  sysRoot: watched({
    type: type.path,
    default: '/sys',
    description: 'The sys file system of the host: AMD and Intel GPUs, and names of block devices, are read there.',
    tradeoff: 'Set it only where /sys of the host is mounted elsewhere, as in a container.',
  }),
  reader: watched({
    type: type.oneOf(['auto', 'native', 'files']),
    default: 'auto',
    description: 'Reader of cgroup files: `native` (C++), `files` (TypeScript), or `auto`: native where it loads.',
    tradeoff:
      '`native` refuses to start where the addon does not load; `files` runs everywhere and costs several times the CPU.',
  }),
  gpu: watched({
    type: type.oneOf(['auto', 'nvml', 'nvidia-smi', 'none']),
    default: 'auto',
    description: 'Reader of GPUs: NVML, the `nvidia-smi` program, none, or `auto`: the first that works.',
    tradeoff:
      'NVML answers in milliseconds and keeps the driver open; nvidia-smi takes seconds, but each run lets go of the driver.',
  }),
  gpuIsolation: watched({
    type: type.oneOf(['process', 'thread']),
    default: 'process',
    description: 'Where NVML is called: in a process of its own, or in a thread of the daemon.',
    tradeoff:
      'A driver that hangs or crashes costs only the process; the thread saves its memory, but can keep a dying daemon alive.',
  }),
  allGpus: watched({
    type: type.boolean,
    default: false,
    description: 'Show integrated GPUs of AMD and Intel too while no process holds them.',
    tradeoff: 'On: every GPU of the host is listed. Off: one that only drives a display, or nothing, is left out.',
  }),
  idleBelowPercent: workerState({
    flag: 'idle-below',
    type: type.percent(100),
    default: defaults.idleBelowPercent,
    description: 'A worker that holds GPU memory is idle at or below this GPU utilization.',
    tradeoff: 'Higher calls a worker with background work idle; lower may never find one whose engine polls the GPU.',
  }),
  idleBelowCpuPercent: workerState({
    flag: 'idle-below-cpu',
    type: type.percent(6400),
    default: defaults.idleBelowCpuPercent,
    description: 'A worker without GPU memory is idle at or below this CPU; 100 is one core.',
    tradeoff: 'Higher calls slow work idle; lower lets housekeeping threads look like work.',
  }),
  idleFor: workerState({
    type: type.duration(0, 3_600_000),
    option: 'idleForMs',
    default: defaults.idleForMs,
    description: 'How long a worker must stay below the threshold before it counts as idle.',
    tradeoff: 'Longer bridges pauses between requests; shorter frees a worker for scheduling sooner.',
  }),
  state: queen({
    type: type.path,
    without: 'all of that is lost at a restart.',
    description:
      'Directory in which the queen keeps reservations, cordons, silences, the history of a day, which hives there are, what is missing, what the webhook was sent and, over TLS, the key of the day by which hives take up their sessions.',
    tradeoff: 'All of it outlives a restart; each reservation waits for a write to the disk.',
  }),
  webhook: queen({
    type: type.url(['http:', 'https:'], 'https://chat.example/hooks/1'),
    without: 'nothing is sent.',
    description:
      'Address that is sent what comes to need attention and what no longer does: JSON with a text for people, tried again for up to an hour.',
    tradeoff:
      'Somebody hears of trouble without looking; the receiver learns names of hosts and workers. An address that holds a secret is given by the variable or the file.',
  }),
  webhookSecret: queen({
    flag: null,
    type: type.secret('secret'),
    without: 'see `webhookSecretFile`.',
    description:
      'Secret that signs what the webhook is sent (HMAC-SHA256, header `webhook-signature`). There is no flag for it: it would show in the list of processes.',
    tradeoff:
      'A variable is seen by whoever may read the environment of the process, which is its user and root; a file (`webhookSecretFile`) by whoever may read it.',
    inFile: false,
  }),
  webhookSecretFile: queen({
    type: type.path,
    without: 'what the webhook is sent is not signed.',
    description: 'File that holds `webhookSecret`.',
    tradeoff: 'Keep it readable for the queen alone; a change takes effect at the next start.',
  }),
  staleAfter: queen({
    type: type.duration(10_000, 86_400_000),
    option: 'staleAfterMs',
    default: defaults.staleAfterMs,
    description: 'A hive and all its workers are missing this long after its last heartbeat.',
    tradeoff: 'Longer keeps a rebooting host in the lists; shorter clears the dead away sooner.',
  }),
  warming: queen({
    type: type.duration(0, 600_000),
    option: 'warmingMs',
    default: defaults.warmingMs,
    description: 'How long a queen reports `warming` after its start, while it may not have heard the whole fleet yet.',
    tradeoff:
      'Shorter than the longest interval and backoff of the hives, schedulers see half a fleet; longer delays them after a restart.',
  }),
  eventRingSize: queen({
    type: type.integer(100, 1_000_000),
    default: defaults.eventRingSize,
    description: 'Events kept for streams that were cut: so many of workers that come and go, as many of all others.',
    tradeoff: 'More covers longer cuts, at about a kilobyte an event, as far as memory allows (docs/security.md).',
  }),
  maxHives: queen({
    type: type.integer(1, 1_000_000),
    default: defaults.maxHives,
    description:
      'Hives beyond this number are refused. Those of one token (without tokens: of one address) are four fifths of it at most.',
    tradeoff: 'Too low keeps new hosts out. It does not bound memory, which has budgets in bytes (docs/security.md).',
  }),
  maxWorkersPerHive: queen({
    type: type.integer(1, 100_000),
    default: defaults.maxWorkersPerHive,
    description: 'A heartbeat with more workers is refused.',
    tradeoff: 'Bounds what one heartbeat may cost; too low loses a crowded host.',
  }),
  maxHeartbeatBytes: queen({
    type: type.bytes(64 * 1024, 256 * 1024 ** 2),
    default: defaults.maxHeartbeatBytes,
    description: 'Largest heartbeat that is read, counted after decompression.',
    tradeoff:
      'Bounds what a request may cost, which is some times as much memory while it is read; 100 workers take 100 KiB.',
  }),
  requestsPerSecond: queen({
    type: type.integer(1, 1_000_000),
    default: defaults.requestsPerSecond,
    description: 'Requests of one token (without tokens, one address), and 0.2 ms of time for each; not heartbeats.',
    tradeoff: 'Lower keeps one caller from starving the others; too low refuses an eager scheduler with 429.',
  }),
  maxStreams: queen({
    type: type.integer(1, 100_000),
    default: defaults.maxStreams,
    description: 'Event streams that may be open at one time.',
    tradeoff:
      'Each costs memory, most where its reader is slow, and a share of the time of each heartbeat; too low keeps pages out.',
  }),
  metricsWorkers: queen({
    type: type.integer(0, 100_000),
    default: defaults.metricsWorkers,
    description: 'Workers that have series of their own at /metrics of the queen; 0: none.',
    tradeoff:
      'Each one has series of its own; where Prometheus scrapes the hives as well, it has them from there, and 0 saves them here.',
  }),
  metricsGpus: queen({
    type: type.integer(0, 1_000_000),
    default: defaults.metricsGpus,
    description: 'GPUs that have series of their own at /metrics of the queen; 0: none.',
    tradeoff:
      'Each one costs some 3 kB of a scrape. Beyond them as many that are not `ok` have series too, so that alerts go on; scrape the hives of a larger fleet.',
  }),
  nats: nats({
    type: type.list(type.url(['nats:', 'tls:'], 'nats://10.0.0.1:4222'), 16),
    option: 'nats.servers',
    without: 'one queen, everything in its memory; a hive sends to its queens over HTTP.',
    description:
      'NATS servers through which several queens share one fleet. A hive that names them publishes there, and uses `queens` only where they are out of reach.',
    tradeoff: 'The fleet survives the loss of a queen; it needs a NATS server (2.9 or newer) with JetStream.',
  }),
  natsCredentials: nats({
    type: type.path,
    option: 'nats.credentialsFile',
    without: 'none are shown.',
    description: 'Credentials file for the NATS servers: as `nsc` writes it, or the seed of an nkey alone (SU...).',
    tradeoff: 'With it the servers decide who may publish as which hive; keep it readable for the daemon alone.',
  }),
  natsTlsCa: nats({
    type: type.path,
    option: 'nats.tls.ca',
    without: 'the certificate authorities that Node.js knows, where the address begins with tls://.',
    description: 'PEM file of the certificate authority that signed the certificates of the NATS servers.',
    tradeoff: 'A private authority needs no outside party, but has to reach every host.',
  }),
  natsTlsCert: nats({
    type: type.path,
    option: 'nats.tls.cert',
    without: 'no certificate is shown to the NATS servers.',
    description: 'PEM file of the certificate to show to the NATS servers. Needs `natsTlsKey`.',
    tradeoff: 'A stolen credentials file alone is useless then; every host needs a certificate.',
  }),
  natsTlsKey: nats({
    type: type.path,
    option: 'nats.tls.key',
    without: 'see `natsTlsCert`.',
    description: 'PEM file of the private key of `natsTlsCert`.',
    tradeoff: 'Keep it readable for the daemon alone.',
  }),
  natsReplicas: nats({
    type: type.wholeOneOf(1, 3, 5),
    option: 'nats.replicas',
    default: 1,
    description: 'Copies of events, reservations and the lease that NATS keeps, where it has to make them.',
    tradeoff: '3 survive the loss of a NATS server and need a cluster of three; each write then waits for two of them.',
    users: ['up', 'queen'],
  }),
  logLevel: log({
    type: type.oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], 'level'),
    option: null,
    default: 'info',
    description: 'Lowest level that is logged, to standard error: JSON lines, or plain lines on a terminal.',
    tradeoff: '`debug` explains decisions at some lines a second; `warn` leaves only what needs somebody.',
  }),
};

export type SettingKey = keyof typeof settings;
type ValueOf<S> = S extends Setting<infer T, SettingUser, string | null> ? T : never;
/** Values by key; what is absent was neither given nor has a default. */
export type Settings = { readonly [K in SettingKey]?: ValueOf<(typeof settings)[K]> };

type OptionName<K, S> =
  S extends Setting<infer _, SettingUser, infer O>
    ? O extends ''
      ? K
      : O extends null | `${string}.${string}`
        ? never
        : O
    : never;
type UsersOf<S> = S extends Setting<infer _, infer U, string | null> ? U : never;
/** The settings of one user as options, by the name of each; nested ones are declared with the options themselves. */
export type OptionsOf<U extends SettingUser> = {
  readonly [K in SettingKey as U extends UsersOf<(typeof settings)[K]>
    ? OptionName<K, (typeof settings)[K]> & string
    : never]?: ValueOf<(typeof settings)[K]>;
};

export const settingKeys = Object.keys(settings) as SettingKey[];

/** The settings of one user, in the order of the table. */
export const settingsOf = (user: SettingUser): readonly SettingKey[] =>
  settingKeys.filter((key) => settingOf(key).users.includes(user));

/** The table entry without its value type, for code that handles all settings alike. */
export const settingOf = (key: SettingKey): Setting<unknown> => settings[key] as unknown as Setting<unknown>;

const words = (key: string, separator: string): string => key.replace(/[A-Z]/g, (letter) => separator + letter);

/** `HIVEPULSE_MAX_HIVES` for `maxHives`. */
export const variableOf = (key: SettingKey): string =>
  settingOf(key).variable ?? `HIVEPULSE_${words(key, '_').toUpperCase()}`;

/** `max-hives` for `maxHives`; null where it has no flag. */
export function flagOf(key: SettingKey): string | null {
  const { flag } = settingOf(key);
  return flag === undefined ? words(key, '-').toLowerCase() : flag;
}

export function defaultOf(key: SettingKey, user: SettingUser): unknown {
  const setting = settingOf(key);
  return setting.defaultFor?.[user] ?? setting.default;
}
