import { Registry } from '../../lib/queen/registry.js';
import { heartbeatOf, servingOf, workerOf } from '../../test/harness/heartbeats.js';
import { Random } from '../../test/harness/random.js';
import { type Metric, metric } from '../metric.js';

const model = 'm';
const workersPerHive = 8;
const calls = 4000;

/** How often the kernel took the CPU from this process. */
const preemptions = () => process.resourceUsage().involuntaryContextSwitches;

/**
 * Wall time of a pick among 10,000 workers of one model, in process. Calls in which the kernel ran something else are left out,
 * and counted: they measure the machine.
 */
export function bestTimes(log: (line: string) => void): Metric[] {
  const hives = 10_000 / workersPerHive;
  const random = new Random(1);
  let nowMs = 0;
  const registry = new Registry({ clock: () => nowMs, historyRings: 0, warmingMs: 0, maxHives: hives });
  const sendAll = (seq: number) => {
    for (let hive = 0; hive < hives; hive++) {
      const workers = Array.from({ length: workersPerHive }, (_, i) =>
        workerOf(`llm/${i}`, {
          model,
          models: [model],
          serving: servingOf({ running: random.whole(0, 40), waiting: random.whole(0, 3), ageMs: 0 }),
        }),
      );
      registry.heartbeat(heartbeatOf(`host-${hive}`, seq, { workers, gpus: [], events: [] }));
    }
  };
  for (let seq = 1; seq <= 3; seq++, nowMs += 1000) sendAll(seq);
  const timed = (what: string, call: (i: number) => unknown): Metric[] => {
    const spent: number[] = [];
    let interrupted = 0;
    for (let i = 0; i < 1.25 * calls; i++) {
      nowMs += 0.1;
      const before = preemptions();
      const from = performance.now();
      call(i);
      const ms = performance.now() - from;
      if (i < calls / 4) continue;
      if (preemptions() === before) spent.push(ms);
      else interrupted++;
    }
    log(`best of 10,000 workers${what} ${interrupted} of ${calls} calls were interrupted`);
    spent.sort((a, b) => a - b);
    return [
      metric(`best of 10,000 workers${what} p50`, spent[spent.length >> 1]!, 'ms'),
      metric(`best of 10,000 workers${what} p99`, spent[Math.floor(spent.length * 0.99)]!, 'ms', { atMost: 0.2 }),
    ];
  };
  return [
    ...timed(',', () => registry.pickWorkers({ model, promptTokens: 1000 })),
    ...timed(' with a prefix,', (i) => registry.pickWorkers({ model, promptTokens: 1000, prefixKey: `session-${i}` })),
  ];
}
