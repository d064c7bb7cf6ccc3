import { unknown } from '../contract/fields/field.js';
import { workerFields } from '../contract/fields/worker.js';
import type { WorkerSample } from '../contract/heartbeat.js';
import { reasonsForAll } from '../sampling/unknown.js';
import type { WorkerRecord } from '../workers/records.js';

/** What pidusage measures of one process. */
export interface ProcessUsage {
  /** 100 = one whole core. */
  readonly cpu: number;
  readonly memory: number;
  /** Milliseconds since it started. */
  readonly elapsed: number;
}

export type UsageReader = (pid: number) => Promise<ProcessUsage>;

/**
 * Samples where there is no cgroup: CPU and memory of the main process alone. All that only a cgroup knows is null. A
 * process that is gone is left out. CPU of the first sample is null: pidusage would give the average over its life.
 */
export function pidusageCollector(
  // Loaded on use: `run` has no need of it.
  usage: UsageReader = async (pid) => (await import('pidusage')).default(pid),
): (records: readonly WorkerRecord[]) => Promise<readonly WorkerSample[]> {
  const seen = new Set<string>();
  return async (records) => {
    const samples = await Promise.all(
      records.map(async (record) => {
        const id = `${record.group}/${record.instance}`;
        const identity = `${id}:${record.pid}`;
        const read = await usage(record.pid).catch(() => null);
        if (read === null) return null;
        const first = !seen.has(identity);
        seen.add(identity);
        return toSample(id, record, read, first);
      }),
    );
    return samples.filter((sample) => sample !== null);
  };
}

const round = (value: number) => Math.round(value * 100) / 100;

function toSample(id: string, record: WorkerRecord, usage: ProcessUsage, first: boolean): WorkerSample {
  const sample: WorkerSample = {
    ...(unknown(workerFields) as WorkerSample),
    id,
    group: record.group,
    instance: record.instance,
    pid: record.pid,
    startedAt: record.startedAt,
    uptimeSeconds: Math.max(0, round(usage.elapsed / 1000)),
    model: record.model,
    port: record.port,
    endpointReason: 'socketsUnknown',
    labels: record.labels,
    command: record.shown ?? null,
    cpuPercent: first ? null : round(usage.cpu),
    memoryBytes: usage.memory,
    memorySource: 'proc',
    state: first ? 'starting' : 'unknown',
    reservationId: record.reservationId,
    origin: 'launched',
    scope: 'processes',
  };
  return { ...sample, nullReasons: reasonsForAll(sample, 'noCgroup') };
}
