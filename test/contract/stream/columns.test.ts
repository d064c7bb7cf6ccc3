import { describe, expect, it } from 'vitest';
import type { FieldTable } from '../../../lib/contract/fields/field.js';
import { gpuFields } from '../../../lib/contract/fields/gpu.js';
import { known, type Shape } from '../../../lib/contract/fields/shape.js';
import { workerFields } from '../../../lib/contract/fields/worker.js';
import { boundsOf, type Column, isTextHere, isTick, sameText } from '../../../lib/contract/stream/columns.js';
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

it.each<[string, unknown, unknown, boolean]>([
  ['none and none', {}, {}, true],
  ['what is left out and null', { zone: null }, {}, true],
  ['null and what is left out', {}, { zone: null }, true],
  ['one and none', { zone: 'a' }, {}, false],
  ['none and one', {}, { zone: 'a' }, false],
  ['one and two', { zone: 'a' }, { zone: 'a', rack: '1' }, false],
  ['two and one', { zone: 'a', rack: '1' }, { zone: 'a' }, false],
  ['two in another order', { zone: 'a', rack: '1' }, { rack: '1', zone: 'a' }, true],
  ['lists that are alike', ['a', 'b'], ['a', 'b'], true],
  ['a list and a longer one', ['a'], ['a', 'b'], false],
  ['a list and a shorter one', ['a', 'b'], ['a'], false],
  ['numbers within, which are no text', { pid: 1 }, { pid: 2 }, true],
  ['a number within and none', { pid: 1 }, { pid: null }, true],
  ['a number within and a word', { pid: 1 }, { pid: '1' }, false],
  ['a word within and a number', { pid: '1' }, { pid: 1 }, false],
  ['records within', { at: { rack: '1' } }, { at: { rack: '2' } }, false],
  ['records within that are alike', { at: { rack: '1' } }, { at: { rack: '1' } }, true],
  ['something and nothing', {}, null, false],
  ['nothing and something', null, {}, false],
  ['something and a word', {}, 'a', false],
  ['something and an empty word', {}, '', false],
  ['an empty word and something', '', {}, false],
  ['a number and something', 7, {}, false],
  ['a word and something', 'a', {}, false],
])('text of records: %s', (_what, labels, others, isSame) => {
  const { worker } = rows;
  expect(sameText('worker', { ...worker, labels }, { ...worker, labels: others })).toBe(isSame);
});

describe('a column', () => {
  const named = (name: string): Column => ({ name, path: name.split('.'), scale: 1 });

  it.each([
    ['worker', 'command', true],
    ['worker', 'labels', true],
    ['worker', 'serving', true],
    ['worker', 'serving.engine', true],
    ['worker', 'serving.running', false],
    ['worker', 'serving.kvPercent', false],
    ['worker', 'serving.mood', false],
    ['worker', 'serving.engine.name', true],
    ['worker', 'labels.zone', true],
    ['worker', 'state', false],
    ['worker', 'gpus', false],
    ['worker', 'pid', false],
    ['worker', 'toString', false],
    ['gpu', 'name', true],
    ['gpu', 'powerWatts', false],
    ['gpu', 'command', false],
    ['held', 'uuid', true],
    ['held', 'memoryUsedBytes', false],
    ['head', 'collection', true],
    ['head', 'collection.gpuReader', true],
    ['head', 'collection.ageMs', false],
    ['head', 'gpusKnown', true],
    ['head', 'intervalMs', false],
  ] as const)('of a %s named %s: is it text here? %s', (type, name, isText) => {
    expect(isTextHere(type, named(name))).toBe(isText);
  });

  it('that changes by itself with time is one of a worker', () => {
    expect(['uptimeSeconds', 'serving.ageMs', 'cpuPercent'].map((name) => isTick('worker', named(name)))).toEqual([
      true,
      true,
      false,
    ]);
    expect(isTick('head', named('uptimeSeconds'))).toBe(false);
  });

  it('has the bounds of its field, and none where nobody knows it here', () => {
    expect(boundsOf('gpu', named('utilizationPercent'))).toMatchObject({ least: 0, most: 100, words: null });
    expect(boundsOf('worker', named('state'))).toMatchObject({ least: 0, whole: true, of: null });
    expect(boundsOf('held', named('utilizationPercent'))).not.toBe(boundsOf('gpu', named('utilizationPercent')));
    expect(boundsOf('gpu', named('mood'))).toBeNull();
    expect(boundsOf('head', named('utilizationPercent'))).toBeNull();
  });
});
