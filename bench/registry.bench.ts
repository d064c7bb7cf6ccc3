import { connect } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Heartbeat } from '../lib/contract/heartbeat.js';
import { startQueen } from '../lib/daemon/queen.js';
import { Registry } from '../lib/queen/registry.js';
import { asciiJson } from '../lib/util/ascii-json.js';
import { SimulatedHost } from '../test/harness/simulated-host.js';
import { type BenchContext, type BenchRun, type Metric, metric } from './metric.js';

const workersPerHive = 8;
/** Hosts that are simulated; the others say what one of them says, under their own names. */
const distinctHosts = 100;
/** Snapshots of each, a second apart. */
const turns = 4;

const gpus = Array.from({ length: workersPerHive }, () => 'l4' as const);

/** Frames as the queen's door would give them: parsed from text, each an object of its own. */
class HeartbeatTexts {
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
          return asciiJson({ ...snapshot, workers });
        }),
      );
    }
  }

  heartbeat(hive: number, seq: number): Heartbeat {
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

export const rows = ['registry', 'query_100k', 'queen_bytes_per_worker'] as const;

/** Merges, queries and memory of the registry at 1,000, 10,000 and 100,000 workers, 8 on a host with 8 GPUs. */
export const run: BenchRun = async (context) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heartbeats = new HeartbeatTexts();
  const metrics: Metric[] = [];
  // What compiled code takes is not of the workers that are first to run it.
  measure(heartbeats, 80, collect);
  for (const workers of [1000, 10_000, 100_000]) {
    if (workers < 100_000 && !context.wants('registry')) continue;
    context.log(`${workers} workers`);
    metrics.push(...measure(heartbeats, workers, collect));
  }
  metrics.push(...(await overHttp(context, heartbeats, 100_000)));
  return metrics;
};

function measure(heartbeats: HeartbeatTexts, workers: number, collect: () => void): Metric[] {
  const hives = workers / workersPerHive;
  const name = (what: string) => `registry ${workers} workers, ${what}`;
  const largest = workers === 100_000;
  let nowMs = 0;
  collect();
  const before = process.memoryUsage().heapUsed;
  const queen = new Registry({ clock: () => nowMs, historyRings: 0, maxHives: hives, warmingMs: 0 });
  let seq = 1;
  const sendAll = () => {
    for (let hive = 0; hive < hives; hive++) queen.heartbeat(heartbeats.heartbeat(hive, seq));
    seq++;
    nowMs += 1000;
  };
  sendAll();
  sendAll();
  collect();
  const perWorker = (process.memoryUsage().heapUsed - before) / workers;

  // Frames are parsed outside of what is measured.
  const sample = Math.min(hives, 500);
  let micros = 0;
  let sent = 0;
  for (let turn = 0; turn < 4; turn++, seq++) {
    const parsed = Array.from({ length: sample }, (_, hive) => heartbeats.heartbeat(hive, seq));
    const from = cpuMicros();
    for (const heartbeat of parsed) queen.heartbeat(heartbeat);
    micros += cpuMicros() - from;
    sent += parsed.length;
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
    ['placement', 200, () => queen.place({ vramBytes: 8 * 2 ** 30 }), 5],
    ['fleet', 200, () => queen.fleet(), 1],
    ['one worker', 2000, () => queen.worker('host-000001', 'llm', '8000')],
  ];
  const metrics = [
    metric(largest ? 'queen_bytes_per_worker' : name('heap'), perWorker, 'bytes', { atMost: 2048 }),
    metric(name('merge of a beat of 8'), micros / sent, 'µs CPU'),
    metric(name('merge'), micros / sent / workersPerHive, 'µs CPU/worker'),
  ];
  for (const [what, times, call, atMostMs] of queries) {
    const { p50, p99 } = percentiles(times, call);
    const isQuery100k = largest && what === 'model and idle, 100 of a page';
    const row = isQuery100k ? 'query_100k' : name(`${what},`);
    metrics.push(metric(`${row} p50`, p50, 'ms'));
    metrics.push(metric(`${row} p99`, p99, 'ms', atMostMs === undefined ? {} : { atMost: atMostMs }));
  }
  const wrong = queen.audit();
  if (wrong.length > 0) throw new Error(`the indexes are not sound: ${wrong[0]}`);
  return metrics;
}

/** The same query over loopback, one after the other on one connection; queen and asker share one thread. */
async function overHttp(
  context: BenchContext,
  heartbeats: HeartbeatTexts,
  workers: number,
): Promise<readonly Metric[]> {
  const queen = await startQueen({
    port: 0,
    warmingMs: 0,
    maxHives: workers,
    requestsPerSecond: 1e6,
    staleAfterMs: 86_400_000,
  });
  context.defer(() => queen.close());
  for (let hive = 0; hive < workers / workersPerHive; hive++) queen.registry.heartbeat(heartbeats.heartbeat(hive, 1));
  const model = queen.registry.workers({ state: 'idle', limit: 1 }).items[0]?.model;
  const socket = connect(queen.port, '127.0.0.1');
  context.defer(() => void socket.destroy());
  const path = `/v1/workers?model=${encodeURIComponent(model ?? '')}&state=idle&limit=100`;
  const spent: number[] = [];
  for (let i = 0; i < 600; i++) {
    const from = performance.now();
    const bytes = await new Promise<number>((resolve, reject) => {
      let left = -1;
      let size = 0;
      const onData = (chunk: Buffer) => {
        size += chunk.length;
        if (left < 0) {
          const head = chunk.toString('latin1');
          const end = head.indexOf('\r\n\r\n') + 4;
          const length = /content-length: (\d+)/i.exec(head)?.[1];
          if (!head.startsWith('HTTP/1.1 200') || length === undefined) return reject(new Error(head));
          left = end + Number(length);
        }
        if (size < left) return;
        socket.off('data', onData);
        resolve(size);
      };
      socket.on('data', onData);
      socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`);
    });
    if (i >= 100) spent.push(performance.now() - from);
    if (bytes < 10_000) throw new Error(`only ${bytes} bytes: not a full page`);
  }
  spent.sort((a, b) => a - b);
  return [
    metric('query_100k over HTTP, p50', spent[spent.length >> 1] as number, 'ms'),
    metric('query_100k over HTTP, p99', spent[Math.floor(spent.length * 0.99)] as number, 'ms', { atMost: 5 }),
  ];
}
