import { describe, expect, it } from 'vitest';
import { type CountedGpu, countFleet, countVram } from '../../lib/contract/counts.js';

const gpu = (
  uuid: string,
  memoryUsedBytes: number | null,
  memoryTotalBytes: number | null,
  fields: Partial<CountedGpu> = {},
): CountedGpu => ({ uuid, parentUuid: null, health: 'ok', memoryUsedBytes, memoryTotalBytes, ...fields });
const part = (parentUuid: string, uuid: string, used: number | null) => gpu(uuid, used, 10, { parentUuid });

describe('the memory of GPUs', () => {
  it.each([
    ['of none', [], [null, null, 0]],
    ['of those of which it is known', [gpu('A', 1, 80), gpu('B', 2, 40)], [3, 120, 0]],
    ['of which nothing is used', [gpu('A', 0, 80)], [0, 80, 0]],
    ['where the use of one is not known', [gpu('A', 1, 80), gpu('B', null, 40)], [1, 80, 1]],
    ['where the size of one is not known', [gpu('A', 1, null), gpu('B', 2, 40)], [2, 40, 1]],
    ['where nothing is known', [gpu('A', null, null), gpu('B', null, null)], [null, null, 2]],
    ['which has its parts in it', [gpu('A', 5, 80), part('A', 'A1', 2), part('A', 'A2', 3)], [5, 80, 0]],
    ['whatever their order', [part('A', 'A1', 2), gpu('A', 5, 80), part('A', 'A2', null)], [5, 80, 0]],
    [
      'by its parts where its own is not known',
      [gpu('A', null, 80), part('A', 'A1', 2), part('A', 'A2', 3)],
      [5, 20, 0],
    ],
    ['where the size of the whole is not known', [gpu('A', 5, null), part('A', 'A1', 2)], [2, 10, 0]],
    [
      'by its parts, of which one is not known',
      [gpu('A', null, 80), part('A', 'A1', 2), part('A', 'A2', null)],
      [2, 10, 1],
    ],
    ['of a part whose whole is not listed', [part('A', 'A1', 2), gpu('B', 1, 40)], [3, 50, 0]],
    ['of one in parts beside one that is whole', [gpu('B', null, 40), gpu('A', 5, 80), part('A', 'A1', 2)], [5, 80, 1]],
  ] as const)('%s', (_what, gpus, [usedBytes, totalBytes, uncounted]) => {
    expect(countVram(gpus)).toEqual({ usedBytes, totalBytes, uncounted });
  });
});

it('a fleet is counted with what is not heard as offline, and its memory as not known', () => {
  const gpus = [gpu('A', 1, 80), gpu('B', 2, 40, { health: 'degraded' })];
  const hives = [
    { liveness: 'online', gpusKnown: 'known', gpus },
    { liveness: 'late', gpusKnown: 'unknown', gpus: [gpu('C', 4, 8)] },
    { liveness: 'offline', gpusKnown: 'known', gpus: [gpu('D', 1, 80, { health: 'lost' }), gpu('E', 1, 80)] },
    { liveness: 'online', gpusKnown: 'none', gpus: [] },
  ] as const;
  const workers = [
    ['idle', 2],
    ['busy', 0],
    ['offline', 3],
    ['idle', 1],
  ] as const;
  expect(countFleet(hives, workers)).toEqual({
    liveness: { online: 2, late: 1, offline: 1 },
    health: { ok: 2, degraded: 1, offline: 2 },
    state: { idle: 3, offline: 3 },
    gpus: 5,
    unknownGpuHives: 1,
    workers: 6,
    usedBytes: 7,
    totalBytes: 128,
    uncounted: 2,
  });
  expect(countFleet([], [])).toEqual({
    liveness: { online: 0, late: 0, offline: 0 },
    ...{ health: {}, state: {}, gpus: 0, unknownGpuHives: 0, workers: 0 },
    ...{ usedBytes: null, totalBytes: null, uncounted: 0 },
  });
});
