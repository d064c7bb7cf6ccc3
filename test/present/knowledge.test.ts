import { describe, expect, it } from 'vitest';
import {
  fleetWorkersText,
  gpuReadersOf,
  gpuReadersText,
  hiveGpusText,
  incompleteText,
  workerCountText,
  workerGpusText,
} from '../../lib/present/knowledge.js';
import { heartbeatOf } from '../harness/heartbeats.js';

it('names each reader at work, of older hives the one that they name', () => {
  const { collection } = heartbeatOf('h', 1);
  expect(gpuReadersOf({ ...collection, gpuReader: 'nvml' })).toEqual(['nvml']);
  expect(gpuReadersOf({ ...collection, gpuReader: 'nvml', gpuReaders: [] })).toEqual(['nvml']);
  expect(gpuReadersOf({ ...collection, gpuReader: 'nvml', gpuReaders: ['nvml', 'drm'] })).toEqual(['nvml', 'drm']);
  expect(gpuReadersText({ ...collection, gpuReader: 'nvml', gpuReaders: ['nvidiaSmi', 'drm'] })).toBe(
    'nvidia-smi, DRM',
  );
});

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

describe('a list of workers', () => {
  const of = (workersComplete: boolean, gpusKnown: 'known' | 'none' | 'unknown') => {
    const hive = { workerCount: 0, workersComplete, gpusKnown };
    return [workerCountText(hive), incompleteText(hive)];
  };

  it('may lack some where the tree, or what GPUs the host has, is not known', () => {
    expect(of(true, 'known')).toEqual(['0', '']);
    expect(of(true, 'none')).toEqual(['0', '']);
    expect(of(true, 'unknown')).toEqual(['0+', ' (incomplete: workers that only their GPUs show cannot be found)']);
    expect(of(false, 'known')).toEqual(['0+', ' (incomplete: part of the cgroup tree could not be read)']);
  });

  it('of a fleet names the host whose list may lack some, and counts the others', () => {
    const hive = (id: string, workersComplete: boolean, gpusKnown: 'known' | 'none' | 'unknown') => ({
      id,
      workersComplete,
      gpusKnown,
    });
    expect(fleetWorkersText([])).toBeNull();
    expect(fleetWorkersText([hive('a', true, 'known'), hive('b', true, 'none')])).toBeNull();
    expect(fleetWorkersText([hive('a', true, 'known'), hive('b', false, 'none')])).toBe(
      'workers of b: incomplete (part of the cgroup tree could not be read)',
    );
    const both = [hive('c', true, 'unknown'), hive('a', true, 'known'), hive('b', false, 'unknown')];
    expect(fleetWorkersText(both)).toMatch(/^workers of c, and of 1 more: incomplete \(/);
  });
});
