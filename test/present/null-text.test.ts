import { describe, expect, it } from 'vitest';
import { gpuEmptyText, noContext } from '../../lib/present/null-text.js';
import { gpuSample } from '../queen/heartbeats.js';

describe('an empty list of a GPU', () => {
  const gpu = gpuSample('GPU-1', { throttleReasons: [] });
  const fault = { source: 'gpu', code: 'NOT_READY', message: 'not yet', gpuUuid: gpu.uuid, field: 'throttleReasons' };

  it.each([
    ['is empty where the driver was asked and answered', gpu, noContext, null],
    ['is none of a device that cannot tell', { ...gpu, unsupported: ['throttleReasons'] }, noContext, false],
    ['is not known of one that sleeps', { ...gpu, health: 'suspended' as const }, noContext, true],
    ['is not known where a fault names it', gpu, { ...noContext, faults: [fault] }, true],
  ])('%s', (_, of, context, unknown) => {
    expect(gpuEmptyText(of, 'throttleReasons', context)?.unknown ?? null).toBe(unknown);
  });
});
