import { describe, expect, it } from 'vitest';
import { audit } from '../../lib/queen/audit.js';
import { labelPair } from '../../lib/queen/indexes.js';
import type { GpuRecord, HiveRecord, WorkerRecord } from '../../lib/queen/records.js';
import { servingOf } from '../harness/heartbeats.js';
import { gib, gpuSample, onGpu, TestQueen, workerSample } from './heartbeats.js';

/** Its indexes can be broken, and looked at without a look of its own. */
class Queen extends TestQueen {
  readonly parts = { indexes: this.indexes, histories: this.histories };

  get wrong(): readonly string[] {
    return audit(this.indexes, this.histories);
  }

  hiveRecord(id: string): HiveRecord {
    return this.indexes.hives.get(id)!;
  }

  workerRecord(hive: string, id: string): WorkerRecord {
    return this.hiveRecord(hive).workers.get(id)!;
  }

  gpuRecord(uuid: string): GpuRecord {
    return this.indexes.gpus.get(uuid)!;
  }
}

/** Two hosts; of `a/llm/1` everything is known that has an index. */
function fleet(): Queen {
  const queen = new Queen();
  const full = { model: 'm', models: ['m', 'alias'], reservationId: 'r1', labels: { team: 't', zone: 'y' } };
  queen.hear('a', 1, {
    hive: { labels: { zone: 'x' } },
    gpus: [gpuSample('GPU-0'), gpuSample('GPU-1', { index: 1, memoryTotalBytes: gib(48) })],
    workers: [
      workerSample('llm/1', { ...full, ...onGpu('GPU-0', 5), serving: servingOf({ running: 2 }) }),
      workerSample('embed/2', { state: 'busy', serving: null }),
    ],
  });
  queen.hear('b', 1, { workers: [workerSample('llm/1', { model: 'n', serving: null })] });
  return queen;
}

type Parts = Queen['parts'];
type Break = (queen: Queen, parts: Parts) => void;

describe('the audit of a registry', () => {
  it('finds nothing where all is right', () => {
    const queen = fleet();
    expect(queen.wrong).toEqual([]);
    queen.removeHive('a');
    queen.hear('b', 2);
    expect(queen.wrong).toEqual([]);
    expect(new Queen().wrong).toEqual([]);
  });

  it.each<[string, Break, readonly string[]]>([
    [
      'a hive that is not in the order',
      (queen, { indexes }) => indexes.hiveOrder.delete(queen.hiveRecord('a')),
      ['hives: a is missing from the order', 'hiveOrder: 1 entries, expected 2'],
    ],
    [
      'a hive under another name',
      (queen, { indexes }) => {
        const b = queen.hiveRecord('b');
        indexes.hives.delete('b');
        indexes.hives.set('z', b);
      },
      ['hives: z is missing from the order'],
    ],
    [
      'a worker that is not in the map',
      (queen) => queen.hiveRecord('a').workers.delete('llm/1'),
      ['a: order and map of workers differ', 'a: llm/1 is not in the map'],
    ],
    [
      'another worker in its place in the map',
      (queen) => queen.hiveRecord('a').workers.set('llm/1', queen.workerRecord('b', 'llm/1')),
      ['a: llm/1 is not in the map'],
    ],
    ['workers out of order', (queen) => queen.hiveRecord('a').workerOrder.reverse(), ['a: order at embed/2']],
    [
      'a GPU that is not in the map',
      (queen) => queen.hiveRecord('a').gpus.delete('GPU-1'),
      [
        'a: order and map of GPUs differ',
        'a: GPU GPU-1 is not in the map',
        'gpuCount: 2 entries, expected 1',
        'gpusByFree: 2 entries, expected 1',
        'gpus: GPU-1 belongs to no hive',
        'gpusByFree: GPU-1 is left over',
      ],
    ],
    [
      'a GPU that cannot be found by its name',
      (_queen, { indexes }) => indexes.gpus.delete('GPU-1'),
      ['gpus: GPU-1 of a is missing'],
    ],
    [
      'a GPU of no hive',
      (queen, { indexes }) => indexes.gpus.set('GPU-gone', queen.gpuRecord('GPU-1')),
      ['gpus: GPU-gone belongs to no hive'],
    ],
    [
      'a GPU of which a holder was not counted',
      (queen) => {
        queen.gpuRecord('GPU-0').workerCount = 0;
      },
      ['GPU-0: 0 holders, expected 1'],
    ],
    [
      'a GPU that stands elsewhere than its room says',
      (queen) => {
        queen.gpuRecord('GPU-1').freeBytes = gib(3);
      },
      ['gpusByFree: GPU-1 is missing'],
    ],
    [
      'a GPU that stands nowhere',
      (queen, { indexes }) => indexes.gpusByFree.delete(queen.gpuRecord('GPU-1')),
      ['gpusByFree: GPU-1 is missing', 'gpusByFree: 1 entries, expected 2'],
    ],
    [
      'a worker that cannot be found by its model',
      (queen, { indexes }) => indexes.byModel.delete('m', queen.workerRecord('a', 'llm/1')),
      ['byModel: a/llm/1 is missing', 'byModel: 3 entries, expected 4'],
    ],
    [
      'a worker that cannot be found by its model and state',
      (queen, { indexes }) => indexes.byModelState.get('alias')!.delete('idle', queen.workerRecord('a', 'llm/1')),
      ['byModelState: a/llm/1 is missing', 'byModelState: 3 entries, expected 4'],
    ],
    [
      'a worker that cannot be found by its state',
      (queen, { indexes }) => indexes.byState.delete('busy', queen.workerRecord('a', 'embed/2')),
      [
        'byState: a/embed/2 is missing',
        expect.stringMatching(/^totals of workers: \{"total":3,"byState":\{"idle":2\}\}, expected /) as never,
        'byState: 2 entries, expected 3',
      ],
    ],
    [
      'a worker that cannot be found by its group',
      (queen, { indexes }) => indexes.byGroup.delete('embed', queen.workerRecord('a', 'embed/2')),
      ['byGroup: a/embed/2 is missing', 'byGroup: 2 entries, expected 3'],
    ],
    [
      'a worker that cannot be found by a label of its hive',
      (queen, { indexes }) => indexes.byLabel.delete(labelPair('zone', 'x'), queen.workerRecord('a', 'embed/2')),
      ['byLabel: a/embed/2 is missing', 'byLabel: 2 entries, expected 3'],
    ],
    [
      'a worker that cannot be found by its own label',
      (queen, { indexes }) => indexes.byLabel.delete(labelPair('zone', 'y'), queen.workerRecord('a', 'llm/1')),
      ['byLabel: a/llm/1 is missing', 'byLabel: 2 entries, expected 3'],
    ],
    [
      'a worker whose labels are not all kept',
      (queen) => {
        const worker = queen.workerRecord('a', 'llm/1');
        worker.labels = worker.labels.slice(1);
      },
      ['labels of a/llm/1', 'byLabel: 3 entries, expected 2'],
    ],
    [
      'a worker that cannot be found by its reservation',
      (_queen, { indexes }) => indexes.byReservation.delete('r1'),
      ['byReservation: a/llm/1 is missing', 'byReservation: 0 entries, expected 1'],
    ],
    [
      'a reservation that a worker has no longer',
      (queen, { indexes }) => indexes.byReservation.set('r2', new Set([queen.workerRecord('a', 'embed/2')])),
      ['byReservation: 2 entries, expected 1'],
    ],
    [
      'a count of workers',
      (_queen, { indexes }) => {
        indexes.workerCount = 4;
      },
      [expect.stringContaining('totals of workers: {"total":4') as never, 'workerCount: 4 entries, expected 3'],
    ],
    [
      'totals that are not of now',
      (queen) => {
        queen.hiveRecord('b').liveness = 'late';
      },
      ['totals of hives: {"online":2,"late":0,"offline":0}, expected {"online":1,"late":1,"offline":0}'],
    ],
    [
      'two that write one history',
      (queen) => {
        queen.workerRecord('a', 'embed/2').ring = queen.hiveRecord('b').ring;
      },
      [expect.stringMatching(/^history: b shares ring \d+$/) as never],
    ],
    [
      'a history of nobody',
      (_queen, { histories }) => histories.open('of nobody'),
      ['history: 9 rings in use, 8 owned'],
    ],
    [
      'a worker that lost its history of serving',
      (queen) => {
        queen.workerRecord('a', 'llm/1').servingRing = -1;
      },
      ['history: 8 rings in use, 7 owned'],
    ],
    [
      'a GPU that lost its history',
      (queen) => {
        queen.gpuRecord('GPU-0').ring = -1;
      },
      ['history: 8 rings in use, 7 owned'],
    ],
  ])('finds %s, and says nothing else', (_, spoil, wrong) => {
    const queen = fleet();
    spoil(queen, queen.parts);
    expect(queen.wrong).toEqual(wrong);
  });

  it('finds a GPU of a hive that is gone where it stands by its room', () => {
    const queen = fleet();
    const { indexes } = queen.parts;
    const gpu = queen.gpuRecord('GPU-1');
    queen.removeHive('a');
    indexes.gpusByFree.add(gpu);
    expect(queen.wrong).toEqual(['gpusByFree: 1 entries, expected 0', 'gpusByFree: GPU-1 is left over']);
    // Also where another host of that name is there, which has it.
    queen.hear('a', 1, { gpus: [gpuSample('GPU-1', { memoryTotalBytes: gib(30) })] });
    expect(queen.wrong).toContain('gpusByFree: GPU-1 is left over');
    // And where nothing but the host itself is gone.
    const forgotten = fleet();
    forgotten.parts.indexes.hives.delete('a');
    expect(forgotten.wrong).toEqual(
      expect.arrayContaining(['gpusByFree: GPU-0 is left over', 'gpuCount: 2 entries, expected 0']),
    );
  });

  it('finds a worker that stands twice in the order, in the place of another', () => {
    const queen = fleet();
    const { workerOrder } = queen.hiveRecord('a');
    workerOrder[1] = workerOrder[0]!;
    expect(queen.wrong).toContain('a: order at embed/2');
  });
});
