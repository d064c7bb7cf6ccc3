import { describe, expect, it } from 'vitest';
import { ancestorsOf } from '../../lib/engines/ancestors.js';
import { hasText, infoModel, loadedModels, memberOf, modelsOwnedBy, openAiModels } from '../../lib/engines/answer.js';

describe('what a server said', () => {
  it.each([
    [{ a: 1 }, 1],
    [{ a: null }, null],
    [{ b: 1 }, undefined],
    [Object.create({ a: 1 }), undefined],
    [[7], undefined],
    [null, undefined],
    [undefined, undefined],
    ['a', undefined],
    [7, undefined],
  ])('of %j the member a is %j', (json, value) => expect(memberOf(json, 'a')).toBe(value));

  it('has a text under each key only where it is a success and each of them is one', () => {
    const is = hasText('a', 'b');
    const json = { a: 'x', b: '' };
    expect(is({ status: 200, json })).toBe(true);
    for (const status of [201, 404, 500]) expect(is({ status, json })).toBe(false);
    for (const other of [{ a: 'x' }, { a: 'x', b: 7 }, { a: null, b: 'x' }, null, undefined])
      expect(is({ status: 200, json: other })).toBe(false);
  });

  it('is a list of models of an owner where each of them, and at least one, says so', () => {
    const is = modelsOwnedBy('vllm');
    const [own, other] = [
      { id: 'a', owned_by: 'vllm' },
      { id: 'b', owned_by: 'me' },
    ];
    expect(is({ status: 200, json: { data: [own, own] } })).toBe(true);
    expect(is({ status: 503, json: { data: [own] } })).toBe(false);
    for (const data of [[], [own, other], [other], [null], 'vllm', { 0: own, length: 1 }, undefined])
      expect(is({ status: 200, json: { data } })).toBe(false);
    expect(is({ status: 200, json: { models: [own] } })).toBe(false);
  });
});

describe('names that clients may ask for', () => {
  it.each([
    [openAiModels, '/v1/models', 'data', 'id'],
    [loadedModels, '/api/ps', 'models', 'name'],
  ] as const)('are texts of the list, without those of files of a store: %#', (question, path, list, key) => {
    const names = (...values: readonly unknown[]) =>
      question.names({ [list]: values.map((value) => ({ [key]: value })) });
    expect(question.path).toBe(path);
    expect(names('a', '', 7, null, 'org/b', 'sha256:0a', 'sha256-0a', '/m/sha256-0a', 'C:\\m\\sha256-0a')).toEqual([
      'a',
      'org/b',
    ]);
    expect(names('sha256', 'my-sha256-x', 'x.sha256:1')).toEqual(['sha256', 'my-sha256-x', 'x.sha256:1']);
    expect(question.names({ [list]: [null, 'x', {}] })).toEqual([]);
    for (const json of [null, {}, { [list]: 'a' }, { [list]: { [key]: 'a' } }, []])
      expect(question.names(json)).toEqual([]);
    expect(names(...Array.from({ length: 70 }, (_unused, i) => `m${i}`))).toHaveLength(64);
  });

  it('are that of the one model of a server that has one', () => {
    expect(infoModel.path).toBe('/info');
    expect(infoModel.names({ model_id: 'org/m' })).toEqual(['org/m']);
    for (const json of [{ model_id: '' }, { model_id: 7 }, { model_id: '/x/sha256-1' }, {}, null])
      expect(infoModel.names(json)).toEqual([]);
  });
});

it('ancestors end at one that was passed already, which a pid that was given out anew may make: the process itself too', () => {
  const [one, two, three] = [
    { pid: 1, parentPid: 3 },
    { pid: 2, parentPid: 1 },
    { pid: 3, parentPid: 2 },
  ];
  const byPid = new Map([one, two, three].map((each) => [each.pid, each]));
  expect([...ancestorsOf(one, byPid)]).toEqual([three, two]);
  expect([...ancestorsOf({ pid: 9, parentPid: 2 }, byPid)]).toEqual([two, one, three]);
  expect([...ancestorsOf({ pid: 9, parentPid: 7 }, byPid)]).toEqual([]);
});
