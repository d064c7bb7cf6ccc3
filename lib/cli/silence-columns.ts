import type { Silence } from '../contract/silence.js';
import { ansiOf } from '../present/status.js';
import { type Column, span } from './table.js';

const text = (
  key: 'cause' | 'kind' | 'reason' | 'by' | 'expiresAt',
  title: string,
  min: number,
  max: number,
  rank: number,
): Column<Silence> => ({
  ...{ key, title, min, max, rank },
  draw: (silence) => [span(silence[key])],
  order: (silence) => silence[key],
});

/** The columns of what is acknowledged or silenced. */
export const silenceColumns: readonly Column<Silence>[] = [
  text('cause', 'CAUSE', 12, 40, 0),
  {
    ...{ key: 'hive', title: 'HIVE', min: 8, max: 24, rank: 0 },
    draw: ({ hive }) => [hive === null ? span('all', ansiOf.unknown) : span(hive)],
    order: ({ hive }) => hive,
  },
  text('kind', 'KIND', 12, 12, 1),
  text('reason', 'REASON', 12, 80, 1),
  text('by', 'BY', 8, 40, 2),
  text('expiresAt', 'UNTIL', 24, 24, 1),
];
