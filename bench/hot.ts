// What a hive and a queen do over and over, each as one call that can be measured. A process of its own, so that two
// trees can take turns: `bench/check.ts` starts one of each. argv: cgroups, separated by commas, and a fault to plant.
// A message `{ name, batchMs, batches }` measures one; `{ counts: true }` counts.
import { openSync, readFileSync, readSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { openReader } from '../lib/cgroup/reader.js';
import { readHeartbeat } from '../lib/contract/validate.js';
import { startQueen } from '../lib/daemon/queen.js';
import { parseJson } from '../lib/queen/heartbeat-body.js';
import { Registry } from '../lib/queen/registry.js';
import { createSampler } from '../lib/sampling/open.js';
import { asciiJson } from '../lib/util/ascii-json.js';
import { SimulatedHive } from '../test/harness/simulated-fleet.js';
import { filesOf } from './cgroups.js';
import type { HotName, Plant } from './hot-names.js';

export interface HotAnswer {
  /** CPU of one call, the least of the batches, µs. */
  readonly micros: number;
}

type Call = () => unknown;
/** `prepare` makes what so many calls use up; it is not measured. */
interface Hot {
  readonly prepare?: (calls: number) => void;
  readonly call: Call;
}

const cgroups = (process.argv[2] ?? '').split(',').filter((path) => path !== '');
const turns = 6;
const firstSeq = 1_000_000;

const readers = {
  native: openReader('native', { memoryStatEvery: 1 }).reader,
  files: openReader('files', { memoryStatEvery: 1 }).reader,
};
for (const reader of Object.values(readers)) {
  for (const cgroup of cgroups) reader.add(cgroup);
  reader.passSync();
}

/** A pass of a reader, with the fault that was planted. */
function passOf(reader: { passSync(): unknown }): Call {
  const planted = process.argv[3];
  if (planted === ('extra-read' satisfies Plant)) {
    const files = filesOf(cgroups).map((path) => openSync(path, 'r'));
    const buffer = Buffer.alloc(4096);
    return () => {
      reader.passSync();
      for (const file of files) readSync(file, buffer, 0, buffer.length, 0);
    };
  }
  if (planted === ('slow-loop' satisfies Plant))
    return () => {
      const from = process.cpuUsage();
      reader.passSync();
      const { user, system } = process.cpuUsage(from);
      const until = performance.now() + (user + system) / 1000;
      while (performance.now() < until);
    };
  return () => reader.passSync();
}

/** Bodies of simulated hives, each with a number of its own. */
class Bodies {
  readonly #texts: readonly (readonly string[])[];
  #at = 0;
  #ready: Buffer[] = [];

  constructor(hives: number, workers: number) {
    this.#texts = Array.from({ length: hives }, (_, i) => {
      const hive = new SimulatedHive({ id: `hot-${i}`, seed: i + 1, workers, gpus: 8 });
      return Array.from({ length: turns }, () => asciiJson({ ...hive.nextHeartbeat(), seq: firstSeq }));
    });
  }

  prepare(count: number): void {
    this.#ready = Array.from({ length: count }, () => {
      const at = this.#at++;
      const round = Math.floor(at / this.#texts.length);
      const text = this.#texts[at % this.#texts.length]?.[round % turns] as string;
      return Buffer.from(text.replace(`"seq":${firstSeq}`, `"seq":${firstSeq + round}`));
    }).reverse();
  }

  next(): Buffer {
    return this.#ready.pop() as Buffer;
  }
}

/** From the bytes of a heartbeat to the registry. */
function takeIn(hives: number, workers: number): Hot {
  const bodies = new Bodies(hives, workers);
  const queen = new Registry({ warmingMs: 0, staleAfterMs: 86_400_000, maxHives: 1e5 });
  return {
    prepare: (calls) => bodies.prepare(calls),
    call: () => {
      const verdict = readHeartbeat(parseJson(bodies.next()), { maxWorkers: 1000 });
      if (!verdict.ok || !queen.heartbeat(verdict.heartbeat).accepted) throw new Error('a beat was refused');
    },
  };
}

/** A reader of the queen's event stream: `received` counts the heartbeats that it has. */
async function subscribe(
  port: number,
): Promise<{ readonly socket: Socket; readonly received: (count: number) => Promise<void> }> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  socket.write('GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n');
  let seen = 0;
  let rest = '';
  let wanted = { count: 0, reached: () => {} };
  const begun = new Promise<void>((resolve) => socket.once('data', () => resolve()));
  socket.setEncoding('latin1').on('data', (text: string) => {
    const parts = (rest + text).split('event: heartbeat\n');
    seen += parts.length - 1;
    rest = (parts.at(-1) ?? '').slice(-20);
    if (seen >= wanted.count) wanted.reached();
  });
  await begun;
  return {
    socket,
    received: (count) =>
      new Promise((resolve) => {
        if (seen >= count) resolve();
        else wanted = { count, reached: resolve };
      }),
  };
}

/**
 * The same with HTTP before and after it, one heartbeat after the other, each until all readers of events have it; who sends and
 * reads is part of it, and the same in all trees.
 */
async function overHttp(readerCount = 0): Promise<Hot> {
  const queen = await startQueen({ port: 0, warmingMs: 0, staleAfterMs: 86_400_000, maxHives: 1e5 });
  const socket: Socket = connect(queen.port, '127.0.0.1').setNoDelay(true);
  const subscribers = await Promise.all(Array.from({ length: readerCount }, () => subscribe(queen.port)));
  let sent = 0;
  process.once('disconnect', () => {
    for (const each of [socket, ...subscribers.map((subscriber) => subscriber.socket)]) each.destroy();
    void queen.close();
  });
  // Each hive may send a few beats a second.
  const bodies = new Bodies(400, 8);
  let answered: ((text: string) => void) | null = null;
  socket.on('data', (chunk) => answered?.(chunk.toString('latin1', 0, 16)));
  socket.on('error', () => undefined);
  return {
    prepare: (calls) => bodies.prepare(calls),
    call: async () => {
      const body = bodies.next();
      const answer = new Promise<string>((resolve) => {
        answered = resolve;
      });
      const head = `POST /v1/heartbeats HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
      socket.write(Buffer.concat([Buffer.from(head), body]));
      const text = await answer;
      if (!text.startsWith('HTTP/1.1 200')) throw new Error(`a beat was refused: ${text}`);
      sent++;
      for (const { received } of subscribers) await received(sent);
    },
  };
}

function query(): Hot {
  const queen = new Registry({ warmingMs: 0, staleAfterMs: 86_400_000, maxHives: 1e5 });
  for (let i = 0; i < 1000; i++)
    queen.heartbeat(new SimulatedHive({ id: `q-${i}`, seed: (i % 50) + 1, workers: 8, gpus: 8 }).nextHeartbeat());
  const asked = queen.workers({ limit: 100 }).items.find(({ model }) => model !== null);
  if (asked?.model == null) throw new Error('no worker has a model');
  const { model, state } = asked;
  if (queen.workers({ model, state, limit: 100 }).items.length < 100) throw new Error('not a full page');
  return { call: () => queen.workers({ model, state, limit: 100 }) };
}

async function sampling(): Promise<Hot> {
  const parent = (cgroups[0] ?? '').split('/').at(-2) ?? '';
  const sampler = await createSampler({ watch: [`${parent}/*`], auto: false });
  process.once('disconnect', () => void sampler.close());
  await sampler.sample();
  if (sampler.sampleWorkers().length < cgroups.length) throw new Error('the sampler does not see all workers');
  return { call: () => sampler.sampleWorkers() };
}

const makers: Readonly<Record<HotName, () => Hot | Promise<Hot>>> = {
  'collection_100_workers native': () => ({ call: passOf(readers.native) }),
  'collection_100_workers TypeScript': () => ({ call: passOf(readers.files) }),
  'native_vs_readfilesync readFileSync': () => {
    const paths = filesOf(cgroups);
    return {
      call: () => {
        for (const path of paths) readFileSync(path);
      },
    };
  },
  'tick_100_workers sample': sampling,
  'heartbeat take in 8 workers': () => takeIn(64, 8),
  'heartbeat take in 100 workers': () => takeIn(16, 100),
  'ingest_8 over HTTP': () => overHttp(),
  'sse to 20 subscribers': () => overHttp(20),
  'query of a model and a state': query,
};

const made = new Map<HotName, Promise<{ readonly hot: Hot; perMs: number }>>();

async function batch({ prepare, call }: Hot, calls: number): Promise<number> {
  prepare?.(calls);
  const from = process.cpuUsage();
  for (let i = 0; i < calls; i++) {
    const result = call();
    if (result instanceof Promise) await result;
  }
  const { user, system } = process.cpuUsage(from);
  return (user + system) / calls;
}

/** Made at its first use, and called until it is compiled. */
function prepared(name: HotName): Promise<{ readonly hot: Hot; perMs: number }> {
  let ready = made.get(name);
  if (ready === undefined) {
    ready = (async () => {
      const hot = await makers[name]();
      const until = performance.now() + 1200;
      let micros = 1000;
      while (performance.now() < until) micros = await batch(hot, 40);
      return { hot, perMs: 1000 / micros };
    })();
    made.set(name, ready);
  }
  return ready;
}

async function measure(name: HotName, batchMs: number, batches: number): Promise<HotAnswer> {
  // Another tree may ask for what this one does not have yet.
  if (!Object.hasOwn(makers, name)) return { micros: Number.NaN };
  const { hot, perMs } = await prepared(name);
  let micros = Number.POSITIVE_INFINITY;
  for (let i = 0; i < batches; i++)
    micros = Math.min(micros, await batch(hot, Math.max(2, Math.round(batchMs * perMs))));
  return { micros };
}

/** read() and pread() of this process so far (/proc/self/io), less the one that asks. */
const reads = () => Number(/syscr: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);

function readsPerFile(call: Call): number {
  const files = filesOf(cgroups).length;
  const idle = -reads() + reads();
  const before = reads();
  for (let i = 0; i < 10; i++) call();
  return (reads() - before - idle) / 10 / files;
}

/** What does not depend on the machine's mood. */
function counts(): Readonly<Record<string, number>> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Call;
  const hive = new SimulatedHive({ id: 'bench', seed: 7, workers: 100, gpus: 8, now: () => 1.8e12 });
  hive.nextHeartbeat();
  const text = asciiJson(hive.nextHeartbeat());
  const texts = Array.from({ length: 500 }, (_, i) =>
    asciiJson(new SimulatedHive({ id: `m-${i}`, seed: i + 1, workers: 8, gpus: 8 }).nextHeartbeat()),
  );
  collect();
  const before = process.memoryUsage().heapUsed;
  const queen = new Registry({ warmingMs: 0, staleAfterMs: 1e9, historyRings: 0 });
  for (const each of texts) queen.heartbeat(JSON.parse(each));
  collect();
  const bytes = (process.memoryUsage().heapUsed - before) / (texts.length * 8);
  if (queen.workers({ limit: 1 }).items.length !== 1) throw new Error('the registry is empty');
  return {
    'collection_100_workers native, reads per file': readsPerFile(passOf(readers.native)),
    'collection_100_workers TypeScript, reads per file': readsPerFile(passOf(readers.files)),
    'heartbeat_payload_size raw, bytes': text.length,
    'heartbeat_payload_size on the wire, bytes': gzipSync(text, { level: 1 }).length,
    queen_bytes_per_worker: bytes,
  };
}

type Question =
  | { readonly counts: true }
  | { readonly name: HotName; readonly batchMs: number; readonly batches: number };

process.on('message', (question: Question) => {
  const answer = 'counts' in question ? counts() : measure(question.name, question.batchMs, question.batches);
  Promise.resolve(answer).then(
    (value) => process.send?.(value as object),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => setTimeout(() => process.exit(), 500).unref());
process.send?.({ ready: true });
