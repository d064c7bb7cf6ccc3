import { describe, expect, it } from 'vitest';
import { gpuNullText, noContext, unknownOfGpu } from '../../lib/present/null-text.js';
import { gpuSample } from '../queen/heartbeats.js';

describe('reasons of a GPU that are not known', () => {
  const gpu = gpuSample('GPU-1', { throttleReasons: null });
  const fault = { source: 'gpu', code: 'NOT_READY', message: 'not yet', gpuUuid: gpu.uuid, field: 'throttleReasons' };

  it.each([
    ['has none', { ...gpu, unsupported: ['throttleReasons'] }, noContext, false],
    ['that sleeps has words for it', { ...gpu, health: 'suspended' as const }, noContext, true],
    ['has the words of a fault that names them', gpu, { ...noContext, faults: [fault] }, true],
  ])('a device %s', (_, of, context, unknown) => {
    const text = gpuNullText(of, 'throttleReasons', context);
    expect(text.unknown).toBe(unknown);
    const shown = unknownOfGpu(of, context).filter(({ labels }) => labels.includes('throttle reasons'));
    expect(shown.map(({ reason }) => reason)).toEqual(unknown ? [text.text] : []);
  });
});
