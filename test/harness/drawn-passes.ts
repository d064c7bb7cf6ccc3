import { mkdirSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { parserOf } from '../../lib/cgroup/file-parsers.js';
import { FilesReader } from '../../lib/cgroup/files.js';
import { NativeReader } from '../../lib/cgroup/native.js';
import { readerDefaults } from '../../lib/cgroup/reader.js';
import { loadBinding } from '../../lib/native/binding.js';
import {
  processColumns,
  type RawPass,
  type RawReader,
  stalledFlag,
  workerColumn,
  workerColumns,
  workerFiles,
} from '../../lib/native/layout.js';
import { temporaryDirectory } from './leftovers.js';

/** What stands in a file: its text, or the errno of the read. */
export type Content = string | number;

export interface DrawnProcess {
  readonly pid: number;
  /** NaN: nothing that is a time. */
  readonly start: number;
  /** Of memory and of I/O; NaN: not to be read. */
  readonly bytes: number;
}

export interface DrawnWorker {
  /** By name; `cgroup.procs` is in `procs`. */
  readonly files: Readonly<Record<string, Content>>;
  readonly procs: readonly DrawnProcess[] | number;
  readonly hung: boolean;
}

/** What a reader of cgroups makes of drawn workers. */
export interface DrawnPasses extends Disposable {
  pass(workers: readonly DrawnWorker[], nowMs: number, sequence: number): RawPass;
  /** Files that were missing are looked for anew. */
  rediscover(): void;
}

type Open = (count: number, fromProc: { readonly memory: boolean; readonly io: boolean }) => DrawnPasses;

/** Reads that fail in whatever way, by the parsers alone. */
const parsers: Open = () => ({
  pass: (workers, nowMs, sequence) => parsedPass(workers, nowMs, sequence),
  rediscover: () => undefined,
  [Symbol.dispose]: () => undefined,
});

function parsedPass(workers: readonly DrawnWorker[], nowMs: number, sequence: number): RawPass {
  const cells = new Float64Array(workers.length * workerColumns.length).fill(Number.NaN);
  const errors = new Int16Array(workers.length * workerFiles.length);
  const processes: number[] = [];
  for (const [slot, { files, procs, hung }] of workers.entries()) {
    const base = slot * workerColumns.length;
    cells[base + workerColumn('flags')] = hung ? stalledFlag : 0;
    cells[base + workerColumn('monotonicMs')] = nowMs;
    cells[base + workerColumn('inode')] = slot + 1;
    for (const [i, file] of workerFiles.entries()) {
      const content = file === 'cgroup.procs' ? (typeof procs === 'number' ? procs : null) : (files[file] as Content);
      if (content === null) continue;
      const at = slot * workerFiles.length + i;
      if (typeof content === 'number') errors[at] = content;
      else {
        const bytes = Buffer.from(content);
        errors[at] = parserOf[i]?.(bytes, bytes.length, cells, base, null) ? 0 : -1;
      }
    }
    if (typeof procs === 'number') continue;
    cells[base + workerColumn('processOffset')] = processes.length / processColumns.length;
    cells[base + workerColumn('processCount')] = procs.length;
    for (const { pid, start, bytes } of procs) processes.push(pid, start, bytes, bytes, bytes);
  }
  return { sequence, startedMs: nowMs, durationMs: 1, workers: cells, processes: Float64Array.from(processes), errors };
}

const { ENOENT } = constants.errno;
/** Longer than a reader goes without looking for files that are missing. */
const rediscoverAfter = 61;
const pageSize = 4096n;

/**
 * A reader over trees on disk. What fails is missing until it is there, and empty from then on: files of a disk, unlike those
 * of a cgroup, go on to be read by those who have them open.
 */
class TreePasses implements DrawnPasses {
  readonly #reader: RawReader;
  readonly #root: string;
  readonly #remove: () => void;
  readonly #written = new Map<string, string>();

  constructor(
    open: (options: typeof readerDefaults) => RawReader,
    count: number,
    fromProc: { readonly memory: boolean; readonly io: boolean },
  ) {
    const { path, remove } = temporaryDirectory('drawn');
    this.#root = path;
    this.#remove = remove;
    const options = { processMemory: fromProc.memory, processIo: fromProc.io, memoryStatEvery: 1 };
    this.#reader = open({ ...readerDefaults, ...options, procRoot: join(path, 'proc') });
    for (let slot = 0; slot < count; slot++) {
      mkdirSync(join(path, String(slot)));
      this.#reader.add(join(path, String(slot)));
    }
  }

  pass(workers: readonly DrawnWorker[], nowMs: number, sequence: number): RawPass {
    for (const [slot, { files, procs }] of workers.entries()) {
      for (const file of workerFiles)
        if (file !== 'cgroup.procs') this.#write(join(String(slot), file), files[file] ?? ENOENT);
      const isList = typeof procs !== 'number';
      this.#write(join(String(slot), 'cgroup.procs'), isList ? procs.map(({ pid }) => `${pid}\n`).join('') : procs);
      if (isList) for (const process of procs) this.#writeProcess(process);
    }
    const read = this.#reader.passSync();
    const cells = Float64Array.from(read.workers);
    for (const [slot, { hung }] of workers.entries()) {
      const base = slot * workerColumns.length;
      cells[base + workerColumn('monotonicMs')] = nowMs;
      if (hung) cells[base + workerColumn('flags')] = stalledFlag;
    }
    return { ...read, sequence, startedMs: nowMs, workers: cells };
  }

  rediscover(): void {
    for (let i = 0; i < rediscoverAfter; i++) this.#reader.passSync();
  }

  [Symbol.dispose](): void {
    this.#reader.close();
    this.#remove();
  }

  #writeProcess({ pid, start, bytes }: DrawnProcess): void {
    const zeros = (length: number) => Array(length).fill(0).join(' ');
    const amount = Number.isNaN(bytes) ? null : BigInt(bytes);
    const rss = amount === null ? 0n : amount / pageSize;
    const at = join('proc', String(pid));
    this.#write(join(at, 'stat'), `${pid} (x) S 1 ${zeros(17)} ${start} 0 ${rss} ${zeros(28)}\n`);
    this.#write(join(at, 'statm'), amount === null ? ENOENT : `${rss} ${rss} 0 0 0 0 0\n`);
    this.#write(join(at, 'io'), amount === null ? ENOENT : `read_bytes: ${amount}\nwrite_bytes: ${amount}\n`);
  }

  /** In place, as a kernel's file changes. */
  #write(path: string, content: Content): void {
    const before = this.#written.get(path);
    const text = typeof content === 'number' ? before && '' : content;
    if (text === undefined || before === text) return;
    this.#written.set(path, text);
    const at = join(this.#root, path);
    mkdirSync(dirname(at), { recursive: true });
    writeFileSync(at, text);
  }
}

const { binding } = loadBinding();

/** Every way in which cgroups are read; the addon where there is one. */
export const drawnReaders: readonly { readonly name: string; readonly open: Open }[] = [
  { name: 'parsers', open: parsers },
  { name: 'files', open: (...given) => new TreePasses((options) => new FilesReader(options), ...given) },
  ...(binding === undefined
    ? []
    : [
        {
          name: 'addon',
          open: (...given: Parameters<Open>) =>
            new TreePasses((options) => new NativeReader(binding, options), ...given),
        },
      ]),
];
