import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { type Family, single } from './exposition.js';

/** The daemon's own process, under the names that client libraries agree on. */
export interface ProcessProbe {
  readonly families: readonly Family<unknown>[];
  close(): void;
}

const startedSeconds = Date.now() / 1000 - process.uptime();

/** Begins to measure delays of the event loop; `close` ends it. */
export function processProbe(): ProcessProbe {
  const delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
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
        () => (delay.count === 0 ? null : delay.percentile(99) / 1e9),
      ),
      single(
        'gauge',
        'nodejs_eventloop_lag_max_seconds',
        'Longest delay of the event loop since the last scrape.',
        () => {
          const longest = delay.count === 0 ? null : delay.max / 1e9;
          delay.reset();
          return longest;
        },
      ),
    ],
    close: () => void delay.disable(),
  };
}
