import { ETIMEDOUT, Replaceable } from '../io/guarded.js';
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

/** A pass that runs for longer is taken to hang, ms. It may read thousands of files, so this is more than for one read. */
const hungAfterMs = 2000;
/** Most abandoned readers; each holds a thread and descriptors. Beyond that all workers wait with the last reader. */
const maxAbandoned = 3;

const columns = workerColumns.length;
const files = workerFiles.length;
const flagsColumn = workerColumn('flags');
const monotonicColumn = workerColumn('monotonicMs');
const ENODEV = 19;

interface Stuck {
  /** The abandoned reader's slot where it hangs. */
  readonly at: number;
  /** The same as our slot; null once the worker was removed. */
  slot: number | null;
  runningMs: number;
}

/**
 * Keeps passes coming when a read never returns. The worker whose file hangs stays with the abandoned reader, and its rows
 * have `stalledFlag`; another reader takes all other workers. When the read returns, that worker is read again with the rest.
 */
export class FailoverReader implements RawReader {
  readonly #slots = new Slots();
  readonly #readers: Replaceable<TraceableReader>;
  /** Slots of the current reader by our own slots. */
  #inner = new Map<number, number>();
  readonly #stuck = new Map<TraceableReader, Stuck>();
  /** Passes that began before this time have no row for the slot; Infinity while its read hangs. */
  readonly #unknownUntil = new Map<number, number>();
  /** Our slots are the current reader's own, which they are until a reader is replaced. */
  #direct = true;
  #intervalMs = 0;
  #blockDevices: Float64Array | null = null;
  /** Sequence of the last pass handed out, and the offset of the current reader's sequences. */
  #sequence = 0;
  #base = 0;
  #replaced = new AbortController();
  #closed = false;

  constructor(open: () => TraceableReader) {
    this.#readers = new Replaceable(open, maxAbandoned);
  }

  get #current(): TraceableReader {
    return this.#readers.current;
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
    for (const stuck of this.#stuck.values()) if (stuck.slot === slot) stuck.slot = null;
  }

  setBlockDevices(table: Float64Array): void {
    this.#blockDevices = table;
    this.#current.setBlockDevices(table);
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
    const watch = setInterval(() => this.#checkReaders(), hungAfterMs);
    try {
      for (;;) {
        const replaced = this.#replaced.signal;
        try {
          return this.#toOuterSlots(await this.#current.next(signal ? AbortSignal.any([signal, replaced]) : replaced));
        } catch (error) {
          if (!replaced.aborted || signal?.aborted || this.#closed) throw error;
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
    this.#readers.close();
  }

  #checkReaders(): void {
    if (this.#closed) return;
    for (const [reader, stuck] of this.#stuck) this.#reclaimRecovered(reader, stuck);
    if (this.#current.runningMs() > hungAfterMs) this.#replaceStuck();
  }

  /** Takes back the worker of an abandoned reader once its read has returned. */
  #reclaimRecovered(reader: TraceableReader, stuck: Stuck): void {
    const runningMs = reader.runningMs();
    const goesOn = runningMs < stuck.runningMs || reader.reading() !== stuck.at;
    stuck.runningMs = runningMs;
    if (!goesOn) return;
    this.#readers.release(reader);
    this.#stuck.delete(reader);
    if (stuck.slot === null) return;
    this.#inner.set(stuck.slot, this.#current.add(this.#slots.path(stuck.slot)));
    this.#unknownUntil.set(stuck.slot, monotonicMs());
  }

  #replaceStuck(): void {
    const before = this.#current;
    const at = before.reading();
    if (at === null || !this.#readers.replace()) return;
    const slot = [...this.#inner].find(([, inner]) => inner === at)?.[0] ?? null;
    this.#stuck.set(before, { at, slot, runningMs: before.runningMs() });
    if (slot !== null) this.#unknownUntil.set(slot, Number.POSITIVE_INFINITY);
    if (this.#blockDevices !== null) this.#current.setBlockDevices(this.#blockDevices);
    this.#inner = new Map();
    for (const [each, path] of this.#slots.entries())
      if (this.#unknownUntil.get(each) !== Number.POSITIVE_INFINITY) this.#inner.set(each, this.#current.add(path));
    this.#direct = false;
    this.#base = this.#sequence;
    if (this.#intervalMs > 0) this.#current.start(this.#intervalMs);
    const replaced = this.#replaced;
    this.#replaced = new AbortController();
    replaced.abort();
  }

  /** A pass of the current reader with our slots and sequence. */
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
