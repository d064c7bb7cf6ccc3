import {
  type RawPass,
  type RawReader,
  rowFlags,
  stalledFlag,
  type TraceableReader,
  workerColumn,
  workerColumns,
  workerFiles,
} from '../native/layout.js';
import { monotonicMs } from '../util/clock.js';
import { Slots } from './slots.js';

/** A read that has not returned for so long is taken to be stuck, ms. */
const stuckAfterMs = 2000;
/** Readers that may be stuck at once: each holds a thread and its descriptors. Beyond that all wait with the last. */
const maxStuck = 3;

const columns = workerColumns.length;
const files = workerFiles.length;
const flagsColumn = workerColumn('flags');
const monotonicColumn = workerColumn('monotonicMs');
const ENODEV = 19;
const ETIMEDOUT = 110;

interface Stuck {
  readonly reader: TraceableReader;
  /** Where it is stuck, by its own count. */
  readonly at: number;
  /** The worker there, by ours; null once it is no longer asked for. */
  slot: number | null;
  runningMs: number;
}

/**
 * Reads on when a read never returns. The reader that is stuck keeps the worker whose file it is stuck in, whose rows say
 * `stuckFlag`; another takes over all others. When the read comes back, that worker is read again with the rest.
 */
export class FailoverReader implements RawReader {
  readonly #open: () => TraceableReader;
  readonly #limitMs: number;
  readonly #slots = new Slots();
  #current: TraceableReader;
  /** Our slots as slots of the current reader. */
  #inner = new Map<number, number>();
  readonly #stuck: Stuck[] = [];
  /** Slots of which nothing is known in passes that began before then; Infinity while the read is stuck. */
  readonly #unknownUntil = new Map<number, number>();
  /** Slots are the current reader's own, as they are until it is first relieved. */
  #direct = true;
  #intervalMs = 0;
  /** Sequence of the last pass that was handed out, and what the current reader's numbers are added to. */
  #sequence = 0;
  #base = 0;
  #replaced = new AbortController();
  #closed = false;

  constructor(open: () => TraceableReader, limitMs = stuckAfterMs) {
    this.#open = open;
    this.#limitMs = limitMs;
    this.#current = open();
  }

  get kind(): 'native' | 'files' {
    return this.#current.kind;
  }

  add(path: string): number {
    const inner = this.#current.add(path);
    const slot = this.#slots.add(path);
    this.#inner.set(slot, inner);
    return slot;
  }

  remove(slot: number): void {
    if (!this.#slots.remove(slot)) return;
    this.#unknownUntil.delete(slot);
    const inner = this.#inner.get(slot);
    this.#inner.delete(slot);
    if (inner !== undefined) this.#current.remove(inner);
    for (const stuck of this.#stuck) if (stuck.slot === slot) stuck.slot = null;
  }

  passSync(): RawPass {
    this.#checkReaders();
    return this.#toOuterSlots(this.#current.passSync());
  }

  start(intervalMs: number): void {
    this.#current.start(intervalMs);
    this.#intervalMs = intervalMs;
  }

  latest(): RawPass | null {
    this.#checkReaders();
    const pass = this.#current.latest();
    return pass && this.#toOuterSlots(pass);
  }

  async next(signal?: AbortSignal): Promise<RawPass> {
    const watch = setInterval(() => this.#checkReaders(), this.#limitMs);
    try {
      for (;;) {
        const relieved = this.#replaced.signal;
        try {
          return this.#toOuterSlots(await this.#current.next(signal ? AbortSignal.any([signal, relieved]) : relieved));
        } catch (error) {
          if (!relieved.aborted || signal?.aborted || this.#closed) throw error;
        }
      }
    } finally {
      clearInterval(watch);
    }
  }

  runningMs(): number {
    return this.#current.runningMs();
  }

  close(): void {
    this.#closed = true;
    this.#current.close();
    for (const { reader } of this.#stuck.splice(0)) reader.close();
  }

  #checkReaders(): void {
    if (this.#closed) return;
    for (const stuck of [...this.#stuck]) this.#reclaimRecovered(stuck);
    if (this.#current.runningMs() > this.#limitMs && this.#stuck.length < maxStuck) this.#replaceStuck();
  }

  /** Takes back what a reader was stuck in, once it has gone on. */
  #reclaimRecovered(stuck: Stuck): void {
    const runningMs = stuck.reader.runningMs();
    const goesOn = runningMs < stuck.runningMs || stuck.reader.reading() !== stuck.at;
    stuck.runningMs = runningMs;
    if (!goesOn) return;
    stuck.reader.close();
    this.#stuck.splice(this.#stuck.indexOf(stuck), 1);
    if (stuck.slot === null) return;
    this.#inner.set(stuck.slot, this.#current.add(this.#slots.path(stuck.slot)));
    this.#unknownUntil.set(stuck.slot, monotonicMs());
  }

  #replaceStuck(): void {
    const before = this.#current;
    const at = before.reading();
    if (at === null) return;
    let reader: TraceableReader;
    try {
      reader = this.#open();
    } catch {
      return; // no thread or no memory for another: all wait with this one, as without a relay
    }
    const slot = [...this.#inner].find(([, inner]) => inner === at)?.[0] ?? null;
    this.#stuck.push({ reader: before, at, slot, runningMs: before.runningMs() });
    if (slot !== null) this.#unknownUntil.set(slot, Number.POSITIVE_INFINITY);
    this.#inner = new Map();
    for (const [each, path] of this.#slots.entries())
      if (this.#unknownUntil.get(each) !== Number.POSITIVE_INFINITY) this.#inner.set(each, reader.add(path));
    this.#current = reader;
    this.#direct = false;
    this.#base = this.#sequence;
    if (this.#intervalMs > 0) reader.start(this.#intervalMs);
    const relieved = this.#replaced;
    this.#replaced = new AbortController();
    relieved.abort();
  }

  /** A pass of the current reader by our own slots and numbers. */
  #toOuterSlots(pass: RawPass): RawPass {
    const sequence = this.#base + pass.sequence;
    this.#sequence = Math.max(this.#sequence, sequence);
    if (this.#direct) return pass;
    const held = new Map(this.#slots.entries());
    const count = Math.max(-1, ...held.keys()) + 1;
    const workers = new Float64Array(count * columns).fill(Number.NaN);
    const errors = new Int16Array(count * files);
    for (let slot = 0; slot < count; slot++) {
      const row = slot * columns;
      const inner = this.#inner.get(slot);
      const knownFrom = this.#unknownUntil.get(slot) ?? 0;
      const cells = inner === undefined ? null : pass.workers.subarray(inner * columns, (inner + 1) * columns);
      if (cells !== null && cells.length > 0 && pass.startedMs >= knownFrom) {
        this.#unknownUntil.delete(slot);
        workers.set(cells, row);
        errors.set(pass.errors.subarray((inner as number) * files, ((inner as number) + 1) * files), slot * files);
        continue;
      }
      workers[row + monotonicColumn] = pass.startedMs;
      workers[row + flagsColumn] = held.has(slot) ? rowFlags.partial | stalledFlag : rowFlags.removed;
      errors.fill(held.has(slot) ? ETIMEDOUT : ENODEV, slot * files, (slot + 1) * files);
    }
    return { ...pass, sequence, workers, errors };
  }
}
