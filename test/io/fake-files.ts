import { constants } from 'node:os';
import {
  type DirectoryEntry,
  type FileReader,
  type FileResult,
  type KeptResult,
  type PidInodes,
  sleeps,
  splitDevice,
} from '../../lib/io/file-reader.js';
import { type Clock, systemClock } from '../../lib/util/clock.js';

const { ENOENT, ENOTDIR, EISDIR, ENOTSUP } = constants.errno;

/** Paths whose read or listing does not return until they are released. */
export class Hangs {
  readonly #released = new Map<string, { readonly promise: Promise<void>; readonly resolve: () => void }>();

  add(path: string): void {
    let resolve = (): void => undefined;
    const promise = new Promise<void>((done) => {
      resolve = done;
    });
    this.#released.set(path, { promise, resolve });
  }

  release(path: string): void {
    this.#released.get(path)?.resolve();
    this.#released.delete(path);
  }

  clear(): void {
    for (const path of this.#released.keys()) this.release(path);
  }

  /** Resolves when the path no longer hangs; undefined where it does not. */
  wait(path: string): Promise<void> | undefined {
    return this.#released.get(path)?.promise;
  }
}

/** A file reader that works as the real ones do: one batch at a time, in order, and a read that hangs holds up all behind it. */
export abstract class FakeReader implements FileReader {
  readonly asked: string[] = [];
  closed = false;
  readonly #hangs: Hangs;
  readonly #clock: Pick<Clock, 'now'>;
  #thread: Promise<unknown> = Promise.resolve();
  #runningSince: number | null = null;
  #at = 0;

  constructor(hangs: Hangs, clock: Pick<Clock, 'now'> = systemClock) {
    this.#hangs = hangs;
    this.#clock = clock;
  }

  protected abstract readOne(path: string, maxBytes: number): FileResult;
  protected abstract listOne(path: string): readonly DirectoryEntry[] | number;
  protected abstract linksOne(path: string): readonly string[] | number;

  read(paths: readonly string[], maxBytes: number): Promise<readonly FileResult[]> {
    return this.#inOrder(paths, (path) => this.readOne(path, maxBytes));
  }

  list(paths: readonly string[]): Promise<readonly (readonly DirectoryEntry[] | number)[]> {
    return this.#inOrder(paths, (path) => this.listOne(path));
  }

  readKept(paths: readonly string[], maxBytes: number): Promise<readonly KeptResult[]> {
    return this.#inOrder(paths, (path) => {
      const found = this.readOne(path, maxBytes);
      return typeof found === 'number' ? found : found.toString('latin1');
    });
  }

  readAwake(devices: readonly string[], maxBytes: number): Promise<readonly (readonly KeptResult[])[]> {
    return this.#inTurn(devices, async (device) => {
      const results: KeptResult[] = [];
      for (const path of splitDevice(device)) {
        this.#at = results.length;
        await this.#hangs.wait(path);
        const found = this.readOne(path, maxBytes);
        results.push(typeof found === 'number' ? found : found.toString('latin1'));
        if (results.length === 1 && sleeps(String(results[0]))) break;
      }
      this.#at = 0;
      return results;
    });
  }

  pids(paths: readonly string[]): Promise<readonly (PidInodes | number)[]> {
    return this.#inOrder(paths, (path) => {
      const found = this.listOne(path);
      if (typeof found === 'number') return found;
      return new Map(found.flatMap(({ name }) => (/^[1-9]\d*$/.test(name) ? [[Number(name), 1]] : [])));
    });
  }

  linkNames(paths: readonly string[]): Promise<readonly (readonly string[] | number)[]> {
    return this.#inOrder(paths, () => ENOTSUP);
  }

  links(paths: readonly string[], prefix: string): Promise<readonly (readonly string[] | number)[]> {
    return this.#inOrder(paths, (path) => {
      const found = this.linksOne(path);
      return typeof found === 'number' ? found : found.filter((target) => target.startsWith(prefix));
    });
  }

  listening(namespaces: readonly string[]): Promise<readonly FileResult[]> {
    return this.#inOrder(namespaces, (path) => this.listeningOne(path));
  }

  protected listeningOne(_path: string): FileResult {
    return ENOTSUP;
  }

  runningMs(): number {
    return this.#runningSince === null ? 0 : this.#clock.now() - this.#runningSince;
  }

  runningAt(): number {
    return this.#at;
  }

  close(): void {
    this.closed = true;
  }

  #inOrder<T>(paths: readonly string[], take: (path: string) => T): Promise<readonly T[]> {
    return this.#inTurn(paths, async (path) => take(path));
  }

  #inTurn<T>(paths: readonly string[], take: (path: string) => Promise<T>): Promise<readonly T[]> {
    if (this.closed) return Promise.reject(new Error('closed'));
    const work = this.#thread.then(async () => {
      this.#runningSince = this.#clock.now();
      const results: T[] = [];
      for (const path of paths) {
        this.asked.push(path);
        const hung = this.#hangs.wait(path);
        if (hung) await hung;
        results.push(await take(path));
      }
      this.#runningSince = null;
      return results;
    });
    this.#thread = work;
    return work;
  }
}

/** A tree in memory: files by absolute path; directories are what lies above them, and those in `directories`. */
export class MemoryTree {
  readonly files = new Map<string, string>();
  readonly directories = new Set<string>();
  /** Targets of the symbolic links in a directory. */
  readonly links = new Map<string, readonly string[]>();
  /** Why a file or a directory of links can't be read, and why a directory can't be listed, as an errno. */
  readonly errors = new Map<string, number>();
  readonly listErrors = new Map<string, number>();
  /** The sockets that listen in a namespace, by its path. */
  readonly dumps = new Map<string, Buffer>();
  readonly hangs = new Hangs();
  readonly readers: MemoryReader[] = [];

  write(path: string, content: string): void {
    this.files.set(path, content);
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1))
      this.directories.add(path.slice(0, at));
  }

  entries(path: string): readonly DirectoryEntry[] {
    const found = new Map<string, boolean>();
    const below = (full: string, isDirectory: boolean) => {
      const name = full.startsWith(`${path}/`) ? full.slice(path.length + 1) : '';
      if (name !== '' && !name.includes('/')) found.set(name, isDirectory);
    };
    for (const file of this.files.keys()) below(file, false);
    for (const directory of this.directories) below(directory, true);
    return [...found].map(([name, isDirectory]) => ({ name, isDirectory }));
  }

  reader(clock: Pick<Clock, 'now'>): FileReader {
    const reader = new MemoryReader(this, clock);
    this.readers.push(reader);
    return reader;
  }

  /** Every path that some reader was asked for. */
  asked(): readonly string[] {
    return this.readers.flatMap(({ asked }) => asked);
  }
}

class MemoryReader extends FakeReader {
  readonly #tree: MemoryTree;

  constructor(tree: MemoryTree, clock: Pick<Clock, 'now'>) {
    super(tree.hangs, clock);
    this.#tree = tree;
  }

  protected readOne(path: string, maxBytes: number): FileResult {
    const error = this.#tree.errors.get(path);
    if (error !== undefined) return error;
    const content = this.#tree.files.get(path);
    if (content !== undefined) return Buffer.from(content).subarray(0, maxBytes);
    return this.#tree.directories.has(path) ? EISDIR : ENOENT;
  }

  protected listOne(path: string): readonly DirectoryEntry[] | number {
    const error = this.#tree.listErrors.get(path);
    if (error !== undefined) return error;
    if (this.#tree.directories.has(path)) return this.#tree.entries(path);
    return this.#tree.files.has(path) ? ENOTDIR : ENOENT;
  }

  protected override listeningOne(path: string): FileResult {
    return this.#tree.dumps.get(path) ?? ENOTSUP;
  }

  protected linksOne(path: string): readonly string[] | number {
    return this.#tree.errors.get(path) ?? this.#tree.links.get(path) ?? ENOENT;
  }
}
