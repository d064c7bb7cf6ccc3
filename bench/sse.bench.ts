import { connect } from 'node:net';
import { startQueen } from '../lib/queen/queen.js';
import { SimulatedHive } from '../test/harness/simulated-fleet.js';
import { type BenchContext, type Metric, metric } from './metric.js';

interface Case {
  readonly name: string;
  readonly subscribers: number;
  readonly perSecond: number;
  readonly beats: number;
  readonly atMost?: number;
}

const cases: readonly Case[] = [
  { name: 'sse_latency_1', subscribers: 1, perSecond: 50, beats: 250 },
  { name: 'sse_latency_50', subscribers: 50, perSecond: 50, beats: 250, atMost: 20 },
  { name: 'sse_latency_200', subscribers: 200, perSecond: 5, beats: 40 },
  { name: 'sse_latency_1000', subscribers: 1000, perSecond: 1, beats: 12, atMost: 50 },
];

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

/** Each beat renames a worker, so that what a subscriber reads tells which beat it is of. */
const mark = /"name":"beat-(\d+)"/g;

/** Opens a stream over a socket of its own and calls for the number of each beat that is read from it. */
async function subscribe({ defer }: BenchContext, port: number, onBeat: (beat: number) => void): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  defer(() => void socket.destroy());
  let tail = '';
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.on('data', (chunk) => {
      const text = tail + chunk.toString('latin1');
      for (const [, beat] of text.matchAll(mark)) onBeat(Number(beat));
      // A mark may be cut in two; one that is whole must not be found again.
      tail = text.slice(Math.max(text.lastIndexOf('"name":"beat-') + 1, text.length - 32));
      if (text.includes('event: snapshot')) resolve();
    });
    socket.write('GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n');
  });
}

async function measure(context: BenchContext, { subscribers, perSecond, beats }: Case) {
  const queen = await startQueen({ port: 0, warmingMs: 0, maxStreams: 2000, requestsPerSecond: 1e6 });
  context.defer(() => queen.close());
  const hives = Array.from(
    { length: Math.max(1, perSecond) },
    (_, i) => new SimulatedHive({ id: `h${i}`, seed: i + 1, workers: 8, gpus: 8 }),
  );
  for (const hive of hives) queen.registry.heartbeat(hive.frame());
  const sentAt: number[] = [];
  const latencies: number[] = [];
  const onBeat = (beat: number): void => void latencies.push(performance.now() - (sentAt[beat] ?? Number.NaN));
  for (let i = 0; i < subscribers; i += 50)
    await Promise.all(
      Array.from({ length: Math.min(50, subscribers - i) }, () => subscribe(context, queen.port, onBeat)),
    );
  latencies.length = 0;
  for (let beat = 0; beat < beats; beat++) {
    const hive = hives[beat % hives.length] as SimulatedHive;
    const frame = hive.frame();
    const workers = frame.workers.map((worker, i) => (i === 0 ? { ...worker, name: `beat-${beat}` } : worker));
    sentAt[beat] = performance.now();
    queen.registry.heartbeat({ ...frame, workers });
    await new Promise((resolve) => setTimeout(resolve, 1000 / perSecond));
  }
  const deadline = performance.now() + 5000;
  while (latencies.length < beats * subscribers && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 20));
  // A row that changes again before it was written is sent once; none may be lost otherwise.
  if (latencies.length < beats * subscribers * 0.95)
    throw new Error(`${latencies.length} of ${beats * subscribers} events arrived`);
  // The first beats meet code that is not compiled yet.
  const settled = latencies.slice(Math.floor(latencies.length / 5)).sort((a, b) => a - b);
  await queen.close();
  return { p50: percentile(settled, 0.5), p99: percentile(settled, 0.99) };
}

export const rows = ['bench_sse_latency', ...cases.map(({ name }) => name)] as const;

/** From a heartbeat in the registry to its event in the hands of each subscriber; queen and subscribers share one thread. */
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
  return metrics;
}
