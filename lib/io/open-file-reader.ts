import {
  type Binding,
  type BindingResult,
  loadBinding,
  type NativeBatches,
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
  abstract runningAt(): number;
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

  readAwake(devices: readonly string[], maxBytes: number): Promise<readonly (readonly KeptResult[] | number)[]> {
    return this.request('readAwake', devices, maxBytes);
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

const errorColumn = usageColumns.indexOf('error');

/** A row for each process; its errno where it has none. */
function usageRows(usages: Float64Array): readonly (Float64Array | number)[] {
  const width = usageColumns.length;
  return Array.from({ length: usages.length / width }, (_unused, i) => {
    const error = usages[i * width + errorColumn] as number;
    return error === 0 ? usages.subarray(i * width, (i + 1) * width) : error;
  });
}

/** Reads what is packed, one value after the other. */
class Unpacking {
  readonly #rows: Float64Array;
  readonly #text: string;
  /** Names and targets may be any bytes. */
  readonly #isAscii: boolean;
  #row = 0;
  #at = 0;

  constructor({ rows, text }: NativePacked, isNames = false) {
    this.#rows = rows;
    this.#text = text;
    this.#isAscii = !isNames || !/[\x80-\xff]/.test(text);
  }

  get more(): boolean {
    return this.#row < this.#rows.length;
  }

  number(): number {
    return this.#rows[this.#row++] as number;
  }

  text(): string {
    return this.#take(this.number());
  }

  file(): KeptResult {
    const length = this.number();
    return length < 0 ? -length : this.#take(length);
  }

  /** Each of what follows its number, or an errno. */
  entries<T>(take: () => T): readonly T[] | number {
    const error = this.number();
    const entries: T[] = [];
    for (let left = this.number(); left > 0; left--) entries.push(take());
    return error === 0 ? entries : error;
  }

  all<T>(take: () => T): readonly T[] {
    const all: T[] = [];
    while (this.more) all.push(take());
    return all;
  }

  #take(length: number): string {
    this.#at += length;
    const text = this.#text.slice(this.#at - length, this.#at);
    return this.#isAscii ? text : pathFromBytes(Buffer.from(text, 'latin1'));
  }
}

function keptFiles(packed: NativePacked): readonly KeptResult[] {
  const from = new Unpacking(packed);
  return from.all(() => from.file());
}

function devicesOf(packed: NativePacked): readonly (readonly KeptResult[])[] {
  const from = new Unpacking(packed);
  return from.all(() => {
    const files: KeptResult[] = [];
    for (let left = from.number(); left > 0; left--) files.push(from.file());
    return files;
  });
}

function listsOf(packed: NativePacked): readonly (readonly DirectoryEntry[] | number)[] {
  const from = new Unpacking(packed, true);
  return from.all(() => from.entries(() => ({ name: from.text(), isDirectory: from.number() === 1 })));
}

function linksOf(packed: NativePacked): readonly (readonly string[] | number)[] {
  const from = new Unpacking(packed, true);
  return from.all(() => from.entries(() => from.text()));
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

/** What a list of paths gave last, and what was made of it. */
interface Unpacked {
  readonly packed: NativePacked;
  readonly made: unknown;
}

/** Over a thread of the addon: a read that never returns does not even hold up the exit of the process. */
export class NativeFileReader extends ThreadFileReader {
  readonly #files: NativeFileThread;
  /** Of paths that are asked for again and again: `Object.freeze` says that they stay what they are. */
  readonly #texts = new WeakMap<readonly string[], Buffer>();
  readonly #bytes = new WeakMap<readonly string[], readonly (string | Buffer)[]>();
  readonly #shapes = new WeakMap<readonly string[], DrmShapes>();
  readonly #unpacked = new WeakMap<readonly string[], Unpacked>();

  constructor(binding: Binding) {
    super();
    this.#files = new binding.BlockingFiles(() => this.#take(this.#files.take()));
  }

  async usage(directories: readonly string[]): Promise<readonly (Float64Array | number)[]> {
    const [first = ''] = directories;
    const root = first.slice(0, first.lastIndexOf('/') + 1);
    // Numbers: to take in a path each costs more than reading what it names. There is no process 0.
    const pids = Int32Array.from(directories, (path) => (path.startsWith(root) ? Number(path.slice(root.length)) : 0));
    return usageRows((await this.#packed(() => this.#files.submit('usage', root.slice(0, -1), pids))).rows);
  }

  override async readKept(paths: readonly string[], maxBytes: number): Promise<readonly KeptResult[]> {
    return keptFiles(await this.#ask('readKept', this.#textOf(paths), maxBytes));
  }

  override async readAwake(devices: readonly string[], maxBytes: number): Promise<readonly (readonly KeptResult[])[]> {
    return devicesOf(await this.#ask('readAwake', this.#textOf(devices), maxBytes));
  }

  /** These give the same objects where nothing has changed below paths that stay what they are. */
  override async list(paths: readonly string[]): Promise<readonly (readonly DirectoryEntry[] | number)[]> {
    return this.#madeOf(paths, await this.#ask('list', this.#bytesOf(paths)), listsOf);
  }

  override async pids(paths: readonly string[]): Promise<readonly (PidInodes | number)[]> {
    return this.#madeOf(paths, await this.#ask('pids', this.#textOf(paths)), pidLists);
  }

  override async links(paths: readonly string[], prefix: string): Promise<readonly (readonly string[] | number)[]> {
    return linksOf(await this.#ask('links', this.#bytesOf(paths), prefix));
  }

  override async linkNames(paths: readonly string[], prefix: string): Promise<readonly (readonly string[] | number)[]> {
    return linksOf(await this.#ask('linkNames', this.#textOf(paths), prefix));
  }

  async drmClients(paths: readonly string[], maxBytes: number): Promise<readonly DrmClientResult[]> {
    const { rows, text } = await this.#ask('drmClients', this.#textOf(paths), maxBytes);
    const { results, known } = drmClientsOf(rows, text, this.#shapes.get(paths));
    if (Object.isFrozen(paths)) this.#shapes.set(paths, known);
    return results;
  }

  /** As native/status_questions.h says. */
  async statuses(questions: readonly string[], timeoutMs: number): Promise<readonly number[]> {
    return Array.from((await this.#ask('statuses', questions.map(bytesOfPath), timeoutMs)).rows);
  }

  runningMs(): number {
    return this.#files.runningMs();
  }

  runningAt(): number {
    return this.#files.runningAt();
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

  #take(batches: NativeBatches): void {
    for (let i = 0; i < batches.length; i += 3) {
      const [id, answer, text] = [batches[i] as number, batches[i + 1], batches[i + 2] as string | undefined];
      // Of works that are packed that alone: who asked unpacks it.
      const isPacked = answer instanceof Float64Array;
      this.pending.resolve(id, isPacked ? [{ rows: answer, text: text ?? '' }] : (answer as Answer));
    }
  }

  async #packed(submit: () => number): Promise<NativePacked> {
    return (await this.answerOf<NativePacked>(submit))[0] as NativePacked;
  }

  #ask(work: FileWork, paths: Buffer | readonly (string | Buffer)[], argument?: Argument): Promise<NativePacked> {
    return this.#packed(() => this.#files.submit(work, paths, argument));
  }

  #madeOf<T>(paths: readonly string[], packed: NativePacked, make: (packed: NativePacked) => T): T {
    const known = this.#unpacked.get(paths);
    if (known !== undefined && known.packed.text === packed.text && sameRows(known.packed.rows, packed.rows))
      return known.made as T;
    const made = make(packed);
    if (Object.isFrozen(paths)) this.#unpacked.set(paths, { packed, made });
    return made;
  }

  /** One text: to hand over a string for each costs more than reading what it names. */
  #textOf(paths: readonly string[]): Buffer {
    const known = this.#texts.get(paths);
    if (known !== undefined) return known;
    const text = Buffer.from(paths.join('\n'));
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
    | readonly KeptResult[]
    | readonly DirectoryEntry[]
    | PidInodes
    | readonly string[]
  )[];
}

/** Over a worker thread, where there is no addon. A read that never returns holds up the exit of the process. */
export class WorkerFileReader extends ThreadFileReader {
  /** Start of the batch now running, CLOCK_MONOTONIC in ns, 0 when none is; and which file of a device it is at. */
  readonly #running = new BigInt64Array(new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT));
  readonly #thread = new WorkerThread<FilesRequest, FilesResponse>({
    file: 'io/worker-file-reader-thread.js',
    name: 'hivepulse-files',
    workerData: this.#running.buffer,
    onMessage: ({ id, results }) =>
      this.pending.resolve(
        id,
        results.map((result) => (result instanceof Uint8Array ? asBuffer(result) : result)),
      ),
    onExit: (error) => {
      Atomics.store(this.#running, 0, 0n);
      this.pending.rejectAll(error);
    },
  });
  #lastId = 0;

  runningMs(): number {
    const since = Atomics.load(this.#running, 0);
    return since === 0n ? 0 : Number(process.hrtime.bigint() - since) / 1e6;
  }

  runningAt(): number {
    return Number(Atomics.load(this.#running, 1));
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
