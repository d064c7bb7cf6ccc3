import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { Registry } from '../../lib/queen/registry.js';
import { gpuOf, heartbeatOf, servingOf, workerOf } from '../../test/harness/heartbeats.js';
import type { Random } from '../../test/harness/random.js';
import { noGauges } from './engine.js';
import type { Policy, Report, SimulatedWorker } from './simulate.js';
import type { SimulatedRequest } from './traffic.js';

export interface RegistryPolicyOptions {
  /** Whether heartbeats carry what the engines report; without it GPU utilization decides. */
  readonly serving: boolean;
  /** Requests carry the key of their prefix. */
  readonly prefixKeys?: boolean;
}

const model = 'm';
const percent = (value: number) => Math.round(100 * value) / 100;

/** What one hive knows from heartbeat to heartbeat. */
interface Host {
  seq: number;
  last: { readonly report: Report; readonly measuredAtMs: number } | null;
  starts: number;
}

/** The registry itself, fed by one hive a worker, as a policy. */
export function registryPolicy(
  workers: readonly SimulatedWorker[],
  random: Random,
  { serving, prefixKeys = false }: RegistryPolicyOptions,
): Policy {
  let clockMs = 0;
  const registry = new Registry({ clock: () => clockMs, random: () => random.next(), historyRings: 0, warmingMs: 0 });
  const hosts = workers.map((): Host => ({ seq: 0, last: null, starts: 0 }));
  const heartbeat = (report: Report): void => {
    const host = hosts[report.worker]!;
    if (report.state === 'starting' && host.last?.report.state !== 'starting') host.starts++;
    const sample: Partial<WorkerSample> = {
      model,
      models: [model],
      state: report.state,
      ready: report.state !== 'starting',
      startedAt: `2026-01-02T03:0${host.starts}:00.000Z`,
      gpus: [
        {
          uuid: `GPU-${report.worker}`,
          memoryUsedBytes: 2 ** 33,
          utilizationPercent: percent(report.utilizationPercent),
        },
      ],
      gpuUtilizationPercent: percent(report.utilizationPercent),
      serving: serving && report.state !== 'starting' ? servingFrom(report, host, clockMs) : null,
    };
    host.last = { report, measuredAtMs: clockMs - report.ageMs };
    const name = `host-${report.worker}`;
    registry.heartbeat(
      heartbeatOf(name, ++host.seq, {
        workers: [workerOf('llm/0', sample)],
        gpus: [gpuOf(`GPU-${report.worker}`, { name: workers[report.worker]!.gpuName })],
        events: [],
      }),
    );
  };
  // Every worker is known from the start, so that all policies choose among the same.
  for (const worker of workers.keys())
    heartbeat({ worker, gauges: noGauges, ageMs: 0, utilizationPercent: 0, state: 'idle' });
  return {
    heartbeat(report, nowMs) {
      clockMs = nowMs;
      heartbeat(report);
    },
    pick(request, nowMs) {
      clockMs = nowMs;
      const prefixKey = prefixKeys ? prefixKeyOf(request) : undefined;
      const { promptTokens } = request;
      const { worker } = registry.pickWorkers({
        model,
        promptTokens,
        ...(prefixKey === undefined ? {} : { prefixKey }),
      });
      if (worker === null) throw new Error('no worker is ready');
      return Number(worker.hive.slice('host-'.length));
    },
  };
}

/** A conversation keeps its first blocks; the very first is the same for all. */
function prefixKeyOf({ blocks }: SimulatedRequest): string | undefined {
  return blocks === null ? undefined : String(blocks[1] ?? blocks[0]);
}

/** As a hive derives it from two answers of an engine. */
function servingFrom({ gauges, ageMs }: Report, { last }: Host, nowMs: number): WorkerSample['serving'] {
  const seconds = last === null ? 0 : (nowMs - ageMs - last.measuredAtMs) / 1000;
  const rate = (name: 'promptTokens' | 'generationTokens'): number | null => {
    const moved = last === null ? -1 : gauges[name] - last.report.gauges[name];
    return moved < 0 || seconds <= 0 ? null : percent(moved / seconds);
  };
  return servingOf({
    running: gauges.running,
    waiting: gauges.waiting,
    waitingTokens: gauges.waitingTokens,
    kvPercent: percent(gauges.kvPercent),
    promptTokensPerSecond: rate('promptTokens'),
    generationTokensPerSecond: rate('generationTokens'),
    maxContext: null,
    ageMs: Math.round(ageMs),
  });
}
