import { describe, expect, it } from 'vitest';
import type { FieldTable } from '../../../lib/contract/fields/field.js';
import { gpuFields } from '../../../lib/contract/fields/gpu.js';
import { known, type Shape } from '../../../lib/contract/fields/shape.js';
import { workerFields } from '../../../lib/contract/fields/worker.js';
import { sameText } from '../../../lib/contract/stream/columns.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';

const heartbeat = new SimulatedHive({ id: 'a', workers: 4, gpus: 2, asksEngines: true }).nextHeartbeat();
const rows = { gpu: heartbeat.gpus[0]!, worker: heartbeat.workers.find(({ serving }) => serving != null)! };

/** Paths of all fields of a table, those within records too. */
const pathsOf = (
  fields: Readonly<Record<string, Shape<unknown>>>,
  before: readonly string[] = [],
): [path: string, isNumber: boolean][] =>
  Object.entries(fields).flatMap(([name, shape]): [string, boolean][] => {
    const { properties, type } = known(shape);
    const path = [...before, name];
    if (properties !== undefined) return pathsOf(properties, path);
    return [[path.join('.'), type === 'number' || type === 'integer']];
  });
const shapesOf = (table: Readonly<Record<string, { readonly shape: Shape<unknown> }>>) =>
  Object.fromEntries(Object.entries(table).map(([name, { shape }]) => [name, shape]));

/** The same row with another value at a path. */
function changed(row: object, path: string, value: unknown): object {
  const copy = structuredClone(row);
  const names = path.split('.');
  let item = copy as Record<string, unknown>;
  for (const name of names.slice(0, -1)) {
    item[name] ??= {};
    item = item[name] as Record<string, unknown>;
  }
  item[names.at(-1)!] = value;
  return copy;
}

describe.each([
  ['gpu', gpuFields],
  ['worker', workerFields],
] as const)('text of a row: %s', (type, table) => {
  const isCoded = (path: string): boolean => (table as FieldTable)[path]?.coded === true;

  it.each(pathsOf(shapesOf(table)).filter(([path]) => path !== 'gpus'))('%s', (path, isNumber) => {
    const before = changed(rows[type], path, isNumber ? 1 : 'before');
    expect(sameText(type, before, structuredClone(before))).toBe(true);
    // A word that is sent as its place among all is no text either.
    const isCell = isNumber || isCoded(path);
    expect(sameText(type, before, changed(before, path, isNumber ? 2 : 'after'))).toBe(isCell);
    expect(sameText(type, before, changed(before, path, null))).toBe(isCell);
  });

  it('what is left out is null, and a record that comes or goes is a difference', () => {
    const named = Object.entries(table).filter(
      ([, { shape }]) => known(shape as Shape<unknown>).properties !== undefined,
    );
    for (const [name] of named) {
      const [present, none, omitted] = [{}, null, undefined].map((value) => changed(rows[type], name, value));
      expect(sameText(type, none!, omitted!)).toBe(true);
      expect(sameText(type, present!, none!)).toBe(false);
      expect(sameText(type, omitted!, present!)).toBe(false);
    }
    expect(named.length).toBeGreaterThan(type === 'worker' ? 1 : -1);
  });
});

it('text of the head: a host that is described alike', () => {
  const other = (hive: object) => ({ ...heartbeat, hive: { ...heartbeat.hive, ...hive } });
  expect(sameText('head', heartbeat, { ...structuredClone(heartbeat), host: null, sentAt: 'later' })).toBe(true);
  expect(sameText('head', heartbeat, other({ labels: { zone: 'b' } }))).toBe(false);
  expect(sameText('head', heartbeat, other({ state: 'stopping' }))).toBe(false);
  expect(sameText('head', heartbeat, { ...heartbeat, workersComplete: !heartbeat.workersComplete })).toBe(false);
});
