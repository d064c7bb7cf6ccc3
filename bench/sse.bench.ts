import { startQueen } from '../lib/daemon/queen.js';
import { monotonicMs } from '../lib/util/clock.js';
import { SimulatedHive } from '../test/harness/simulated-fleet.js';
import { Child } from './children.js';
import { type BenchContext, type Metric, metric } from './metric.js';
import type { Arrivals } from './processes/subscribers.js';
import { bandwidthOf } from './sse-bandwidth.js';

interface Case {
  readonly name: string;
  readonly subscribers: number;
  readonly perSecond: number;
  readonly heartbeats: number;
  readonly atMost?: number;
}

const cases: readonly Case[] = [
  { name: 'sse_latency_1', subscribers: 1, perSecond: 50, heartbeats: 250 },
  { name: 'sse_latency_50', subscribers: 50, perSecond: 50, heartbeats: 250, atMost: 20 },
  { name: 'sse_latency_200', subscribers: 200, perSecond: 5, heartbeats: 40 },
  { name: 'sse_latency_1000', subscribers: 1000, perSecond: 1, heartbeats: 12, atMost: 50 },
];

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

async function measure(context: BenchContext, { subscribers, perSecond, heartbeats }: Case) {
  const queen = await startQueen({ port: 0, warmingMs: 0, maxStreams: 2000, requestsPerSecond: 1e6 });
  context.defer(() => queen.close());
  const hives = Array.from(
    { length: Math.max(1, perSecond) },
    (_, i) => new SimulatedHive({ id: `h${i}`, seed: i + 1, workers: 8, gpus: 8 }),
  );
  for (const hive of hives) queen.registry.heartbeat(hive.nextHeartbeat());
  const readers = await Child.start(context, 'subscribers', [queen.port, subscribers]);
  await readers.ask<Arrivals>();
  const sentAt: number[] = [];
  for (let number = 0; number < heartbeats; number++) {
    const hive = hives[number % hives.length] as SimulatedHive;
    const heartbeat = hive.nextHeartbeat();
    const workers = heartbeat.workers.map((worker, i) => (i === 0 ? { ...worker, name: `beat-${number}` } : worker));
    sentAt[number] = monotonicMs();
    queen.registry.heartbeat({ ...heartbeat, workers });
    await new Promise((resolve) => setTimeout(resolve, 1000 / perSecond));
  }
  const latencies: number[] = [];
  const deadline = performance.now() + 5000;
  do {
    const arrived = await readers.ask<Arrivals>();
    arrived.heartbeats.forEach((number, i) => {
      latencies.push((arrived.atMs[i] as number) - (sentAt[number] as number));
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
  } while (latencies.length < heartbeats * subscribers && performance.now() < deadline);
  // A row that changes again before it was written is sent once; none may be lost otherwise.
  if (latencies.length < heartbeats * subscribers * 0.95)
    throw new Error(`${latencies.length} of ${heartbeats * subscribers} events arrived`);
  // The first beats meet code that is not compiled yet.
  const settled = latencies.slice(Math.floor(latencies.length / 5)).sort((a, b) => a - b);
  await readers.stop();
  await queen.close();
  return { p50: percentile(settled, 0.5), p99: percentile(settled, 0.99) };
}

/** One open page, hosts that send a heartbeat a second. */
const pages = [
  { name: 'sse_bandwidth_240', hives: 240, search: '?changes=true&lists=true', atMost: 150 },
  { name: 'sse_bandwidth_1000', hives: 1000, search: '?changes=true&lists=true', atMost: 500 },
  { name: 'sse_bandwidth_whole_240', hives: 240, search: '' },
] as const;

export const rows = ['bench_sse_latency', ...cases.map(({ name }) => name), ...pages.map(({ name }) => name)] as const;

/**
 * From a heartbeat in the registry to its event in the hands of each subscriber. The subscribers share a process of their own,
 * so the last of a thousand also waits for those before it to be read.
 */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const metrics: Metric[] = [];
  for (const each of cases) {
    const seed = each.subscribers === 50;
    if (!context.wants(each.name) && !(seed && context.wants('bench_sse_latency'))) continue;
    const { p50, p99 } = await measure(context, each);
    context.log(
      `${each.subscribers} subscribers, ${each.perSecond} beats/s: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`,
    );
    metrics.push(
      metric(`${each.name} p50`, p50, 'ms'),
      metric(`${each.name} p99`, p99, 'ms', each.atMost === undefined ? {} : { atMost: each.atMost }),
    );
    if (seed) metrics.push(metric('bench_sse_latency p99', p99, 'ms', { atMost: 100 }));
  }
  for (const { name, hives, search, ...goal } of pages) {
    if (!context.wants(name)) continue;
    const rate = await bandwidthOf(context, hives, search);
    context.log(`a page of ${hives} hives at 1 Hz${search}: ${rate.toFixed(1)} kB/s`);
    metrics.push(metric(name, rate, 'kB/s', 'atMost' in goal ? { atMost: goal.atMost } : undefined));
  }
  return metrics;
}
