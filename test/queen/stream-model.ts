import { expect } from 'vitest';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { readSchema, sentSchema } from '../../lib/contract/stream/codec.js';
import { ownSchema } from '../../lib/contract/stream/columns.js';
import { StreamEncoder } from '../../lib/hive/stream-encoder.js';
import type { EngineLoads } from '../../lib/hive/transport.js';
import { HeartbeatStream } from '../../lib/queen/heartbeat-stream.js';
import type { HiveScrape } from '../../lib/queen/hive-scrape.js';
import { HeartbeatIntake } from '../../lib/queen/intake.js';
import type { Registry } from '../../lib/queen/registry.js';
import { planOf } from '../../lib/queen/stream-plan.js';
import type { ServingFigures } from '../../lib/sampling/serving.js';
import { Random } from '../harness/random.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';
import { ManualClock, TestQueen } from './heartbeats.js';

/** As it is at the other end of a connection: no object is shared with the sender. */
export const copyOf = (heartbeat: Heartbeat): Heartbeat => JSON.parse(JSON.stringify(heartbeat)) as Heartbeat;

const pick = <T>(random: Random, list: readonly T[]): T | undefined =>
  list.length === 0 ? undefined : random.pick(list);

type Writable = { -readonly [K in keyof Heartbeat]: Heartbeat[K] };
type Row = Record<string, unknown>;

/** A value as it may come: usual, null, with many digits, huge, and at times one that no device has. */
function anyNumber(random: Random): number | null {
  const at = random.whole(0, 6);
  if (at === 0) return null;
  if (at === 1) return random.between(0, 100);
  if (at === 2) return Math.round(random.between(0, 2 ** 36));
  if (at === 3) return 0;
  return Math.round(random.between(0, 10_000)) / 100;
}

type Change = (heartbeat: Writable, random: Random) => void;

/** What may become different of a heartbeat beside what the simulated host does itself, of which deltas are made. */
const changes: readonly Change[] = [
  ({ workers }, random) => {
    const worker = pick(random, workers) as Row | undefined;
    const fields = ['cpuPercent', 'memoryBytes', 'workingSetBytes', 'ioReadBytesPerSecond', 'cpuLimitPercent'] as const;
    if (worker) worker[random.pick(fields)] = anyNumber(random);
  },
  ({ gpus }, random) => {
    const gpu = pick(random, gpus) as Row | undefined;
    if (gpu) gpu[random.pick(['powerWatts', 'smClockMhz', 'memoryUsedBytes', 'fanPercent'])] = anyNumber(random);
  },
  ({ workers }, random) => {
    const worker = pick(random, workers) as Row | undefined;
    if (worker) worker.state = pick(random, ['idle', 'busy', 'unknown', 'saturated']);
  },
  ({ workers }, random) => {
    const worker = pick(random, workers) as Row | undefined;
    if (worker) worker.labels = { [`k${random.whole(0, 2)}`]: `${random.whole(0, 2)}` };
  },
  ({ workers }, random) => {
    const worker = pick(random, workers) as Row | undefined;
    if (worker)
      worker.pressure = { cpu: anyNumber(random) === null ? null : 3.25, memory: null, io: random.between(0, 9) };
  },
  ({ workers }, random) => {
    const held = pick(random, pick(random, workers)?.gpus ?? []) as Row | undefined;
    if (held) held.memoryUsedBytes = anyNumber(random);
  },
  ({ workers }, random) => {
    const worker = pick(random, workers) as Row | undefined;
    if (worker?.serving) (worker.serving as Row).waiting = random.whole(0, 8);
    else if (worker) worker.serving = { engine: 'vllm', running: 1, ageMs: 12.5 };
  },
  (heartbeat, random) => {
    heartbeat.faults = random.chance(0.5) ? [] : [{ source: 'gpu', code: 'STALLED', message: 'it stalls' }];
  },
  (heartbeat, random) => {
    (heartbeat as Row).host = { ...heartbeat.host, load1: anyNumber(random) };
  },
];

/** What makes a keyframe of it. */
const rareChanges: readonly Change[] = [
  ({ workers }, random) => {
    const worker = pick(random, workers) as Row | undefined;
    if (worker) delete worker.serving;
  },
  (heartbeat, random) => {
    heartbeat.hive = { ...heartbeat.hive, labels: { zone: `${random.whole(0, 2)}` } };
  },
  (heartbeat, random) => {
    heartbeat.workersComplete = random.chance(0.5);
    heartbeat.workers = heartbeat.workers.slice(0, random.whole(0, heartbeat.workers.length));
  },
  (heartbeat, random) => {
    heartbeat.workers = [...heartbeat.workers].sort(() => random.between(-1, 1));
  },
  ({ workers }, random) => {
    const worker = pick(random, workers) as Row | undefined;
    if (worker) worker.state = 'ofTheFuture';
  },
  // What no device has, and what is no value of its field: a queen leaves it out and says so.
  ({ workers }, random) => {
    const worker = pick(random, workers) as Row | undefined;
    if (worker) worker.cpuPercent = random.chance(0.5) ? 2 ** 32 - 1 : -5;
  },
  ({ workers }, random) => {
    const worker = pick(random, workers) as Row | undefined;
    if (worker) worker.processCount = 1.5;
  },
];

/** A hive whose state changes in every way there is; `next` gives its heartbeats. */
export class ChangingHive {
  readonly hive: SimulatedHive;
  readonly #random: Random;
  readonly #perHeartbeat: number;

  constructor(id: string, seed: number, random: Random, perHeartbeat = 3) {
    this.hive = new SimulatedHive({ id, workers: 4, gpus: 3, seed, asksEngines: true, now: () => 1_760_000_000_000 });
    this.#random = random;
    this.#perHeartbeat = perHeartbeat;
  }

  next(): Heartbeat {
    const random = this.#random;
    const rare = random.between(0, 100);
    if (rare < 1) this.hive.restart();
    else if (rare < 2) this.hive.addWorker({ settled: true });
    else if (rare < 3) this.hive.killWorker(undefined, 'oom');
    else if (rare < 4) this.hive.loseGpu(0);
    else if (rare < 8) this.hive.recoverGpu(0);
    const heartbeat = copyOf(this.hive.nextHeartbeat());
    for (let i = 0; i < this.#perHeartbeat; i++)
      random.pick(random.chance(0.9) ? changes : rareChanges)(heartbeat, random);
    return heartbeat;
  }
}

/** Sums of watts, whose last digits differ with the order of what is added. */
const rounded = ({ energies, ...scrape }: HiveScrape) => ({
  ...scrape,
  energies: new Map([...energies].map(([id, each]) => [id, { ...each, watts: Number(each.watts.toPrecision(9)) }])),
});

/** Everything that a registry answers, of a fleet. */
export function answersOf(queen: Registry) {
  const all = { limit: 1000 } as const;
  // First: of energy it reads what no other query has asked for yet.
  const scrapes = queen.hiveIds().map((id) => rounded(queen.scrape(id, { gpus: 2, illGpus: 3, workers: 3 })!));
  const workers = queen.workers(all).items;
  return {
    scrapes,
    hives: queen.hives(all).items.map((hive) => ({ ...hive, ...queen.hive(hive.id) })),
    workers,
    sorted: queen.workers({ ...all, sort: '-cpuPercent' }).items.map(({ key }) => key),
    gpus: queen.gpus(all).items,
    idle: queen.findIdleWorkers().map(({ key }) => key),
    roomy: queen.findWorkersWithCapacity(2 ** 30).map(({ key }) => key),
    placement: queen.place({ vramBytes: 2 ** 33, strategy: 'binPack' }),
    fleet: { ...queen.fleet(), queenId: null, heartbeatsPerSecond: null },
    counts: queen.counts(),
    history: workers.map(({ hive, id }) => queen.history(hive, id)),
  };
}

/** The hive's end of a stream and the queen's, with what lies between them: `carry` gives what arrives of a message. */
export class StreamLink {
  readonly #registry: Registry;
  readonly #intake: HeartbeatIntake;
  readonly #clock: () => number;
  readonly #carry: (bytes: Buffer) => Buffer | null;
  #encoder!: StreamEncoder;
  #stream!: HeartbeatStream;
  readonly counts = { keyframes: 0, deltas: 0, loads: 0, resyncs: new Map<string, number>() };

  constructor(registry: Registry, clock: () => number, carry: (bytes: Buffer) => Buffer | null = (bytes) => bytes) {
    this.#registry = registry;
    this.#clock = clock;
    this.#carry = carry;
    this.#intake = intakeOf(registry);
    this.reconnect();
  }

  reconnect(): void {
    this.#encoder = new StreamEncoder(this.#clock, () => 0.5);
    this.#encoder.ackEvery = 5;
    const source = { key: 'k', owner: 'o', hive: null };
    const plan = planOf(readSchema(JSON.parse(JSON.stringify(sentSchema(ownSchema)))));
    this.#stream = new HeartbeatStream(this.#registry, this.#intake, source, plan);
  }

  /** Sends what engines say now; where that is lost the next heartbeat does not follow. */
  async load(loads: EngineLoads): Promise<void> {
    const bytes = this.#encoder.encodeLoads(loads);
    const arrived = bytes === null ? null : this.#carry(Buffer.from(bytes));
    if (arrived === null) return;
    const outcome = await this.#stream.receive(arrived);
    if (outcome.kind === 'load') this.counts.loads++;
    else this.#encoder.reset();
    if (outcome.kind === 'resync')
      this.counts.resyncs.set(outcome.reason, (this.counts.resyncs.get(outcome.reason) ?? 0) + 1);
  }

  /** Whether it was taken in; else the code of the refusal, or null where it was lost. */
  async send(heartbeat: Heartbeat): Promise<true | string | null> {
    for (let attempt = 0; attempt < 2; attempt++) {
      const { bytes, index, wantsAck } = await this.#encoder.encode(heartbeat);
      const arrived = this.#carry(Buffer.from(bytes));
      if (arrived === null) {
        // No answer comes: a hive connects anew.
        if (wantsAck) this.reconnect();
        return null;
      }
      const outcome = await this.#stream.receive(arrived);
      if (outcome.kind !== 'ack' || !outcome.deltas) this.#encoder.reset();
      if (outcome.kind === 'ack') {
        this.counts[index === 0 ? 'keyframes' : 'deltas']++;
        return true;
      }
      if (outcome.kind === 'ignored' || outcome.kind === 'load')
        throw new Error('a keyframe was asked for and not sent');
      if (outcome.kind === 'refused') return arrived.length < bytes.length ? null : outcome.refusal.code;
      this.counts.resyncs.set(outcome.reason, (this.counts.resyncs.get(outcome.reason) ?? 0) + 1);
    }
    return null;
  }
}

export const intakeOf = (registry: Registry): HeartbeatIntake =>
  new HeartbeatIntake(registry, {
    maxHeartbeatBytes: 16 * 2 ** 20,
    maxWorkersPerHive: 500,
    heartbeatsPerSecond: 1e9,
    refusedHeartbeatsPerSecond: 1e9,
  });

export function expectAlike(a: Registry, b: Registry): void {
  expect(answersOf(a)).toEqual(answersOf(b));
  expect(a.audit()).toEqual([]);
}

/** Two registries on one clock: one is sent whole heartbeats, the other a stream. */
export function pairOfQueens(startedMs: number) {
  const time = new ManualClock(startedMs);
  const options = { clock: time.read, wallClock: time.read, epoch: 'e', queenId: 'q', random: () => 0.5 };
  return { time, posted: new TestQueen(options), streamed: new TestQueen(options) };
}

/** What its engines say a little later. */
export function loadsOf({ workers }: Heartbeat, random: Random): EngineLoads {
  const loads = new Map<string, ServingFigures>();
  for (const { id, serving } of workers)
    if (serving != null && random.chance(0.7))
      loads.set(id, {
        ...(serving as ServingFigures),
        running: random.whole(0, 40),
        kvPercent: anyNumber(random),
        ageMs: random.whole(0, 300),
      });
  return loads;
}

/** Every way in which a link can fail, a little of each. */
export async function streamModel(seed: number, count: number, settleEvery: number) {
  const random = new Random(seed);
  const hives = ['a', 'b', 'c'].map((id, i) => new ChangingHive(id, seed + i, random));
  const perHeartbeat = 3;
  let { time, posted, streamed } = pairOfQueens(1_000_000);
  let intake = intakeOf(posted);
  let faulty = false;
  const lasts: Heartbeat[] = [];
  const carry = (bytes: Buffer) => {
    if (!faulty || random.chance(0.8)) return bytes;
    return random.chance(0.5) ? null : bytes.subarray(0, random.whole(0, bytes.length - 1));
  };
  const linkOf = () => new StreamLink(streamed, () => time.nowMs, carry);
  let links = hives.map(linkOf);
  const totals = { keyframes: 0, deltas: 0, loads: 0, resyncs: new Set<string>() };
  const addUp = () => {
    for (const { counts } of links) {
      totals.keyframes += counts.keyframes;
      totals.deltas += counts.deltas;
      totals.loads += counts.loads;
      for (const reason of counts.resyncs.keys()) totals.resyncs.add(reason);
    }
  };
  const send = async (i: number) => {
    const heartbeat = hives[i]!.next();
    lasts[i] = heartbeat;
    const taken = await links[i]!.send(heartbeat);
    if (taken === null) return;
    const body = { bytes: Buffer.from(JSON.stringify(heartbeat)), encoding: null };
    const outcome = await intake.receive(body, { key: 'k', owner: 'o', hive: null });
    expect(outcome.accepted ? true : outcome.code).toBe(taken);
  };
  for (let done = 0, round = 0; done < count; round++) {
    for (let i = 0; i < hives.length; i++, done += perHeartbeat) await send(i);
    time.advance(random.pick([300, 300, 1000, 4000]));
    if (random.chance(0.3)) {
      const i = random.whole(0, 2);
      await links[i]!.load(loadsOf(lasts[i]!, random));
      time.advance(700);
    }
    if (random.chance(0.02)) links[random.whole(0, 2)]!.reconnect();
    if (random.chance(0.002)) {
      addUp();
      ({ time, posted, streamed } = pairOfQueens(time.nowMs + 1000));
      intake = intakeOf(posted);
      links = hives.map(linkOf);
    }
    if (random.chance(0.01)) for (const queen of [posted, streamed]) queen.removeHive('b');
    faulty = !faulty && random.chance(0.3);
    if (round % settleEvery === 0) {
      faulty = false;
      for (let i = 0; i < hives.length; i++) await send(i);
      expectAlike(streamed, posted);
    }
  }
  addUp();
  return totals;
}
