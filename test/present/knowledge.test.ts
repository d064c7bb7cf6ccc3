import { describe, expect, it } from 'vitest';
import { gpuReadersText, hiveGpusText, workerGpusText } from '../../lib/present/knowledge.js';

describe('words for GPUs that are not there or not known', () => {
  it('say unknown with its reason and since when, and no GPU only where that is known', () => {
    expect(hiveGpusText({ gpus: [{}], gpusKnown: 'known', gpusReason: null })).toBeNull();
    expect(hiveGpusText({ gpus: [], gpusKnown: 'none', gpusReason: 'no driver' })).toEqual({
      text: 'no GPU',
      reason: 'no driver',
      unknown: false,
      since: null,
    });
    expect(hiveGpusText({ gpus: [], gpusKnown: 'unknown', gpusReason: 'no answer' }, 14_000)).toEqual({
      text: 'unknown since 14 s',
      reason: 'no answer',
      unknown: true,
      since: 'since 14 s',
    });
    expect(hiveGpusText({ gpus: [], gpusKnown: 'unknown', gpusReason: null })?.reason).not.toBeNull();
    expect(workerGpusText({ gpus: [], gpusReason: 'no answer' }, 14_000)?.text).toBe('unknown since 14 s');
    expect(workerGpusText({ gpus: [], gpusReason: null })).toMatchObject({ text: 'no GPU', unknown: false });
    const held = { uuid: 'GPU-0', memoryUsedBytes: null, utilizationPercent: null };
    const inferred = { gpus: [held], gpusReason: 'by its files', gpusInferred: 'deviceMapped' as const };
    expect(workerGpusText(inferred)).toMatchObject({ text: '1 inferred', reason: 'by its files', unknown: true });
  });
});

describe('what reads the GPUs of a host', () => {
  const of = (...vendors: (string | null)[]) => vendors.map((vendor) => ({ vendor }));
  it('is one reader, or each with the makers whose GPUs it reads', () => {
    expect(gpuReadersText({ gpuReader: 'nvml' }, of('NVIDIA', 'NVIDIA'))).toBe('NVML');
    expect(gpuReadersText({ gpuReader: 'nvidiaSmi' }, of('NVIDIA', 'AMD', 'NVIDIA', 'Intel'))).toBe(
      'nvidia-smi (NVIDIA), DRM (AMD, Intel)',
    );
    expect(gpuReadersText({ gpuReader: 'drm' }, of('AMD', 'Intel'))).toBe('DRM');
    expect(gpuReadersText({ gpuReader: 'nvml' }, of(null))).toBe('NVML');
    expect(gpuReadersText({ gpuReader: 'none' }, [])).toBe('none');
  });
});
