/**
 * How states, values and events are said and coloured. The page and the terminal both read it from here, so that the same
 * thing has the same word, symbol and colour in each. Pure, and free of runtime imports: it is bundled into the page.
 */
import type { Liveness } from '../contract/api.js';
import type { GpuSample, HiveInfo, WorkerSample } from '../contract/heartbeat.js';

/**
 * What a colour means. Told apart by people with any colour vision (blue, teal, amber, vermilion and grey differ in
 * lightness too), and never the only sign: each face has a symbol and a word.
 */
export type Tone = 'good' | 'active' | 'waiting' | 'warning' | 'bad' | 'unknown';

/** ANSI colour (SGR parameter) of a tone in a terminal. */
export const ansiOf: Readonly<Record<Tone, string>> = {
  good: '32',
  active: '34',
  waiting: '36',
  warning: '33',
  bad: '31',
  unknown: '90',
};

export interface StatusStyle {
  readonly word: string;
  /** One column wide in every terminal font. */
  readonly symbol: string;
  readonly tone: Tone;
  /** What it means and what to do, in one sentence; empty where the word says it all. */
  readonly hint: string;
}

const face = (word: string, symbol: string, tone: Tone, hint = ''): StatusStyle => ({ word, symbol, tone, hint });

export const unknownFace = face('unknown', '?', 'unknown', 'Not known to this version.');

export const livenessFaces: Readonly<Record<Liveness, StatusStyle>> = {
  online: face('online', '●', 'good'),
  late: face('late', '◐', 'warning', 'Three beats are missing; it may only be slow.'),
  offline: face(
    'offline',
    '○',
    'bad',
    'Not heard for 10 s: check that the hive runs and reaches the queen (hivepulse doctor).',
  ),
};

export const hiveStateFaces: Readonly<Record<HiveInfo['state'], StatusStyle>> = {
  starting: face('starting', '◔', 'waiting', 'Its first samples are on their way.'),
  ready: face('ready', '●', 'good'),
  draining: face('draining', '◒', 'warning', 'It takes no new workers.'),
  stopping: face('stopping', '◌', 'unknown', 'The hive is ending; its workers live on.'),
};

export const workerStateFaces: Readonly<Record<WorkerSample['state'], StatusStyle>> = {
  busy: face('busy', '▲', 'active'),
  idle: face('idle', '●', 'good'),
  starting: face('starting', '◔', 'waiting', 'Not ready yet.'),
  unknown: face('unknown', '?', 'unknown', 'Its GPU cannot be read, so busy and idle cannot be told apart.'),
};

export const gpuHealthFaces: Readonly<Record<GpuSample['health'], StatusStyle>> = {
  ok: face('ok', '●', 'good'),
  degraded: face(
    'degraded',
    '◆',
    'warning',
    'It works, with errors: look at its ECC, Xid and link values and plan a reset.',
  ),
  initializing: face('initializing', '◔', 'waiting', 'The driver is waking it; this takes seconds on a cold start.'),
  stalled: face(
    'stalled',
    '◧',
    'unknown',
    'The driver does not answer: see dmesg for Xid or GSP time-outs; a reset of the GPU or a reboot mends it.',
  ),
  resetRequired: face(
    'reset required',
    '↻',
    'bad',
    'Stop its workers, let go of the driver (hivepulse release-gpus), then nvidia-smi --gpu-reset.',
  ),
  lost: face(
    'lost',
    '✕',
    'bad',
    'It fell off the bus: drain the host (hivepulse drain) and reboot it; if it comes back lost, reseat it.',
  ),
  noPermission: face(
    'no permission',
    '⊘',
    'warning',
    'The hive may not read it: run the hive as root or in group video.',
  ),
};

/** The face of `key`; a value of a newer version is shown by its own name, as unknown. */
export function styleOf(faces: Readonly<Record<string, StatusStyle>>, key: string): StatusStyle {
  return Object.hasOwn(faces, key) ? (faces[key] as StatusStyle) : { ...unknownFace, word: key };
}

/** What a worker or GPU is, as far as is known: nobody knows of an offline hive what is still idle or well there. */
export const workerFace = (worker: { readonly state: string; readonly liveness: Liveness }): StatusStyle =>
  worker.liveness === 'offline' ? livenessFaces.offline : styleOf(workerStateFaces, worker.state);
export const gpuFace = (gpu: { readonly health: string; readonly liveness: Liveness }): StatusStyle =>
  gpu.liveness === 'offline' ? livenessFaces.offline : styleOf(gpuHealthFaces, gpu.health);

/** Said where values of a hive that is not heard are shown; null: they are of now. */
export const oldValuesText = (liveness: Liveness): string | null =>
  liveness === 'online' ? null : `its hive is ${liveness}: these values are old`;

/** As a sentence of its own. */
export const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** What stands where a value is not known. Never 0. */
export const unknownText = '—';

const KIB = 1024;
const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `0 B`, `512 KiB`, `11.2 GiB`: whole numbers up to MiB, one decimal above. */
export function formatBytes(bytes: number | null): string {
  if (bytes === null) return unknownText;
  let value = bytes;
  let unit = 0;
  while (value >= KIB && unit < sizes.length - 1) {
    value /= KIB;
    unit++;
  }
  return `${value.toFixed(unit < 3 ? 0 : 1)} ${sizes[unit]}`;
}

/** `61.2 GiB`: always GiB, for columns whose numbers are compared. */
export function formatGib(bytes: number | null): string {
  return bytes === null ? unknownText : `${gib(bytes)} GiB`;
}

/** `61.2 / 80.0 GiB`; either side may be unknown. */
export function formatGibOf(used: number | null, total: number | null): string {
  if (used === null && total === null) return unknownText;
  return `${used === null ? unknownText : gib(used)} / ${total === null ? unknownText : gib(total)} GiB`;
}

const gib = (bytes: number) => (bytes / KIB ** 3).toFixed(1);

/** `1.2 MiB/s` */
export function formatRate(bytesPerSecond: number | null): string {
  return bytesPerSecond === null ? unknownText : `${formatBytes(bytesPerSecond)}/s`;
}

/** `0.4 %`, `34 %`, `812 %`: one decimal below 10. */
export function formatPercent(percent: number | null): string {
  if (percent === null) return unknownText;
  const digits = percent > 0 && percent < 9.95 ? 1 : 0;
  return `${percent.toFixed(digits)} %`;
}

/** A percentage of whole cores (100 = one) as cores: `0.34`, `8.1`, `64`. */
export function formatCores(percent: number | null): string {
  if (percent === null) return unknownText;
  const cores = percent / 100;
  return cores.toFixed(cores < 1 ? 2 : cores < 10 ? 1 : 0);
}

/** `64 °C` */
export function formatCelsius(celsius: number | null): string {
  return celsius === null ? unknownText : `${celsius.toFixed(0)} °C`;
}

/** `412 W` */
export function formatWatts(watts: number | null): string {
  return watts === null ? unknownText : `${watts.toFixed(0)} W`;
}

/** `42 s`, `5 min 03 s`, `3 h 07 min`, `12 d 4 h`: the two leading units. */
export function formatDuration(seconds: number | null): string {
  if (seconds === null) return unknownText;
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number) => String(value).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** Age of a beat: `0.4 s` below ten seconds, then as a duration. */
export function formatAge(ageMs: number | null): string {
  if (ageMs === null) return unknownText;
  return ageMs < 10_000 ? `${(Math.max(0, ageMs) / 1000).toFixed(1)} s` : formatDuration(ageMs / 1000);
}

/** `1 worker`, `3 workers` */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

export interface EventLike {
  readonly kind: string;
  readonly hive: string;
  readonly workerId?: string | undefined;
  readonly gpuUuid?: string | undefined;
  readonly detail: Readonly<Record<string, unknown>>;
}

export const eventFaces: Readonly<Record<string, StatusStyle>> = {
  workerStarted: face('started', '+', 'active'),
  workerExited: face('exited', '−', 'unknown'),
  oomKill: face('out of memory', '✕', 'bad'),
  gpuLost: face('GPU lost', '✕', 'bad'),
  gpuRecovered: face('GPU back', '●', 'good'),
  xid: face('Xid', '◆', 'warning'),
  workerAppeared: face('appeared', '+', 'active'),
  workerGone: face('gone', '−', 'unknown'),
  workerStateChanged: face('state', '→', 'waiting'),
  hiveJoined: face('joined', '+', 'good'),
  hiveOnline: face('online', '●', 'good'),
  hiveLate: face('late', '◐', 'warning'),
  hiveOffline: face('offline', '○', 'bad'),
  hiveRemoved: face('removed', '−', 'unknown'),
  hiveRestarted: face('restarted', '↻', 'waiting'),
  duplicateHiveId: face('duplicate id', '◆', 'bad'),
};

/** One sentence for people; never throws, whatever the detail holds. */
export function eventText(event: EventLike): string {
  const worker = event.workerId ?? 'a worker';
  const gpu = event.gpuUuid ? `GPU ${shortUuid(event.gpuUuid)}` : 'a GPU';
  const detail = event.detail;
  switch (event.kind) {
    case 'workerStarted':
      return `${worker} started${word(detail, 'pid', ' as pid ')}`;
    case 'workerExited':
      return `${worker} ${exitText(detail)}`;
    case 'oomKill':
      return `${worker} hit its memory limit: the kernel killed ${plural(number(detail, 'kills') ?? 1, 'process', 'processes')}`;
    case 'gpuLost':
      return `${gpu} is lost${word(detail, 'message', ': ')}`;
    case 'gpuRecovered':
      return `${gpu} answers again`;
    case 'xid':
      return `${gpu} reported Xid${word(detail, 'xid', ' ')}${word(detail, 'message', ': ')}`;
    case 'workerAppeared':
      return `${worker} appeared`;
    case 'workerGone':
      return `${worker} is gone${word(detail, 'reason', ': ')}`;
    case 'workerStateChanged':
      return `${worker} went${word(detail, 'from', ' from ')}${word(detail, 'to', ' to ')}`;
    case 'hiveJoined':
      return 'joined the fleet';
    case 'hiveOnline':
      return 'is heard again';
    case 'hiveLate':
      return 'is late: beats are missing';
    case 'hiveOffline':
      return 'is offline: no beat arrives';
    case 'hiveRemoved':
      return 'was removed with all its workers';
    case 'hiveRestarted':
      return 'restarted; its workers live on';
    case 'duplicateHiveId':
      return 'is claimed by two hosts at once: give one of them another --id';
    default:
      return `${event.kind}${event.workerId ? ` ${event.workerId}` : ''}`;
  }
}

function exitText(detail: Readonly<Record<string, unknown>>): string {
  const signal = detail.signal;
  if (typeof signal === 'string') return `was ended by ${signal}`;
  const code = number(detail, 'exitCode') ?? number(detail, 'code');
  if (code !== null) return `exited with code ${code}`;
  return `exited; how is not known${word(detail, 'reason', ': ')}`;
}

function number(detail: Readonly<Record<string, unknown>>, key: string): number | null {
  const value = detail[key];
  return typeof value === 'number' ? value : null;
}

function word(detail: Readonly<Record<string, unknown>>, key: string, before: string): string {
  const value = detail[key];
  return typeof value === 'string' || typeof value === 'number' ? `${before}${value}` : '';
}

/** `GPU-1a2b3c4d-...` -> `1a2b3c4d` */
export function shortUuid(uuid: string): string {
  return uuid.replace(/^(GPU|MIG)-/, '').slice(0, 8);
}
