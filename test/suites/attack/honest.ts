/** Those who do nothing wrong: a hive at 1 Hz, a reader of the stream, somebody who asks. What an attack costs them. */
import { randomInt } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { createParser } from 'eventsource-parser';
import { Agent, type Dispatcher, request } from 'undici';
import type { FleetEvent, GpuView, HiveView, WorkerList } from '../../../lib/contract/api.js';
import type { Heartbeat } from '../../../lib/contract/heartbeat.js';
import type { Control } from '../../harness/control.js';
import type { Daemon } from '../../harness/harness.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';
import { type Parties, partiesOf } from './attack.js';

const gunzipped = promisify(gunzip);

/** What the honest are promised beside every attack. */
export const promised = { heartbeatMs: 3000, queryMs: 1000, rssMiB: 1024 } as const;

/** Kinds of queen events that would be untrue of a hive that never was silent. */
const untrue: ReadonlySet<string> = new Set([
  'hiveLate',
  'hiveOffline',
  'hiveRemoved',
  'hiveRestarted',
  'duplicateHiveId',
]);

interface Moment {
  readonly at: number;
  /** How long queen and this process, each, had been ready to run and had no core by then, ms. */
  readonly queenWaited: number;
  readonly selfWaited: number;
}

interface Span {
  readonly from: Moment;
  readonly until: Moment;
}

/** A hive whose events are marked, and whose acknowledgements are noted with their time. */
class MarkedHive extends SimulatedHive {
  readonly accepted: Moment[] = [];
  /** What is noted with each acknowledgement. */
  moment: () => Moment = () => ({ at: performance.now(), queenWaited: 0, selfWaited: 0 });
  readonly marks: string[] = [];
  #acked = 0;

  override nextHeartbeat(): Heartbeat {
    const heartbeat = super.nextHeartbeat();
    const marked = (seq: number) => `${this.id}#${seq}`;
    for (const { seq } of heartbeat.events) if (seq > this.marks.length) this.marks.push(marked(seq));
    return {
      ...heartbeat,
      events: heartbeat.events.map((event) => ({ ...event, detail: { ...event.detail, mark: marked(event.seq) } })),
    };
  }

  override acknowledge(ackEventSeq: number): void {
    this.accepted.push(this.moment());
    this.#acked = Math.max(this.#acked, ackEventSeq);
    super.acknowledge(ackEventSeq);
  }

  get acked(): readonly string[] {
    return this.marks.slice(0, this.#acked);
  }
}

/** Follows the stream as a page does: it comes back with the id of the newest event. */
class Reader {
  readonly marks: string[] = [];
  readonly untrue: string[] = [];
  snapshots = 0;
  #lastId: string | undefined;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  readonly #parties: Parties;

  constructor(url: string, parties: Parties) {
    this.#parties = parties;
    this.#done = this.#follow(url);
  }

  async #follow(url: string): Promise<void> {
    while (!this.#abort.signal.aborted) {
      await this.#read(url).catch(() => undefined);
      await setTimeout(200, undefined, { signal: this.#abort.signal }).catch(() => undefined);
    }
  }

  async #read(url: string): Promise<void> {
    const headers = {
      authorization: `Bearer ${this.#parties.tokens.honestReader}`,
      ...(this.#lastId === undefined ? {} : { 'last-event-id': this.#lastId }),
    };
    const parser = createParser({ onEvent: (message) => this.#take(message.event, message.id, message.data) });
    const response = await fetch(`${url}/v1/events`, { headers, signal: this.#abort.signal });
    if (response.status !== 200) return void (await response.body?.cancel());
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
  }

  #take(kind: string | undefined, id: string | undefined, data: string): void {
    if (id !== undefined) this.#lastId = id;
    if (kind === 'snapshot') this.snapshots++;
    if ((kind !== 'event' && kind !== 'queenEvent') || !data.includes(`"${this.#parties.honestHive}"`)) return;
    const event = JSON.parse(data) as FleetEvent;
    if (event.hive !== this.#parties.honestHive) return;
    if (typeof event.detail.mark === 'string') this.marks.push(event.detail.mark);
    else if (untrue.has(event.kind)) this.untrue.push(event.kind);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }
}

const plain = <T>(body: Dispatcher.ResponseData['body']): Promise<T> => body.json() as Promise<T>;

/** As browsers have it. */
const packed = async <T>(body: Dispatcher.ResponseData['body']): Promise<T> =>
  JSON.parse(String(await gunzipped(await body.bytes()))) as T;

/** The first of a stream, which is then left. */
async function beginning(body: Dispatcher.ResponseData['body']): Promise<unknown> {
  for await (const chunk of body) {
    body.destroy();
    return chunk;
  }
  return null;
}

/** The honest parties of one queen. */
export class Honest {
  readonly hive: MarkedHive;
  readonly #reader: Reader;
  readonly #queen: Daemon;
  readonly #parties: Parties;
  readonly #control: Control;
  readonly #agent = new Agent({ connections: 4, pipelining: 1, headersTimeout: 10_000 });
  readonly #problems = new Set<string>();
  readonly #queries: Span[] = [];
  readonly gpu: string;
  /** The longest that each took, ms. */
  readonly longest: Record<string, number> = {};
  #asking: Promise<void> | null = null;
  #churn: NodeJS.Timeout | null = null;
  #ended = false;
  #from: Moment;

  constructor(queen: Daemon, control: Control, turn: number) {
    this.#parties = partiesOf(turn);
    if (queen.process.running) forgetPeak(queen.process.pid);
    this.#queen = queen;
    this.#control = control;
    this.hive = new MarkedHive({
      id: this.#parties.honestHive,
      queenUrls: [queen.url],
      token: this.#parties.tokens.honestHive,
      // The stream of a shared NATS server holds the events of hives before it.
      seed: randomInt(2 ** 31),
      workers: 4,
      gpus: 2,
    });
    this.hive.moment = () => this.#moment();
    this.#from = this.#moment();
    this.gpu = this.hive.host.snapshot().gpus[0]?.uuid ?? '';
    this.#reader = new Reader(queen.url, this.#parties);
  }

  #moment(): Moment {
    const { process } = this.#queen;
    const queenWaited = process.running ? withoutCoreMs(String(process.pid)) : 0;
    return { at: performance.now(), queenWaited, selfWaited: withoutCoreMs('self') };
  }

  /** Ready once all three have been answered. */
  async start(): Promise<void> {
    await this.hive.sendHeartbeat();
    this.hive.start();
    await waitFor(() => this.#reader.snapshots > 0 && this.hive.accepted.length > 0, {
      what: 'the honest to be answered',
    });
    this.#churn = setInterval(() => {
      this.hive.killWorker();
      this.hive.addWorker();
    }, 500);
    await this.#askOnce();
    this.#from = this.#moment();
    this.#asking = this.#ask();
  }

  /** Over a connection of its own, as whoever comes anew has none yet. */
  async #get<T>(path: string, read: (body: Dispatcher.ResponseData['body']) => Promise<T>, encoding = 'identity') {
    const from = this.#moment();
    try {
      const answer = await request(`${this.#queen.url}${path}`, {
        dispatcher: this.#agent,
        reset: true,
        headers: { authorization: `Bearer ${this.#parties.tokens.honestReader}`, 'accept-encoding': encoding },
      });
      if (answer.statusCode === 200) return await read(answer.body);
      const { code = '' } = (await answer.body.json()) as { readonly code?: string };
      this.#problems.add(`a query was answered with ${answer.statusCode} ${code}`);
    } catch (error) {
      this.#problems.add(`a query was not answered: ${(error as Error).message}`);
    } finally {
      this.#queries.push({ from, until: this.#moment() });
    }
    return null;
  }

  async #ask(): Promise<void> {
    while (!this.#ended) {
      await this.#askOnce();
      await setTimeout(100);
    }
  }

  async #askOnce(): Promise<void> {
    const [hive, gpu] = await Promise.all([
      this.#get<HiveView>(`/v1/hives/${this.hive.id}`, packed, 'gzip'),
      this.#get<GpuView>(`/v1/gpus/${this.gpu}`, plain),
      this.#get<unknown>(`/v1/events?hive=${this.hive.id}`, beginning),
    ]);
    if (hive !== null && hive.liveness === 'offline') this.#problems.add('the honest hive was said to be offline');
    if (gpu !== null && gpu.hive !== this.hive.id) this.#problems.add(`its GPU was said to be of ${gpu.hive}`);
  }

  /**
   * What takes longer than it may. Attacker, queen and the honest share the cores of one machine, maybe with others: the time for
   * which the queen was ready to run and had no core is left out, or that of the honest, or that by which a bare timer was late,
   * whichever was longest, since they may have waited at the same time.
   */
  #tooLong(what: string, spans: readonly Span[], limitMs: number): string[] {
    const took = spans.map(({ from, until }) => {
      const waited = [until.queenWaited - from.queenWaited, until.selfWaited - from.selfWaited];
      const others = Math.max(0, ...waited, this.#control.lateMs(from.at, until.at));
      return until.at - from.at - others;
    });
    const longest = Math.max(0, ...took);
    this.longest[what] = Math.round(longest);
    const late = took.filter((ms) => ms > limitMs);
    return late.length === 0 ? [] : [`${late.length} ${what}, the longest ${Math.round(longest)} ms`];
  }

  /** What of the promises was not kept. */
  async verdict(): Promise<string[]> {
    const { child } = this.#queen.process;
    const peak = this.#queen.process.running ? peakMiB(this.#queen.process.pid) : 0;
    if (this.#churn !== null) clearInterval(this.#churn);
    this.#churn = null;
    await this.hive.stop();
    const until = this.#moment();
    // From now on it is late, should the rest take long.
    const untrueOfIt = [...this.#reader.untrue];
    this.#ended = true;
    await this.#asking;
    if (!this.#queen.process.running) return [`the queen ended with ${child.exitCode ?? child.signalCode}`];
    const marks = [this.#from, ...this.hive.accepted.filter(({ at }) => at > this.#from.at && at < until.at), until];
    const gaps = marks.slice(1).map((moment, i) => ({ from: marks[i] as Moment, until: moment }));
    const found = [
      ...this.#problems,
      ...this.#tooLong('times no heartbeat was accepted', gaps, promised.heartbeatMs),
      ...this.#tooLong('queries took too long', this.#queries, promised.queryMs),
      ...(peak > promised.rssMiB ? [`${Math.round(peak)} MiB of memory`] : []),
    ];
    const missing = await this.#whatIsMissing();
    untrueOfIt.push(...this.#reader.untrue.slice(untrueOfIt.length).filter((kind) => kind !== 'hiveLate'));
    if (untrueOfIt.length > 0) found.push(`said of it: ${[...new Set(untrueOfIt)].join(', ')}`);
    return [...found, ...missing];
  }

  /** After a last heartbeat: every worker is there, every event was read, once and in order. */
  async #whatIsMissing(): Promise<string[]> {
    const found: string[] = [];
    const sent = await waitFor(() => this.hive.sendHeartbeat(), { timeoutMs: 5000, everyMs: 300 }).catch(() => null);
    if (sent === null) return ['its last heartbeat was not accepted'];
    const list = await this.#get(`/v1/workers?hive=${this.hive.id}&limit=1000`, plain<WorkerList>);
    const ids = (list?.items ?? []).map(({ id }) => id).toSorted();
    if (JSON.stringify(ids) !== JSON.stringify(this.hive.workerIds.toSorted())) found.push('its workers are others');
    const { acked } = this.hive;
    await waitFor(() => this.#reader.marks.length >= acked.length, { timeoutMs: 15_000 }).catch(() => undefined);
    const read = new Set(this.#reader.marks);
    const lost = acked.filter((mark) => !read.has(mark));
    if (acked.length === 0) found.push('no event was acknowledged');
    if (lost.length > 0) found.push(`${lost.length} of ${acked.length} events were never read`);
    if (read.size !== this.#reader.marks.length) found.push('events were read twice');
    return [...found, ...(await this.#whoIsKeptOut())];
  }

  /** A host that comes anew finds its place. */
  async #whoIsKeptOut(): Promise<string[]> {
    const hive = new SimulatedHive({
      id: this.#parties.newHive,
      queenUrls: [this.#queen.url],
      token: this.#parties.tokens.newHive,
      seed: randomInt(2 ** 31),
    });
    const isIn = await waitFor(() => hive.sendHeartbeat(), { timeoutMs: 3000, everyMs: 300 }).catch(() => null);
    await hive.close();
    return isIn === null ? ['a new hive was not let in'] : [];
  }

  async close(): Promise<void> {
    this.#ended = true;
    if (this.#churn !== null) clearInterval(this.#churn);
    await Promise.all([this.hive.close(), this.#reader.close(), this.#asking, this.#agent.destroy()]);
  }
}

/** The most memory that a process has held, MiB. */
const peakMiB = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** What it held before does not count. Where the kernel knows no way to, it does. */
function forgetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // What an attack before it took counts too: the judgement is harder, not easier.
  }
}

/** How long a process, or rather its main thread, has been ready to run and had no core, ms; 0 where the kernel does not say. */
function withoutCoreMs(pid: string): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}
