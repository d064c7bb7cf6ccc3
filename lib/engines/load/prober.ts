import type { ServingReason } from '../../contract/enums.js';
import { Cancellation } from '../../util/cancellation.js';
import { type Connect, type Fetcher, type Scheme, type ServerAddress, SystemAsker } from '../ask.js';
import { KeptConnection, type ReadAnswer } from '../connection.js';
import type { Engine } from '../table.js';
import { counts, mergeReadings, sumReadings } from './merge.js';
import { PageLayout } from './metrics-page.js';
import { type LoadQuestion, type LoadReading, type LoadWay, rarelyMs } from './reading.js';
import { loadSources } from './table.js';

/** A socket of a worker that is known to be an engine's. */
export interface LoadServer {
  readonly engine: Engine;
  readonly scheme: Scheme;
  readonly address: ServerAddress;
  readonly connect?: Connect | undefined;
}

/** A worker whose engine is asked for its load. */
export interface LoadTarget {
  readonly id: string;
  /** Changes when another process has taken the name. */
  readonly identity: string;
  readonly server: LoadServer;
  /** Engines that it starts, and that compute for it; the same list as long as they are the same. */
  readonly runners: readonly LoadServer[];
}

/** What is known of an engine's load. */
export interface Load {
  readonly engine: Engine;
  /** The last that it said; null where it has said nothing yet. */
  readonly reading: LoadReading | null;
  /** When it said so, by the monotonic clock. */
  readonly atMs: number | null;
  /** When it said its counters, which are asked less often of some. */
  readonly countedMs: number | null;
  /** Why nothing is known, or not all; null where all that it can say is known and fresh. */
  readonly reason: ServingReason | null;
}

export interface LoadProberOptions {
  /** Between two requests for the same, in ms (default 1000); never less than twice what the last one took. */
  readonly intervalMs?: number;
  /** Deadline of one request in ms (default 800). */
  readonly timeoutMs?: number;
  /** CLOCK_MONOTONIC in ms. */
  readonly now?: () => number;
  readonly fetcher?: Fetcher;
  /** The key that the operator named for a worker; null: none. */
  readonly keyOf?: (id: string) => string | null;
}

const maxBodyBytes = 2 * 1024 * 1024;
/** What is switched off or asks for a key is asked again after so long. */
const retryMs = 10_000;

/** Why a request ends whose time is over. */
const late = new Error('no answer in time');
/** What has come meanwhile is read first: where this process was held up, the answer may only wait to be taken. */
const giveUp = (request: Cancellation): void => void setImmediate(() => request.cancel(late));

interface Answered {
  readonly status: number;
  readonly reading: LoadReading | null;
}

/** One question at one server. */
interface Asking {
  readonly server: LoadServer;
  readonly question: LoadQuestion;
  /** Of the page of metrics that answers it. */
  readonly layout: PageLayout;
  dueMs: number;
  reading: LoadReading | null;
  atMs: number | null;
  /** Why it has no answer now. */
  reason: ServingReason | null;
  /** The way that was answered last, and until when it is kept to. */
  way: number;
  wayUntilMs: number;
}

interface Worker {
  target: LoadTarget;
  /** What it is asked itself. */
  readonly own: readonly Asking[];
  /** What each of its runners is asked. */
  readonly runners: readonly Asking[];
  /** To the server itself, where it likes that; runners have a connection for each request. */
  readonly kept: KeptConnection | undefined;
  isGone: boolean;
  /** The request under way. */
  request: Cancellation | null;
  isAsking: boolean;
  needsKey: boolean;
  load: Load;
}

/** Asks engines for their load: for each worker one request at a time. Nobody waits for it. */
export class LoadProber {
  readonly #workers = new Map<string, Worker>();
  readonly #options: Required<LoadProberOptions>;
  /** Called with each worker whose engine has just answered. */
  onAnswer: ((id: string) => void) | null = null;
  #closed = false;

  constructor(options: LoadProberOptions = {}) {
    this.#options = {
      intervalMs: 1000,
      timeoutMs: 800,
      now: () => performance.now(),
      fetcher: new SystemAsker(),
      keyOf: () => null,
      ...options,
    };
  }

  /** Takes the workers that can be asked now, at each tick. Asks what is due, and forgets workers that are gone. */
  update(targets: readonly LoadTarget[]): void {
    if (this.#closed) return;
    const seen = new Set<string>();
    for (const target of targets) {
      if (loadSources[target.server.engine] === null) continue;
      seen.add(target.id);
      const worker = this.#workerOf(target);
      if (!worker.isAsking) void this.#askDue(worker);
    }
    for (const [id, worker] of this.#workers) {
      if (seen.has(id)) continue;
      forget(worker);
      this.#workers.delete(id);
    }
  }

  /** null where it is not asked. */
  loadOf(id: string): Load | null {
    return this.#workers.get(id)?.load ?? null;
  }

  close(): void {
    this.#closed = true;
    for (const worker of this.#workers.values()) forget(worker);
    this.#workers.clear();
  }

  #workerOf(target: LoadTarget): Worker {
    const before = this.#workers.get(target.id);
    if (before !== undefined && isSame(before.target, target)) return before;
    if (before !== undefined) forget(before);
    const { engine } = target.server;
    // Other runners are no other engine: what was known of it stays until they answer.
    const isSameRun = before?.target.identity === target.identity && before.load.engine === engine;
    const worker: Worker = {
      target,
      own: askingsOf(target.server),
      runners: target.runners.flatMap((runner) => askingsOf(runner).slice(0, 1)),
      kept: loadSources[engine]?.keepsAlive ? new KeptConnection() : undefined,
      isGone: false,
      request: null,
      isAsking: false,
      needsKey: false,
      load: isSameRun ? before.load : { engine, reading: null, atMs: null, countedMs: null, reason: 'notAsked' },
    };
    this.#workers.set(target.id, worker);
    return worker;
  }

  async #askDue(worker: Worker): Promise<void> {
    worker.isAsking = true;
    for (const asking of [...worker.own, ...worker.runners]) {
      const startedMs = this.#options.now();
      if (startedMs < asking.dueMs) continue;
      const reason = await this.#ask(worker, asking);
      if (worker.isGone) return;
      asking.reason = reason;
      const tookMs = this.#options.now() - startedMs;
      const everyMs = reason === null ? (asking.question.everyMs ?? 0) : waitsLong(reason) ? retryMs : 0;
      asking.dueMs = startedMs + Math.max(this.#options.intervalMs, 2 * tookMs, everyMs);
      worker.load = loadOf(worker);
      if (reason === null) this.onAnswer?.(worker.target.id);
      // Where it does not answer, nothing else is asked of it now.
      if (reason === 'silent' || reason === 'refused') break;
    }
    worker.isAsking = false;
  }

  /** By the way that was answered before; now and then by the first that the server knows. */
  async #ask(worker: Worker, asking: Asking): Promise<ServingReason | null> {
    const { ways } = asking.question;
    const first = this.#options.now() < asking.wayUntilMs ? asking.way : 0;
    let failure: ServingReason = ways.some(({ path }) => path.includes('metrics')) ? 'metricsOff' : 'unreadable';
    for (let i = first; i < ways.length; i += 1) {
      const way = ways[i] as LoadWay;
      const answer = await this.#fetch(worker, asking, way);
      if (typeof answer === 'string') return answer;
      const { status, reading } = answer;
      if (status === 503) return 'loading';
      if (asksForKey(status)) return 'keyNeeded';
      if (reading === null) {
        if (status === 200 && !way.path.includes('metrics')) failure = 'unreadable';
        continue;
      }
      const atMs = this.#options.now();
      if (i !== first || atMs >= asking.wayUntilMs) asking.wayUntilMs = atMs + rarelyMs;
      Object.assign(asking, { reading, atMs, way: i });
      return null;
    }
    asking.wayUntilMs = 0;
    return failure;
  }

  async #fetch(
    worker: Worker,
    { server, layout }: Asking,
    { path, read }: LoadWay,
  ): Promise<Answered | 'silent' | 'refused'> {
    const { fetcher, timeoutMs, keyOf } = this.#options;
    const { scheme, address, connect } = server;
    const request = new Cancellation();
    worker.request = request;
    const timer = setTimeout(giveUp, timeoutMs, request);
    const kept = server === worker.target.server ? worker.kept : undefined;
    const take: ReadAnswer<Answered> = ({ status, body }) => ({
      status,
      reading: status === 200 && body !== null ? read(body, layout) : null,
    });
    try {
      const key = keyOf(worker.target.id);
      const options = { connect, maxBodyBytes, key: worker.needsKey ? key : null, kept };
      const answer = await fetcher.fetch(scheme, address, path, take, request, options);
      if (!asksForKey(answer.status) || key === null || worker.needsKey) return answer;
      // Sent only to an engine that asks for it.
      worker.needsKey = true;
      return await fetcher.fetch(scheme, address, path, take, request, { ...options, key });
    } catch {
      return request.reason === late ? 'silent' : 'refused';
    } finally {
      clearTimeout(timer);
    }
  }
}

const asksForKey = (status: number): boolean => status === 401 || status === 403;

function forget(worker: Worker): void {
  worker.isGone = true;
  worker.request?.cancel(null);
  worker.kept?.close();
}

const waitsLong = (reason: ServingReason): boolean =>
  reason === 'metricsOff' || reason === 'keyNeeded' || reason === 'unreadable';

const askingsOf = (server: LoadServer): Asking[] =>
  (loadSources[server.engine]?.questions ?? []).map((question) => ({
    ...{ server, question, layout: new PageLayout(), dueMs: Number.NEGATIVE_INFINITY },
    ...{ reading: null, atMs: null, reason: null, way: 0, wayUntilMs: 0 },
  }));

const isSameServer = (a: LoadServer, b: LoadServer): boolean =>
  a.engine === b.engine &&
  a.scheme === b.scheme &&
  a.address.host === b.address.host &&
  a.address.port === b.address.port &&
  a.connect === b.connect;

const isSame = (a: LoadTarget, b: LoadTarget): boolean =>
  a.identity === b.identity &&
  isSameServer(a.server, b.server) &&
  (a.runners === b.runners ||
    (a.runners.length === b.runners.length &&
      a.runners.every((one, i) => isSameServer(one, b.runners[i] as LoadServer))));

/** What the engine lacks of what it could say: its metrics are off, or it asks for a key. */
function lacking(own: readonly Asking[]): ServingReason | null {
  for (const { question, way } of own) if (question.ways[way]?.isPartial) return 'metricsOff';
  for (const { reason } of own) if (reason === 'keyNeeded' || reason === 'metricsOff') return reason;
  return null;
}

/** The engine's own answers, the most important first, and the sum of those of its runners. */
function loadOf({ own, runners, load }: Worker): Load {
  const main = own[0] as Asking;
  if (main.atMs === null) return { ...load, reason: main.reason ?? load.reason };
  const readings: LoadReading[] = [];
  let countedMs: number | null = null;
  for (const { reading, atMs } of own) {
    if (reading === null) continue;
    readings.push(reading);
    if (countedMs === null && counts(reading)) countedMs = atMs;
  }
  // As old as the oldest of what it is made of.
  let { atMs } = main;
  const added = sumReadings(runners.map(({ reading }) => reading));
  if (added !== null) {
    readings.splice(1, 0, added);
    for (const runner of runners) atMs = Math.min(atMs, runner.atMs as number);
  }
  const reason = main.reason ?? runners.find((runner) => runner.atMs === null)?.reason ?? lacking(own);
  return { engine: load.engine, reading: mergeReadings(readings), atMs, countedMs, reason };
}
