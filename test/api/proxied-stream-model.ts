import type { AddressInfo } from 'node:net';
import { HeartbeatStreams } from '../../lib/api/heartbeat-streams.js';
import { buildServer } from '../../lib/api/server.js';
import { StreamHub } from '../../lib/api/stream-hub.js';
import { memoryBus } from '../../lib/cluster/memory.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { ackMs } from '../../lib/hive/stream-connection.js';
import type { SendOutcome } from '../../lib/hive/transport.js';
import { StreamTransport } from '../../lib/hive/transport-stream.js';
import { TokenTable } from '../../lib/http/auth.js';
import { HeartbeatIntake, type HeartbeatSource, type StreamHooks } from '../../lib/queen/intake.js';
import { Registry } from '../../lib/queen/registry.js';
import { ManualClock, settle } from '../harness/manual-clock.js';
import { type Carry, MessageProxy, passOn } from '../harness/message-proxy.js';
import { Random } from '../harness/random.js';
import { RoughProxy } from '../harness/rough-proxy.js';
import { ChangingHive, expectAlike, intakeOf } from '../queen/stream-model.js';

/** Which heartbeat of which run of which hive. */
const keyOf = (hive: { readonly id: string; readonly incarnation: string }, seq: number): string =>
  `${hive.id} ${hive.incarnation} ${seq}`;

const limits = {
  maxHeartbeatBytes: 16 * 2 ** 20,
  maxWorkersPerHive: 500,
  heartbeatsPerSecond: 1e9,
  refusedHeartbeatsPerSecond: 1e9,
};

/** Says what is taken in, at the moment in which it is. */
class WatchedIntake extends HeartbeatIntake {
  readonly #onTaken: (key: string, isDelta: boolean) => void;

  constructor(registry: Registry, onTaken: (key: string, isDelta: boolean) => void) {
    super(registry, limits, () => 0);
    this.#onTaken = onTaken;
  }

  override receive(body: Parameters<HeartbeatIntake['receive']>[0], source: HeartbeatSource, hooks?: StreamHooks) {
    return super.receive(body, source, {
      // Of a POST there is none; only who passes heartbeats on asks for it.
      origin: hooks?.origin as StreamHooks['origin'],
      extraBytes: (read, bytes) => hooks?.extraBytes(read, bytes) ?? 0,
      taken: (read, bytes) => {
        hooks?.taken(read, bytes);
        this.#onTaken(keyOf(read.heartbeat.hive, read.heartbeat.seq), false);
      },
    });
  }

  override receiveChange(...given: Parameters<HeartbeatIntake['receiveChange']>) {
    const outcome = super.receiveChange(...given);
    const [base, change] = given;
    // What waits for something was taken in already.
    const isTaken = outcome instanceof Promise || outcome?.accepted === true;
    if (isTaken) this.#onTaken(keyOf(base.hive.info, change.seq), true);
    return outcome;
  }
}

/** Two registries on one clock: a server takes in what comes by its stream and by POST, and the other is given just that, whole. */
class QueenPair {
  readonly posted: Registry;
  readonly streamed: Registry;
  readonly #sent: ReadonlyMap<string, Heartbeat>;
  readonly #counts: Counts;
  readonly #intake: HeartbeatIntake;
  #end: () => Promise<unknown> = async () => undefined;
  #isOver = false;
  url = '';

  constructor(clock: ManualClock, sent: ReadonlyMap<string, Heartbeat>, counts: Counts) {
    const options = { clock: clock.now, wallClock: clock.now, epoch: 'e', queenId: 'q', random: () => 0.5 };
    this.posted = new Registry(options);
    this.streamed = new Registry(options);
    this.#intake = intakeOf(this.posted);
    this.#sent = sent;
    this.#counts = counts;
  }

  async start(): Promise<this> {
    const registry = this.streamed;
    const intake = new WatchedIntake(registry, (key, isDelta) => this.#mirror(key, isDelta));
    // As of many hives: where there is the addon, they are read together.
    const streams = new HeartbeatStreams({
      registry,
      intake,
      messageRate: { perSecond: 1e9, burst: 1e9 },
      manyStreams: 0,
    });
    const app = await buildServer({
      registry,
      hub: new StreamHub(registry),
      tokens: new TokenTable([]),
      version: '0.0.0',
      loopback: true,
      pageDirectory: '/nonexistent',
      bus: memoryBus(registry),
      intake,
      streams,
      requestsPerSecond: 1e9,
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    this.url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
    this.#end = () => app.close();
    return this;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#end();
  }

  #mirror(key: string, isDelta: boolean): void {
    if (this.#isOver) return;
    this.#counts[isDelta ? 'deltas' : 'whole']++;
    const heartbeat = this.#sent.get(key);
    if (heartbeat === undefined) throw new Error(`nobody sent ${key}`);
    const body = { bytes: Buffer.from(JSON.stringify(heartbeat)), encoding: null };
    const outcome = this.#intake.receive(body, { key: 'k', owner: 'o', hive: null });
    if (outcome instanceof Promise || !outcome.accepted) throw new Error(`by POST ${key} would not be taken in`);
  }
}

class Counts {
  deltas = 0;
  whole = 0;
  settled = 0;
  queenRestarts = 0;
  hiveRestarts = 0;
  /** Heartbeats that went by POST, since the stream had failed too often. */
  posts = 0;
}

/** Loses, repeats and swaps single messages, now and then. */
function unreliable(random: Random, isRough: () => boolean): Carry {
  let held: Buffer | null = null;
  return (message) => {
    const late = held === null ? [] : [held];
    held = null;
    if (!isRough() || random.chance(0.94)) return [message, ...late];
    const at = random.whole(0, 2);
    if (at === 0) return late;
    if (at === 1) return [message, message, ...late];
    held = message;
    return late;
  };
}

/** A hive, its run, and how it sends. */
class ModelHive {
  readonly #changing: ChangingHive;
  readonly #url: string;
  readonly #clock: ManualClock;
  readonly #sent: Map<string, Heartbeat>;
  #transport!: StreamTransport;
  #said = 0;

  constructor(changing: ChangingHive, url: string, clock: ManualClock, sent: Map<string, Heartbeat>) {
    this.#changing = changing;
    this.#url = url;
    this.#clock = clock;
    this.#sent = sent;
    this.#connect();
  }

  /** Heartbeats since it said that it no longer uses its stream. */
  get awayFor(): number {
    return this.#said;
  }

  /** The process ends and another begins. */
  async restart(): Promise<void> {
    await this.#transport.close();
    this.#changing.hive.restart();
    this.#connect();
  }

  /** Sends the next heartbeat, and lets time pass where no answer comes. */
  async send(change: (heartbeat: Heartbeat) => Heartbeat = (heartbeat) => heartbeat): Promise<boolean> {
    const heartbeat = change(this.#changing.next());
    this.#sent.set(keyOf(heartbeat.hive, heartbeat.seq), heartbeat);
    if (this.#said > 0) this.#said++;
    const abort = new AbortController();
    let outcome: SendOutcome | 'failed' | null = null;
    const sending = this.#transport.send(heartbeat, abort.signal).then(
      (done) => {
        outcome = done;
      },
      () => {
        outcome = 'failed';
      },
    );
    for (let tries = 0; outcome === null; tries++) {
      await Promise.race([sending, new Promise((resolve) => setTimeout(resolve, 50))]);
      if (outcome !== null) break;
      await this.#clock.advance(ackMs);
      if (tries === 3) abort.abort();
      // As the sender does, that waits for nothing that it has given up.
      if (tries > 3) outcome = 'failed';
    }
    const done = outcome as SendOutcome | 'failed';
    if (done === 'failed' || done.kind !== 'ack') return false;
    this.#changing.hive.acknowledge(done.reply.ackEventSeq);
    return true;
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  #connect(): void {
    this.#said = 0;
    const info = (_fields: object, message: string) => {
      if (message.includes('by POST')) this.#said = 1;
    };
    const log = { info, warn: () => undefined };
    this.#transport = new StreamTransport(this.#url, { log, clock: this.#clock, random: () => 0.5 });
  }
}

const perHeartbeat = 5;

/** Hives and a queen with a bad network in between, over so many changes; after each `settleEvery` rounds all must be alike. */
export async function proxiedStreamModel(seed: number, changes: number, settleEvery: number) {
  const random = new Random(seed);
  const clock = new ManualClock();
  const sent = new Map<string, Heartbeat>();
  const counts = new Counts();
  let queens = await new QueenPair(clock, sent, counts).start();
  const bytes = await RoughProxy.before(queens.url, new Random(seed + 1));
  const messages = await MessageProxy.before(bytes.url);
  let isRough = false;
  let older: readonly string[] = [];
  messages.fromHive = unreliable(random, () => isRough);
  messages.fromQueen = (message, isBinary) => (isRough && random.chance(0.02) ? [] : passOn(message, isBinary));
  const hives = ['a', 'b', 'c', 'd', 'e', 'f'].map(
    (id, i) => new ModelHive(new ChangingHive(id, seed + i, random, perHeartbeat), messages.url, clock, sent),
  );
  const toughen = (rough: boolean) => {
    isRough = rough;
    bytes.isRough = rough;
  };
  const restartQueen = async () => {
    counts.queenRestarts++;
    // One half end in good order, the others without a word.
    if (random.chance(0.5)) bytes.cut();
    const stopped = queens.stop();
    // A request of which nothing more arrives has longer than this test.
    const late = setTimeout(() => bytes.cut(), 1000);
    await stopped;
    clearTimeout(late);
    queens = await new QueenPair(clock, sent, counts).start();
    bytes.retarget(queens.url);
  };
  /** Each hive's newest heartbeat is known to be taken in. */
  const settleAll = async () => {
    toughen(false);
    for (const hive of hives) {
      let tries = 0;
      // Text, so that its answer is waited for.
      const marked = (heartbeat: Heartbeat): Heartbeat => ({
        ...heartbeat,
        faults: [{ source: 'hive', code: 'X', message: `${counts.settled} ${tries}` }],
      });
      while (!(await hive.send(marked))) {
        if (++tries > 30) throw new Error('a hive does not come through');
        await clock.advance(1000);
      }
    }
    await settle();
    expectAlike(queens.streamed, queens.posted);
    counts.settled++;
    // What was sent since the settle before may still be on its way.
    for (const key of older) sent.delete(key);
    older = [...sent.keys()];
  };
  try {
    for (let done = 0, round = 1; done < changes; done += hives.length * perHeartbeat, round++) {
      await Promise.all(hives.map((hive) => hive.send()));
      await clock.advance(random.pick([1000, 1000, 1000, 4000]));
      if (random.chance(0.1)) toughen(random.chance(0.5));
      for (const hive of hives)
        if (hive.awayFor > 4 || random.chance(0.005)) {
          counts.hiveRestarts++;
          await hive.restart();
        }
      if (random.chance(0.005)) await restartQueen();
      if (round % settleEvery === 0) await settleAll();
    }
    await settleAll();
  } finally {
    await Promise.all(hives.map((hive) => hive.close()));
    bytes.cut();
    await queens.stop();
    await messages.close();
    await bytes.close();
  }
  counts.posts = messages.posts;
  return { ...counts, bytes: bytes.counts, streams: messages.streams };
}
