import { describe, expect, it } from 'vitest';
import { type GpuRow, gpuColumns, type WorkerRow, workerColumns } from '../../lib/cli/columns.js';
import { type Column, fitColumns, type Span } from '../../lib/cli/table.js';
import { fieldLine } from '../../lib/cli/top/lines.js';
import { type FieldTable, rowsOf } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import { ansiOf } from '../../lib/present/status.js';
import { gpuOf, servingOf, workerOf } from '../harness/heartbeats.js';

const wide = 400;
const keysAt = <T>(columns: readonly Column<T>[], width: number) =>
  fitColumns(columns, width).map(({ column }) => column.key);

/** Keys of columns in the order in which they are left out as a terminal grows narrow; and those that stay. */
function leftOut<T>(all: readonly Column<T>[]) {
  // Bars go before some columns do: without them it is columns alone.
  const columns = all.map((column) => ({ ...column, compact: column.max }));
  const order: string[] = [];
  let kept = keysAt(columns, wide);
  expect(kept).toEqual(all.map(({ key }) => key));
  for (let width = wide; width > 0; width--) {
    const now = keysAt(columns, width);
    order.push(...kept.filter((key) => !now.includes(key)));
    kept = now;
  }
  return { order, kept };
}

/** Columns that are still there where the bars of all have just gone. */
function withoutBars<T>(all: readonly Column<T>[]): readonly string[] {
  const hasBars = (width: number) =>
    fitColumns(all, width).some(({ column, width: own }) => column.compact !== undefined && own >= column.min);
  let width = wide;
  while (hasBars(width)) width--;
  return keysAt(all, width + 1);
}

describe('where a terminal is narrow', () => {
  it('the columns of workers go in the order of what they tell least', () => {
    const least = ['throttled', 'io', 'pressure', 'kv', 'ready', 'uptime', 'tokens', 'waiting', 'running'];
    expect(leftOut(workerColumns)).toEqual({
      order: [...least, 'memory', 'cpu', 'vram', 'gpu', 'model', 'hive'],
      kept: ['worker', 'state'],
    });
    const few = ['worker', 'hive', 'model', 'state', 'running', 'waiting', 'cpu', 'memory', 'gpu', 'vram'];
    expect(withoutBars(workerColumns)).toEqual(few);
  });

  it('the columns of GPUs as well', () => {
    expect(leftOut(gpuColumns)).toEqual({
      order: ['throttle', 'processes', 'uuid', 'power', 'temperature', 'vram', 'utilization', 'hive'],
      kept: ['gpu', 'health'],
    });
    const few = ['gpu', 'hive', 'health', 'utilization', 'vram', 'temperature', 'power'];
    expect(withoutBars(gpuColumns)).toEqual(few);
  });
});

type Tone = 'bad' | 'warning' | 'none';
const toneOf = (spans: readonly Span[]): Tone =>
  (['bad', 'warning'] as const).find((tone) => spans.some(({ sgr }) => sgr === ansiOf[tone])) ?? 'none';

const cell = <T>(columns: readonly Column<T>[], key: string, row: T): Tone => {
  const column = columns.find((each) => each.key === key)!;
  return toneOf(column.draw(row, column.max));
};
const ofWorker = (key: string, over: (value: number) => Partial<WorkerRow>) => (value: number) =>
  cell(workerColumns, key, { ...workerOf('llm/a'), ...over(value) } as WorkerRow);
const ofGpu = (key: string, over: (value: number) => Partial<GpuRow>) => (value: number) =>
  cell(gpuColumns, key, { ...gpuOf('GPU-0'), ...over(value) } as unknown as GpuRow);
const inDetail = (line: string, over: (value: number) => Partial<WorkerRow>) => (value: number) =>
  toneOf(fieldLine(workerFields, line, { ...workerOf('llm/a'), ...over(value) }));

const kv = (kvPercent: number) => ({ serving: servingOf({ kvPercent }) });
const throttled = (cpuThrottledPercent: number) => ({ cpuThrottledPercent });

/** Each figure that is drawn in the colour of a warning, or of what is bad, from a value on. */
const figures: readonly [name: string, draw: (value: number) => Tone, warning: number, bad: number | null][] = [
  ['cpuPercent', ofWorker('cpu', (cpuPercent) => ({ cpuPercent, cpuLimitPercent: 400 })), 360, 388],
  ['cpuThrottledPercent', ofWorker('throttled', throttled), 25, 50],
  ['cpuThrottledPercent', inDetail('throttled', throttled), 25, 50],
  ['serving.kvPercent', ofWorker('kv', kv), 90, 98],
  ['serving.kvPercent', inDetail('tokens', kv), 90, 98],
  ['temperatureCelsius', ofGpu('temperature', (temperatureCelsius) => ({ temperatureCelsius })), 83, 90],
  // One that is full does what it is there for.
  ['memoryUsedBytes', ofGpu('vram', (memoryUsedBytes) => ({ memoryUsedBytes, memoryTotalBytes: 1000 })), 950, null],
];

describe('the colour of a figure', () => {
  it.each(figures)('%s is that of a warning, and of what is bad, from so much on', (_name, draw, warning, bad) => {
    const most = bad ?? 1000;
    expect([warning - 0.5, warning, most - 0.5].map(draw)).toEqual(['none', 'warning', 'warning']);
    expect(draw(most)).toBe(bad === null ? 'warning' : 'bad');
  });

  it('of all others is none', () => {
    const named = (table: FieldTable) =>
      rowsOf(table).flatMap(({ name, field: { column, detail } }) =>
        column?.share?.warn === undefined && detail?.share?.warn === undefined ? [] : [name],
      );
    expect([...named(workerFields), ...named(gpuFields)].sort()).toEqual(
      [...new Set(figures.map(([name]) => name))].sort(),
    );
  });
});
