/** Words for what was seen and is gone, the same on the page, in the terminal and in commands. Pure. */
import type { Missing, MissingKind, MissingReason } from '../contract/missing.js';
import type { StatusStyle } from './status.js';
import { formatDuration } from './units.js';

export const missingStyle: StatusStyle = {
  word: 'missing',
  symbol: '✕',
  tone: 'bad',
  hint: 'It was seen and is gone. These are its last values.',
};

/** A worker that its host lists no longer: it came to its end, as workers do. */
export const endedStyle: StatusStyle = {
  word: 'ended',
  symbol: '−',
  tone: 'unknown',
  hint: 'Its hive no longer reports it. These are its last values.',
};

export const hasEnded = ({ kind, reason }: Pick<Missing, 'kind' | 'reason'>): boolean =>
  kind === 'worker' && reason === 'notReported';

export const goneStyle = (item: Pick<Missing, 'kind' | 'reason'>): StatusStyle =>
  hasEnded(item) ? endedStyle : missingStyle;

const reasonTexts: Readonly<Record<MissingKind, Readonly<Record<MissingReason, string>>>> = {
  hive: {
    silent: 'it sends no heartbeats: check that the host is up and its hive runs',
    stopped: 'its hive was stopped',
    notReported: 'it is not reported',
  },
  gpu: {
    silent: 'its host is missing',
    stopped: 'the hive of its host was stopped',
    notReported: 'its host is up but no longer lists it: see dmesg, then reboot or reseat it',
  },
  worker: {
    silent: 'its host is missing',
    stopped: 'the hive of its host was stopped',
    notReported: 'its hive no longer reports it',
  },
};

/** Why it is missing: a sentence without a capital and a full stop. */
export function missingReasonText(item: Pick<Missing, 'kind' | 'reason'> & { readonly reportedBy?: string }): string {
  const { kind, reason, reportedBy } = item;
  const text = reasonTexts[kind]?.[reason] ?? reason;
  return reportedBy === undefined
    ? text
    : `${text}; ${reportedBy} says that it has it: where it was moved there, forget it here`;
}

/** `GPU 2 of host-1`, `worker host-1/llm/0`. */
export function missingName(item: Missing): string {
  if (item.kind === 'gpu') return `GPU ${item.last.index} of ${item.hive}`;
  return item.kind === 'hive' ? item.key : `worker ${item.key}`;
}

/** `missing for 12 min 03 s`: of a length that was measured when it was asked for. */
export const missingForText = (missingMs: number): string => `missing for ${formatDuration(missingMs / 1000)}`;

/** What somebody must look at: hosts and GPUs that were lost. A worker that ended is an event, and no loss. */
export const isLost = ({ kind, reason }: Pick<Missing, 'kind' | 'reason'>): boolean =>
  kind === 'hive' || (kind === 'gpu' && reason === 'notReported');
