import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { sentServing } from '../../lib/sampling/serving.js';
import { servingOf } from './heartbeats.js';

const engines: readonly string[] = ['vllm', 'sglang'];

/** The worker as a hive sends it that asks no engine for its load. */
export const withoutLoad = (worker: WorkerSample): WorkerSample => ({
  ...worker,
  ...{ scope: undefined, serving: undefined, servingReason: undefined },
});

/** The same with what its engine would say while its GPUs are as busy as they are. */
export function withLoad(worker: WorkerSample): WorkerSample {
  const { labels, model, gpus, gpuUtilizationPercent, state, pid } = worker;
  const engine = labels.engine ?? 'other';
  if (!engines.includes(engine)) return { ...withoutLoad(worker), servingReason: 'unsupported' };
  if (state === 'starting') return { ...withoutLoad(worker), state: 'loading', servingReason: 'loading' };
  if (gpuUtilizationPercent === null) return { ...withoutLoad(worker), servingReason: 'silent' };
  const load = gpuUtilizationPercent / Math.max(1, gpus.length) / 100;
  const running = Math.round(load * 44);
  const waiting = load > 0.88 ? Math.round((load - 0.88) * 120) : 0;
  const figures = servingOf({
    engine: engine as 'vllm' | 'sglang',
    models: model === null ? null : [model],
    running,
    waiting,
    kvPercent: Math.round(Math.min(0.99, 0.06 + load * 0.9) * 1000) / 10,
    promptTokensPerSecond: running * 308,
    generationTokensPerSecond: running * 41,
    prefixHitPercent: 18 + ((pid ?? 0) % 47),
    progressAgeMs: running === 0 ? null : 120,
    ageMs: 160,
  });
  return {
    ...withoutLoad(worker),
    state: waiting > 4 && state === 'busy' ? 'saturated' : state,
    serving: sentServing(figures, [model]),
  };
}
