import type { Binding, NativeCgroupReader } from '../native/binding.js';
import type { RawPass, RawReader, RawReaderOptions } from './raw.js';
import { closedError, Waiters } from './waiters.js';

/** The addon's reader. Passes run on a thread of the addon; nothing here waits for one but `passSync`. */
export class NativeReader implements RawReader {
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
    return this.#reader.add(path);
  }

  remove(slot: number): void {
    if (!this.#closed) this.#reader.remove(slot);
  }

  passSync(): RawPass {
    this.#check();
    return this.#reader.passSync();
  }

  start(intervalMs: number): void {
    this.#check();
    this.#reader.start(intervalMs);
    this.#started = true;
  }

  latest(): RawPass | null {
    return this.#reader.latest();
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
    const pass = this.#reader.latest();
    if (pass === null) return;
    this.#waiters.deliver(pass.sequence, () => this.#reader.latest() ?? pass);
    // A pass that was under way when `next` was called answered the request; it began too early, so ask again.
    if (this.#waiters.earliest !== null && !this.#started) this.#reader.request();
  }
}
