import { beforeAll, describe, expect, it, vi } from 'vitest';

type Compare = typeof import('../../lib/dashboard/data/compare.js');

describe('what is compared', () => {
  let compare: Compare;
  beforeAll(async () => {
    vi.stubGlobal('window', {
      location: { search: '', pathname: '/' },
      addEventListener: () => {},
      history: { replaceState: () => {} },
    });
    compare = await import('../../lib/dashboard/data/compare.js');
  });

  it('is up to six workers and GPUs, each once, and no hosts', () => {
    const names = ['worker:a/w/1', 'gpu:a/GPU-1', 'hive:a', 'worker:a/w/1', 'nonsense', '', 'worker:b/w/1'];
    const found = compare.parseCompared(names.join());
    expect(found.map(compare.comparedText)).toEqual(['worker:a/w/1', 'gpu:a/GPU-1', 'worker:b/w/1']);
    expect(compare.parseCompared(Array.from({ length: 9 }, (_, i) => `worker:a/w/${i}`).join())).toHaveLength(6);
  });

  it('is added and taken away again; the seventh takes the place of the first', () => {
    for (let i = 0; i < 7; i++) compare.toggleCompared(`worker:a/w/${i}`);
    expect(compare.isCompared('worker:a/w/0')).toBe(false);
    expect(compare.isCompared('worker:a/w/6')).toBe(true);
    compare.toggleCompared('worker:a/w/6');
    expect(compare.isCompared('worker:a/w/6')).toBe(false);
  });

  it('has its series on the same steps: short pauses are bridged, long ones and what is not known are gaps', () => {
    const { ages, lines } = compare.alignSeries(
      [
        { ages: [-59, -39, -1], values: [1, 2, 3] },
        { ages: [-25, -15, -5], values: [7, null, 9] },
        { ages: [], values: [] },
      ],
      60,
      6,
      1,
    );
    expect(ages).toEqual([-55, -45, -35, -25, -15, -5]);
    expect(lines).toEqual([
      [1, 1, 2, null, null, 3],
      [null, null, null, 7, null, 9],
      [null, null, null, null, null, null],
    ]);
  });
});
