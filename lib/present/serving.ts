/** Words for what engines have to do, and why that is not known. Pure. */
import type { WorkerView } from '../contract/api.js';
import { workerFields } from '../contract/fields/worker.js';
import { formatTokensPerSecond } from './units.js';

const servingWords: Readonly<Record<string, string>> = workerFields.servingReason.panel.words;

/** Why nothing is known of an engine's load; null where something is. */
export function servingText({ serving, servingReason }: Pick<WorkerView, 'serving' | 'servingReason'>): string | null {
  if (serving !== null) return null;
  return servingWords[servingReason ?? ''] ?? 'the hive does not say why';
}

/** `3 running, 2 waiting, 96 tokens/s`: what an engine has to do; null where nothing of it is known. */
export function requestsText({ serving }: Pick<WorkerView, 'serving'>): string | null {
  if (serving === null) return null;
  const { running, waiting, generationTokensPerSecond: tokens } = serving;
  const parts = [
    ...(running === null ? [] : [`${running} running`]),
    ...(waiting === null ? [] : [`${waiting} waiting`]),
    ...(tokens === null ? [] : [formatTokensPerSecond(tokens)]),
  ];
  return parts.length === 0 ? null : parts.join(', ');
}
