import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { labelPair, namesOf } from '../../lib/queen/indexes.js';
import type { WorkerRecord } from '../../lib/queen/records.js';
import { gpuSample, TestQueen, workerSample } from './heartbeats.js';

/** What it keeps can be looked at. */
class Queen extends TestQueen {
  get all() {
    return this.indexes;
  }

  worker1(id = 'llm/1'): WorkerRecord {
    return this.indexes.hives.get('a')!.workers.get(id)!;
  }
}

const ids = (workers: Iterable<WorkerRecord>) => Array.from(workers, ({ current }) => current.id);

describe('the names under which a worker stands', () => {
  it.each([
    [null, null, [null]],
    ['m', null, ['m']],
    ['m', ['m', 'alias'], ['m', 'alias']],
    ['m', ['m', 'alias', 'm'], ['m', 'alias']],
  ])('of the model %s by the names %j', (model, models, expected) => {
    expect(namesOf({ model, models })).toEqual(expected);
  });
});

const labelsOf = (given: Record<string, string | undefined>) =>
  Object.fromEntries(Object.entries(given).filter((each): each is [string, string] => each[1] !== undefined));

interface Said extends Pick<WorkerSample, 'id' | 'model' | 'state' | 'reservationId' | 'labels'> {
  readonly models: string[] | null;
}
type Sets = Record<string, string[]>;

/** Where workers have to be found, by what they and their hive say. */
function setsOf(workers: readonly Said[], shared: Readonly<Record<string, string>>): Sets {
  const sets: Sets = {};
  for (const each of workers.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    const names = namesOf(each);
    const places = [
      ...[`state ${each.state}`, `group ${each.id.split('/')[0]}`],
      ...names.flatMap((name) => [`model ${name}`, `model ${name} ${each.state}`]),
      ...Object.entries({ ...shared, ...each.labels }).map(([key, value]) => `label ${labelPair(key, value)}`),
      ...(each.reservationId === null ? [] : [`reservation ${each.reservationId}`]),
    ];
    for (const place of places) sets[place] = [...(sets[place] ?? []), each.id];
  }
  return sets;
}

/** Where they are found. */
function setsIn(all: Queen['all']): Sets {
  const sets: Sets = {};
  const put = (kind: string, of: Iterable<readonly [string | null, Iterable<WorkerRecord>]>) => {
    for (const [key, workers] of of) sets[`${kind} ${key}`] = ids(workers);
  };
  put('state', all.byState.sets);
  put('group', all.byGroup.sets);
  put('model', all.byModel.sets);
  put('label', all.byLabel.sets);
  for (const [model, { sets: states }] of all.byModelState) put(`model ${model}`, states);
  for (const [id, workers] of all.byReservation) sets[`reservation ${id}`] = ids(workers).sort();
  return sets;
}

describe('where a worker is found', () => {
  const texts = fc.constantFrom('x', 'y');
  const worker = fc.record({
    id: fc.constantFrom('llm/1', 'llm/2', 'embed/1'),
    model: fc.constantFrom(null, 'm', 'n'),
    others: fc.constantFrom(null, [], ['alias'], ['n', 'n']),
    state: fc.constantFrom('idle' as const, 'busy' as const),
    reservationId: fc.constantFrom(null, 'r1', 'r2'),
    zone: fc.option(texts, { nil: undefined }),
  });
  const heartbeat = fc.record({
    workers: fc.uniqueArray(worker, { selector: ({ id }) => id, maxLength: 3 }),
    zone: fc.option(texts, { nil: undefined }),
    disk: fc.option(texts, { nil: undefined }),
  });
  it('is by what it says last, and nowhere else, whatever it said before', () => {
    fc.assert(
      fc.property(fc.array(heartbeat, { minLength: 1, maxLength: 6 }), (steps) => {
        const queen = new Queen({ clock: () => 0 });
        for (const [i, { workers, zone, disk }] of steps.entries()) {
          const labels = labelsOf({ zone, disk });
          const said = workers.map(({ id, model, others, state, reservationId, zone }) => ({
            ...{ id, model, state, reservationId, labels: labelsOf({ zone }) },
            models: model === null || others === null ? null : [model, ...others],
          }));
          queen.hear('a', i + 1, {
            hive: { labels },
            workers: said.map(({ id, ...rest }) => workerSample(id, structuredClone(rest))),
          });
          const { all } = queen;
          expect(setsIn(all)).toEqual(setsOf(said, labels));
          expect(new Set(all.byModelState.keys())).toEqual(new Set(all.byModel.sets.keys()));
          expect([all.workerCount, all.gpuCount]).toEqual([said.length, 0]);
          for (const { id, model, models } of said) expect(queen.worker1(id).current).toMatchObject({ model, models });
          expect(queen.audit()).toEqual([]);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('is none of a value that nobody has', () => {
    const { all } = new Queen();
    expect([...all.byModel.get('m')]).toEqual([]);
    expect([...all.modelState('m', 'idle')]).toEqual([]);
    expect(all.prefixOwner('m', 'k')).toBeNull();
    expect([all.gpu('GPU-0'), all.claimsOf('GPU-0')]).toEqual([undefined, []]);
  });

  it('a label of its own hides that of its hive, also one without a value', () => {
    const queen = new Queen({ clock: () => 0 });
    queen.hear('a', 1, {
      hive: { labels: { zone: 'y', disk: 'ssd' } },
      workers: [workerSample('llm/1', { labels: { zone: '' } })],
    });
    expect(queen.worker1().labels).toEqual([labelPair('zone', ''), labelPair('disk', 'ssd')]);
    expect(queen.workers({ labels: { zone: 'y' } }).items).toEqual([]);
  });

  it('a text that several say is kept once', () => {
    const queen = new Queen({ clock: () => 0 });
    const zone = () => ['zone', 'x'].join('');
    queen.hear('a', 1, {
      hive: { labels: { of: zone() } },
      workers: ['llm/1', 'llm/2'].map((id) => workerSample(id)),
    });
    expect(queen.worker1('llm/1').labels).toHaveLength(1);
    expect(queen.worker1('llm/1').labels).toEqual(queen.worker1('llm/2').labels);
  });
});

describe('the owner of a prefix', () => {
  it('is one of those that serve the model now, also of those that came or left after it was asked', () => {
    const queen = new Queen({ clock: () => 0 });
    const hear = (seq: number, serving: readonly number[]) =>
      queen.hear('a', seq, {
        workers: [1, 2, 3, 4, 5].map((n) => workerSample(`llm/${n}`, { model: serving.includes(n) ? 'm' : 'n' })),
      });
    const owners = (model: string) =>
      [
        ...new Set(Array.from({ length: 200 }, (_, i) => queen.all.prefixOwner(model, `k${i}`)?.current.id ?? 'none')),
      ].sort();
    const named = (...ns: number[]) => ns.map((n) => `llm/${n}`);
    hear(1, [1, 2, 3]);
    expect(owners('m')).toEqual(named(1, 2, 3));
    expect(owners('n')).toEqual(named(4, 5));
    hear(2, [2, 3, 4]);
    expect(owners('m')).toEqual(named(2, 3, 4));
    expect(owners('n')).toEqual(named(1, 5));
    hear(3, []);
    expect(owners('m')).toEqual(['none']);
    hear(4, [5]);
    expect(owners('m')).toEqual(named(5));
  });
});

describe('a GPU that several hives claim', () => {
  const claims = (queen: Queen) => queen.all.claimsOf('GPU-0').map(({ hive }) => hive.id);

  it('is that of the first; the others follow in the order in which they came', () => {
    const queen = new Queen();
    const gpus = () => [gpuSample('GPU-0')];
    for (const id of ['c', 'a', 'b']) queen.hear(id, 1, { gpus: gpus() });
    expect(claims(queen)).toEqual(['c', 'a', 'b']);
    queen.hear('a', 2, { gpus: [] });
    expect(claims(queen)).toEqual(['c', 'b']);
    queen.hear('a', 3, { gpus: gpus() });
    queen.hear('c', 2, { gpus: [] });
    expect(claims(queen)).toEqual(['b', 'a']);
    queen.hear('b', 2, { gpus: [] });
    queen.hear('a', 4, { gpus: [] });
    expect(claims(queen)).toEqual([]);
    expect(queen.audit()).toEqual([]);
    expect(queen.all.gpuCount).toBe(0);
  });

  it('is that of one that is online, where there is one; else that of the first', () => {
    const queen = new Queen();
    const hear = (id: string, seq: number) => queen.hear(id, seq, { gpus: [gpuSample('GPU-0')] });
    const found = () => queen.all.gpu('GPU-0')?.hive.id;
    hear('a', 1);
    queen.time.advance(20_000);
    queen.advance();
    expect([found(), claims(queen)]).toEqual(['a', ['a']]);
    hear('b', 1);
    hear('c', 1);
    queen.time.advance(20_000);
    queen.advance();
    expect(found()).toBe('a');
    hear('c', 2);
    expect(found()).toBe('c');
    hear('b', 2);
    expect(found()).toBe('b');
    hear('a', 2);
    expect(found()).toBe('a');
  });
});

it('workers of a host with the same labels have one list of them, those without any one of none', () => {
  const queen = new Queen();
  const labelled = (id: string, labels: Record<string, string>) => workerSample(id, { labels });
  const first = [labelled('llm/0', { zone: 'x' }), labelled('llm/1', { zone: 'y' }), labelled('llm/2', {})];
  queen.hear('a', 1, { hive: { labels: {} }, workers: first });
  const later = [labelled('llm/3', { zone: 'y' }), labelled('llm/4', { zone: 'z' }), labelled('llm/5', {})];
  queen.hear('a', 2, { hive: { labels: {} }, workers: [...first, ...later] });
  const [x, y, none, same, other, noneEither] = Array.from({ length: 6 }, (_, i) => queen.worker1(`llm/${i}`).labels);
  expect(same).toBe(y);
  expect(noneEither).toBe(none);
  expect([x, y, other, none]).toEqual([...['x', 'y', 'z'].map((zone) => [labelPair('zone', zone)]), []]);
});
