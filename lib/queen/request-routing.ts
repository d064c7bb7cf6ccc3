import { randomUUID } from 'node:crypto';
import type { PickReason } from '../contract/api.js';
import type { Indexes } from './indexes.js';
import { type WorkerRecord, workerKey } from './records.js';
import { type Assessed, gateOf, leastCost, requestCostMs, sticks } from './request-cost.js';
import { load, mayServe, pickBest } from './scheduling.js';
import type { SortedSet } from './sorted-set.js';
import { WorkerClass } from './speeds.js';
import { debitMs, type LoadReport, WorkerLoad } from './worker-load.js';

/** A request that is to be sent somewhere. */
export interface PickQuery {
  readonly model: string;
  /** Of its prompt; by default what prompts to this kind of worker had on average. */
  readonly promptTokens?: number;
  /** Most tokens of its answer. */
  readonly maxTokens?: number;
  /** Requests with the same key go to the same worker, for its prefix cache, as long as that is not much slower. */
  readonly prefixKey?: string;
  /** Keys of workers (`hive/group/instance`) that are not to be picked: where it was tried already. */
  readonly exclude?: string | readonly string[];
  /** Requests to pick for, one after the other. */
  readonly count?: number;
}

export interface Picked {
  readonly id: string;
  readonly worker: WorkerRecord;
  readonly why: PickReason;
}

/** Sets up to this size are compared whole. Of a larger one so many are drawn at random: that costs the same however many there are, and keeps the callers of several queens from all running to one worker. */
const exactUpTo = 256;
const draws = 32;
/** Times that others are drawn while all that were drawn are gated. */
const rounds = 6;
const maxClasses = 4096;

type Workers = SortedSet<WorkerRecord>;
type Assess = (worker: WorkerRecord) => Assessed<WorkerRecord> | null;

/** Where requests go: keeps what engines report up to date, picks, and remembers picks until they are over. */
export class RequestRouting {
  readonly #indexes: Indexes;
  readonly #random: () => number;
  /** By model and GPU. */
  readonly #classes = new Map<string, WorkerClass>();
  /** Picks that may still be debited, oldest first. */
  readonly #open = new Map<number, { readonly worker: WorkerRecord; readonly atMs: number }>();
  readonly #run = randomUUID().slice(0, 8);
  #picks = 0;

  constructor(indexes: Indexes, random: () => number) {
    this.#indexes = indexes;
    this.#random = random;
  }

  /** Takes what the engine of a worker reports, after the worker was merged. */
  observe(worker: WorkerRecord, serving: (LoadReport & { readonly ageMs: number | null }) | null, nowMs: number): void {
    const { startedAt } = worker.current;
    if (serving === null) {
      // A worker of which nothing is said for once keeps what was known; its figures only grow old.
      if (worker.load !== null && worker.load.startedAt !== startedAt) worker.load = null;
      return;
    }
    if (worker.load === null || worker.load.startedAt !== startedAt)
      worker.load = new WorkerLoad(this.#classOf(worker), startedAt);
    // The first heartbeats of a host may come before its GPUs were read.
    const { speeds } = worker.load;
    if (speeds.like.gpuName === null) speeds.like = this.#classOf(worker);
    worker.load.report(serving, nowMs - (serving.ageMs ?? 0));
  }

  pick(query: PickQuery, nowMs: number): Picked | null {
    const workers = this.#indexes.byModel.get(query.model);
    const { exclude = [] } = query;
    const excluded = new Set(typeof exclude === 'string' ? [exclude] : exclude);
    let compared = 0;
    const assess: Assess = (worker) => {
      if (!mayServe(worker) || (excluded.size > 0 && excluded.has(workerKey(worker)))) return null;
      compared++;
      return assessed(worker, query, nowMs);
    };
    const { prefixKey } = query;
    const owner = prefixKey === undefined ? null : this.#indexes.prefixOwner(query.model, prefixKey);
    let best = this.#best(workers, assess, owner);
    if (best === null) return null;
    const gate = best.gate;
    let reason: PickReason['reason'] = gate === 'open' ? 'leastCost' : gate === 'unknown' ? 'utilization' : 'leastBad';
    if (reason === 'utilization' && excluded.size === 0 && workers.size > exactUpTo) {
      // Of many, an idle one while there are some: few of those drawn may be.
      const least = pickBest(this.#indexes.modelState(query.model, 'idle'), workers, this.#random);
      if (least?.current.serving == null) best = { ...best, worker: least ?? best.worker };
    } else if (gate === 'open' && owner !== null) {
      const kept = this.#kept(owner, query, best, assess);
      if (kept) {
        best = kept;
        reason = 'prefix';
      }
    }
    const why: PickReason = { reason, gate, ...figures(best, nowMs), compared };
    return { id: this.#debit(best.worker, query, nowMs), worker: best.worker, why };
  }

  /** False where the pick is not debited any more. */
  done(id: string, nowMs: number): boolean {
    const [run, number] = id.split('-');
    const pick = Number(number);
    const open = run === this.#run ? this.#open.get(pick) : undefined;
    if (!open) return false;
    this.#open.delete(pick);
    return open.worker.load?.done(pick, nowMs) ?? false;
  }

  /** `also` is compared whether it is drawn or not. */
  #best(workers: Workers, assess: Assess, also: WorkerRecord | null): Assessed<WorkerRecord> | null {
    if (workers.size <= exactUpTo) return leastCost(workers, assess, this.#random);
    let best = leastCost(this.#drawn(workers, also), assess, this.#random);
    for (let round = 1; round < rounds && best?.gate !== 'open'; round++)
      best = leastCost(this.#drawn(workers, best?.worker ?? null), assess, this.#random);
    return best ?? leastCost(workers, assess, this.#random);
  }

  *#drawn(workers: Workers, also: WorkerRecord | null): Generator<WorkerRecord, void> {
    if (also) yield also;
    for (let i = 0; i < draws; i++) {
      const worker = workers.at(Math.floor(this.#random() * workers.size));
      if (worker) yield worker;
    }
  }

  /** The owner of a prefix, where what it has cached outweighs what it is slower than the best. */
  #kept(
    worker: WorkerRecord,
    { promptTokens }: PickQuery,
    best: Assessed<WorkerRecord>,
    assess: Assess,
  ): Assessed<WorkerRecord> | null {
    const owner = assess(worker);
    const itsLoad = owner?.worker.load;
    if (!owner || !itsLoad || owner.gate !== 'open') return null;
    const tokens = promptTokens ?? itsLoad.speeds.like.meanPromptTokens;
    return sticks(owner.costMs, best.costMs, itsLoad, tokens) ? owner : null;
  }

  #debit(worker: WorkerRecord, { promptTokens }: PickQuery, nowMs: number): string {
    const pick = ++this.#picks;
    if (worker.load) {
      const { like } = worker.load.speeds;
      if (promptTokens !== undefined) like.learnPrompt(promptTokens);
      worker.load.pick(pick, promptTokens ?? like.meanPromptTokens, nowMs);
      for (const [oldest, { atMs }] of this.#open) {
        if (nowMs - atMs <= debitMs) break;
        this.#open.delete(oldest);
      }
      this.#open.set(pick, { worker, atMs: nowMs });
    } else worker.picks++;
    return `${this.#run}-${pick}`;
  }

  #classOf({ current, hive }: WorkerRecord): WorkerClass {
    const gpu = current.gpus[0] && hive.gpus.get(current.gpus[0].uuid);
    const gpuName = gpu?.current.name ?? null;
    const key = `${current.model}\u0000${gpuName}`;
    let found = this.#classes.get(key);
    if (!found) {
      found = new WorkerClass(gpuName);
      if (this.#classes.size < maxClasses) this.#classes.set(key, found);
    }
    return found;
  }
}

function assessed(worker: WorkerRecord, query: PickQuery, nowMs: number): Assessed<WorkerRecord> {
  const { sample, hive, load: its } = worker;
  const { promptTokens = its?.speeds.like.meanPromptTokens ?? 0, maxTokens = 0 } = query;
  const serving = sample.serving ?? null;
  const ageMs = (serving?.ageMs ?? 0) + nowMs - hive.heardAtMs;
  const gate = gateOf(
    { state: sample.state, serving, ageMs, intervalMs: hive.intervalMs },
    { promptTokens, maxTokens },
  );
  return { worker, gate, costMs: its && gate !== 'unknown' ? requestCostMs(its, promptTokens, nowMs) : load(worker) };
}

function figures(
  { worker, gate, costMs }: Assessed<WorkerRecord>,
  nowMs: number,
): Omit<PickReason, 'reason' | 'gate' | 'compared'> {
  const its = gate === 'unknown' ? null : worker.load;
  if (its === null)
    return { costMs: null, queueTokens: null, requests: null, debits: null, tokensPerSecond: null, stepMs: null };
  return {
    costMs,
    queueTokens: Math.round(its.queueTokens(nowMs)),
    requests: its.requests(nowMs),
    debits: its.picks(nowMs),
    tokensPerSecond: Math.round(1000 * its.tokensPerMs),
    stepMs: its.speeds.stepMs,
  };
}
