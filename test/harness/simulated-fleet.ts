/**
 * Simulated hives that speak the wire contract as real ones do: own incarnation and sequence, one request in flight,
 * events re-sent until acknowledged, jittered timers. The demo, the fault suites, the benchmarks and the browser tests
 * all use them. Everything is bounded, and `close` ends it.
 */

import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Agent, request } from 'undici';
import { defaults } from '../../lib/contract/defaults.js';
import type { Heartbeat, HeartbeatReply, HiveEvent } from '../../lib/contract/heartbeat.js';
import { asciiJson } from '../../lib/util/ascii-json.js';
import { Random } from './random.js';
import { type GpuKind, SimulatedHost } from './simulated-host.js';
import { withLoad, withoutLoad } from './simulated-serving.js';

const compress = promisify(gzip);

export interface SimulatedHiveOptions {
  readonly id: string;
  /** `http://host:port`, tried in order; empty: only `nextHeartbeat()` is of use. */
  readonly queenUrls?: readonly string[];
  readonly token?: string;
  /** Same seed and same calls: same heartbeats (but for the time of day). */
  readonly seed?: number;
  readonly workers?: number;
  /** Kinds of its GPUs, or a number of H100. */
  readonly gpus?: number | readonly GpuKind[];
  readonly intervalMs?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly state?: Heartbeat['hive']['state'];
  /** Connections, to share among hives. Its own where none is given. */
  readonly agent?: Agent;
  readonly now?: () => number;
  /** Its engines are asked for their load. */
  readonly asksEngines?: boolean;
}

/** What a hive has seen of its queen. */
export interface SendCounts {
  sent: number;
  accepted: number;
  failed: number;
  /** Status of the newest answer; null: none yet, or none came. */
  lastStatus: number | null;
  /** Longest wait for an accepted heartbeat, in ms. */
  slowestMs: number;
}

const maxPendingEvents = 1000;
const maxEventsPerHeartbeat = 100;

export class SimulatedHive {
  readonly id: string;
  readonly host: SimulatedHost;
  readonly counts: SendCounts = { sent: 0, accepted: 0, failed: 0, lastStatus: null, slowestMs: 0 };
  readonly #options: SimulatedHiveOptions;
  readonly #random: Random;
  readonly #now: () => number;
  readonly #agent: Agent;
  readonly #ownsAgent: boolean;
  #incarnation: string;
  #startedAtMs: number;
  #seq = 0;
  #eventSeq = 0;
  #pending: HiveEvent[] = [];
  #intervalMs: number;
  #state: Heartbeat['hive']['state'];
  #timer: NodeJS.Timeout | null = null;
  #inFlight: Promise<void> | null = null;
  #running = false;
  #queen = 0;
  #muted = false;

  constructor(options: SimulatedHiveOptions) {
    this.id = options.id;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const seed = options.seed ?? seedOf(options.id);
    this.#random = new Random(seed ^ 0x5bd1e995);
    const gpus = options.gpus ?? 2;
    this.host = new SimulatedHost({
      seed,
      gpus: typeof gpus === 'number' ? Array<GpuKind>(gpus).fill('h100') : gpus,
      workers: options.workers ?? 4,
      nowMs: this.#now(),
    });
    this.#intervalMs = options.intervalMs ?? defaults.intervalMs;
    this.#incarnation = this.#random.uuid();
    this.#startedAtMs = this.#now();
    this.#state = options.state ?? 'ready';
    this.#ownsAgent = options.agent === undefined;
    this.#agent = options.agent ?? new Agent({ connections: 1, pipelining: 1 });
  }

  get incarnation(): string {
    return this.#incarnation;
  }

  get workerIds(): readonly string[] {
    return this.host.workerIds;
  }

  get pendingEvents(): number {
    return this.#pending.length;
  }

  /** Lets one interval pass and gives the whole snapshot, as it would be sent. */
  nextHeartbeat(): Heartbeat {
    this.host.advance(this.#intervalMs / 1000);
    for (const event of this.host.takeEvents()) this.#pending.push({ seq: ++this.#eventSeq, ...event });
    if (this.#pending.length > maxPendingEvents) this.#pending.splice(0, this.#pending.length - maxPendingEvents);
    const snapshot = this.host.snapshot();
    return {
      schema: 1,
      seq: ++this.#seq,
      sentAt: new Date(this.#now()).toISOString(),
      intervalMs: this.#intervalMs,
      hive: {
        id: this.id,
        hostname: `${this.id}.internal`,
        version: '0.1.0',
        incarnation: this.#incarnation,
        startedAt: new Date(this.#startedAtMs).toISOString(),
        address: null,
        labels: { ...this.#options.labels },
        state: this.#state,
      },
      ...snapshot,
      workers: snapshot.workers.map(this.#options.asksEngines ? withLoad : withoutLoad),
      events: this.#pending.slice(0, maxEventsPerHeartbeat),
    };
  }

  /** Starts to send; the first heartbeat comes at a random point of the first interval. */
  start(): void {
    if (this.#running) return;
    if (!this.#options.queenUrls?.length) throw new TypeError(`simulated hive ${this.id} has no queen to send to`);
    this.#running = true;
    this.#arm(this.#random.between(0, this.#intervalMs));
  }

  /** Ends as a host that loses power does: without a word. */
  async stop(): Promise<void> {
    this.#running = false;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#inFlight;
  }

  /** A new run of the hive on the same host: new incarnation, same workers. */
  restart(): void {
    this.#incarnation = this.#random.uuid();
    this.#startedAtMs = this.#now();
    this.#seq = 0;
    this.#eventSeq = 0;
    this.#pending = [];
    this.#state = this.#options.state ?? 'ready';
  }

  /** While muted, time passes on the host but nothing is sent: a cut cable. */
  mute(muted = true): void {
    this.#muted = muted;
  }

  addWorker(options?: { settled?: boolean; reservationId?: string }): string {
    return this.host.addWorker(options);
  }

  /** Ends the worker named, else the oldest. Gives its id, or null where there was none. */
  killWorker(
    id: string | undefined = this.host.workerIds[0],
    how: 'exit' | 'signal' | 'oom' = 'signal',
  ): string | null {
    return id !== undefined && this.host.removeWorker(id, how) ? id : null;
  }

  stallGpu(index: number): void {
    this.host.setGpuHealth(index, 'stalled');
  }

  loseGpu(index: number): void {
    this.host.setGpuHealth(index, 'lost');
  }

  recoverGpu(index: number): void {
    this.host.setGpuHealth(index, 'ok');
  }

  /** Forgets the events that the queen holds. */
  acknowledge(ackEventSeq: number): void {
    this.#pending = this.#pending.filter((event) => event.seq > ackEventSeq);
  }

  /** Sends one heartbeat now and waits for the answer; null where none came. */
  async sendHeartbeat(): Promise<HeartbeatReply | null> {
    const nextHeartbeat = this.nextHeartbeat();
    const started = performance.now();
    this.counts.sent++;
    try {
      const reply = await this.#tell(nextHeartbeat);
      this.counts.accepted++;
      this.counts.slowestMs = Math.max(this.counts.slowestMs, performance.now() - started);
      this.acknowledge(reply.ackEventSeq);
      this.#intervalMs = Math.max(this.#options.intervalMs ?? defaults.intervalMs, reply.intervalMs);
      return reply;
    } catch {
      this.counts.failed++;
      this.#queen++;
      return null;
    }
  }

  async close(): Promise<void> {
    await this.stop();
    if (this.#ownsAgent) await this.#agent.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** As a real hive does: where a queen can't pass it on, the others are told as well. */
  async #tell(nextHeartbeat: Heartbeat): Promise<HeartbeatReply> {
    const urls = this.#options.queenUrls ?? [];
    const first = await this.#post(urls[this.#queen % urls.length], nextHeartbeat);
    if (first.degraded !== true) return first;
    for (let turn = 1; turn < urls.length; turn++) {
      const at = this.#queen + turn;
      const reply = await this.#post(urls[at % urls.length], nextHeartbeat).catch(() => null);
      if (reply === null || reply.degraded === true) continue;
      this.#queen = at;
      return reply;
    }
    return first;
  }

  async #post(url: string | undefined, nextHeartbeat: Heartbeat): Promise<HeartbeatReply> {
    if (url === undefined) throw new TypeError('no queen');
    const text = asciiJson(nextHeartbeat);
    const packed = text.length > defaults.compressAboveBytes;
    this.counts.lastStatus = null;
    const reply = await request(`${url.replace(/\/$/, '')}/v1/heartbeats`, {
      method: 'POST',
      dispatcher: this.#agent,
      headersTimeout: defaults.sendTimeoutMs,
      bodyTimeout: defaults.sendTimeoutMs,
      headers: {
        'content-type': 'application/json',
        ...(packed ? { 'content-encoding': 'gzip' } : {}),
        ...(this.#options.token ? { authorization: `Bearer ${this.#options.token}` } : {}),
      },
      body: packed ? await compress(text) : text,
    });
    this.counts.lastStatus = reply.statusCode;
    const body = await reply.body.text();
    if (reply.statusCode !== 200) throw new Error(`${reply.statusCode} ${body.slice(0, 200)}`);
    return JSON.parse(body) as HeartbeatReply;
  }

  #arm(delayMs: number): void {
    this.#timer = setTimeout(() => this.#tick(), delayMs);
  }

  #tick(): void {
    const started = performance.now();
    this.#inFlight = (
      this.#muted ? Promise.resolve(void this.nextHeartbeat()) : this.sendHeartbeat().then(() => {})
    ).finally(() => {
      this.#inFlight = null;
      if (!this.#running) return;
      const took = performance.now() - started;
      this.#arm(Math.max(0, this.#intervalMs * this.#random.between(0.97, 1.03) - took));
    });
  }
}

export interface FleetOptions {
  readonly queenUrls?: readonly string[];
  readonly token?: string;
  readonly hives: number;
  readonly workersPerHive?: number;
  readonly gpusPerHive?: number | readonly GpuKind[];
  readonly intervalMs?: number;
  readonly seed?: number;
  /** Workers that end, and others that start in their place, in the whole fleet each minute. */
  readonly churnPerMinute?: number;
  /** Sockets to the queen, shared by all. */
  readonly connections?: number;
  /** Ids are `<prefix>0001`... */
  readonly prefix?: string;
}

/** Many hives with one set of connections and one source of churn. */
export class SimulatedFleet {
  readonly hives: readonly SimulatedHive[];
  readonly #agent: Agent;
  readonly #random: Random;
  readonly #churnPerMinute: number;
  #churn: NodeJS.Timeout | null = null;
  #closed: Promise<void> | null = null;

  constructor(
    hives: (agent: Agent) => readonly SimulatedHive[],
    options: { connections?: number; seed?: number; churnPerMinute?: number } = {},
  ) {
    this.#agent = new Agent({ connections: options.connections ?? 16, pipelining: 1 });
    this.#random = new Random(options.seed ?? 1);
    this.#churnPerMinute = options.churnPerMinute ?? 0;
    this.hives = hives(this.#agent);
  }

  hive(id: string): SimulatedHive {
    const found = this.hives.find((hive) => hive.id === id);
    if (!found) throw new RangeError(`no simulated hive ${id}`);
    return found;
  }

  start(): void {
    for (const hive of this.hives) hive.start();
    if (this.#churnPerMinute > 0 && !this.#churn) {
      this.#churn = setInterval(() => this.#replaceOne(), 60_000 / this.#churnPerMinute);
    }
  }

  /** Sends one heartbeat of every hive and waits for all answers. */
  async sendHeartbeat(): Promise<void> {
    await Promise.all(this.hives.map((hive) => hive.sendHeartbeat()));
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      if (this.#churn) clearInterval(this.#churn);
      await Promise.all(this.hives.map((hive) => hive.close()));
      await this.#agent.destroy();
    })();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #replaceOne(): void {
    const hive = this.#random.pick(this.hives);
    const id = hive.workerIds.length > 0 ? this.#random.pick(hive.workerIds) : undefined;
    if (id !== undefined)
      hive.killWorker(id, this.#random.chance(0.15) ? 'oom' : this.#random.chance(0.5) ? 'exit' : 'signal');
    hive.addWorker();
  }
}

/** A fleet of like hives. */
export function createFleet(options: FleetOptions): SimulatedFleet {
  const seed = options.seed ?? 1;
  const prefix = options.prefix ?? 'node-';
  return new SimulatedFleet(
    (agent) =>
      Array.from(
        { length: options.hives },
        (_, index) =>
          new SimulatedHive({
            id: `${prefix}${String(index + 1).padStart(4, '0')}`,
            seed: seed * 7919 + index,
            workers: options.workersPerHive ?? 8,
            gpus: options.gpusPerHive ?? 8,
            agent,
            ...(options.queenUrls ? { queenUrls: options.queenUrls } : {}),
            ...(options.token ? { token: options.token } : {}),
            ...(options.intervalMs ? { intervalMs: options.intervalMs } : {}),
          }),
      ),
    options,
  );
}

/** A seed from a name (FNV-1a). */
function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  return hash >>> 0;
}
