import { describe, expect, it, onTestFinished } from 'vitest';
import type { Snapshot } from '../../lib/contract/heartbeat.js';
import type { GpuSource } from '../../lib/gpu/reading.js';
import type { RunningSampler } from '../../lib/sampling/create.js';
import { FakeGpuHost as FakeGpus, h100, h100With, type Scenario } from '../fakes/scenario.js';
import { listCodes } from '../gpu/nvidia/hazards.js';
import { reading, sourceOf } from '../gpu/nvidia/sources.js';
import { waitFor } from '../harness/wait.js';
import { FakeHost } from './fake-host.js';

const MiB = 1024 * 1024;
const readers = ['nvml', 'nvidia-smi'] as const;
const idle = { pid: 100, bytes: 4096 * MiB, utilization: null };

/** A host with GPUs and two workers: `llm/a` is process 100, `llm/b` process 200. */
class Host {
  readonly #machine = new FakeHost();
  readonly #gpus: FakeGpus;
  readonly #source: GpuSource;
  readonly sampler: RunningSampler;

  constructor(scenario: Scenario, gpu: (typeof readers)[number]) {
    for (const [name, pid] of [
      ['a', 100],
      ['b', 200],
    ] as const) {
      const cgroup = `/hivepulse.slice/llm/${name}`;
      this.#machine.worker(cgroup, { pid, argv: [name] });
    }
    this.#gpus = new FakeGpus(scenario);
    onTestFinished(() => this.#gpus[Symbol.dispose]());
    this.#source = sourceOf(this.#gpus, { gpu });
    this.sampler = this.#machine.sampler({
      gpu: this.#source,
      pidNamespace: 'pid:[4026531836]',
      idleForMs: 0,
    });
  }

  become(scenario: Scenario): void {
    this.#gpus.become(scenario);
  }

  /** The second snapshot, and so one with a state, over a reading of the GPUs for which `accept` holds. */
  async settled(accept: (snapshot: Snapshot) => boolean): Promise<Snapshot> {
    await reading(this.#source, ({ status }) => status === 'working');
    await this.sampler.sample();
    return waitFor(async () => {
      const snapshot = await this.sampler.sample();
      return accept(snapshot) && snapshot;
    });
  }
}

const worker = (snapshot: Snapshot, id: string) => {
  const { state, vramUsedBytes, vramTotalBytes, gpuUtilizationPercent } = snapshot.workers.find((w) => w.id === id)!;
  return { state, vramUsedBytes, vramTotalBytes, gpuUtilizationPercent };
};
const lists = (snapshot: Snapshot) => snapshot.gpus.map((gpu) => [gpu.processCount, gpu.unattributedBytes]);
const unknown = { state: 'unknown', vramUsedBytes: null, vramTotalBytes: null, gpuUtilizationPercent: null };
const nothing = { state: 'idle', vramUsedBytes: 0, vramTotalBytes: 0, gpuUtilizationPercent: 0 };
const doubts = (snapshot: Snapshot) =>
  snapshot.faults.filter(({ code }) => code === 'GPU_PROCESSES_UNKNOWN').map(({ gpuUuid }) => gpuUuid);

describe.each(readers)('a process list that is not known, by %s', (gpu) => {
  it('a list that was read: zero is zero', async () => {
    const host = new Host({ gpus: [h100With(0, [idle]), h100(1)] }, gpu);
    const snapshot = await host.settled(({ workers }) => workers.every(({ state }) => state === 'idle'));
    expect(lists(snapshot)).toEqual([
      [1, 0],
      [0, 0],
    ]);
    expect(worker(snapshot, 'llm/a')).toMatchObject({ state: 'idle', vramUsedBytes: 4096 * MiB });
    expect(worker(snapshot, 'llm/b')).toEqual(nothing);
    expect(doubts(snapshot)).toEqual([]);
  });

  it.each([3, 4, 7, 18, 999])('code %i of every list: no count, no VRAM, and no worker is idle', async (code) => {
    const gpus = [h100With(0, [idle], { codes: listCodes(code) })];
    const snapshot = await new Host({ gpus }, gpu).settled(({ workers }) =>
      workers.every(({ state }) => state !== 'starting'),
    );
    expect(lists(snapshot)).toEqual([[null, null]]);
    expect(worker(snapshot, 'llm/a')).toEqual(unknown);
    expect(worker(snapshot, 'llm/b')).toEqual(unknown);
    expect(doubts(snapshot)).toEqual([gpus[0]!.uuid]);
  });

  it('one list of two fails: a worker busy on the other is busy, with no sum', async () => {
    const gpus = [h100With(0, [{ pid: 100, bytes: 4096 * MiB, utilization: 40 }]), h100(1, { codes: listCodes(999) })];
    const snapshot = await new Host({ gpus }, gpu).settled(({ workers }) =>
      workers.every(({ state }) => state !== 'starting'),
    );
    expect(lists(snapshot)).toEqual([
      [1, 0],
      [null, null],
    ]);
    expect(worker(snapshot, 'llm/a')).toEqual({ ...unknown, state: 'busy' });
    expect(worker(snapshot, 'llm/b')).toEqual(unknown);
  });

  it('a GPU that never tells its processes casts no doubt on a worker seen on another', async () => {
    const gpus = [h100With(0, [idle]), h100(1, { codes: listCodes(3) })];
    const snapshot = await new Host({ gpus }, gpu).settled(({ workers }) =>
      workers.some(({ state }) => state === 'idle'),
    );
    expect(snapshot.gpus[1]!.unsupported).toContain('processCount');
    expect(worker(snapshot, 'llm/a')).toMatchObject({ state: 'idle', vramUsedBytes: 4096 * MiB });
    expect(worker(snapshot, 'llm/b')).toEqual(unknown);
  });

  it('a lost GPU: who held it is unknown, its neighbours are not', async () => {
    const whole = { gpus: [h100With(0, [idle]), h100With(1, [{ ...idle, pid: 200 }])] };
    const host = new Host(whole, gpu);
    await host.settled(({ workers }) => workers.every(({ state }) => state === 'idle'));
    const memory = { nvmlDeviceGetMemoryInfo: 15, nvmlDeviceGetMemoryInfo_v2: 15 };
    host.become({ gpus: [{ ...whole.gpus[0]!, codes: memory }, whole.gpus[1]!] });
    // A reading of GPUs may be newer than the pass over workers.
    const snapshot = await host.settled(
      (each) => each.gpus[0]!.health === 'lost' && worker(each, 'llm/a')?.state !== 'idle',
    );
    expect(lists(snapshot)).toEqual([
      [null, null],
      [1, 0],
    ]);
    expect(worker(snapshot, 'llm/a')).toEqual(unknown);
    expect(worker(snapshot, 'llm/b')).toMatchObject({ state: 'idle', vramUsedBytes: 4096 * MiB });
    expect(doubts(snapshot)).toEqual([whole.gpus[0]!.uuid]);
  });

  it('a GPU lost before anybody looked: who is seen nowhere may sit on it', async () => {
    const gpus = [h100With(0, [idle]), h100(1, { codes: { nvmlDeviceGetHandleByIndex_v2: 15 } })];
    const snapshot = await new Host({ gpus }, gpu).settled(
      ({ gpus, workers }) => gpus.length === 2 && workers.some(({ state }) => state === 'idle'),
    );
    expect(lists(snapshot)).toEqual([
      [1, 0],
      [null, null],
    ]);
    expect(worker(snapshot, 'llm/a')).toMatchObject({ state: 'idle', vramUsedBytes: 4096 * MiB });
    expect(worker(snapshot, 'llm/b')).toEqual(unknown);
  });
});
