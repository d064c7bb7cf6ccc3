import type { Missing } from '../contract/missing.js';
import { missingReasonText } from '../present/missing.js';
import { ansiOf } from '../present/status.js';
import { formatDuration } from '../present/units.js';
import { type Column, span } from './table.js';

/** The columns of what is missing. */
export const missingColumns: readonly Column<Missing>[] = [
  {
    key: 'kind',
    title: 'KIND',
    min: 6,
    max: 6,
    rank: 2,
    draw: ({ kind }) => [span(kind === 'gpu' ? 'GPU' : kind)],
    order: ({ kind }) => kind,
  },
  { key: 'key', title: 'KEY', min: 16, max: 64, rank: 0, draw: ({ key }) => [span(key)], order: ({ key }) => key },
  {
    key: 'name',
    title: 'WAS',
    min: 8,
    max: 32,
    rank: 3,
    draw: (item) => [span(lastName(item))],
  },
  {
    key: 'missing',
    title: 'MISSING FOR',
    min: 11,
    max: 16,
    rank: 0,
    draw: ({ missingMs }) => [span(formatDuration(missingMs / 1000), ansiOf.warning)],
    order: ({ missingMs }) => missingMs,
    descending: true,
  },
  {
    key: 'why',
    title: 'WHY',
    min: 10,
    max: 80,
    rank: 1,
    draw: (item) => [span(missingReasonText(item))],
    order: missingReasonText,
  },
];

/** What it was, in a word or two. */
function lastName(item: Missing): string {
  if (item.kind === 'gpu') return `GPU ${item.last.index} of ${item.hive}`;
  return (item.kind === 'hive' ? item.last.hostname : item.last.model) ?? '';
}
