import { deserialize, serialize } from 'node:v8';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Heartbeat } from '../lib/contract/heartbeat.js';
import { readHeartbeat } from '../lib/contract/validate.js';
import { Registry } from '../lib/queen/registry.js';
import { sentServing } from '../lib/sampling/serving.js';
import { asciiJson } from '../lib/util/ascii-json.js';
import { servingOf } from '../test/harness/heartbeats.js';
import { Random } from '../test/harness/random.js';
import { SimulatedHive } from '../test/harness/simulated-fleet.js';
import { type BenchContext, type Metric, median, metric } from './metric.js';

/** µs of CPU of a call: the median of rounds in which all calls take turns. */
function takeTurns(calls: Readonly<Record<string, () => unknown>>, times: number): Readonly<Record<string, number>> {
  const spent: Record<string, number[]> = {};
  for (let round = 0; round < 8; round++)
    for (const [name, call] of Object.entries(calls)) {
      const from = process.cpuUsage();
      for (let i = 0; i < times; i++) call();
      const { user, system } = process.cpuUsage(from);
      // The first rounds warm up.
      if (round >= 3) spent[name] = [...(spent[name] ?? []), (user + system) / times];
    }
  return Object.fromEntries(Object.entries(spent).map(([name, values]) => [name, median(values)]));
}

/** Fields that are numbers, in the order of a row: what a binary form would send as doubles. */
const numbers = [
  'uptimeSeconds',
  'cpuPercent',
  'memoryBytes',
  'workingSetBytes',
  'memoryPeakBytes',
  'ioReadBytesPerSecond',
  'ioWriteBytesPerSecond',
  'gpuUtilizationPercent',
  'vramUsedBytes',
] as const;

/** Only what differs from the beat before: what a delta form would send. */
function deltaOf(before: Heartbeat, after: Heartbeat): unknown {
  const known = new Map(before.workers.map((worker) => [worker.id, worker]));
  const workers = after.workers.map((worker) => {
    const old = known.get(worker.id);
    if (old === undefined) return worker;
    const changed = Object.entries(worker).filter(
      ([key, value]) => JSON.stringify(value) !== JSON.stringify(old[key as keyof typeof old]),
    );
    return { id: worker.id, ...Object.fromEntries(changed) };
  });
  return { ...after, workers };
}

function doubles(heartbeat: Heartbeat): Buffer {
  const values = new Float64Array(heartbeat.workers.length * numbers.length);
  heartbeat.workers.forEach((worker, i) => {
    numbers.forEach((name, j) => {
      values[i * numbers.length + j] = worker[name] ?? Number.NaN;
    });
  });
  return Buffer.from(values.buffer);
}

/** The heartbeat with what a vLLM says behind each worker, busy and each otherwise. */
function withLoad(heartbeat: Heartbeat): Heartbeat {
  const random = new Random(11);
  const workers = heartbeat.workers.map((worker) => ({
    ...worker,
    servingReason: undefined,
    serving: sentServing(
      servingOf({
        models: worker.model === null ? null : [worker.model],
        running: random.whole(0, 64),
        waiting: random.whole(0, 9),
        kvPercent: random.whole(0, 1000) / 10,
        promptTokensPerSecond: random.whole(100, 9000),
        generationTokensPerSecond: random.whole(100, 3000),
        prefixHitPercent: random.whole(0, 1000) / 10,
        progressAgeMs: random.whole(0, 1000),
        ageMs: random.whole(0, 1000),
      }),
      [worker.model],
    ),
  }));
  return { ...heartbeat, workers };
}

export const rows = ['heartbeat', 'bench_heartbeat_payload_size'] as const;

/** A heartbeat's way from the object on the hive to the registry of the queen, step by step, and what other forms would cost. */
export async function run({ log }: BenchContext): Promise<readonly Metric[]> {
  const metrics: Metric[] = [];
  for (const workers of [10, 100, 500]) {
    const hive = new SimulatedHive({ id: 'bench', seed: 7, workers, gpus: 8 });
    const before = hive.nextHeartbeat();
    const heartbeat = hive.nextHeartbeat();
    // As long as a command may be.
    const long = heartbeat.workers.map((worker) => ({
      ...worker,
      command: (worker.command ?? '').padEnd(256, ' -x y'),
    }));
    const text = asciiJson(heartbeat);
    const longest = asciiJson({ ...heartbeat, workers: long });
    const packed = gzipSync(text);
    const queen = new Registry({ warmingMs: 0, clock: () => 0 });
    let seq = heartbeat.seq;
    const parsed = JSON.parse(text) as Heartbeat;
    const binary = serialize(heartbeat);
    const delta = asciiJson(deltaOf(before, heartbeat));
    const numeric = doubles(heartbeat);
    const spent = takeTurns(
      {
        serialize: () => asciiJson(heartbeat),
        compress: () => gzipSync(text),
        inflate: () => gunzipSync(packed),
        parse: () => JSON.parse(text),
        validate: () => readHeartbeat(parsed, { maxWorkers: 1000 }),
        merge: () => queen.heartbeat({ ...parsed, seq: ++seq }),
        'structured clone, parse': () => deserialize(binary),
        'delta, parse': () => JSON.parse(delta),
        'rows of doubles, parse': () => new Float64Array(Uint8Array.from(numeric).buffer),
      },
      Math.max(4, Math.round(2000 / workers)),
    );
    const of = (name: string) => spent[name] ?? Number.NaN;
    for (const [name, micros] of Object.entries(spent))
      metrics.push(metric(`heartbeat ${workers} workers, ${name}`, micros, 'us CPU'));
    const judged = workers === 100;
    const name = judged ? 'heartbeat_payload_size' : `heartbeat ${workers} workers`;
    metrics.push(
      metric(`${name} raw`, text.length / 1000, 'kB', judged ? { atMost: 100 } : {}),
      metric(`${name} on the wire`, packed.length / 1000, 'kB', judged ? { atMost: 15 } : {}),
    );
    if (judged) {
      const loaded = asciiJson(withLoad(heartbeat));
      metrics.push(
        metric('bench_heartbeat_payload_size', text.length / 1000, 'kB', { atMost: 100 }),
        metric('heartbeat 100 workers with commands of 256 characters, raw', longest.length / 1000, 'kB'),
        metric('heartbeat 100 workers with the load of their engines, raw', loaded.length / 1000, 'kB'),
        metric(
          'heartbeat 100 workers with the load of their engines, on the wire',
          gzipSync(loaded).length / 1000,
          'kB',
          { atMost: 15 },
        ),
      );
    }
    log(
      `${workers} workers: delta ${(delta.length / 1000).toFixed(1)} kB raw, ${(gzipSync(delta).length / 1000).toFixed(1)} kB packed; ` +
        `structured clone ${(binary.length / 1000).toFixed(1)} kB; a queen spends ${of('parse').toFixed(0)} us of ${(of('parse') + of('validate') + of('merge')).toFixed(0)} us in JSON.parse`,
    );
  }
  return metrics;
}
