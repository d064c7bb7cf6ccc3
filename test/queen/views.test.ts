import { describe, expect, it } from 'vitest';
import { gpuView, hiveView, workerView } from '../../lib/queen/views.js';
import { gpuSample, onGpu, TestQueen, workerSample } from './heartbeats.js';

/** Its records can be looked at. */
class Queen extends TestQueen {
  get parts() {
    const hive = this.indexes.hives.get('a')!;
    return { hive, gpu: hive.gpuOrder[0]!, worker: hive.workerOrder[0]! };
  }
}

const heardAtMs = 1_000_000;
function setUp() {
  const queen = new Queen();
  queen.hear('a', 1, {
    hive: { labels: { zone: 'x' } },
    gpus: [gpuSample('GPU-0', { memoryUsedBytes: 7 })],
    workers: [workerSample('llm/1', onGpu('GPU-0', 7))],
  });
  return { queen, ...queen.parts };
}

describe('what is said of a hive, a GPU and a worker', () => {
  it('is as old as the heartbeat it came with, and never younger than now', () => {
    const { hive, gpu, worker } = setUp();
    const ages = (nowMs: number) => [hiveView(hive, nowMs), gpuView(gpu, nowMs), workerView(worker, nowMs)];
    expect(ages(heardAtMs + 1500).map(({ ageMs }) => ageMs)).toEqual([1500, 1500, 1500]);
    expect(ages(heardAtMs - 20).map(({ ageMs }) => ageMs)).toEqual([0, 0, 0]);
  });

  it('is as old as the last word of it, where heartbeats since then have none', () => {
    const { hive, gpu, worker } = setUp();
    gpu.unseenSinceMs = heardAtMs - 300;
    worker.unseenSinceMs = heardAtMs - 200;
    expect(gpuView(gpu, heardAtMs + 5).ageMs).toBe(305);
    expect(workerView(worker, heardAtMs + 5).ageMs).toBe(205);
    expect(hiveView(hive, heardAtMs + 5).ageMs).toBe(5);
    gpu.unseenSinceMs = 0;
    worker.unseenSinceMs = 0;
    expect([gpuView(gpu, heardAtMs).ageMs, workerView(worker, heardAtMs).ageMs]).toEqual([heardAtMs, heardAtMs]);
  });

  it('does not change under whoever holds it', () => {
    const { queen, hive, gpu } = setUp();
    const before = [hiveView(hive, heardAtMs), gpuView(gpu, heardAtMs)];
    const copy = structuredClone(before);
    queen.hear('a', 2, { gpus: [gpuSample('GPU-0', { memoryUsedBytes: 9 })] });
    expect(before).toEqual(copy);
    expect(hiveView(hive, heardAtMs).gpus).toMatchObject([{ uuid: 'GPU-0', memoryUsedBytes: 9 }]);
    expect(hiveView(hive, heardAtMs, []).gpus).toEqual([]);
  });

  it('names the cordon of a hive that has one, and is silent of it where there is none', () => {
    const { queen, hive } = setUp();
    expect(hiveView(hive, heardAtMs)).not.toHaveProperty('cordon');
    queen.cordons.set('a', { reason: 'a fan', by: 'kim' });
    expect(hiveView(hive, heardAtMs)).toMatchObject({ id: 'a', hive: 'a', cordon: { reason: 'a fan', by: 'kim' } });
  });

  it('has where it runs, and how that is heard', () => {
    const { gpu, worker, hive } = setUp();
    hive.liveness = 'late';
    expect(gpuView(gpu, heardAtMs)).toMatchObject({ uuid: 'GPU-0', hive: 'a', liveness: 'late' });
    expect(workerView(worker, heardAtMs)).toMatchObject({
      ...{ id: 'llm/1', hive: 'a', liveness: 'late', key: 'a/llm/1' },
    });
  });
});
