import type { Snapshot, WorkerSample } from '../contract/heartbeat.js';
import type { GpuSource } from '../gpu/reading.js';
import type { RawReader } from '../native/layout.js';
import type { HostReader } from '../procfs/host.js';
import { settledWithin } from '../util/deadline.js';
import { HivepulseError } from '../util/errors.js';
import type { Discovery } from '../workers/discovery.js';
import type { HiveEventDraft } from './events.js';
import type { RawCounters, Sampler } from './sampler.js';
import type { ServingFigures } from './serving.js';
import type { TreeReader } from './tree-reader.js';

/** A sampler with everything that it reads from. */
export interface RunningSampler {
  /** Reads everything once and returns the snapshot. Rates are null in the first. */
  sample(signal?: AbortSignal): Promise<Snapshot>;
  /** A snapshot from what is ready now; never waits. */
  snapshot(): Snapshot;
  /** The last snapshot made; null before the first. */
  latest(): Snapshot | null;
  /** One pass on the caller's thread, workers only. */
  sampleWorkers(): readonly WorkerSample[];
  /** Raw counters by worker id, from the newest pass. */
  counters(): ReadonlyMap<string, RawCounters>;
  /** By how much the wall clock was set since sampling began, ms. */
  wallStepMs(): number;
  /** Hive events since the last call. */
  takeEvents(): readonly HiveEventDraft[];
  /**
   * Samples each interval and calls back with each snapshot once its pass is finished, or, where that is late, with what
   * is known.
   */
  start(onSnapshot: (snapshot: Snapshot) => void): void;
  /** Calls with what an engine says of its load as soon as it has said it. */
  onLoad(listener: (id: string, serving: ServingFigures) => void): void;
  readonly gpu: GpuSource;
  close(): Promise<void>;
}

/**
 * Longest time between two looks of discovery for new and removed cgroups; each costs one small read. A tick looks too, so that
 * this is a little more than half of the usual interval: there is one look between two ticks, and none right before one.
 */
const discoverEveryMs = 600;
/** Trees of processes are read within so long, else a snapshot has their earlier figures, ms. */
const treesDeadlineMs = 250;
/** Longest wait of `sample` for one source. */
const sampleDeadlineMs = 5000;

interface LoopParts {
  readonly sampler: Sampler;
  readonly reader: RawReader | null;
  readonly trees: Pick<TreeReader, 'read'> | null;
  readonly discovery: Discovery;
  readonly host: HostReader;
  readonly gpu: GpuSource;
  readonly intervalMs: number;
  readonly close: () => Promise<void>;
}

/** Has a sampler's sources read at the right times, once or each interval. */
export class SamplerLoop implements RunningSampler {
  readonly gpu: GpuSource;
  readonly #parts: LoopParts;
  readonly #closing = new AbortController();
  #discovering: NodeJS.Timeout | undefined;
  #started = false;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.gpu = parts.gpu;
  }

  latest(): Snapshot | null {
    return this.#parts.sampler.latest();
  }

  snapshot(): Snapshot {
    return this.#parts.sampler.snapshot();
  }

  sampleWorkers(): readonly WorkerSample[] {
    return this.#parts.sampler.sampleWorkers();
  }

  counters(): ReadonlyMap<string, RawCounters> {
    return this.#parts.sampler.counters();
  }

  wallStepMs(): number {
    return this.#parts.sampler.wallStepMs;
  }

  takeEvents(): readonly HiveEventDraft[] {
    return this.#parts.sampler.takeEvents();
  }

  async sample(signal?: AbortSignal): Promise<Snapshot> {
    const { discovery, host, sampler } = this.#parts;
    this.#throwIfOver(signal);
    await Promise.all([
      this.#within(discovery.scan(true), sampleDeadlineMs, signal),
      this.#within(host.read(), sampleDeadlineMs, signal),
    ]);
    this.#throwIfOver(signal);
    sampler.reconcile();
    await this.#within(sampler.lookAtSockets(), sampleDeadlineMs, signal);
    await this.#nextPass(sampleDeadlineMs, signal);
    await this.#readTrees(sampleDeadlineMs, signal);
    this.#throwIfOver(signal);
    return sampler.snapshot();
  }

  start(onSnapshot: (snapshot: Snapshot) => void): void {
    if (this.#started || this.#closing.signal.aborted) return;
    this.#started = true;
    void this.#run(onSnapshot);
  }

  onLoad(listener: Parameters<RunningSampler['onLoad']>[0]): void {
    this.#parts.sampler.onLoad(listener);
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    clearTimeout(this.#discovering);
    await this.#parts.close();
  }

  async #run(onSnapshot: (snapshot: Snapshot) => void): Promise<void> {
    const { discovery, host, intervalMs, reader, sampler } = this.#parts;
    const never = new Promise<void>(() => undefined);
    await this.#within(discovery.scan(true), sampleDeadlineMs);
    if (this.#closing.signal.aborted) return;
    sampler.reconcile();
    void sampler.lookAtSockets();
    void this.#discover();
    reader?.start(intervalMs);
    void host.read();
    while (!this.#closing.signal.aborted) {
      // A pass may be late by half an interval; then the tick goes on without it.
      if (reader === null) await this.#within(never, intervalMs);
      else await this.#nextPass(intervalMs * 1.5);
      if (this.#closing.signal.aborted) return;
      // For the next tick. What is asked here is answered while the snapshot is made, and wakes nobody.
      void host.read();
      void this.#discover();
      await this.#readTrees(treesDeadlineMs);
      if (!this.#closing.signal.aborted) onSnapshot(sampler.snapshot());
    }
  }

  async #discover(): Promise<void> {
    clearTimeout(this.#discovering);
    await this.#parts.discovery.scan().catch(() => undefined);
    if (this.#closing.signal.aborted) return;
    this.#parts.sampler.reconcile();
    clearTimeout(this.#discovering);
    this.#discovering = setTimeout(() => void this.#discover(), discoverEveryMs);
    this.#discovering.unref();
  }

  /** Waits for at most `ms`: what hangs shows as a fault of the snapshot. Never rejects. */
  #within(work: Promise<unknown>, ms: number, signal?: AbortSignal): Promise<void> {
    return settledWithin(work, ms, signal ? [this.#closing.signal, signal] : [this.#closing.signal]);
  }

  /** The next pass that begins from now on, or what there is after `ms`. */
  async #nextPass(ms: number, signal?: AbortSignal): Promise<void> {
    const { reader } = this.#parts;
    if (reader === null) return;
    const giveUp = new AbortController();
    let isOver = false;
    const next = reader.next(giveUp.signal).finally(() => {
      isOver = true;
    });
    await this.#within(next, ms, signal);
    // To abort makes an error, with its stack.
    if (!isOver) giveUp.abort();
  }

  async #readTrees(ms: number, signal?: AbortSignal): Promise<void> {
    const { trees } = this.#parts;
    if (trees !== null) await this.#within(trees.read(), ms, signal);
  }

  #throwIfOver(signal?: AbortSignal): void {
    signal?.throwIfAborted();
    if (this.#closing.signal.aborted) throw new HivepulseError('CLOSED', 'sampler', 'The sampler is closed.');
  }
}
