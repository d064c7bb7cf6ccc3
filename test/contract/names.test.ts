import { describe, expect, it } from 'vitest';
import { before as earlier, isUpTo, splitId } from '../../lib/contract/event-ids.js';
import { type ModelNames, modelsOf, servesModel } from '../../lib/contract/models.js';

describe('the names of a model', () => {
  it.each<[string, ModelNames, string[]]>([
    ['one that is known', { model: 'a' }, ['a']],
    ['of an older hive', { model: 'a', models: null }, ['a']],
    ['of a worker that says none', { model: 'a', models: [] }, ['a']],
    ['several, itself first', { model: 'a', models: ['a', 'b'] }, ['a', 'b']],
    ['several, itself later', { model: 'a', models: ['b', 'a'] }, ['a', 'b']],
    ['several, itself not among them', { model: 'a', models: ['b', 'c'] }, ['a', 'b', 'c']],
    ['none but others', { model: null, models: ['b'] }, ['b']],
    ['not known', { model: null }, []],
    ['not known by an older hive', { model: null, models: null }, []],
  ])('%s', (_what, worker, names) => {
    expect(modelsOf(worker)).toEqual(names);
    for (const name of ['a', 'b', 'c', 'd']) expect(servesModel(worker, name)).toBe(names.includes(name));
  });
});

describe('ids of events', () => {
  it.each([
    ['e1-7', ['e1', 7]],
    ['2026-03-01-12', ['2026-03-01', 12]],
    ['e1-', ['e1', 0]],
    ['e1-x', ['e1', 0]],
    ['e1-1.5', ['e1', 0]],
    ['e1-9007199254740993', ['e1', 0]],
    ['7', ['', 7]],
    ['', ['', 0]],
  ] as const)('%s has an epoch and a sequence', (id, parts) => {
    expect(splitId(id)).toEqual(parts);
  });

  it.each([
    ['e1-6', 'e1-7', true],
    ['e1-7', 'e1-7', true],
    ['e1-8', 'e1-7', false],
    // Of another stream nothing is known.
    ['e2-6', 'e1-7', false],
  ])('%s is no newer than %s: %s', (id, newest, isOld) => {
    expect(isUpTo(id, newest)).toBe(isOld);
  });

  it('before an id stand those of the same stream, down to the first', () => {
    expect([earlier('e1-7', 2), earlier('e1-7', 7), earlier('e1-7', 9), earlier('a-b-7', 0)]).toEqual([
      ...['e1-5', 'e1-0', 'e1-0', 'a-b-7'],
    ]);
  });
});
