import { createHistogram } from 'node:perf_hooks';
import { type Family, single } from './exposition.js';

/** The daemon's own process, under the names that client libraries agree on. */
export interface ProcessProbe {
  readonly families: readonly Family<unknown>[];
  close(): void;
}

const startedSeconds = Date.now() / 1000 - process.uptime();

/**
 * How often the event loop is asked whether it is late, ms. Each time wakes the process, which costs it some 0.1 ms: at the
 * 10 ms of `monitorEventLoopDelay` that was more than all else a hive does. What holds the loop up for longer is always seen.
 */
const usualLagEveryMs = 250;

/** How late timers are; `monitorEventLoopDelay` would count its own interval in. */
function eventLoopLag(lagEveryMs: number) {
  const lateMicros = createHistogram();
  let dueMs = performance.now() + lagEveryMs;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    lateMicros.record(Math.max(1, Math.round((nowMs - dueMs) * 1000)));
    dueMs = nowMs + lagEveryMs;
  }, lagEveryMs).unref();
  return { lateMicros, close: () => clearInterval(timer) };
}

/** Begins to measure delays of the event loop; `close` ends it. */
export function processProbe(lagEveryMs = usualLagEveryMs): ProcessProbe {
  const { lateMicros, close } = eventLoopLag(lagEveryMs);
  const cpu = (of: (usage: NodeJS.CpuUsage) => number) => () => of(process.cpuUsage()) / 1e6;
  return {
    families: [
      single(
        'counter',
        'process_cpu_seconds_total',
        'CPU time of the daemon.',
        cpu((u) => u.user + u.system),
      ),
      single(
        'counter',
        'process_cpu_user_seconds_total',
        'CPU time in user space.',
        cpu((u) => u.user),
      ),
      single(
        'counter',
        'process_cpu_system_seconds_total',
        'CPU time in the kernel.',
        cpu((u) => u.system),
      ),
      single('gauge', 'process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss()),
      single('gauge', 'process_start_time_seconds', 'When it started, since the Unix epoch.', () => startedSeconds),
      single(
        'gauge',
        'nodejs_heap_size_used_bytes',
        'Memory of JavaScript in use.',
        () => process.memoryUsage().heapUsed,
      ),
      single(
        'gauge',
        'nodejs_eventloop_lag_p99_seconds',
        'Delay of the event loop since the last scrape, 99th percentile.',
        () => (lateMicros.count === 0 ? null : lateMicros.percentile(99) / 1e6),
      ),
      single(
        'gauge',
        'nodejs_eventloop_lag_max_seconds',
        'Longest delay of the event loop since the last scrape.',
        () => {
          const longest = lateMicros.count === 0 ? null : lateMicros.max / 1e6;
          lateMicros.reset();
          return longest;
        },
      ),
    ],
    close,
  };
}
