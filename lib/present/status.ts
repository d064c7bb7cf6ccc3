/**
 * Word, symbol and colour of every state, health and kind of event, the same on the page, in the terminal and in `doctor`.
 * Pure, and bundled into the page: it imports nothing at run time.
 */
import type { Liveness } from '../contract/api.js';
import type { GpuSample, HiveInfo, WorkerSample } from '../contract/heartbeat.js';

/**
 * What a colour means. The colours (blue, teal, amber, vermilion, grey) differ in lightness too, so that people with any
 * colour vision can distinguish them, and each style has a symbol and a word besides.
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

const statusStyle = (word: string, symbol: string, tone: Tone, hint = ''): StatusStyle => ({
  word,
  symbol,
  tone,
  hint,
});

export const unknownStyle = statusStyle('unknown', '?', 'unknown', 'Not known to this version.');

export const livenessStyles: Readonly<Record<Liveness, StatusStyle>> = {
  online: statusStyle('online', '●', 'good'),
  late: statusStyle('late', '◐', 'warning', 'Three heartbeats are missing; it may only be slow.'),
  offline: statusStyle(
    'offline',
    '○',
    'bad',
    'Its heartbeats have stopped: check that the hive runs and reaches the queen (hivepulse doctor).',
  ),
};

export const hiveStateStyles: Readonly<Record<HiveInfo['state'], StatusStyle>> = {
  starting: statusStyle('starting', '◔', 'waiting', 'It waits for its first samples.'),
  ready: statusStyle('ready', '●', 'good'),
  draining: statusStyle('draining', '◒', 'warning', 'It takes no new workers.'),
  stopping: statusStyle('stopping', '◌', 'unknown', 'The hive is shutting down; its workers keep running.'),
};

/** Of a hive that an admin took out of scheduling at the queen. */
export const cordonedStyle = statusStyle(
  'cordoned',
  '⊘',
  'warning',
  'An admin took it out of scheduling; its workers keep running.',
);

export const workerStateStyles: Readonly<Record<WorkerSample['state'], StatusStyle>> = {
  busy: statusStyle('busy', '▲', 'active'),
  saturated: statusStyle('saturated', '◆', 'warning', 'It is at its limit: new requests wait.'),
  idle: statusStyle('idle', '●', 'good'),
  sleeping: statusStyle('sleeping', '◌', 'unknown', 'Its weights are out of the GPU until its engine is woken.'),
  stalled: statusStyle(
    'stalled',
    '✕',
    'bad',
    'It has requests and makes no progress: check its log, then restart it. It gets no new requests until it recovers.',
  ),
  loading: statusStyle('loading', '◒', 'waiting', 'Its engine is loading the model.'),
  starting: statusStyle('starting', '◔', 'waiting', 'Not ready yet.'),
  unknown: statusStyle('unknown', '?', 'unknown', 'Its GPU cannot be read, so busy and idle cannot be told apart.'),
};

export const gpuHealthStyles: Readonly<Record<GpuSample['health'], StatusStyle>> = {
  ok: statusStyle('ok', '●', 'good'),
  degraded: statusStyle(
    'degraded',
    '◆',
    'warning',
    'It works, with errors: check its ECC, Xid and NVLink values and plan a reset.',
  ),
  initializing: statusStyle(
    'initializing',
    '◔',
    'waiting',
    'The driver is initializing it, which takes seconds after a cold start.',
  ),
  suspended: statusStyle(
    'suspended',
    '◌',
    'waiting',
    'It is suspended to save power; the first process that uses it wakes it.',
  ),
  stalled: statusStyle(
    'stalled',
    '◧',
    'unknown',
    'The driver does not answer: see dmesg for Xid or GSP timeouts; reset the GPU or reboot the host.',
  ),
  resetRequired: statusStyle(
    'reset required',
    '↻',
    'bad',
    'Stop its workers, release the driver (hivepulse release-gpus), then nvidia-smi --gpu-reset.',
  ),
  lost: statusStyle(
    'lost',
    '✕',
    'bad',
    'It fell off the bus: drain the host (hivepulse drain) and reboot it; if it comes back lost, reseat it.',
  ),
  noPermission: statusStyle(
    'no permission',
    '⊘',
    'warning',
    'The hive may not read it: run the hive as root or in group video.',
  ),
};

/** The style of `key`; a value of a newer version keeps its own name and looks unknown. */
export function styleOf(styles: Readonly<Record<string, StatusStyle>>, key: string): StatusStyle {
  return Object.hasOwn(styles, key) ? (styles[key] as StatusStyle) : { ...unknownStyle, word: key };
}

/** Status of a worker or GPU. On an offline hive it is `offline`: its last state may no longer hold. */
export const workerStyle = (worker: { readonly state: string; readonly liveness: Liveness }): StatusStyle =>
  worker.liveness === 'offline' ? livenessStyles.offline : styleOf(workerStateStyles, worker.state);
export const gpuStyle = (gpu: { readonly health: string; readonly liveness: Liveness }): StatusStyle =>
  gpu.liveness === 'offline' ? livenessStyles.offline : styleOf(gpuHealthStyles, gpu.health);

export const eventStyles: Readonly<Record<string, StatusStyle>> = {
  workerStarted: statusStyle('started', '+', 'active'),
  workerExited: statusStyle('exited', '−', 'unknown'),
  workerStalled: statusStyle('stalled', '✕', 'bad'),
  workerRecovered: statusStyle('recovered', '●', 'good'),
  oomKill: statusStyle('out of memory', '✕', 'bad'),
  gpuLost: statusStyle('GPU lost', '✕', 'bad'),
  gpuRecovered: statusStyle('GPU back', '●', 'good'),
  xid: statusStyle('Xid', '◆', 'warning'),
  workerAppeared: statusStyle('appeared', '+', 'active'),
  workerGone: statusStyle('gone', '−', 'unknown'),
  workerStateChanged: statusStyle('state', '→', 'waiting'),
  hiveJoined: statusStyle('joined', '+', 'good'),
  hiveOnline: statusStyle('online', '●', 'good'),
  hiveLate: statusStyle('late', '◐', 'warning'),
  hiveOffline: statusStyle('offline', '○', 'bad'),
  hiveRemoved: statusStyle('removed', '−', 'unknown'),
  hiveRestarted: statusStyle('restarted', '↻', 'waiting'),
  hiveCordoned: statusStyle('cordoned', '⊘', 'warning'),
  hiveUncordoned: statusStyle('uncordoned', '●', 'good'),
  attentionSilenced: statusStyle('acknowledged', '–', 'unknown'),
  attentionUnsilenced: statusStyle('open again', '◆', 'warning'),
  duplicateHiveId: statusStyle('duplicate id', '◆', 'bad'),
  eventsOmitted: statusStyle('too many events', '…', 'warning'),
};
