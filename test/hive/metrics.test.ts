import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RunningHive } from '../../lib/daemon/hive.js';
import { familiesOfHive, type HiveReport, hiveScrape, type WorkerCounters } from '../../lib/hive/metric-families.js';
import { Exposition, type Family, negotiate } from '../../lib/metrics/exposition.js';
import { recordExit, writeRecord } from '../../lib/workers/records.js';
import { gpuOf, heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { waitFor } from '../harness/wait.js';
import { workerRecord } from '../harness/worker-record.js';
import { parseExposition, sampleOf } from '../metrics/parse.js';
import { hasPromtool, promtool, withoutPromtool } from '../metrics/tools.js';
import { FakeHost } from '../sampling/fake-host.js';

const countersOf = (over: Partial<WorkerCounters> = {}): WorkerCounters => ({
  usageUsec: 12_500_000,
  userUsec: 10_000_000,
  systemUsec: 2_500_000,
  nrPeriods: 1000,
  nrThrottled: 300,
  throttledUsec: 4_000_000,
  ioReadBytes: 4096,
  ioWriteBytes: 8192,
  ioReads: 1,
  ioWrites: 2,
  cpuSomeTotalUsec: 100_000,
  memorySomeTotalUsec: 0,
  ioSomeTotalUsec: Number.NaN,
  ...over,
});

const reportOf = (over: Partial<HiveReport> = {}): HiveReport => ({
  heartbeat: heartbeatOf('h1'),
  sinceSnapshotMs: 500,
  counters: new Map([['llm/0', { row: countersOf(), ioWhole: true }]]),
  sends: { taken: 7, failed: 2 },
  oomKills: 3,
  ...over,
});

const exposition = new Exposition(familiesOfHive);
const textOf = (report: HiveReport, format: 'prometheus' | 'openMetrics' = 'prometheus') =>
  exposition.text(format, hiveScrape(report));

describe('metrics of a hive', () => {
  it('counters stand in base units, gauges as ratios, states as sets', async () => {
    const families = parseExposition(await textOf(reportOf()));
    const value = (name: string, labels: Record<string, string> = {}) => sampleOf(families, name, labels)?.value;
    const worker = { worker: 'llm/0' };
    expect(value('hivepulse_worker_cpu_seconds_total', worker)).toBe(12.5);
    expect(value('hivepulse_worker_cpu_periods_total', worker)).toBe(1000);
    expect(value('hivepulse_worker_cpu_throttled_periods_total', worker)).toBe(300);
    expect(value('hivepulse_worker_io_written_bytes_total', worker)).toBe(8192);
    expect(value('hivepulse_worker_memory_working_set_bytes', worker)).toBe(8_126_805_504);
    expect(value('hivepulse_worker_pressure_seconds_total', { ...worker, resource: 'cpu' })).toBe(0.1);
    expect(value('hivepulse_worker_pressure_seconds_total', { ...worker, resource: 'io' })).toBeUndefined();
    expect(value('hivepulse_worker_state', { ...worker, state: 'idle' })).toBe(1);
    expect(value('hivepulse_worker_state', { ...worker, state: 'busy' })).toBe(0);
    expect(value('hivepulse_worker_start_time_seconds', worker)).toBe(Date.parse('2026-01-02T03:04:05Z') / 1000);
    expect(sampleOf(families, 'hivepulse_worker_info', worker)?.labels).toMatchObject({
      model: 'meta-llama/Llama-3.1-8B-Instruct',
      port: '8000',
    });
    expect(value('hivepulse_gpu_utilization_ratio', { gpu: 'GPU-0' })).toBe(0.12);
    expect(value('hivepulse_gpu_sm_clock_hertz', { gpu: 'GPU-0' })).toBe(1.74e9);
    expect(value('hivepulse_gpu_health', { gpu: 'GPU-0', health: 'ok' })).toBe(1);
    expect(value('hivepulse_host_cpu_used_cores')).toBe(2.405);
    expect(value('hivepulse_collection_age_seconds')).toBe(0.54);
    expect(value('hivepulse_hive_heartbeats_failed_total')).toBe(2);
    // Every label that a sample has is one that the family declares, so that docs/metrics.md tells the truth.
    for (const { name, labels } of familiesOfHive)
      for (const sample of families.get(name)?.samples ?? [])
        for (const label of Object.keys(sample.labels)) expect(labels, name).toContain(label);
  });

  it('what is not known has no sample, and is never 0', async () => {
    const heartbeat = heartbeatOf('h1', 1, {
      workers: [workerOf('llm/0', { memoryBytes: null, oomKills: null, ready: null, port: null, gpus: [] })],
      gpus: [
        gpuOf('GPU-0', {
          memoryUsedBytes: null,
          utilizationPercent: null,
          temperatureCelsius: null,
          health: 'stalled',
        }),
      ],
      faults: [
        { source: 'gpu', code: 'NVML_STALLED', message: 'x' },
        { source: 'gpu', code: 'NVML_STALLED', message: 'y' },
      ],
    });
    const counters = new Map([['llm/0', { row: countersOf({ usageUsec: Number.NaN }), ioWhole: false }]]);
    const families = parseExposition(await textOf(reportOf({ heartbeat: heartbeat, counters })));
    for (const name of [
      'hivepulse_worker_memory_bytes',
      'hivepulse_worker_oom_kills_total',
      'hivepulse_worker_ready',
      'hivepulse_worker_cpu_seconds_total',
      'hivepulse_worker_io_read_bytes_total',
      'hivepulse_worker_gpu_memory_used_bytes',
      'hivepulse_gpu_memory_used_bytes',
      'hivepulse_gpu_utilization_ratio',
      'hivepulse_gpu_temperature_celsius',
      'hivepulse_gpu_last_xid',
    ])
      expect(families.get(name)?.samples, name).toEqual([]);
    expect(sampleOf(families, 'hivepulse_worker_info')?.labels).not.toHaveProperty('port');
    expect(sampleOf(families, 'hivepulse_gpu_health', { health: 'stalled' })?.value).toBe(1);
    expect(sampleOf(families, 'hivepulse_hive_faults', { code: 'NVML_STALLED' })?.value).toBe(2);
    // Before the first sample there is nothing to say, and that is said.
    const first = parseExposition(
      await textOf(reportOf({ heartbeat: null, counters: new Map(), sinceSnapshotMs: null })),
    );
    expect([...first.values()].flatMap(({ samples }) => samples.map(({ name }) => name))).toEqual([
      'hivepulse_hive_heartbeats_taken_total',
      'hivepulse_hive_heartbeats_failed_total',
      'hivepulse_hive_oom_kills_total',
    ]);
  });

  it('labels are escaped: any text comes back as it was', async () => {
    const family: Family<string> = {
      name: 'm',
      type: 'gauge',
      help: 'x',
      labels: ['a'],
      collect: (text) => [
        { value: 1, labels: { a: text } },
        { value: 2, shared: { a: text }, labels: { b: text } },
      ],
    };
    const one = new Exposition([family]);
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.oneof(fc.constantFrom('\\', '"', '\n', '}', ',', '='), fc.string({ maxLength: 1 })) }),
        async (text) => {
          const samples = parseExposition(await one.text('prometheus', text)).get('m')?.samples;
          expect(samples?.map(({ labels }) => labels.a)).toEqual([text, text]);
        },
      ),
    );
  });

  it('OpenMetrics is given to whoever asks for it, with its own rules', async () => {
    expect(negotiate(undefined)).toBe('prometheus');
    expect(negotiate('*/*')).toBe('prometheus');
    expect(negotiate('text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.1')).toBe('prometheus');
    const prometheus =
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
    expect(negotiate(prometheus)).toBe('openMetrics');
    const text = await textOf(reportOf(), 'openMetrics');
    expect(text.endsWith('\n# EOF\n')).toBe(true);
    expect(text).toContain(
      '# TYPE hivepulse_worker_cpu_seconds counter\nhivepulse_worker_cpu_seconds_total{worker="llm/0"} 12.5\n',
    );
    // The same again: what one scrape leaves behind does not change the next.
    expect(await textOf(reportOf(), 'openMetrics')).toBe(text);
    expect(await textOf(reportOf())).toContain('# TYPE hivepulse_worker_cpu_seconds_total counter\n');
  });

  it.skipIf(!hasPromtool)(`promtool check metrics finds nothing to say${withoutPromtool}`, async () => {
    const { status, output } = promtool(['check', 'metrics'], await textOf(reportOf()));
    expect(output).toBe('');
    expect(status).toBe(0);
  });

  it('the cost grows with the workers, and no faster', async () => {
    const readsWith = async (count: number): Promise<number> => {
      let reads = 0;
      const counted = <T extends object>(row: T): T =>
        new Proxy(row, {
          get: (of, name) => {
            reads++;
            return Reflect.get(of, name);
          },
        });
      const workers = Array.from({ length: count }, (_unused, i) => counted(workerOf(`llm/${i}`)));
      const counters = workers.map(({ id }) => [id, { row: countersOf(), ioWhole: true }] as const);
      await textOf(reportOf({ heartbeat: heartbeatOf('h1', 1, { workers }), counters: new Map(counters) }));
      return reads;
    };
    const few = await readsWith(40);
    expect(few).toBeGreaterThan(40);
    // Ten times the workers; what looks at all of them for each would read a hundred times as often.
    expect(await readsWith(400)).toBeLessThanOrEqual(10 * few);
  });
});

describe('hive: /metrics', () => {
  async function hiveOf(host: FakeHost): Promise<RunningHive> {
    const hive = await host.startHive();
    onTestFinished(() => hive.close());
    return hive;
  }
  const scrape = async (hive: RunningHive) => parseExposition(await (await fetch(`${hive.url}/metrics`)).text());

  it('a worker has the kernel’s counters, and no series once it is gone', async () => {
    const host = new FakeHost();
    host.cgroup('/hivepulse.slice/g/a', {
      'cpu.stat':
        'usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 40\nnr_throttled 10\nthrottled_usec 5000\n',
      'memory.events': 'low 0\nhigh 0\nmax 0\noom 2\noom_kill 2\n',
    });
    host.process({ pid: 100, argv: ['node', 'x.js'], cgroup: '/hivepulse.slice/g/a' });
    const hive = await hiveOf(host);
    const families = await waitFor(async () => {
      const now = await scrape(hive);
      return sampleOf(now, 'hivepulse_worker_cpu_seconds_total', { worker: 'g/a' }) && now;
    });
    const value = (name: string) => sampleOf(families, name, { worker: 'g/a' })?.value;
    expect(value('hivepulse_worker_cpu_seconds_total')).toBe(3);
    expect(value('hivepulse_worker_cpu_throttled_periods_total')).toBe(10);
    expect(value('hivepulse_worker_oom_kills_total')).toBe(2);
    expect(value('hivepulse_worker_io_read_bytes_total')).toBe(1000);
    expect(value('hivepulse_worker_memory_limit_bytes')).toBeUndefined();
    expect(sampleOf(families, 'hivepulse_host_memory_total_bytes')?.value).toBe(1_024_000);
    expect(sampleOf(families, 'process_resident_memory_bytes')?.value).toBeGreaterThan(1e7);
    host.remove('/hivepulse.slice/g/a');
    await waitFor(async () => !(await (await fetch(`${hive.url}/metrics`)).text()).includes('g/a'), {
      what: 'the series to go',
    });
  });

  it('an OOM kill that took its worker along is counted, though the worker has no series any more', async () => {
    const host = new FakeHost();
    const path = '/hivepulse.slice/g/a';
    host.worker(path, { pid: 100, argv: ['node', 'x.js'] });
    const record = workerRecord({ cgroup: `${host.cgroupRoot}${path}` });
    await writeRecord(host.runtimeDir, record);
    const hive = await hiveOf(host);
    const kills = async () => sampleOf(await scrape(hive), 'hivepulse_hive_oom_kills_total')?.value;
    await waitFor(async () => sampleOf(await scrape(hive), 'hivepulse_worker_oom_kills_total', { worker: 'g/a' }));
    // From 0, so that the first is a rise.
    expect(await kills()).toBe(0);
    await recordExit(host.runtimeDir, record, {
      at: new Date().toISOString(),
      code: null,
      signal: 'SIGKILL',
      oomKills: 2,
      remaining: 0,
    });
    host.remove(path);
    await waitFor(async () => (await kills()) === 2, { what: 'the kills of the exit to be counted' });
    expect(sampleOf(await scrape(hive), 'hivepulse_worker_oom_kills_total', { worker: 'g/a' })).toBeUndefined();
  });

  it('answers in the format that is asked for', async () => {
    const host = new FakeHost();
    const hive = await hiveOf(host);
    const plain = await fetch(`${hive.url}/metrics`);
    expect(plain.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const open = await fetch(`${hive.url}/metrics`, {
      headers: { accept: 'application/openmetrics-text; version=1.0.0' },
    });
    expect(open.headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect((await open.text()).endsWith('# EOF\n')).toBe(true);
  });
});
