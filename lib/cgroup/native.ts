import type { Binding, NativeCgroupReader } from '../native/binding.js';
import type { RawPass, RawReaderOptions, TraceableReader } from '../native/layout.js';
import { bytesOfPath } from '../util/byte-path.js';
import { closedError, Waiters } from '../util/waiters.js';

const headLength = 5;

/** Views of a packed pass; see PassToJs in native/to_js.h for its layout. */
function unpack(packed: ArrayBuffer): RawPass {
  const head = new Float64Array(packed, 0, headLength) as unknown as readonly [number, number, number, number, number];
  const [sequence, startedMs, durationMs, workerCells, processCells] = head;
  const processesAt = (headLength + workerCells) * Float64Array.BYTES_PER_ELEMENT;
  return {
    sequence,
    startedMs,
    durationMs,
    workers: new Float64Array(packed, headLength * Float64Array.BYTES_PER_ELEMENT, workerCells),
    processes: new Float64Array(packed, processesAt, processCells),
    errors: new Int16Array(packed, processesAt + processCells * Float64Array.BYTES_PER_ELEMENT),
  };
}

/** The addon's reader. Passes run on a thread of the addon; nothing here waits for one but `passSync`. */
export class NativeReader implements TraceableReader {
  readonly kind = 'native';
  readonly #reader: NativeCgroupReader;
  readonly #waiters = new Waiters<RawPass>((yes) => this.#reader.keepAlive(yes));
  #started = false;
  #closed = false;

  constructor(binding: Binding, options: RawReaderOptions) {
    this.#reader = new binding.CgroupReader(options, () => this.#onPass());
  }

  add(path: string): number {
    this.#check();
    return this.#reader.add(bytesOfPath(path));
  }

  remove(slot: number): void {
    if (!this.#closed) this.#reader.remove(slot);
  }

  setBlockDevices(table: Float64Array): void {
    if (!this.#closed) this.#reader.setBlockDevices(table);
  }

  passSync(): RawPass {
    this.#check();
    return unpack(this.#reader.passSync());
  }

  start(intervalMs: number): void {
    this.#check();
    this.#reader.start(intervalMs);
    this.#started = true;
  }

  latest(): RawPass | null {
    const packed = this.#reader.latest();
    return packed && unpack(packed);
  }

  async next(signal?: AbortSignal): Promise<RawPass> {
    this.#check();
    const from = this.#reader.begun() + 1;
    if (!this.#started) this.#reader.request();
    return this.#waiters.wait(from, signal);
  }

  runningMs(): number {
    return this.#reader.runningMs();
  }

  reading(): number | null {
    return this.#reader.reading();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiters.rejectAll(closedError('cgroup reader'));
    this.#reader.close();
  }

  #check(): void {
    if (this.#closed) throw closedError('cgroup reader');
  }

  #onPass(): void {
    if (this.#waiters.earliest === null) return;
    const pass = this.latest();
    if (pass === null) return;
    this.#waiters.deliver(pass.sequence, () => this.latest() ?? pass);
    // A pass that was under way when `next` was called answered the request; it began too early, so ask again.
    if (this.#waiters.earliest !== null && !this.#started) this.#reader.request();
  }
}
