import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Heartbeat } from '../lib/contract/heartbeat.js';
import { Registry } from '../lib/queen/registry.js';
import { SimulatedHost } from '../test/harness/simulated-host.js';
import { type BenchRun, type Metric, metric } from './metric.js';

const workersPerHive = 8;
/** Hosts that are simulated; the others say what one of them says, under their own names. */
const distinctHosts = 100;
/** Snapshots of each, a second apart. */
const turns = 4;

const gpus = Array.from({ length: workersPerHive }, () => 'l4' as const);

/** Frames as the queen's door would give them: parsed from text, each an object of its own. */
class Frames {
  readonly #texts: string[][] = [];

  constructor() {
    for (let i = 0; i < distinctHosts; i++) {
      const host = new SimulatedHost({ seed: i + 1, gpus, workers: workersPerHive, nowMs: Date.now() });
      this.#texts.push(
        Array.from({ length: turns }, (_, turn) => {
          host.advance(1);
          const snapshot = host.snapshot();
          // A third is idle, another third each second: far more turns of state than real fleets make.
          const workers = snapshot.workers.map((worker, n) => ({
            ...worker,
            state: (n + turn) % 3 === 0 ? 'idle' : 'busy',
          }));
          return JSON.stringify({ ...snapshot, workers });
        }),
      );
    }
  }

  frame(hive: number, seq: number): Heartbeat {
    const turn = this.#texts[hive % distinctHosts]!;
    // GPUs and workers name devices, and no two hosts share one.
    const text = turn[seq % turns]!.replaceAll('GPU-', `GPU-${hive}-`);
    const snapshot = JSON.parse(text) as Heartbeat;
    return {
      ...snapshot,
      schema: 1,
      seq,
      sentAt: '2026-01-02T03:04:05.000Z',
      intervalMs: 1000,
      hive: {
        id: `host-${String(hive).padStart(6, '0')}`,
        hostname: `host-${hive}`,
        version: '0.1.0',
        incarnation: '00000000-0000-4000-8000-000000000001',
        startedAt: '2026-01-02T03:00:00.000Z',
        address: null,
        labels: { zone: `zone-${hive % 4}` },
        state: 'ready',
      },
      events: [],
    };
  }
}

/** CPU time of this process, µs: wall time would measure the machine's other work as well. */
function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** 50th and 99th percentile of the wall time of a call, ms. */
function percentiles(times: number, call: () => unknown): { p50: number; p99: number } {
  for (let i = 0; i < Math.min(times, 100); i++) call();
  const spent: number[] = [];
  for (let i = 0; i < times; i++) {
    const from = performance.now();
    call();
    spent.push(performance.now() - from);
  }
  spent.sort((a, b) => a - b);
  return { p50: spent[times >> 1]!, p99: spent[Math.floor(times * 0.99)]! };
}

/** Merges, queries and memory of the registry at 1,000, 10,000 and 100,000 workers, 8 on a host with 8 GPUs. */
export const run: BenchRun = async ({ log }) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const frames = new Frames();
  const metrics: Metric[] = [];
  for (const workers of [1000, 10_000, 100_000]) {
    log(`${workers} workers`);
    metrics.push(...measure(frames, workers, collect));
  }
  return metrics;
};

function measure(frames: Frames, workers: number, collect: () => void): Metric[] {
  const hives = workers / workersPerHive;
  const name = (what: string) => `${workers} workers, ${what}`;
  let nowMs = 0;
  collect();
  const before = process.memoryUsage().heapUsed;
  const queen = new Registry({ clock: () => nowMs, historyRings: 0, maxHives: hives, warmingMs: 0 });
  let seq = 1;
  const beatAll = () => {
    for (let hive = 0; hive < hives; hive++) queen.heartbeat(frames.frame(hive, seq));
    seq++;
    nowMs += 1000;
  };
  beatAll();
  beatAll();
  collect();
  const perWorker = (process.memoryUsage().heapUsed - before) / workers;

  // Frames are parsed outside of what is measured.
  const sample = Math.min(hives, 500);
  let micros = 0;
  let beats = 0;
  for (let turn = 0; turn < 4; turn++, seq++) {
    const parsed = Array.from({ length: sample }, (_, hive) => frames.frame(hive, seq));
    const from = cpuMicros();
    for (const frame of parsed) queen.heartbeat(frame);
    micros += cpuMicros() - from;
    beats += parsed.length;
  }

  const model = queen.workers({ state: 'idle', limit: 1 }).items[0]?.model ?? null;
  if (model === null) throw new Error('no idle worker with a model: nothing to ask for');
  const half = queen.workers({ model, state: 'idle', limit: 100 }).nextCursor;
  const queries: readonly [what: string, times: number, call: () => unknown, atMostMs?: number][] = [
    ['model and idle, 100 of a page', 2000, () => queen.workers({ model, state: 'idle', limit: 100 }), 1],
    ['model and idle, next page', 2000, () => queen.workers({ model, state: 'idle', limit: 100, cursor: half })],
    ['one label', 1000, () => queen.workers({ labels: { zone: 'zone-1' }, limit: 100 })],
    ['8 GiB free', 200, () => queen.workers({ minFreeVramBytes: 8 * 2 ** 30, limit: 100 })],
    ['by VRAM used', 50, () => queen.workers({ sort: '-vramUsedBytes', limit: 100 })],
    ['best for a model', 2000, () => queen.findBestWorkerForModel(model)],
    ['capacity, first 100', 200, () => queen.findWorkersWithCapacity(8 * 2 ** 30, { limit: 100 })],
    ['GPUs with 8 GiB', 200, () => queen.gpus({ minFreeBytes: 8 * 2 ** 30, limit: 100 })],
    ['placement', 50, () => queen.place({ vramBytes: 8 * 2 ** 30 })],
    ['fleet', 100, () => queen.fleet()],
    ['one worker', 2000, () => queen.worker('host-000001', 'llm', '8000')],
  ];
  const metrics = [
    metric(name('heap'), perWorker, 'bytes/worker', { atMost: 2048 }),
    metric(name('merge of a beat of 8'), micros / beats, 'µs CPU'),
    metric(name('merge'), micros / beats / workersPerHive, 'µs CPU/worker'),
  ];
  for (const [what, times, call, atMostMs] of queries) {
    const { p50, p99 } = percentiles(times, call);
    metrics.push(metric(name(`${what}, p50`), p50, 'ms'));
    metrics.push(metric(name(`${what}, p99`), p99, 'ms', atMostMs === undefined ? {} : { atMost: atMostMs }));
  }
  const wrong = queen.audit();
  if (wrong.length > 0) throw new Error(`the indexes are not sound: ${wrong[0]}`);
  return metrics;
}
