import { describe, expect, it } from 'vitest';
import { maxOfHive } from '../../lib/present/attention.js';
import { troubled } from '../../lib/queen/attention.js';
import { gib, gpuSample, TestQueen, workerSample } from './heartbeats.js';

/** Gives its hives that are in trouble, with their stalled workers. */
class Queen extends TestQueen {
  get troubled() {
    return [...troubled(this.indexes, this.time.nowMs)].map(({ view, workers }) => [
      view.id,
      view.ageMs,
      workers.map(({ id }) => id),
    ]);
  }
}

describe('hives of which something is wrong', () => {
  it.each([
    ['a fault', { faults: [{ source: 'gpu', code: 'STALLED', message: 'it stalls' }] as never }],
    [
      'one sick GPU among its GPUs',
      { gpus: [gpuSample('GPU-0'), gpuSample('GPU-1', { index: 1, health: 'lost', memoryTotalBytes: gib(48) })] },
    ],
  ])('are those with %s', (_, fields) => {
    const queen = new Queen();
    queen.hear('well', 1, { gpus: [gpuSample('GPU-well')], workers: [workerSample('llm/0', { state: 'busy' })] });
    queen.hear('ill', 1, fields);
    queen.time.advance(70);
    expect(queen.troubled).toEqual([['ill', 70, []]]);
  });

  it('are those that are not heard', () => {
    const queen = new Queen();
    queen.hear('silent', 1);
    queen.time.advance(4000);
    queen.hear('well', 1);
    queen.advance();
    expect(queen.troubled).toEqual([['silent', 4000, []]]);
  });

  it('are those with stalled workers: of one host as many as are shown, and one more', () => {
    const queen = new Queen();
    const stalled = (count: number) =>
      Array.from({ length: count }, (_, i) => workerSample(`llm/${1000 + i}`, { state: 'stalled' }));
    queen.hear('a', 1, { workers: [...stalled(2), workerSample('llm/idle')] });
    queen.hear('b', 1, { workers: stalled(maxOfHive + 50) });
    queen.hear('well', 1);
    const [a, b, ...others] = queen.troubled;
    expect(a).toEqual(['a', 0, ['llm/1000', 'llm/1001']]);
    expect(b![2]).toEqual(Array.from({ length: maxOfHive + 1 }, (_, i) => `llm/${1000 + i}`));
    expect(others).toEqual([]);
  });
});
