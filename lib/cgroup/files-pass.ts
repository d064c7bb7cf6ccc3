import { closeSync, statSync } from 'node:fs';
import { constants as system } from 'node:os';
import {
  processColumn,
  processColumns,
  type RawPass,
  type RawReaderOptions,
  rowFlags,
  type WorkerFile,
  workerColumn,
  workerColumns,
  workerFiles,
} from '../native/layout.js';
import { bytesOfPath } from '../util/byte-path.js';
import { monotonicMs } from '../util/clock.js';
import { unpackStacks } from './block-devices.js';
import { parserOf } from './file-parsers.js';
import { errnoOf, KernelFiles } from './kernel-files.js';
import {
  type IoStacks,
  type KeyedField,
  keyed,
  parseKeyed,
  parsePids,
  parseResidentPages,
  parseStartTicks,
} from './parse.js';
import { systemValues } from './system-values.js';

const { ENODEV, ENOENT, ENOTDIR, ESRCH, EMFILE, ENFILE, EOPNOTSUPP } = system.errno;
const notANumber = -1;
const columns = workerColumns.length;
const files = workerFiles.length;

/** After so many passes a worker's missing files are looked for again: controllers may be enabled later. */
const rediscoverEvery = 60;

const fileIndex = (name: WorkerFile) => workerFiles.indexOf(name);
const memoryStat = fileIndex('memory.stat');
const cgroupProcs = fileIndex('cgroup.procs');
const isPressure = workerFiles.map((name) => name.endsWith('.pressure'));

const flagsColumn = workerColumn('flags');
const monotonicColumn = workerColumn('monotonicMs');
const inodeColumn = workerColumn('inode');
const anonColumn = workerColumn('anonBytes');
const inactiveColumn = workerColumn('inactiveFileBytes');
const offsetColumn = workerColumn('processOffset');
const countColumn = workerColumn('processCount');

const residentColumn = processColumn('residentBytes');
const startColumn = processColumn('startTicks');
const processIoFields: readonly KeyedField[] = [
  keyed('read_bytes:', processColumn('ioReadBytes')),
  keyed('write_bytes:', processColumn('ioWriteBytes')),
];

/** ENODEV comes from a kept descriptor of a removed file, ENOENT from opening it, ESRCH from /proc. */
const notThere = (errno: number) => errno === ENODEV || errno === ENOENT || errno === ENOTDIR || errno === ESRCH;
const ranOut = (errno: number) => errno === EMFILE || errno === ENFILE;

/** State of a file: to be opened · open · missing, tried again at the next rediscovery · never tried again. */
const unopened = 0;
const open = 1;
const missing = 2;
const unsupported = 3;

interface Process {
  readonly pid: number;
  startTicks: number;
  statm: number;
  io: number;
}

interface Worker {
  readonly path: string;
  removed: boolean;
  uncached: boolean;
  device: number;
  /** NaN until it was first seen. */
  inode: number;
  passes: number;
  anon: number;
  inactiveFile: number;
  /** Per file: descriptor or -1, state, last errno. */
  readonly descriptors: Int32Array;
  readonly states: Uint8Array;
  readonly errors: Int16Array;
  processes: Process[];
}

const newWorker = (path: string): Worker => ({
  path,
  removed: false,
  uncached: false,
  device: 0,
  inode: Number.NaN,
  passes: 0,
  anon: Number.NaN,
  inactiveFile: Number.NaN,
  descriptors: new Int32Array(files).fill(-1),
  states: new Uint8Array(files),
  errors: new Int16Array(files),
  processes: [],
});

/** Reads the files of a set of cgroups, synchronously: native/cgroup_reader.cc in TypeScript. */
export class FilesPass {
  readonly #at: (slot: number) => void;
  readonly #options: RawReaderOptions;
  readonly #memoryStatEvery: number;
  readonly #pageSize = systemValues().pageSize;
  readonly #files: KernelFiles;
  #pids = new Uint32Array(1024);
  #table = new Float64Array(1024 * processColumns.length);
  #tableLength = 0;
  #stacks: IoStacks | null = null;
  readonly #workers: (Worker | null)[] = [];
  // Of the row that is being read.
  #flags = 0;
  #identity: 'unchecked' | 'same' | number = 'unchecked';
  #knownAlive = false;

  /** `at` is called with each slot before it is read. */
  constructor(options: RawReaderOptions, at: (slot: number) => void = () => undefined) {
    this.#at = at;
    this.#options = options;
    this.#files = new KernelFiles(options.maxDescriptors);
    this.#memoryStatEvery = Math.max(1, options.memoryStatEvery);
  }

  add(slot: number, path: string): void {
    this.remove(slot);
    while (this.#workers.length <= slot) this.#workers.push(null);
    this.#workers[slot] = newWorker(path);
  }

  remove(slot: number): void {
    const worker = this.#workers[slot];
    if (!worker) return;
    this.#dropAll(worker);
    this.#workers[slot] = null;
  }

  setBlockDevices(table: Float64Array): void {
    this.#stacks = unpackStacks(table);
  }

  close(): void {
    for (let slot = 0; slot < this.#workers.length; slot++) this.remove(slot);
  }

  pass(sequence: number): RawPass {
    const startedMs = monotonicMs();
    const count = this.#workers.length;
    const workers = new Float64Array(count * columns).fill(Number.NaN);
    const errors = new Int16Array(count * files);
    this.#tableLength = 0;
    for (let slot = 0; slot < count; slot++) {
      this.#at(slot);
      const worker = this.#workers[slot];
      const base = slot * columns;
      const firstProcess = this.#tableLength;
      this.#flags = 0;
      workers[base + monotonicColumn] = monotonicMs();
      if (worker && !worker.removed && !this.#readFiles(worker, slot, workers, base, errors)) {
        // The cgroup was removed half-way: what was read of it is dropped.
        worker.removed = true;
        this.#dropAll(worker);
        worker.processes = [];
        this.#tableLength = firstProcess;
        workers.fill(Number.NaN, base + inodeColumn, base + columns);
      }
      if (!worker || worker.removed) {
        this.#flags = rowFlags.removed;
        errors.fill(ENODEV, slot * files, (slot + 1) * files);
      }
      if (worker) workers[base + inodeColumn] = worker.inode;
      workers[base + flagsColumn] = this.#flags;
    }
    const processes = this.#table.slice(0, this.#tableLength);
    return { sequence, startedMs, durationMs: monotonicMs() - startedMs, workers, processes, errors };
  }

  /** False: the cgroup is gone. */
  #readFiles(worker: Worker, slot: number, out: Float64Array, base: number, errors: Int16Array): boolean {
    const pass = worker.passes++;
    if (pass > 0 && pass % rediscoverEvery === 0) {
      worker.uncached = false;
      for (let i = 0; i < files; i++) if (worker.states[i] === missing) worker.states[i] = unopened;
    }
    this.#identity = 'unchecked';
    this.#knownAlive = false;
    // Spread over the passes by slot, so that no pass pays for the memory.stat of all workers.
    const memoryStatDue = pass === 0 || (pass + slot) % this.#memoryStatEvery === 0;

    for (let i = 0; i < files; i++) {
      const state = worker.states[i];
      if (i === memoryStat && !memoryStatDue) {
        out[base + anonColumn] = worker.anon;
        out[base + inactiveColumn] = worker.inactiveFile;
      } else if (state === open || state === unopened) {
        if (!this.#readFile(worker, i, out, base)) return false;
        if (i === memoryStat) {
          worker.anon = out[base + anonColumn] as number;
          worker.inactiveFile = out[base + inactiveColumn] as number;
        }
      }
      const error = worker.errors[i] as number;
      errors[slot * files + i] = error;
      if (error !== 0 && error !== ENOENT && error !== EOPNOTSUPP) this.#flags |= rowFlags.partial;
    }
    if (worker.uncached) this.#flags |= rowFlags.uncached;
    return true;
  }

  /** False: the cgroup is gone. */
  #readFile(worker: Worker, index: number, out: Float64Array, base: number): boolean {
    const kept = worker.descriptors[index] as number;
    const descriptor = kept >= 0 ? kept : this.#openFile(worker, index);
    const opened = descriptor >= 0;
    const length = opened ? this.#files.read(descriptor, index === cgroupProcs) : -1;
    if (opened && worker.descriptors[index] !== descriptor) closeSync(descriptor);
    if (length < 0) return this.#onError(worker, index, opened);
    worker.states[index] = open;
    const parse = parserOf[index];
    const clean = parse
      ? parse(this.#files.buffer, length, out, base, this.#stacks)
      : this.#readProcesses(worker, length, out, base);
    worker.errors[index] = clean ? 0 : notANumber;
    return true;
  }

  #onError(worker: Worker, index: number, opened: boolean): boolean {
    let errno = this.#files.errno;
    if (notThere(errno)) {
      if (!this.#knownAlive && !this.#stillThere(worker)) return false;
      this.#knownAlive = true;
      errno = ENOENT;
    }
    worker.errors[index] = errno;
    if (index === cgroupProcs) {
      if (errno === EOPNOTSUPP) this.#flags |= rowFlags.threaded;
      this.#forgetProcesses(worker.processes);
      worker.processes = [];
    }
    if (isPressure[index] && errno === EOPNOTSUPP) worker.states[index] = unsupported;
    else if (errno === ENOENT || (!opened && !ranOut(errno) && this.#identity === 'same')) {
      worker.states[index] = missing;
    }
    if (worker.states[index] !== open) this.#dropFile(worker, index);
    return true;
  }

  /** Opens a file of the worker, kept where that is possible; -1 with `errno` where it can't be opened. */
  #openFile(worker: Worker, index: number): number {
    for (;;) {
      if (this.#identity === 'unchecked') this.#identity = this.#identify(worker);
      if (this.#identity !== 'same') {
        this.#files.errno = this.#identity;
        return -1;
      }
      const descriptor = this.#files.open(`${worker.path}/${workerFiles[index]}`);
      if (descriptor >= 0 && !worker.uncached && this.#files.keep()) {
        worker.descriptors[index] = descriptor;
        return descriptor;
      }
      if (worker.uncached || (descriptor < 0 && !ranOut(this.#files.errno))) return descriptor;
      // A worker keeps all its descriptors or none. Those it gives back let files be opened one by one.
      this.#dropAll(worker);
      worker.uncached = true;
      if (descriptor >= 0) return descriptor;
    }
  }

  /** Whether the path still leads to the directory that it led to at first; an errno where not. */
  #identify(worker: Worker): 'same' | number {
    try {
      const status = statSync(bytesOfPath(worker.path));
      if (!status.isDirectory()) return ENOTDIR;
      if (Number.isNaN(worker.inode)) {
        worker.inode = status.ino;
        worker.device = status.dev;
      }
      return status.ino === worker.inode && status.dev === worker.device ? 'same' : ENODEV;
    } catch (error) {
      return errnoOf(error);
    }
  }

  /** Whether only the file is missing (its controller was disabled), not the whole cgroup. */
  #stillThere(worker: Worker): boolean {
    const identity = this.#identify(worker);
    return identity === 'same' || !notThere(identity);
  }

  /** Merges the pids just read with those of the last pass; start times are read of new ones only. */
  #readProcesses(worker: Worker, length: number, out: Float64Array, base: number): boolean {
    if (this.#pids.length < length / 2 + 1) this.#pids = new Uint32Array(length);
    const parsed = parsePids(this.#files.buffer, length, this.#pids);
    const clean = parsed >= 0;
    const pids = this.#pids.subarray(0, clean ? parsed : ~parsed).sort();

    const previous = worker.processes;
    const current: Process[] = [];
    const left: Process[] = [];
    let old = 0;
    out[base + offsetColumn] = this.#tableLength / processColumns.length;
    for (let i = 0; i < pids.length; i++) {
      const pid = pids[i] as number;
      if (i > 0 && pid === pids[i - 1]) continue;
      while (old < previous.length && (previous[old] as Process).pid < pid) left.push(previous[old++] as Process);
      const known = previous[old]?.pid === pid;
      const process = known ? (previous[old++] as Process) : { pid, startTicks: Number.NaN, statm: -1, io: -1 };
      current.push(process);
      this.#addProcessRow(worker, process);
    }
    while (old < previous.length) left.push(previous[old++] as Process);
    out[base + countColumn] = current.length;
    this.#forgetProcesses(left);
    worker.processes = current;
    return clean;
  }

  #addProcessRow(worker: Worker, process: Process): void {
    const at = this.#tableLength;
    if (at + processColumns.length > this.#table.length) {
      const grown = new Float64Array(this.#table.length * 2);
      grown.set(this.#table);
      this.#table = grown;
    }
    this.#tableLength = at + processColumns.length;
    this.#table.fill(Number.NaN, at, this.#tableLength);
    this.#table[at] = process.pid;
    if (this.#options.processMemory) {
      const length = this.#readProcess(worker, process, 'statm');
      if (length >= 0)
        this.#table[at + residentColumn] = parseResidentPages(this.#files.buffer, length) * this.#pageSize;
    }
    if (this.#options.processIo) {
      const length = this.#readProcess(worker, process, 'io');
      if (length >= 0) parseKeyed(this.#files.buffer, length, processIoFields, this.#table, at);
    }
    if (Number.isNaN(process.startTicks)) process.startTicks = this.#readStartTicks(process.pid);
    this.#table[at + startColumn] = process.startTicks;
  }

  #readStartTicks(pid: number): number {
    const descriptor = this.#files.open(`${this.#options.procRoot}/${pid}/stat`);
    if (descriptor < 0) return Number.NaN;
    const length = this.#files.read(descriptor, false);
    closeSync(descriptor);
    return length < 0 ? Number.NaN : parseStartTicks(this.#files.buffer, length);
  }

  /** Reads `statm` or `io` of a process through its kept descriptor, opened first where need be. -1: unreadable. */
  #readProcess(worker: Worker, process: Process, name: 'statm' | 'io'): number {
    if (process[name] >= 0) {
      const length = this.#files.read(process[name], false);
      if (length >= 0 || this.#files.errno !== ESRCH) return length;
      // The descriptor's process is gone, but its pid is in the cgroup: another process has that pid now.
      this.#forgetProcesses([process]);
      process.startTicks = Number.NaN;
    }
    const descriptor = this.#files.open(`${this.#options.procRoot}/${process.pid}/${name}`);
    if (descriptor < 0) return -1;
    const length = this.#files.read(descriptor, false);
    if (!worker.uncached && this.#files.keep()) process[name] = descriptor;
    else closeSync(descriptor);
    return length;
  }

  #dropFile(worker: Worker, index: number): void {
    const descriptor = worker.descriptors[index] as number;
    if (descriptor < 0) return;
    this.#files.closeKept(descriptor);
    worker.descriptors[index] = -1;
  }

  #forgetProcesses(processes: readonly Process[]): void {
    for (const process of processes) {
      for (const name of ['statm', 'io'] as const) {
        if (process[name] < 0) continue;
        this.#files.closeKept(process[name]);
        process[name] = -1;
      }
    }
  }

  #dropAll(worker: Worker): void {
    for (let i = 0; i < files; i++) this.#dropFile(worker, i);
    this.#forgetProcesses(worker.processes);
  }
}
