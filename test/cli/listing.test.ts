import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { attentionColumns } from '../../lib/cli/attention-columns.js';
import { gpuColumns, workerColumns } from '../../lib/cli/columns.js';
import { eventColumns } from '../../lib/cli/event-columns.js';
import { hiveColumns } from '../../lib/cli/hive-columns.js';
import { missingColumns } from '../../lib/cli/missing-columns.js';
import { modelColumns } from '../../lib/cli/model-columns.js';
import { createProgram } from '../../lib/cli/program.js';
import { silenceColumns } from '../../lib/cli/silence-columns.js';
import { csvLines, printTable } from '../../lib/cli/table.js';
import { modelRows } from '../../lib/present/model-rows.js';
import { sampleFleet } from './fleet.js';

const { items } = sampleFleet();

const columnsOf = {
  hives: hiveColumns,
  workers: workerColumns,
  gpus: gpuColumns,
  models: modelColumns,
  missing: missingColumns,
  attention: attentionColumns,
  silences: silenceColumns,
  events: eventColumns,
} as const;

const commandOf = (name: string): Command =>
  createProgram().commands.find((command) => command.name() === name) as Command;
const optionOf = (name: string, long: string) => commandOf(name).options.find((option) => option.long === long);

describe('commands that list', () => {
  test.each(Object.keys(columnsOf))('%s has the options that all of them have', (name) => {
    expect(optionOf(name, '--output')?.argChoices).toEqual(['wide', 'json', 'csv']);
    expect(optionOf(name, '--sort')?.argChoices?.length).toBeGreaterThan(1);
    for (const long of ['--json', '--watch']) expect(optionOf(name, long), long).toBeDefined();
    expect(optionOf(name, '--output')?.short).toBe('-o');
    expect(optionOf(name, '--watch')?.short).toBe('-w');
  });

  test.each(Object.entries(columnsOf))('whatever %s is sorted by is a column that has an order', (name, columns) => {
    const orders = (columns as readonly { key: string; order?: unknown }[]).filter(({ order }) => order);
    const keys = orders.map(({ key }) => key);
    expect(keys).toEqual(expect.arrayContaining([...(optionOf(name, '--sort')?.argChoices ?? [])]));
  });
});

describe('models', () => {
  test('a row for each name: what is not said is not known, never 0', () => {
    const rows = modelRows(items.workers);
    const names = new Set(items.workers.flatMap(({ model }) => model ?? []));
    expect(new Set(rows.map(({ name }) => name))).toEqual(names);
    expect(rows.reduce((sum, { replicas }) => sum + replicas, 0)).toBe(
      items.workers.filter(({ model }) => model).length,
    );
    const [worker] = items.workers;
    const [silent] = modelRows([{ ...worker!, model: 'm', models: null, serving: null, vramUsedBytes: null }]);
    expect(silent).toMatchObject({
      replicas: 1,
      running: null,
      tokensPerSecond: null,
      vramBytes: null,
      freePercent: null,
    });
    expect(printTable(modelColumns, [silent!], 200, false)[1]).toMatch(/—/);
    expect(csvLines(modelColumns, [silent!])[1]).toMatch(/^m,1,\d,1,,,,,$/);
  });

  test('one that is offline counts as a replica, and says nothing of its load', () => {
    const [worker] = items.workers;
    const [row] = modelRows([{ ...worker!, model: 'm', models: ['m', 'n'], liveness: 'offline', ready: true }]);
    expect(row).toMatchObject({ name: 'm', replicas: 1, ready: 0, running: null, vramBytes: null });
    expect(modelRows([{ ...worker!, model: 'm', models: ['m', 'n'] }]).map(({ name }) => name)).toEqual(['m', 'n']);
  });
});
