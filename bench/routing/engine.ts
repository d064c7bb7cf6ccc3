import type { SimulatedRequest } from './traffic.js';

/** Of one simulated engine with continuous batching and chunked prefill. Times in ms. */
const model = {
  iterationMs: 12,
  prefillTokensPerMs: 12,
  sequenceMs: 0.12,
  kvTokenMs: 60e-6,
  chunkTokens: 2048,
  maxSequences: 128,
  kvTokens: 200_000,
  blockTokens: 512,
};

interface Sequence {
  readonly request: SimulatedRequest;
  /** Prompt tokens still to be computed; after a preemption also what had been generated. */
  prefillLeft: number;
  /** Tokens of the prompt that count as prompt when the prefill is done; 0 after a preemption. */
  promptLeft: number;
  generated: number;
  finishesIn: number;
  state: 'waiting' | 'prefilling' | 'decoding' | 'over';
}

/** What an engine reports. */
export interface Gauges {
  readonly atMs: number;
  readonly running: number;
  readonly waiting: number;
  readonly waitingTokens: number;
  readonly kvPercent: number;
  readonly promptTokens: number;
  readonly generationTokens: number;
  /** Time spent in iterations. */
  readonly busyMs: number;
}

/** Of an engine that has done nothing yet. */
export const noGauges: Gauges = {
  atMs: 0,
  running: 0,
  waiting: 0,
  waitingTokens: 0,
  kvPercent: 0,
  promptTokens: 0,
  generationTokens: 0,
  busyMs: 0,
};

export interface EngineEvents {
  firstToken(request: SimulatedRequest, atMs: number): void;
  finished(request: SimulatedRequest, atMs: number): void;
}

/**
 * An engine that batches continuously. It is advanced only when someone looks at it or sends it a request; an iteration costs
 * the same however many sequences decode, since each of them gains one token in each.
 */
export class SimulatedEngine {
  /** Cost of everything, against the model's figures: 2 is half as fast. */
  readonly #slowness: number;
  readonly #events: EngineEvents;
  #waiting: Sequence[] = [];
  #waitingTokens = 0;
  #prefilling: Sequence[] = [];
  /** In the order of their admission; those that are over are dropped when they come last. */
  #decoding: Sequence[] = [];
  #decodingCount = 0;
  #kvTokens = 0;
  #iteration = 0;
  readonly #finishing = new Map<number, Sequence[]>();
  readonly #cache = new Map<number, true>();
  #endsAtMs: number | null = null;
  #chunks: { readonly sequence: Sequence; readonly tokens: number }[] = [];
  #promptTokens = 0;
  #generationTokens = 0;
  #busyMs = 0;
  isStalled = false;

  constructor(slowness: number, events: EngineEvents) {
    this.#slowness = slowness;
    this.#events = events;
  }

  send(request: SimulatedRequest, nowMs: number): void {
    this.advance(nowMs);
    const prefillLeft = request.promptTokens;
    this.#waiting.push({
      request,
      prefillLeft,
      promptLeft: prefillLeft,
      generated: 0,
      finishesIn: 0,
      state: 'waiting',
    });
    this.#waitingTokens += prefillLeft;
    if (this.#endsAtMs === null && !this.isStalled) this.#begin(nowMs);
  }

  /** Runs every iteration that ends by then. */
  advance(nowMs: number): void {
    while (this.#endsAtMs !== null && this.#endsAtMs <= nowMs && !this.isStalled) {
      const atMs = this.#endsAtMs;
      this.#end(atMs);
      this.#begin(atMs);
    }
  }

  gauges(nowMs: number): Gauges {
    this.advance(nowMs);
    return {
      atMs: nowMs,
      running: this.#decodingCount + this.#prefilling.length,
      waiting: this.#waiting.length,
      waitingTokens: this.#waitingTokens,
      kvPercent: Math.min(100, (100 * this.#kvTokens) / model.kvTokens),
      promptTokens: this.#promptTokens,
      generationTokens: this.#generationTokens,
      busyMs: this.#busyMs,
    };
  }

  /** Ends it: all that it held is lost, and given back. */
  stop(): SimulatedRequest[] {
    const lost = [...this.#waiting, ...this.#prefilling, ...this.#decoding.filter(({ state }) => state === 'decoding')];
    this.#waiting = [];
    this.#prefilling = [];
    this.#decoding = [];
    this.#chunks = [];
    this.#finishing.clear();
    this.#cache.clear();
    this.#waitingTokens = this.#decodingCount = this.#kvTokens = this.#promptTokens = this.#generationTokens = 0;
    this.#endsAtMs = null;
    return lost.map(({ request }) => request);
  }

  #begin(atMs: number): void {
    this.#preempt();
    let budget = model.chunkTokens;
    this.#chunks = [];
    for (const sequence of this.#prefilling) budget -= this.#chunk(sequence, budget);
    while (budget > 0 && this.#admit()) budget -= this.#chunk(this.#prefilling.at(-1)!, budget);
    const sequences = this.#decodingCount + this.#prefilling.length;
    if (sequences === 0) {
      this.#endsAtMs = null;
      return;
    }
    const prefill = model.chunkTokens - budget;
    const { iterationMs, prefillTokensPerMs, sequenceMs, kvTokenMs } = model;
    const costMs =
      iterationMs + prefill / prefillTokensPerMs + sequenceMs * sequences + kvTokenMs * Math.max(0, this.#kvTokens);
    this.#endsAtMs = atMs + this.#slowness * costMs;
    this.#busyMs += this.#slowness * costMs;
  }

  #chunk(sequence: Sequence, budget: number): number {
    const tokens = Math.min(budget, sequence.prefillLeft);
    if (tokens > 0) this.#chunks.push({ sequence, tokens });
    return tokens;
  }

  #admit(): boolean {
    const next = this.#waiting[0];
    if (next === undefined || this.#decodingCount + this.#prefilling.length >= model.maxSequences) return false;
    const isAlone = this.#decodingCount + this.#prefilling.length === 0;
    if (this.#kvTokens + next.prefillLeft > model.kvTokens && !isAlone) return false;
    this.#waiting.shift();
    this.#waitingTokens -= next.prefillLeft;
    this.#kvTokens += next.prefillLeft;
    next.prefillLeft = Math.max(1, next.prefillLeft - this.#cached(next.request.blocks) * model.blockTokens);
    next.state = 'prefilling';
    // Tokens whose prefill has begun wait as well, until they are computed.
    this.#waitingTokens += next.prefillLeft;
    this.#prefilling.push(next);
    return true;
  }

  #end(atMs: number): void {
    this.#iteration++;
    this.#generationTokens += this.#decodingCount;
    this.#kvTokens += this.#decodingCount;
    for (const sequence of this.#finishing.get(this.#iteration) ?? [])
      if (sequence.state === 'decoding') this.#finish(sequence, atMs);
    this.#finishing.delete(this.#iteration);
    for (const { sequence, tokens } of this.#chunks) {
      sequence.prefillLeft -= tokens;
      this.#waitingTokens -= tokens;
      if (sequence.prefillLeft === 0) this.#prefilled(sequence, atMs);
    }
    this.#prefilling = this.#prefilling.filter(({ state }) => state === 'prefilling');
  }

  #prefilled(sequence: Sequence, atMs: number): void {
    const { request, generated } = sequence;
    this.#promptTokens += sequence.promptLeft;
    sequence.promptLeft = 0;
    this.#generationTokens++;
    this.#kvTokens++;
    this.#remember(request.blocks);
    if (generated === 0) this.#events.firstToken(request, atMs);
    sequence.generated = generated + 1;
    sequence.state = 'decoding';
    this.#decodingCount++;
    const left = request.outputTokens - sequence.generated;
    if (left <= 0) {
      this.#finish(sequence, atMs);
      return;
    }
    this.#decoding.push(sequence);
    sequence.finishesIn = this.#iteration + left;
    const others = this.#finishing.get(sequence.finishesIn);
    if (others) others.push(sequence);
    else this.#finishing.set(sequence.finishesIn, [sequence]);
  }

  #finish(sequence: Sequence, atMs: number): void {
    sequence.state = 'over';
    this.#decodingCount--;
    this.#kvTokens -= sequence.request.promptTokens + sequence.request.outputTokens;
    while (this.#decoding.at(-1)?.state === 'over') this.#decoding.pop();
    if (this.#decoding.length > 4 * model.maxSequences)
      this.#decoding = this.#decoding.filter(({ state }) => state === 'decoding');
    this.#events.finished(sequence.request, atMs);
  }

  /** Where the next token of each would not fit, those admitted last wait again, and are computed anew. */
  #preempt(): void {
    while (this.#kvTokens + this.#decodingCount > model.kvTokens && this.#decodingCount > 1) {
      const last = this.#decoding.pop()!;
      if (last.state !== 'decoding') continue;
      const left = last.finishesIn - this.#iteration;
      last.generated = last.request.outputTokens - left;
      const tokens = last.request.promptTokens + last.generated;
      this.#decodingCount--;
      this.#kvTokens -= tokens;
      last.prefillLeft = tokens;
      // A new object: the old one still stands among those that finish.
      last.state = 'over';
      this.#waiting.unshift({ ...last, state: 'waiting' });
      this.#waitingTokens += tokens;
    }
  }

  #cached(blocks: readonly number[] | null): number {
    if (blocks === null) return 0;
    let hits = 0;
    while (hits < blocks.length && this.#cache.has(blocks[hits]!)) hits++;
    return hits;
  }

  #remember(blocks: readonly number[] | null): void {
    if (blocks === null) return;
    for (const block of blocks) {
      this.#cache.delete(block);
      this.#cache.set(block, true);
    }
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= model.kvTokens / model.blockTokens) break;
      this.#cache.delete(oldest);
    }
  }
}
