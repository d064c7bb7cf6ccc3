import { expect, it } from 'vitest';
import { workerColumns } from '../../lib/cli/columns.js';
import { modelsOf, servesModel } from '../../lib/contract/models.js';
import { moreModels } from '../../lib/present/models.js';
import { workerOf } from '../harness/heartbeats.js';

it('a model with several names shows the first and how many more, as far as there is room', () => {
  const column = workerColumns.find(({ key }) => key === 'model');
  const worker = { ...workerOf('llm/0', { model: 'org/qwen', models: ['org/qwen', 'a', 'b'] }), hive: 'h' };
  const shown = (width: number) =>
    column
      ?.draw(worker as never, width)
      .map(({ text }) => text)
      .join('');
  expect([20, 11, 10, 8, 5].map(shown)).toEqual(['org/qwen +2', 'org/qwen +2', 'qwen +2', 'qwen +2', 'qwen']);
  expect([moreModels(worker), moreModels({ model: 'm', models: null }), moreModels({ model: null })]).toEqual([
    ' +2',
    '',
    '',
  ]);
});

it('what a hive says of its model twice and differently are names of it all the same', () => {
  expect(modelsOf({ model: 'm', models: ['a', 'm'] })).toEqual(['m', 'a']);
  expect(modelsOf({ model: null, models: ['a'] })).toEqual(['a']);
  expect(modelsOf({ model: 'm' })).toEqual(['m']);
  expect(servesModel({ model: 'm', models: ['m', 'a'] }, 'a')).toBe(true);
  expect(servesModel({ model: 'm', models: null }, 'a')).toBe(false);
});
