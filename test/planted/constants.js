// The figures of docs/reliability.md and docs/guide.md as they stand in the code, each with the tests that must notice where it is a
// tenth more or less. `text` stands once in `file` and ends in the number, or in a product of numbers.
const sender = ['test/hive/heartbeat-sender.test.ts', 'test/hive/sender-queens.test.ts'];
const liveness = ['test/queen/liveness.test.ts'];
const defaults = 'lib/contract/defaults.ts';

export const constants = [
  { text: 'lateAfterIntervals: 3', file: defaults, tests: liveness },
  { text: 'offlineAfterMs: 10_000', file: defaults, tests: liveness },
  { text: 'offlineAfterIntervals: 5', file: defaults, tests: liveness },
  { text: 'staleAfterMs: 90_000', file: defaults, tests: liveness },
  { text: 'warmingMs: 10_000', file: defaults, tests: liveness },
  { text: 'missingMs: 7 * 24 * 3_600_000', file: defaults, tests: ['test/queen/missing.test.ts'] },
  { text: 'sendTimeoutMs: 5000', file: defaults, tests: sender },
  { text: 'sendTryTimeoutMs: 1000', file: defaults, tests: sender },
  { text: 'backoffMinMs: 250', file: defaults, tests: sender },
  { text: 'backoffMaxMs: 2000', file: defaults, tests: sender },
  { text: 'refusedRetryMs = 10_000', file: 'lib/hive/heartbeat-sender.ts', tests: sender },
  { text: 'homeAfterMs = 30_000', file: 'lib/hive/heartbeat-sender.ts', tests: sender },
  { text: 'minRetryMs = 50', file: 'lib/hive/heartbeat-sender.ts', tests: sender },
  { text: 'compressAboveBytes: 16 * 1024', file: defaults, tests: sender },
  { text: 'eventLogSize: 10_000', file: defaults, tests: ['test/hive/event-log.test.ts'] },
  { text: 'idleBelowCpuPercent: 5', file: defaults, tests: ['test/sampling/state.test.ts'] },
  { text: 'idleForMs: 3000', file: defaults, tests: ['test/sampling/state.test.ts'] },
  { text: 'stalledAfterMs: 30_000', file: defaults, tests: ['test/sampling/load-state.test.ts'] },
  { text: 'spinningAfterMs: 120_000', file: defaults, tests: ['test/sampling/load-state.test.ts'] },
  { text: 'commandLength: 256', file: defaults, tests: ['test/workers/shown-command.test.ts'] },
  {
    text: 'timeoutMs: 10_000',
    file: 'lib/gpu/nvidia/nvidia-smi.ts',
    tests: ['test/gpu/nvidia/nvidia-smi-run.test.ts'],
  },
  {
    text: 'firstTimeoutMs: 60_000',
    file: 'lib/gpu/nvidia/nvidia-smi.ts',
    tests: ['test/gpu/nvidia/nvidia-smi-run.test.ts'],
  },
  {
    text: 'maxOutputBytes = 4 * 1024 * 1024',
    file: 'lib/gpu/nvidia/nvidia-smi.ts',
    tests: ['test/gpu/nvidia/nvidia-smi-run.test.ts'],
  },
  { text: 'maxBehindMs: 30_000', file: 'lib/http/sse.ts', tests: ['test/http/sse.test.ts'] },
  {
    text: 'retryMs = 2000',
    file: 'lib/queen/kept-file.ts',
    tests: ['test/queen/kept-file.test.ts'],
  },
  { text: 'duplicateEveryMs = 60_000', file: 'lib/queen/registry.ts', tests: ['test/queen/incarnations.test.ts'] },
  { text: 'exitRetentionMs = 10 * 60_000', file: 'lib/workers/records.ts', tests: ['test/workers/records.test.ts'] },
  { text: 'hungAfterMs = 2000', file: 'lib/cgroup/failover.ts', tests: ['test/cgroup/failover.test.ts'] },
  { text: 'hungAfterMs = 1000', file: 'lib/io/guarded.ts', tests: ['test/io/guarded.test.ts'] },
  { text: 'taskHungAfterMs = 3000', file: 'lib/io/guarded.ts', tests: ['test/io/guarded.test.ts'] },
];

const tenth = [
  ['a tenth more', '* 1.1'],
  ['a tenth less', '* 0.9'],
];

/** As faults of faults.js: each constant twice. */
export const constantFaults = constants.flatMap(({ text, file, tests }) => {
  const [, name, number] = /^(.*?[:=] )(.*)$/.exec(text);
  return tenth.map(([what, factor]) => ({
    name: `${text} (${file}) is ${what}`,
    file,
    from: text,
    to: `${name}(${number}) ${factor}`,
    tests,
  }));
});
