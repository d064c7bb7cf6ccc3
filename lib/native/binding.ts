import { createRequire } from 'node:module';
import { packageRoot } from '../util/package-root.js';
import {
  type FileWork,
  fileWorks,
  processColumns,
  type RawReaderOptions,
  rowFlags,
  usageColumns,
  workerColumns,
  workerFiles,
} from './layout.js';

/** What one read gave: the bytes, or the errno of the failure. */
export type FileResult = Buffer | number;

export interface DirectoryEntry {
  readonly name: string;
  readonly isDirectory: boolean;
}

/** One set of cgroups and the thread that reads them (native/sample_thread.h). */
export interface NativeCgroupReader {
  /** A Buffer where the path is not UTF-8. */
  add(path: string | Buffer): number;
  remove(slot: number): void;
  /** As `RawReader.setBlockDevices`. */
  setBlockDevices(table: Float64Array): void;
  /** Runs a pass on the caller's thread, after one that runs on the reader's own; packed as native/to_js.h says. */
  passSync(): ArrayBuffer;
  start(intervalMs: number): void;
  /** Begins a pass as soon as possible; `onPass` is called at its end. */
  request(): void;
  latest(): ArrayBuffer | null;
  /** Sequence of the last pass that has begun. */
  begun(): number;
  runningMs(): number;
  /** Slot that the pass now running is at; null when none is. */
  reading(): number | null;
  /** Whether the event loop stays alive for the next `onPass`. */
  keepAlive(yes: boolean): void;
  close(): void;
}

/**
 * A batch is three values in a row: its number, its answers, and what is text of them. Answers are of `read` and `sockets` a
 * Buffer or an errno for each path, of `usage` `usageColumns` for each process, and else as `NativePacked` has them.
 */
export type NativeBatches = readonly (number | readonly FileResult[] | Float64Array | string | undefined)[];

/** As `PackedAnswer` of native/blocking_files.h: numbers, and what is text, a character for each byte. */
export interface NativePacked {
  readonly rows: Float64Array;
  readonly text: string;
}

/** A thread that reads files which may block (native/blocking_files.h). */
export interface NativeFileThread {
  /**
   * `paths`: an array, or one text with a path a line, also as its bytes. `argument`: of files how many bytes are read at most, of links how
   * they begin, of servers how long they may take. Gives the batch's id.
   */
  submit(work: FileWork, paths: readonly (string | Buffer)[] | string | Buffer, argument?: number | string): number;
  /** The processes below /proc, or what stands for it, whose use is read. */
  submit(work: 'usage', procRoot: string, pids: Int32Array): number;
  /** The batches finished since the last call. */
  take(): NativeBatches;
  runningMs(): number;
  /** Which file of a device the batch now running is at, from 0; of other works 0. */
  runningAt(): number;
  keepAlive(yes: boolean): void;
  close(): void;
}

/** What became of a connection. */
export interface NativeConnection {
  readonly id: number;
  /** The caller closes it; -1 where it failed. */
  readonly fd: number;
  /** An errno; 0 where it is connected. */
  readonly error: number;
}

/** Opens TCP connections inside of other network namespaces, on threads of their own (native/namespace_connector.h). */
export interface NativeNamespaceConnector {
  /** `path` of the namespace, and the inode that it must have. Gives an id; 0 where no thread is to be had now. */
  connect(path: string, inode: number, host: string, port: number, timeoutMs: number): number;
  /** Its result is not wanted any more; it is taken all the same, once its thread has ended. */
  cancel(id: number): void;
  /** Those finished since the last call. */
  take(): readonly NativeConnection[];
  keepAlive(yes: boolean): void;
  close(): void;
}

/** Reads what has come on many sockets in one call (native/socket_reader.h). */
export interface NativeSocketReader {
  /** Gives 0 or an errno. */
  add(descriptor: number, id: number): number;
  remove(descriptor: number): void;
  /**
   * Fills the arrays that it was made with: bytes, and of each socket that was read its id, where its bytes begin and how many they
   * are; 0: it has ended or failed. Gives how many were read.
   */
  read(): number;
  close(): void;
}

/** Of a GPU reader; what is missing has the defaults of native/gpu_loop.h. */
export interface NativeGpuOptions {
  /** Where to look for libnvidia-ml, in order. */
  readonly libraryPaths?: readonly string[];
  readonly intervalMs?: number;
  readonly slowIntervalMs?: number;
  readonly retryMs?: number;
}

/** A thread that reads GPUs through NVML (native/gpu_thread.h). Runs from its construction on. */
export interface NativeGpuThread {
  /** The lines of JSON since the last call (native/gpu_loop.h). */
  take(): readonly string[];
  ended(): boolean;
  close(): void;
}

/** What the addon exports. */
export interface Binding {
  readonly workerColumns: readonly string[];
  readonly processColumns: readonly string[];
  readonly usageColumns: readonly string[];
  readonly workerFiles: readonly string[];
  readonly fileWorks: readonly string[];
  readonly rowFlags: Readonly<Record<string, number>>;
  readonly CgroupReader: new (options: RawReaderOptions, onPass: () => void) => NativeCgroupReader;
  readonly BlockingFiles: new (onDone: () => void) => NativeFileThread;
  readonly GpuThread: new (options: NativeGpuOptions) => NativeGpuThread;
  readonly NamespaceConnector: new (onDone: () => void) => NativeNamespaceConnector;
  readonly SocketReader: new (bytes: Uint8Array, reads: Int32Array) => NativeSocketReader;
  /** Raises the soft RLIMIT_NOFILE to the hard one and returns what is now in force. */
  raiseDescriptorLimit(): number;
  /** The soft RLIMIT_NOFILE that this process was started with, as far as known: what children should get. */
  originalDescriptorLimit(): number;
  /** TCP_USER_TIMEOUT (tcp(7)) of a socket, and of those that a listening one accepts. Gives 0 or an errno. */
  setTcpUserTimeout(descriptor: number, milliseconds: number): number;
  /** Gives back freed memory, and pages of programs that are not in use. False: the system gives no thread for it. */
  releaseUnusedPages(): boolean;
  /** sysconf(_SC_CLK_TCK): the unit of start times in /proc/<pid>/stat. */
  readonly clockTicksPerSecond: number;
  readonly pageSize: number;
}

export type BindingResult =
  | { readonly binding: Binding; readonly reason?: undefined }
  | { readonly binding?: undefined; readonly reason: string };

const require = createRequire(import.meta.url);

let loaded: BindingResult | undefined;

/**
 * Loads the addon, once. Where that fails, `reason` says why and what to do, and the TypeScript reader is used instead.
 * `HIVEPULSE_NO_NATIVE=1` leaves it out on purpose.
 */
export function loadBinding(): BindingResult {
  if (process.env.HIVEPULSE_NO_NATIVE === '1') return { reason: 'HIVEPULSE_NO_NATIVE=1 is set' };
  loaded ??= load();
  return loaded;
}

function load(): BindingResult {
  if (process.platform !== 'linux') return { reason: `there is no addon for ${process.platform}` };
  let binding: Binding;
  try {
    const nodeGypBuild = require('node-gyp-build') as (directory: string) => Binding;
    binding = nodeGypBuild(packageRoot);
  } catch (error) {
    const message = (error instanceof Error ? error.message : String(error)).split('\n')[0];
    return { reason: `the addon could not be loaded (${message}); \`npm rebuild hivepulse\` builds it` };
  }
  const foreign = difference(binding);
  if (foreign)
    return { reason: `the addon is of another version (${foreign}); \`npm rebuild hivepulse\` builds it anew` };
  return { binding };
}

/** The first name on which addon and package differ, or null. A column out of place would put numbers under wrong names. */
export function difference(binding: Partial<Binding>): string | null {
  const names = [
    ['workerColumns', workerColumns],
    ['processColumns', processColumns],
    ['usageColumns', usageColumns],
    ['workerFiles', workerFiles],
    ['fileWorks', fileWorks],
  ] as const;
  for (const [list, expected] of names) {
    const found = binding[list] ?? [];
    const length = Math.max(found.length, expected.length);
    for (let i = 0; i < length; i++) {
      if (found[i] !== expected[i]) return `${list}[${i}] is ${found[i] ?? 'missing'}, not ${expected[i] ?? 'there'}`;
    }
  }
  for (const [name, bit] of Object.entries(rowFlags)) {
    if (binding.rowFlags?.[name] !== bit) return `rowFlags.${name} is ${binding.rowFlags?.[name] ?? 'missing'}`;
  }
  return null;
}
