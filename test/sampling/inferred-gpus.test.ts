import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { GpuDevice } from '../../lib/gpu/reading.js';
import { type InferenceInput, inferGpus } from '../../lib/sampling/inferred-gpus.js';
import { gpuOf } from '../harness/heartbeats.js';
import { waitFor } from '../harness/wait.js';
import { workerOf } from './collect-support.js';
import { FakeHost, fakeGpu } from './fake-host.js';

const file = (card: number): string => `/dev/nvidia${card}`;
const files = (...cards: readonly number[]): ReadonlySet<string> => new Set(cards.map(file));
const deviceOf = (i: number, over: Partial<GpuDevice> = {}): GpuDevice => {
  const { processCount: _, unattributedBytes: __, ...device } = gpuOf(`GPU-${i}`);
  return { ...device, processesKnown: true, ...over };
};
const devicesOf = (count: number) => Array.from({ length: count }, (_, i) => deviceOf(i));

describe('GPUs are inferred', () => {
  const eight = { devices: devicesOf(2), cards: files(3, 5), open: files(3, 5) };

  it('where all cards that the hive sees are mapped; how much is used stays unknown', () => {
    const inferred = inferGpus({ ...eight, mapped: files(5, 3) });
    expect(inferred).toMatchObject({ evidence: 'deviceMapped', reason: expect.stringContaining('mapped') });
    expect(inferred?.gpus).toEqual(
      ['GPU-0', 'GPU-1'].map((uuid) => ({ uuid, memoryUsedBytes: null, utilizationPercent: null })),
    );
  });

  it.each<[string, InferenceInput]>([
    ['which of two is mapped', { ...eight, mapped: files(3) }],
    ['two are open and none is mapped', { ...eight, mapped: files() }],
    ['one of another container is mapped as well', { ...eight, mapped: files(3, 5, 6) }],
    [
      'the only one mapped is of another container',
      { ...eight, devices: devicesOf(1), cards: files(5), mapped: files(3) },
    ],
    ['the driver sees fewer than there are files', { ...eight, devices: devicesOf(1), mapped: files(3, 5) }],
    ['the driver sees more than there are files', { ...eight, devices: devicesOf(3), mapped: files(3, 5) }],
    ['as many are mapped, and one of them is of another container', { ...eight, mapped: files(3, 6) }],
    [
      'one of several is a part of a card',
      { ...eight, devices: [deviceOf(0), deviceOf(1, { parentUuid: 'GPU-9' })], mapped: files(3, 5) },
    ],
    [
      'the only one is open and one of another container is mapped',
      { devices: devicesOf(1), cards: files(5), open: files(5), mapped: files(3) },
    ],
    ['nothing is held', { devices: devicesOf(1), cards: files(0), open: files(), mapped: files() }],
    ['there is no file', { devices: [], cards: files(), open: files(), mapped: files() }],
    [
      'it is a part of a card',
      { devices: [deviceOf(0, { parentUuid: 'GPU-9' })], cards: files(0), open: files(0), mapped: files(0) },
    ],
  ])('not where %s', (_, input) => {
    expect(inferGpus(input)).toBeNull();
  });

  it('from an open file only where there is one card', () => {
    const one = { devices: devicesOf(1), cards: files(4), open: files(4), mapped: files() };
    expect(inferGpus(one)).toMatchObject({ evidence: 'deviceOpen', gpus: [{ uuid: 'GPU-0' }] });
  });

  it('never others than those that the hive sees, and never without a file of each of them held', () => {
    const cards = fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { maxLength: 5 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), cards, cards, cards, (count, own, open, mapped) => {
        const input = {
          devices: devicesOf(count),
          cards: files(...own),
          open: files(...open),
          mapped: files(...mapped),
        };
        const inferred = inferGpus(input);
        const sees = own.length === count && count > 0;
        const by = (held: readonly number[]) => sees && [...held].sort().join() === [...own].sort().join();
        const expected = by(mapped)
          ? 'deviceMapped'
          : by(open) && count === 1 && mapped.length === 0
            ? 'deviceOpen'
            : null;
        expect(inferred?.evidence ?? null).toBe(expected);
        expect(inferred?.gpus.map(({ uuid }) => uuid) ?? null).toEqual(
          expected === null ? null : input.devices.map(({ uuid }) => uuid),
        );
      }),
    );
  });
});

describe('in a pid namespace of its own', () => {
  const processes = [0, 1].map((i) => ({
    gpuUuid: `GPU-${i}`,
    pid: 31_337,
    memoryUsedBytes: 4096,
    utilizationPercent: 9,
  }));

  /** A container with two GPUs: an engine of two processes, each of which computes on one of them. */
  function container(pidNamespace = 'pid:[4026532000]') {
    const host = new FakeHost();
    host.worker('/box', { pid: 5, argv: ['hivepulse', 'up'] });
    host.process({ pid: 9, argv: ['vllm', 'serve', 'a/b'], cgroup: '/box' });
    host.process({ pid: 10, argv: ['VLLM::Worker_TP0'], cgroup: '/box', parentPid: 9 });
    host.process({ pid: 11, argv: ['VLLM::Worker_TP1'], cgroup: '/box', parentPid: 9 });
    host.devices('null', 'nvidiactl', 'nvidia0', 'nvidia1');
    const gpu = fakeGpu({ devices: devicesOf(2), processes });
    return { host, start: () => host.sampler({ ownPid: 5, gpu, pidNamespace }) };
  }
  const both = ['/dev/nvidiactl', file(0), file(1)];

  it('the only engine has the GPUs that its processes map, marked as inferred and never measured', async () => {
    const { host, start } = container();
    host.holds(10, both, ['/dev/nvidiactl', file(0)]);
    host.holds(11, both, ['/dev/nvidiactl', file(1)]);
    const sampler = start();
    const worker = await waitFor(async () => {
      const found = workerOf(await sampler.sample(), 'processes/vllm-9');
      return found.gpusInferred !== undefined && found;
    });
    expect(worker).toMatchObject({
      gpusInferred: 'deviceMapped',
      gpusReason: expect.stringMatching(/^not measured, only inferred: /),
      gpus: [0, 1].map((i) => ({ uuid: `GPU-${i}`, memoryUsedBytes: null, utilizationPercent: null })),
      vramUsedBytes: null,
      vramTotalBytes: null,
      gpuUtilizationPercent: null,
    });
    expect(worker.nullReasons ?? {}).not.toHaveProperty('vramUsedBytes');
  });

  it('nothing is inferred of one among two engines', async () => {
    const { host, start } = container();
    host.holds(10, both, [file(0), file(1)]);
    const sampler = start();
    const inferredOf = async () => workerOf(await sampler.sample(), 'processes/vllm-9').gpusInferred;
    await waitFor(async () => (await inferredOf()) === 'deviceMapped');
    host.process({ pid: 20, argv: ['llama-server', '-m', 'phi.gguf'], cgroup: '/box' });
    await waitFor(async () => (await inferredOf()) === undefined);
    const { gpus, gpusReason } = workerOf(await sampler.sample(), 'processes/vllm-9');
    expect([gpus, gpusReason]).toEqual([[], expect.stringContaining('pid namespace of its own')]);
  });

  it('nothing is inferred where the pids of the driver are known', async () => {
    const { host, start } = container('pid:[4026531836]');
    host.holds(10, both, [file(0), file(1)]);
    const sampler = start();
    await sampler.sample();
    expect(workerOf(await sampler.sample(), 'processes/vllm-9')).toMatchObject({
      gpus: [],
      gpusInferred: undefined,
      gpusReason: undefined,
      vramUsedBytes: 0,
    });
  });
});
