import { describe, expect, test } from 'vitest';
import { gpuTotals, vramOf } from '../../lib/present/host-figures.js';
import { sentence } from '../../lib/present/sentences.js';

const gib = 2 ** 30;
const gpu = (memoryUsedBytes: number | null, memoryTotalBytes: number | null) =>
  ({ parentUuid: null, memoryUsedBytes, memoryTotalBytes, utilizationPercent: 3, powerWatts: 71 }) as never;
const text = (...gpus: never[]) => vramOf(gpuTotals([{ gpus }]));

describe('the VRAM of a host', () => {
  test('says where the memory of some GPU is in no sum', () => {
    expect(text(gpu(20 * gib, 80 * gib), gpu(1.5 * gib, 24 * gib))).toBe('21.5 / 104.0 GiB');
    expect(text(gpu(20 * gib, 80 * gib), gpu(1.5 * gib, null))).toBe('20.0 / 80.0 GiB?');
    expect(text(gpu(20 * gib, 80 * gib), gpu(null, 24 * gib))).toBe('20.0 / 80.0 GiB?');
    expect(text(gpu(null, 24 * gib))).toBe('—');
    expect(text()).toBe('—');
  });
});

describe('a sentence', () => {
  test('begins with a capital, unless a name of a field stands there', () => {
    expect(sentence('the library is missing')).toBe('The library is missing.');
    expect(sentence('memoryUsedBytes: the driver says 7')).toBe('memoryUsedBytes: the driver says 7.');
  });
});
