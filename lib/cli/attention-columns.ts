import type { AttentionLine } from '../contract/silence.js';
import { severityRank } from '../present/severity.js';
import { silenceText } from '../present/silence.js';
import { ansiOf } from '../present/status.js';
import { type Column, span } from './table.js';

const colours = { critical: ansiOf.bad, warning: ansiOf.warning, note: ansiOf.unknown } as const;

/** The columns of what needs attention. */
export const attentionColumns: readonly Column<AttentionLine>[] = [
  {
    key: 'severity',
    title: 'SEVERITY',
    min: 8,
    max: 8,
    rank: 0,
    order: ({ severity }) => severityRank(severity),
    draw: ({ severity, silence }) => [span(severity, silence === null ? colours[severity] : ansiOf.unknown)],
  },
  {
    key: 'title',
    title: 'WHAT',
    min: 18,
    max: 44,
    rank: 0,
    draw: ({ title }) => [span(title)],
    order: ({ title }) => title,
  },
  {
    key: 'cause',
    title: 'CAUSE',
    min: 12,
    max: 36,
    rank: 2,
    draw: ({ cause }) => [span(cause)],
    order: ({ cause }) => cause,
  },
  {
    key: 'text',
    title: 'WHERE AND WHAT TO DO',
    min: 20,
    max: 200,
    rank: 1,
    draw: ({ text, silence }) => [span(silence === null ? text : silenceText(silence, (at) => at.toISOString()))],
  },
];
