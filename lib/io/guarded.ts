import { constants } from 'node:os';
import type { Fault } from '../contract/heartbeat.js';
import type { DrmClientResult } from '../native/drm-clients.js';
import { printablePath } from '../util/byte-path.js';
import { type Clock, systemClock } from '../util/clock.js';
import { closedError } from '../util/waiters.js';
import type { DirectoryEntry, FileReader, FileResult, KeptResult, PidInodes } from './file-reader.js';
import { openFileReader } from './open-file-reader.js';

/** A read that has not returned for so long is taken to hang, ms. */
export const hungAfterMs = 1000;
/** Result of a path whose read hangs. */
export const { ETIMEDOUT } = constants.errno;
const { EIO } = constants.errno;

/** The reader in use, and abandoned ones whose read does not return; each holds a thread. */
export class Replaceable<R extends { close(): void }> {
  readonly #open: () => R;
  readonly #maxAbandoned: number;
  readonly #abandoned = new Set<R>();
  #current: R;

  constructor(open: () => R, maxAbandoned: number) {
    this.#open = open;
    this.#maxAbandoned = maxAbandoned;
    this.#current = open();
  }

  get current(): R {
    return this.#current;
  }

  /** Replaces the current reader. False: too many are abandoned, or the system gives no thread. */
  replace(): boolean {
    if (this.#abandoned.size >= this.#maxAbandoned) return false;
    let opened: R;
    try {
      opened = this.#open();
    } catch {
      return false;
    }
    this.#abandoned.add(this.#current);
    this.#current = opened;
    return true;
  }

  /** Closes an abandoned reader whose read has returned. */
  release(reader: R): void {
    if (this.#abandoned.delete(reader)) reader.close();
  }

  close(): void {
    for (const reader of [this.#current, ...this.#abandoned]) reader.close();
    this.#abandoned.clear();
  }
}

export type OpenFiles = () => FileReader;

export interface GuardOptions {
  readonly open?: OpenFiles | undefined;
  /** The fault about reads that hang. `what` is a sentence without its full stop; `path` is null where it is not known. */
  readonly fault: (what: string, path: string | null) => Fault;
  /** Paths that are read in one batch; where one hangs, each is tried alone (default 256). */
  readonly batchSize?: number;
  /** Readers that may hang at once (default 8). */
  readonly maxAbandoned?: number;
  readonly clock?: Clock;
}

type Work<T = unknown> = (reader: FileReader, paths: readonly string[]) => Promise<readonly T[]>;

/** One call of a method of `FileReader`. */
interface Request {
  readonly work: Work;
  readonly results: unknown[];
  waiting: number;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** Some paths of a request; `at`: their places in the results. */
interface Part {
  readonly paths: readonly string[];
  readonly at: readonly number[];
}

/** As one reader has them. */
interface Batch extends Part {
  readonly request: Request;
}

interface Hung {
  readonly batch: Batch;
  /** Paths of the batch of which it is not known yet whether they hang. */
  readonly suspects: Set<string>;
}

/**
 * A file reader whose calls always return. The path of a read that hangs gives ETIMEDOUT until that read has returned;
 * another reader reads everything else. Where too many readers hang, every path gives ETIMEDOUT until one of them returns.
 * Calls reject only after `close`.
 */
export class GuardedReader implements Omit<FileReader, 'usage' | 'drmClients' | 'runningMs' | 'runningAt'> {
  readonly #options: Required<Omit<GuardOptions, 'open'>>;
  readonly #readers: Replaceable<FileReader>;
  /** What the current reader has not answered yet, in its order. */
  #queue: Batch[] = [];
  readonly #hung = new Map<FileReader, Hung>();
  readonly #parts = new WeakMap<readonly string[], readonly Part[]>();
  #suspect: Batch | null = null;
  #stopWatch: (() => void) | null = null;
  #recoveries = 0;
  #closed = false;

  constructor(options: GuardOptions) {
    const { open = openFileReader, ...rest } = options;
    this.#options = { batchSize: 256, maxAbandoned: 8, clock: systemClock, ...rest };
    this.#readers = new Replaceable(open, this.#options.maxAbandoned);
  }

  read(paths: readonly string[], maxBytes: number): Promise<readonly FileResult[]> {
    return this.#request(paths, (reader, some) => reader.read(some, maxBytes));
  }

  readKept(paths: readonly string[], maxBytes: number): Promise<readonly KeptResult[]> {
    return this.#request(paths, (reader, some) => reader.readKept(some, maxBytes));
  }

  readAwake(devices: readonly string[], maxBytes: number): Promise<readonly (readonly KeptResult[] | number)[]> {
    return this.#request(devices, (reader, some) => reader.readAwake(some, maxBytes));
  }

  list(paths: readonly string[]): Promise<readonly (readonly DirectoryEntry[] | number)[]> {
    return this.#request(paths, (reader, some) => reader.list(some));
  }

  pids(paths: readonly string[]): Promise<readonly (PidInodes | number)[]> {
    return this.#request(paths, (reader, some) => reader.pids(some));
  }

  links(paths: readonly string[], prefix: string): Promise<readonly (readonly string[] | number)[]> {
    return this.#request(paths, (reader, some) => reader.links(some, prefix));
  }

  linkNames(paths: readonly string[], prefix: string): Promise<readonly (readonly string[] | number)[]> {
    return this.#request(paths, (reader, some) => reader.linkNames(some, prefix));
  }

  listening(namespaces: readonly string[]): Promise<readonly FileResult[]> {
    return this.#request(namespaces, (reader, some) => reader.listening(some));
  }

  /** As `FileReader.usage`; null where no reader here can. */
  async usage(directories: readonly string[]): Promise<readonly (Float64Array | number)[] | null> {
    if (this.#readers.current.usage === undefined) return null;
    return this.#request(directories, async (reader, some) => (await reader.usage?.(some)) ?? some.map(() => EIO));
  }

  /** As `FileReader.drmClients`; null where no reader here can. */
  async drmClients(paths: readonly string[], maxBytes: number): Promise<readonly DrmClientResult[] | null> {
    if (this.#readers.current.drmClients === undefined) return null;
    return this.#request(
      paths,
      async (reader, some) => (await reader.drmClients?.(some, maxBytes)) ?? some.map(() => EIO),
    );
  }

  /** Which file of a device hangs, from 0; null: none is known to. */
  hangingAt(device: string): number | null {
    for (const [reader, { batch }] of this.#hung)
      if (batch.paths.length === 1 && batch.paths[0] === device) return reader.runningAt();
    return null;
  }

  /** Some read hangs now. */
  get stalled(): boolean {
    return this.#hung.size > 0 || this.#headHangs();
  }

  /** How often a read that hung has returned; after each, callers should read everything again. */
  get recoveries(): number {
    return this.#recoveries;
  }

  faults(): readonly Fault[] {
    const { fault } = this.#options;
    const faults: Fault[] = [];
    const suspects = new Set<string>(this.#headHangs() ? this.#queue[0]?.paths : []);
    for (const { batch, suspects: unknown } of this.#hung.values()) {
      for (const path of unknown) suspects.add(path);
      const [path, ...others] = batch.paths;
      if (path !== undefined && others.length === 0)
        faults.push(fault(`Reading ${printablePath(path)} does not return`, path));
    }
    const [first, ...others] = suspects;
    if (first !== undefined) {
      const what =
        others.length === 0
          ? printablePath(first)
          : `${printablePath(first)} or one of ${others.length} paths read with it`;
      faults.push(fault(`Reading ${what} does not return`, others.length === 0 ? first : null));
    }
    if (this.#exhausted) {
      faults.push(
        fault(`${this.#hung.size} readers hang, and no other is started: nothing is read until one returns`, null),
      );
    }
    return faults;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopWatch?.();
    this.#readers.close();
    for (const { request } of this.#queue.splice(0)) request.reject(closedError('file reader'));
  }

  get #exhausted(): boolean {
    return this.#hung.has(this.#readers.current);
  }

  #headHangs(): boolean {
    return this.#queue.length > 0 && this.#readers.current.runningMs() > hungAfterMs;
  }

  async #request<T>(paths: readonly string[], work: Work<T>): Promise<readonly (T | typeof ETIMEDOUT)[]> {
    if (this.#closed) throw closedError('file reader');
    const results: (T | number)[] = paths.map(() => ETIMEDOUT);
    const parts = this.#partsOf(paths);
    const waiting = parts.reduce((sum, { at }) => sum + at.length, 0);
    if (waiting === 0) return results;
    await new Promise<void>((resolve, reject) => {
      const request: Request = { work, results, waiting, resolve, reject };
      for (const { paths: some, at } of parts) this.#submit({ request, paths: some, at });
    });
    return results;
  }

  /** Where nothing hangs those of paths that stay what they are (`Object.freeze`) are the same from call to call. */
  #partsOf(paths: readonly string[]): readonly Part[] {
    const stays = this.#hung.size === 0 && Object.isFrozen(paths);
    const known = stays ? this.#parts.get(paths) : undefined;
    if (known !== undefined) return known;
    const { batchSize } = this.#options;
    const at = [...paths.keys()].filter((i) => !this.#hangs(paths[i] as string));
    const parts: Part[] = [];
    for (let i = 0; i < at.length; i += batchSize) {
      const places = at.slice(i, i + batchSize);
      const whole = places.length === paths.length;
      const some = whole ? paths : places.map((place) => paths[place] as string);
      parts.push({ paths: stays ? Object.freeze(some) : some, at: places });
    }
    if (stays) this.#parts.set(paths, parts);
    return parts;
  }

  #hangs(path: string): boolean {
    for (const { batch } of this.#hung.values()) if (batch.paths.length === 1 && batch.paths[0] === path) return true;
    return false;
  }

  #submit(batch: Batch): void {
    const { paths, request } = batch;
    if (this.#exhausted || (paths.length === 1 && this.#hangs(paths[0] as string))) {
      this.#answer(batch, null);
      return;
    }
    const reader = this.#readers.current;
    this.#queue.push(batch);
    this.#watch();
    // Where the reader's thread can't start or dies, these paths are unreadable; the next call starts another.
    const ask = async () => request.work(reader, paths);
    ask().then(
      (results) => this.#returned(reader, batch, results),
      () =>
        this.#returned(
          reader,
          batch,
          paths.map(() => EIO),
        ),
    );
  }

  #returned(reader: FileReader, batch: Batch, results: readonly unknown[]): void {
    if (this.#closed) return;
    if (this.#hung.get(reader)?.batch === batch) {
      this.#recovered(reader);
      return;
    }
    const place = this.#queue.indexOf(batch);
    if (place < 0 || reader !== this.#readers.current) return;
    this.#queue.splice(place, 1);
    if (this.#queue.length === 0) {
      this.#stopWatch?.();
      this.#stopWatch = null;
    }
    this.#answer(batch, results);
  }

  /** null: the batch hangs. */
  #answer({ request, at, paths }: Batch, results: readonly unknown[] | null): void {
    for (let i = 0; i < at.length; i++) request.results[at[i]!] = results?.[i] ?? ETIMEDOUT;
    for (const { suspects } of this.#hung.values()) for (const path of paths) suspects.delete(path);
    request.waiting -= at.length;
    if (request.waiting === 0) request.resolve();
  }

  /** Nearly every read returns before the first look, and a timer wakes the process even where it was taken back. */
  #watch(afterMs = hungAfterMs): void {
    this.#stopWatch ??= this.#options.clock.after(afterMs, () => {
      this.#stopWatch = null;
      this.#check();
      if (this.#queue.length > 0 && !this.#closed) this.#watch(hungAfterMs / 4);
    });
  }

  #check(): void {
    const head = this.#headHangs() ? (this.#queue[0] as Batch) : null;
    // Checked twice: after a pause of the whole process its answer may only wait to be delivered.
    const again = head !== null && head === this.#suspect;
    this.#suspect = head;
    if (head === null || !again) return;
    this.#suspect = null;
    const waiting = this.#queue.splice(0).slice(1);
    const alone = head.paths.length === 1;
    this.#hung.set(this.#readers.current, { batch: head, suspects: new Set(alone ? [] : head.paths) });
    if (!this.#readers.replace()) {
      for (const batch of [head, ...waiting]) this.#answer(batch, null);
      return;
    }
    if (alone) this.#answer(head, null);
    for (const batch of waiting) this.#submit(batch);
    if (alone) return;
    const { request, at, paths } = head;
    for (const [i, path] of paths.entries()) this.#submit({ request, at: [at[i] as number], paths: [path] });
  }

  #recovered(reader: FileReader): void {
    this.#hung.delete(reader);
    this.#recoveries += 1;
    this.#readers.release(reader);
    if (this.#exhausted) this.#readers.replace();
  }
}

/** A task that has not returned for so long is taken to hang, ms: it makes many calls, each of which may be slow. */
export const taskHungAfterMs = 3000;

/** A result of a guarded task. */
export interface TaskResult<T> {
  readonly value: T;
  /** When the work began, by the task's clock. */
  readonly beganMs: number;
}

/**
 * Work on libuv's threads that may hang: it is waited for at most `taskHungAfterMs`, and not begun again before it has
 * returned. A result that comes later is given to the next caller.
 */
export class GuardedTask<T> {
  readonly #work: () => Promise<T>;
  readonly #clock: Clock;
  #running: Promise<TaskResult<T>> | null = null;
  #late: Promise<TaskResult<T>> | null = null;
  #hangs = false;

  constructor(work: () => Promise<T>, clock: Clock = systemClock) {
    this.#work = work;
    this.#clock = clock;
  }

  get stalled(): boolean {
    return this.#hangs;
  }

  /** null: it hangs. */
  run(): Promise<TaskResult<T> | null> {
    if (this.#hangs) return Promise.resolve(null);
    const late = this.#late;
    if (late !== null) {
      this.#late = null;
      return late;
    }
    this.#running ??= this.#begin();
    const running = this.#running;
    return new Promise((resolve, reject) => {
      let stop = this.#clock.after(taskHungAfterMs, () => {
        // Checked twice: after a pause of the whole process its result may only wait to be delivered.
        stop = this.#clock.after(hungAfterMs / 4, () => {
          this.#hangs = true;
          resolve(null);
        });
      });
      running.then(resolve, reject).finally(() => stop());
    });
  }

  #begin(): Promise<TaskResult<T>> {
    const beganMs = this.#clock.now();
    const running = this.#work()
      .then((value) => ({ value, beganMs }))
      .finally(() => {
        if (this.#hangs) this.#late = running;
        this.#running = null;
        this.#hangs = false;
      });
    return running;
  }
}
