import {
  type Binding,
  type BindingResult,
  loadBinding,
  type NativeBatch,
  type NativeDirectoryEntry,
  type NativeFileThread,
  type NativePacked,
} from '../native/binding.js';
import { type DrmClientResult, type DrmShapes, drmClientsOf } from '../native/drm-clients.js';
import { type FileWork, usageColumns } from '../native/layout.js';
import { bytesOfPath, pathFromBytes } from '../util/byte-path.js';
import { Pending } from '../util/pending.js';
import { closedError } from '../util/waiters.js';
import { WorkerThread } from '../util/worker-thread.js';
import type { DirectoryEntry, FileReader, FileResult, KeptResult, PidInodes } from './file-reader.js';

type Answer = readonly unknown[];
type Argument = FilesRequest['argument'];

/** What both readers share: calls become numbered batches of a thread, and wait for its answers. */
abstract class ThreadFileReader implements FileReader {
  protected readonly pending = new Pending<Answer>((yes) => this.keepAlive(yes));
  #closed = false;

  abstract runningMs(): number;
  /** Hands a batch to the thread and returns its number; as `NativeFileThread.submit`. */
  protected abstract submit(work: FileWork, paths: readonly string[], argument?: Argument): number;
  protected abstract keepAlive(yes: boolean): void;
  protected abstract end(): void;

  read(paths: readonly string[], maxBytes: number): Promise<readonly FileResult[]> {
    return this.request('read', paths, maxBytes);
  }

  readKept(paths: readonly string[], maxBytes: number): Promise<readonly KeptResult[]> {
    return this.request('readKept', paths, maxBytes);
  }

  list(paths: readonly string[]): Promise<readonly (readonly DirectoryEntry[] | number)[]> {
    return this.request('list', paths);
  }

  pids(paths: readonly string[]): Promise<readonly (PidInodes | number)[]> {
    return this.request('pids', paths);
  }

  links(paths: readonly string[], prefix: string): Promise<readonly (readonly string[] | number)[]> {
    return this.request('links', paths, prefix);
  }

  linkNames(paths: readonly string[], prefix: string): Promise<readonly (readonly string[] | number)[]> {
    return this.request('linkNames', paths, prefix);
  }

  listening(namespaces: readonly string[]): Promise<readonly FileResult[]> {
    return this.request('sockets', namespaces);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.pending.rejectAll(closedError('file reader'));
    this.end();
  }

  protected async request<T>(work: FileWork, paths: readonly string[], argument?: Argument): Promise<readonly T[]> {
    return this.answerOf(() => this.submit(work, paths, argument));
  }

  protected async answerOf<T>(submit: () => number): Promise<readonly T[]> {
    if (this.#closed) throw closedError('file reader');
    return (await this.pending.add(submit())) as readonly T[];
  }
}

const isTargets = (result: readonly NativeDirectoryEntry[] | readonly string[]): result is readonly string[] =>
  typeof result[0] === 'string';

/** A listing of the addon with its names as strings. */
function named(result: NativeBatch['results'][number]): unknown {
  if (typeof result === 'number' || Buffer.isBuffer(result)) return result;
  if (isTargets(result)) return result;
  return result.map(({ name, isDirectory }) => ({
    name: typeof name === 'string' ? name : pathFromBytes(name),
    isDirectory,
  }));
}

const errorColumn = usageColumns.indexOf('error');

/** A row for each process; its errno where it has none. */
function usageRows(usages: Float64Array): readonly (Float64Array | number)[] {
  const width = usageColumns.length;
  return Array.from({ length: usages.length / width }, (_unused, i) => {
    const error = usages[i * width + errorColumn] as number;
    return error === 0 ? usages.subarray(i * width, (i + 1) * width) : error;
  });
}

/** Parts of one text. */
function keptFiles({ rows, text }: NativePacked): readonly KeptResult[] {
  let from = 0;
  return Array.from(rows, (length) => {
    if (length < 0) return -length;
    from += length;
    return text.slice(from - length, from);
  });
}

function pidLists({ rows }: NativePacked): readonly (PidInodes | number)[] {
  const lists: (PidInodes | number)[] = [];
  for (let at = 0; at < rows.length; ) {
    const [error, count] = [rows[at] as number, rows[at + 1] as number];
    const inodes = new Map<number, number>();
    at += 2;
    for (const end = at + 2 * count; at < end; at += 2) inodes.set(rows[at] as number, rows[at + 1] as number);
    lists.push(error === 0 ? inodes : error);
  }
  return lists;
}

function sameRows(one: Float64Array, other: Float64Array): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

/** Of works that are packed that alone: who asked unpacks it. */
function answerOf({ results, usages, packed }: NativeBatch): Answer {
  if (usages !== undefined) return usageRows(usages);
  return packed === undefined ? results.map(named) : [packed];
}

/** Over a thread of the addon: a read that never returns does not even hold up the exit of the process. */
export class NativeFileReader extends ThreadFileReader {
  readonly #files: NativeFileThread;
  /** Of paths that are asked for again and again: `Object.freeze` says that they stay what they are. */
  readonly #texts = new WeakMap<readonly string[], string>();
  readonly #bytes = new WeakMap<readonly string[], readonly (string | Buffer)[]>();
  readonly #shapes = new WeakMap<readonly string[], DrmShapes>();
  #pids: { readonly rows: Float64Array; readonly lists: readonly (PidInodes | number)[] } | null = null;

  constructor(binding: Binding) {
    super();
    this.#files = new binding.BlockingFiles(() => {
      for (const batch of this.#files.take()) this.pending.resolve(batch.id, answerOf(batch));
    });
  }

  usage(directories: readonly string[]): Promise<readonly (Float64Array | number)[]> {
    const [first = ''] = directories;
    const root = first.slice(0, first.lastIndexOf('/') + 1);
    // Numbers: to take in a path each costs more than reading what it names. There is no process 0.
    const pids = Int32Array.from(directories, (path) => (path.startsWith(root) ? Number(path.slice(root.length)) : 0));
    return this.answerOf(() => this.#files.submit('usage', root.slice(0, -1), pids));
  }

  override async readKept(paths: readonly string[], maxBytes: number): Promise<readonly KeptResult[]> {
    return keptFiles(await this.#packed('readKept', this.#textOf(paths), maxBytes));
  }

  /** The same objects where nothing has changed. */
  override async pids(paths: readonly string[]): Promise<readonly (PidInodes | number)[]> {
    const packed = await this.#packed('pids', this.#textOf(paths));
    if (this.#pids === null || !sameRows(this.#pids.rows, packed.rows))
      this.#pids = { rows: packed.rows, lists: pidLists(packed) };
    return this.#pids.lists;
  }

  async drmClients(paths: readonly string[], maxBytes: number): Promise<readonly DrmClientResult[]> {
    const { rows, text } = await this.#packed('drmClients', this.#textOf(paths), maxBytes);
    const { results, known } = drmClientsOf(rows, text, this.#shapes.get(paths));
    if (Object.isFrozen(paths)) this.#shapes.set(paths, known);
    return results;
  }

  /** As native/status_questions.h says. */
  async statuses(questions: readonly string[], timeoutMs: number): Promise<readonly number[]> {
    return Array.from((await this.#packed('statuses', questions.map(bytesOfPath), timeoutMs)).rows);
  }

  runningMs(): number {
    return this.#files.runningMs();
  }

  protected submit(work: FileWork, paths: readonly string[], argument?: Argument): number {
    return this.#files.submit(work, this.#bytesOf(paths), argument);
  }

  #bytesOf(paths: readonly string[]): readonly (string | Buffer)[] {
    const known = this.#bytes.get(paths);
    if (known !== undefined) return known;
    const bytes = paths.map(bytesOfPath);
    if (Object.isFrozen(paths)) this.#bytes.set(paths, bytes);
    return bytes;
  }

  async #packed(
    work: FileWork,
    paths: string | readonly (string | Buffer)[],
    argument?: Argument,
  ): Promise<NativePacked> {
    const [packed] = await this.answerOf<NativePacked>(() => this.#files.submit(work, paths, argument));
    return packed as NativePacked;
  }

  /** One text: to hand over a string for each costs more than reading what it names. */
  #textOf(paths: readonly string[]): string {
    const known = this.#texts.get(paths);
    if (known !== undefined) return known;
    const text = paths.join('\n');
    if (Object.isFrozen(paths)) this.#texts.set(paths, text);
    return text;
  }

  protected keepAlive(yes: boolean): void {
    this.#files.keepAlive(yes);
  }

  protected end(): void {
    this.#files.close();
  }
}

export interface FilesRequest {
  readonly id: number;
  readonly work: FileWork;
  readonly paths: readonly string[];
  /** As in `NativeFileThread.submit`. */
  readonly argument: number | string | undefined;
}

export interface FilesResponse {
  readonly id: number;
  readonly results: readonly (
    | Uint8Array
    | string
    | number
    | readonly DirectoryEntry[]
    | PidInodes
    | readonly string[]
  )[];
}

/** Over a worker thread, where there is no addon. A read that never returns holds up the exit of the process. */
export class WorkerFileReader extends ThreadFileReader {
  /** Start of the batch now running, CLOCK_MONOTONIC in ns; 0 when none is. */
  readonly #runningSince = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT));
  readonly #thread = new WorkerThread<FilesRequest, FilesResponse>({
    file: 'io/worker-file-reader-thread.js',
    name: 'hivepulse-files',
    workerData: this.#runningSince.buffer,
    onMessage: ({ id, results }) =>
      this.pending.resolve(
        id,
        results.map((result) => (result instanceof Uint8Array ? asBuffer(result) : result)),
      ),
    onExit: (error) => {
      Atomics.store(this.#runningSince, 0, 0n);
      this.pending.rejectAll(error);
    },
  });
  #lastId = 0;

  runningMs(): number {
    const since = Atomics.load(this.#runningSince, 0);
    return since === 0n ? 0 : Number(process.hrtime.bigint() - since) / 1e6;
  }

  protected submit(work: FileWork, paths: readonly string[], argument?: Argument): number {
    const id = ++this.#lastId;
    this.#thread.post({ id, work, paths, argument });
    return id;
  }

  protected keepAlive(yes: boolean): void {
    this.#thread.keepAlive(yes);
  }

  protected end(): void {
    this.#thread.close();
  }
}

const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A thread that reads files which may block: the addon's where it loads, else a worker thread. */
export function openFileReader(load: () => BindingResult = loadBinding): FileReader {
  const { binding } = load();
  return binding ? new NativeFileReader(binding) : new WorkerFileReader();
}
