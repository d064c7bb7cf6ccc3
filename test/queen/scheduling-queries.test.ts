import { describe, expect, it } from 'vitest';
import { gpuSample, ManualClock, mib, onGpu, runB, TestQueen, workerSample } from './heartbeats.js';

const clock = new ManualClock();
const registry = () => new TestQueen({ clock: clock.read, random: () => 0.5, wallClock: () => 1_772_366_400_000 });
const ids = (workers: readonly { key: string }[]) => workers.map((worker) => worker.key);

describe('questions of schedulers', () => {
  it('scheduling_queries: three sleeping workers are idle, none serves a model that nobody loaded', () => {
    const queen = registry();
    queen.hear('gpu-1', 1, { workers: [workerSample('llm/1'), workerSample('llm/2'), workerSample('llm/3')] });
    expect(ids(queen.findIdleWorkers())).toEqual(['gpu-1/llm/1', 'gpu-1/llm/2', 'gpu-1/llm/3']);
    expect(queen.findWorkersWithModel('x')).toEqual([]);
    expect(queen.findBestWorkerForModel('x')).toBeNull();
    expect(queen.findWorkersWithCapacity(0)).toEqual([]);
    expect(queen.audit()).toEqual([]);
  });

  it('find_workers_with_capacity_checks_vram: each GPU counts by its own room', () => {
    const queen = registry();
    const used = [0, 8192, 16_384, 20_480];
    queen.hear('gpu-1', 1, {
      gpus: used.map((u, index) => gpuSample(`GPU-${index}`, { index, memoryUsedBytes: mib(u) })),
      workers: used.map((u, index) => workerSample(`llm/${index}`, onGpu(`GPU-${index}`, mib(u)))),
    });
    const holding = (asked: number) => ids(queen.findWorkersWithCapacity(mib(asked)));
    expect(holding(4096)).toEqual(['gpu-1/llm/0', 'gpu-1/llm/1', 'gpu-1/llm/2', 'gpu-1/llm/3']);
    expect(holding(8192)).toEqual(['gpu-1/llm/0', 'gpu-1/llm/1', 'gpu-1/llm/2']);
    expect(holding(24_576)).toEqual(['gpu-1/llm/0']);
    expect(holding(24_577)).toEqual([]);
  });

  it('hive_restart_clears_workers: a new incarnation replaces all that the old one said', () => {
    const queen = registry();
    queen.hear('gpu-1', 7, { workers: [workerSample('llm/1'), workerSample('llm/2')] });
    queen.hear('gpu-1', 1, {
      hive: { incarnation: runB, startedAt: '2026-01-02T03:30:00.000Z' },
      workersComplete: false,
      workers: [workerSample('llm/3')],
    });
    expect(ids(queen.getAllWorkers())).toEqual(['gpu-1/llm/3']);
    expect(queen.audit()).toEqual([]);
  });
});
