import { describe, expect, it } from 'vitest';
import { type FieldTable, unknown } from '../../lib/contract/fields/field.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import type { Fault, GpuSample, WorkerSample } from '../../lib/contract/heartbeat.js';
import { gpuNullText, noContext, nullPaths, unknownOfGpu, workerNullText } from '../../lib/present/null-text.js';
import { gpuSample, workerSample } from '../queen/heartbeats.js';

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

describe('a fault of one figure says why others are not known, too', () => {
  /** Of each figure, those besides itself that are not known because of it. */
  const explained = (table: FieldTable, figures: readonly string[], textsOf: (fault: Fault) => Map<string, string>) => {
    const found: Record<string, readonly string[]> = {};
    for (const field of new Set([...Object.keys(table), ...figures])) {
      const fault = { source: 'gpu', code: 'NOT_READ', field, message: `what comes of ${field}` };
      const because = [...textsOf(fault)].flatMap(([name, text]) => (text === fault.message ? [name] : []));
      const others = because.filter((name) => name !== field && !name.startsWith(`${field}.`));
      if (others.length > 0) found[field] = others.sort();
    }
    return found;
  };

  it('of a worker', () => {
    const held = { uuid: 'GPU-0', memoryUsedBytes: null, utilizationPercent: null };
    const known = { gpus: [held], gpusReason: null, nullReasons: {} };
    const worker: WorkerSample = { ...workerSample('llm/a'), ...unknown(workerFields), ...known };
    const figures = ['workers.gpus', 'workers.gpus.memoryUsedBytes', 'workers.gpus.utilizationPercent'];
    const textsOf = (fault: Fault) => {
      const paths = nullPaths(workerFields, worker);
      return new Map(paths.map((path) => [path, workerNullText(worker, path, { ...noContext, faults: [fault] }).text]));
    };
    expect(explained(workerFields, [...figures, 'memoryTotalBytes'], textsOf)).toEqual({
      processCount: ['pid', 'startedAt', 'uptimeSeconds'],
      uptimeSeconds: ['startedAt'],
      command: ['model', 'startedAt', 'uptimeSeconds'],
      cpuPercent: ['cpuThrottledPercent'],
      memoryBytes: ['memoryPeakBytes', 'oomKills', 'workingSetBytes'],
      memoryPeakBytes: ['oomKills', 'workingSetBytes'],
      ioReadBytesPerSecond: ['ioWriteBytesPerSecond'],
      'workers.gpus': ['gpuUtilizationPercent', 'vramUsedBytes'],
      'workers.gpus.utilizationPercent': ['gpuUtilizationPercent'],
      'workers.gpus.memoryUsedBytes': ['vramUsedBytes'],
      memoryTotalBytes: ['vramTotalBytes'],
    });
  });

  it('of a GPU', () => {
    const gpu: GpuSample = { ...gpuSample('GPU-1'), ...unknown(gpuFields), health: 'ok', unsupported: [] };
    const figures = ['workers.gpus', 'workers.gpus.memoryUsedBytes', 'workers.gpus.utilizationPercent'];
    const textsOf = (fault: Fault) => {
      const paths = nullPaths(gpuFields, gpu);
      return new Map(paths.map((path) => [path, gpuNullText(gpu, path, { ...noContext, faults: [fault] }).text]));
    };
    const because = ['unattributedBytes'];
    expect(explained(gpuFields, figures, textsOf)).toEqual({
      ...{ processCount: because, 'workers.gpus': because, 'workers.gpus.memoryUsedBytes': because },
    });
  });
});
