import type { ModelRow } from '../present/model-rows.js';
import { formatBytes, formatPercent, formatPerSecond, formatWhole } from '../present/units.js';
import { value } from './cells.js';
import { type Column, span } from './table.js';

const figure = (
  key: string,
  title: string,
  rank: number,
  of: (row: ModelRow) => number | null,
  text: (number: number | null) => string = formatWhole,
): Column<ModelRow> => ({
  ...{ key, title, rank, min: Math.max(7, title.length), max: 12, align: 'right', descending: true },
  draw: (row) => [value(text(of(row)))],
  order: of,
});

/** The columns of models. */
export const modelColumns: readonly Column<ModelRow>[] = [
  {
    key: 'model',
    title: 'MODEL',
    min: 20,
    max: 60,
    rank: 0,
    draw: ({ name }) => [span(name, '1')],
    order: ({ name }) => name,
  },
  figure('replicas', 'REPLICAS', 0, ({ replicas }) => replicas),
  figure('ready', 'READY', 1, ({ ready }) => ready),
  figure('hosts', 'HIVES', 4, ({ hosts }) => hosts),
  figure('running', 'RUN', 2, ({ running }) => running),
  figure('waiting', 'WAIT', 2, ({ waiting }) => waiting),
  figure('tokens', 'TOKENS', 1, ({ tokensPerSecond }) => tokensPerSecond, formatPerSecond),
  figure('free', 'KV FREE', 3, ({ freePercent }) => freePercent, formatPercent),
  figure('vram', 'VRAM', 3, ({ vramBytes }) => vramBytes, formatBytes),
];
