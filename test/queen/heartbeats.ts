import type { GpuSample, Heartbeat, WorkerSample } from '../../lib/contract/heartbeat.js';
import { type HeartbeatOutcome, Registry, type RegistryOptions } from '../../lib/queen/registry.js';
import { gpuOf, heartbeatOf, incarnationOf, workerOf } from '../harness/heartbeats.js';

export const mib = (count: number): number => count * 2 ** 20;
export const gib = (count: number): number => count * 2 ** 30;

export const runA = incarnationOf(1);
export const runB = incarnationOf(2);
export const runC = incarnationOf(3);

/** A GPU of 24576 MiB with nothing on it. */
export const gpuSample = (uuid: string, fields: Partial<GpuSample> = {}): GpuSample =>
  gpuOf(uuid, { memoryTotalBytes: mib(24_576), memoryUsedBytes: 0, processCount: 0, utilizationPercent: 0, ...fields });

/** An idle worker by id `group/instance`, that holds no GPU and serves no model. */
export const workerSample = (id: string, fields: Partial<WorkerSample> = {}): WorkerSample =>
  workerOf(id, {
    model: null,
    command: 'sleep 1000',
    labels: {},
    cpuPercent: 0,
    gpus: [],
    gpuUtilizationPercent: null,
    vramUsedBytes: null,
    vramTotalBytes: null,
    ready: null,
    ...fields,
  });

/** Fields of a worker that holds one GPU. */
export function onGpu(uuid: string, usedBytes = 0, utilizationPercent = 0): Partial<WorkerSample> {
  return {
    gpus: [{ uuid, memoryUsedBytes: usedBytes, utilizationPercent }],
    gpuUtilizationPercent: utilizationPercent,
    vramUsedBytes: usedBytes,
    vramTotalBytes: mib(24_576),
  };
}

export interface HeartbeatFields extends Partial<Omit<Heartbeat, 'hive' | 'host'>> {
  readonly hive?: Partial<Heartbeat['hive']>;
  readonly host?: Partial<Heartbeat['host']>;
}

/** A heartbeat of a ready hive with neither GPUs nor workers. */
export function bareHeartbeat(id: string, seq: number, { hive, host, ...rest }: HeartbeatFields = {}): Heartbeat {
  const whole = heartbeatOf(id, seq, { gpus: [], workers: [], hive: { labels: {}, ...hive }, ...rest });
  return { ...whole, host: { ...whole.host, ...host } };
}

/** A clock that moves only when it is told to. */
export class ManualClock {
  nowMs: number;

  constructor(nowMs = 1_000_000) {
    this.nowMs = nowMs;
  }

  readonly read = (): number => this.nowMs;

  advance(ms: number): void {
    this.nowMs += ms;
  }
}

/** A registry on a clock that the test moves. */
export class TestQueen extends Registry {
  readonly time: ManualClock;

  constructor(options: RegistryOptions = {}) {
    const clock = new ManualClock();
    super({ clock: clock.read, ...options });
    this.time = clock;
  }

  /** Takes `bareHeartbeat` of a hive. */
  hear(id: string, seq: number, fields?: HeartbeatFields): HeartbeatOutcome {
    return this.heartbeat(bareHeartbeat(id, seq, fields));
  }
}
