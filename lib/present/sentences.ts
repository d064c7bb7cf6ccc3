/** Sentences about events and old values, the same on the page and in the terminal. Pure. */

import type { Liveness } from '../contract/api.js';
import { plural } from '../util/plural.js';
import { type CauseName, causes } from './severity.js';

/** Shown beside the values of a hive that is not online; null where they are current. */
export const oldValuesText = (liveness: Liveness): string | null =>
  liveness === 'online' ? null : `its hive is ${liveness}: these values are old`;

/** The text with a capital and a full stop; a name of a field at its start stays as it is. */
export const sentence = (text: string): string => {
  const begun = /^[a-z]+[A-Z]/.test(text) ? text : `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return /[.?!]$/.test(begun) ? begun : `${begun}.`;
};

export { plural };

/** `10 workers`, or `3 of 10 workers` where a filter leaves some out. */
export const countText = (shown: number, all: number, one: string): string =>
  shown === all ? plural(all, one) : `${shown.toLocaleString('en')} of ${plural(all, one)}`;

export interface EventLike {
  readonly kind: string;
  readonly hive: string;
  readonly workerId?: string | undefined;
  readonly gpuUuid?: string | undefined;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** One sentence for people; never throws, whatever the detail holds. */
export function eventText(event: EventLike): string {
  const worker = event.workerId ?? 'a worker';
  const detail = event.detail;
  const index = number(detail, 'index');
  const gpu = index !== null ? `GPU ${index}` : event.gpuUuid ? `GPU ${shortUuid(event.gpuUuid)}` : 'a GPU';
  switch (event.kind) {
    case 'workerStarted':
      return `${worker} started${word(detail, 'pid', ' as pid ')}`;
    case 'workerExited':
      return `${worker} ${exitText(detail)}`;
    case 'workerStalled':
      return `${worker} is stalled: it has requests and makes no progress`;
    case 'workerRecovered':
      return `${worker} is working again`;
    case 'oomKill':
      return `${worker} hit its memory limit: the kernel killed ${plural(number(detail, 'kills') ?? 1, 'process', 'processes')}`;
    case 'gpuLost':
      return `${gpu} is lost${word(detail, 'message', ': ')}`;
    case 'gpuRecovered':
      return `${gpu} responds again`;
    case 'xid':
      return `${gpu} reported Xid${word(detail, 'xid', ' ')}${word(detail, 'message', ': ')}`;
    case 'workerAppeared':
      return `${worker} appeared`;
    case 'workerGone':
      return `${worker} is gone${word(detail, 'reason', ': ')}`;
    case 'workerStateChanged':
      return `${worker} changed${word(detail, 'from', ' from ')}${word(detail, 'to', ' to ')}`;
    case 'hiveJoined':
      return 'joined the fleet';
    case 'hiveOnline':
      return 'is back online';
    case 'hiveLate':
      return 'is late: heartbeats are missing';
    case 'hiveOffline':
      return 'is offline: its heartbeats have stopped';
    case 'hiveRemoved':
      return detail.reason === 'admin' ? 'was forgotten with all its workers' : 'is missing, with all its workers';
    case 'hiveRestarted':
      return 'restarted; its workers kept running';
    case 'hiveCordoned':
      return `was cordoned${word(detail, 'by', ' by ')}${word(detail, 'reason', ': ')}`;
    case 'hiveUncordoned':
      return detail.expired === true ? 'takes work again: its cordon expired' : 'takes work again: it was uncordoned';
    case 'attentionSilenced':
      return `${causeText(detail)} ${detail.kind === 'silenced' ? 'silenced' : 'acknowledged'}${word(detail, 'by', ' by ')}${word(detail, 'reason', ': ')}`;
    case 'attentionUnsilenced':
      return `${causeText(detail)} needs attention again${detail.expired === true ? ': the time is over' : ''}`;
    case 'duplicateHiveId':
      return 'is claimed by two hosts at once: give one of them another --id';
    case 'eventsOmitted':
      return `changes so fast that ${plural(number(detail, 'count') ?? 0, 'event')} of its workers ${detail.count === 1 ? 'was' : 'were'} left out`;
    default:
      return `${event.kind}${event.workerId ? ` ${event.workerId}` : ''}`;
  }
}

/** `GPU stalled`; a fault has its code. */
function causeText(detail: Readonly<Record<string, unknown>>): string {
  const name = typeof detail.cause === 'string' ? detail.cause : 'something';
  if (!Object.hasOwn(causes, name)) return name.replace(/^fault:/, '').replace(':', ' ');
  const { subject, words } = causes[name as CauseName];
  return `${subject} ${words}`;
}

function exitText(detail: Readonly<Record<string, unknown>>): string {
  const signal = detail.signal;
  if (typeof signal === 'string') return `was ended by ${signal}`;
  const code = number(detail, 'exitCode') ?? number(detail, 'code');
  if (code !== null) return `exited with code ${code}`;
  return `exited, status unknown${word(detail, 'reason', ': ') || ' (not started by `hivepulse run`)'}`;
}

function number(detail: Readonly<Record<string, unknown>>, key: string): number | null {
  const value = detail[key];
  return typeof value === 'number' ? value : null;
}

function word(detail: Readonly<Record<string, unknown>>, key: string, before: string): string {
  const value = detail[key];
  return typeof value === 'string' || typeof value === 'number' ? `${before}${value}` : '';
}

/** `GPU-1a2b3c4d-...` -> `1a2b3c4d`; of one that is named by its place, that: `AMD-0000:03:00.0` -> `03:00.0` */
export function shortUuid(uuid: string): string {
  const place = /:([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/.exec(uuid)?.[1];
  return place ?? uuid.replace(/^(GPU|MIG)-/, '').slice(0, 8);
}
