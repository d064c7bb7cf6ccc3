import type { FleetEvent } from '../contract/api.js';
import { eventText } from '../present/sentences.js';
import { ansiOf, eventStyles, styleOf } from '../present/status.js';
import { type Column, span } from './table.js';

/** The columns of events. */
export const eventColumns: readonly Column<FleetEvent>[] = [
  { key: 'time', title: 'TIME', min: 24, max: 24, rank: 0, draw: ({ at }) => [span(at)], order: ({ at }) => at },
  {
    ...{ key: 'kind', title: 'KIND', min: 12, max: 20, rank: 0 },
    draw: ({ kind }) => [span(kind, ansiOf[styleOf(eventStyles, kind).tone])],
    order: ({ kind }) => kind,
  },
  { key: 'hive', title: 'HIVE', min: 8, max: 24, rank: 0, draw: ({ hive }) => [span(hive)], order: ({ hive }) => hive },
  {
    ...{ key: 'worker', title: 'WORKER', min: 8, max: 40, rank: 2 },
    draw: ({ workerId }) => [span(workerId ?? '')],
    order: ({ workerId }) => workerId ?? null,
  },
  { key: 'event', title: 'EVENT', min: 20, max: 200, rank: 1, draw: (event) => [span(eventText(event))] },
];
