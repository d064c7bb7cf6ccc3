import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { GpuProcess } from '../../lib/gpu/reading.js';
import { attribute, sharesPidNamespace, workerAt } from '../../lib/sampling/attribution.js';

const GiB = 1024 ** 3;
const process = (
  gpuUuid: string,
  pid: number,
  memoryUsedBytes: number | null,
  utilizationPercent: number | null = 0,
): GpuProcess => ({
  gpuUuid,
  pid,
  memoryUsedBytes,
  utilizationPercent,
});
const paths: Record<number, string> = {
  1: '/hivepulse.slice/llm/a',
  2: '/hivepulse.slice/llm/a/sub',
  3: '/hivepulse.slice/llm/ab',
  4: '/user.slice/user-0.slice/session-1.scope',
  5: '/',
};
const workersByPath = new Map([
  ['/hivepulse.slice/llm/a', 'llm/a'],
  ['/hivepulse.slice/llm/ab', 'llm/ab'],
]);
const run = (processes: readonly GpuProcess[]) =>
  attribute({ processes, workersByPath, pathOf: (pid) => paths[pid] ?? null });

describe('attribution', () => {
  it('gives a process to the nearest worker above it, and no worker what only begins alike', () => {
    expect(workerAt('/hivepulse.slice/llm/a/sub/deeper', workersByPath)).toBe('llm/a');
    expect(workerAt('/hivepulse.slice/llm/abc', workersByPath)).toBeNull();
    expect(workerAt('/', workersByPath)).toBeNull();
    const nested = new Map([...workersByPath, ['/hivepulse.slice/llm/a/sub', 'inner']]);
    expect(workerAt('/hivepulse.slice/llm/a/sub/x', nested)).toBe('inner');
  });

  it('sums each worker on each GPU, and counts a context without memory', () => {
    const result = run([
      process('G0', 1, 2 * GiB, 30),
      process('G0', 2, GiB, 20),
      process('G1', 2, 0, 0),
      process('G0', 3, GiB, 5),
    ]);
    expect(result.byWorker.get('llm/a')).toEqual([
      { uuid: 'G0', memoryUsedBytes: 3 * GiB, utilizationPercent: 50 },
      { uuid: 'G1', memoryUsedBytes: 0, utilizationPercent: 0 },
    ]);
    expect(result.byWorker.get('llm/ab')).toEqual([{ uuid: 'G0', memoryUsedBytes: GiB, utilizationPercent: 5 }]);
    expect(Object.fromEntries(result.processCount)).toEqual({ G0: 3, G1: 1 });
    expect(result.unattributedBytes.size).toBe(0);
  });

  it('what belongs to nobody is shown per GPU, and its cgroup is offered for adoption', () => {
    const result = run([process('G0', 4, GiB), process('G0', 5, GiB), process('G0', 99, GiB)]);
    expect(result.byWorker.size).toBe(0);
    expect(result.unattributedBytes.get('G0')).toBe(3 * GiB);
    expect([...result.unclaimed]).toEqual([
      [4, paths[4]],
      [5, '/'],
      [99, null],
    ]);
  });

  it('a sum of which a part is not known is not known', () => {
    const result = run([
      process('G0', 1, GiB, 10),
      process('G0', 2, null, null),
      process('G1', 4, null),
      process('G1', 4, GiB),
    ]);
    expect(result.byWorker.get('llm/a')).toEqual([{ uuid: 'G0', memoryUsedBytes: null, utilizationPercent: null }]);
    expect(result.unattributedBytes.get('G1')).toBeNull();
  });

  it('no byte is lost or counted twice', () => {
    const anyProcess = fc.record({
      gpuUuid: fc.constantFrom('G0', 'G1', 'G2'),
      pid: fc.constantFrom(1, 2, 3, 4, 5, 6),
      memoryUsedBytes: fc.integer({ min: 0, max: 1e12 }),
      utilizationPercent: fc.constant(0),
    });
    fc.assert(
      fc.property(fc.array(anyProcess, { maxLength: 30 }), (processes) => {
        const result = run(processes);
        for (const uuid of ['G0', 'G1', 'G2']) {
          const all = processes.filter((p) => p.gpuUuid === uuid).reduce((sum, p) => sum + p.memoryUsedBytes, 0);
          let told = result.unattributedBytes.get(uuid) ?? 0;
          for (const gpus of result.byWorker.values()) {
            told += gpus.find((gpu) => gpu.uuid === uuid)?.memoryUsedBytes ?? 0;
          }
          expect(told).toBe(all);
        }
      }),
    );
  });

  it('trusts pids only in the first pid namespace', () => {
    expect(sharesPidNamespace('pid:[4026531836]')).toBe(true);
    expect(sharesPidNamespace('pid:[4026532201]')).toBe(false);
    expect(sharesPidNamespace(null)).toBe(false);
  });
});
