import type { Fault, WorkerSample } from '../../lib/contract/heartbeat.js';
import type { ProbeTarget } from '../../lib/engines/prober.js';
import { type GpuEvent, type GpuReading, noGpuSource } from '../../lib/gpu/reading.js';
import {
  processColumns,
  type RawPass,
  rowFlags,
  type WorkerFile,
  workerColumn,
  workerColumns,
  workerFiles,
} from '../../lib/native/layout.js';
import type { SamplerDeps } from '../../lib/sampling/deps.js';
import type { RawRow } from '../../lib/sampling/rates.js';
import { Sampler } from '../../lib/sampling/sampler.js';
import type { TreePass } from '../../lib/sampling/tree-reader.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import { noTrees } from '../../lib/workers/tree-workers.js';
import type { Watched, WatchSet } from '../../lib/workers/watched.js';
import { processOf } from './endpoints-world.js';
import { process, row, watched } from './worker-support.js';

/** Pid and start; NaN where its files in /proc could not be read. */
export type Listed = readonly [pid: number, startTicks: number, counters?: Partial<{ resident: number; read: number }>];

interface Cgroup {
  values: Partial<RawRow>;
  pids: readonly Listed[];
  errors: Partial<Record<WorkerFile, number>>;
}

/** A machine in memory, and a sampler over it. Its clock stands. */
export class SamplerWorld {
  nowMs = 1_000_000;
  wallMs = Date.parse('2026-03-04T05:06:07Z');
  runningMs = 0;
  readonly slots: (string | null)[] = [];
  /** What slots were asked for and given back. */
  readonly asked: string[] = [];
  readonly cgroups = new Map<string, Cgroup>();
  readonly trees = new Map<string, { readonly row: RawRow; readonly processes: ReturnType<typeof process>[] }>();
  readonly table = new Map<number, KnownProcess>();
  readonly denied = new Set<number>();
  generation = 1;
  pass: RawPass | null = null;
  treePass: TreePass | null = null;
  treeFaults: readonly Fault[] = [];
  set: WatchSet = { watched: [], complete: true, faults: [], ended: [], recordsReadAtMs: 0 };
  reading: GpuReading = { ...noGpuSource('no GPUs').latest(), status: 'absent' };
  gpuEvents: GpuEvent[] = [];
  host: ReturnType<SamplerDeps['host']['latest']> = null;
  changes = 0;
  readonly used: number[] = [];
  readonly targets: (readonly ProbeTarget[])[] = [];
  readonly ready = new Map<string, boolean>();
  readonly sampler: Sampler;
  #sequence = 0;

  constructor(deps: Partial<SamplerDeps> = {}) {
    this.sampler = new Sampler({
      reader: this.#reader() as never,
      readerReason: null,
      trees: { latest: () => this.treePass, faults: () => this.treeFaults },
      gpu: { ...noGpuSource('none'), latest: () => this.reading, takeEvents: () => this.gpuEvents.splice(0) },
      discovery: {
        current: () => this.set,
        trees: noTrees,
        holdsGpu: () => undefined,
        keepHeld: () => undefined,
        changed: () => void this.changes++,
      },
      processes: this.#processes() as never,
      host: { latest: () => this.host },
      blockDevices: { used: (device) => void this.used.push(device), faults: () => [] },
      listening: null,
      prober: {
        update: (targets) => void this.targets.push(targets),
        readyOf: (id) => this.ready.get(id) ?? null,
        unclearOf: () => null,
        findingsOf: () => new Map(),
      },
      loads: null,
      namespaces: null,
      containers: null,
      showCommand: (argv) => argv.join(' '),
      state: { idleBelowPercent: 2, idleBelowCpuPercent: 6, idleForMs: 0 },
      clockTicks: 100,
      fromProc: { memory: false, io: false },
      isPid: (pid) => pid >= 1,
      gpuPidsKnown: true,
      deviceFiles: null,
      address: null,
      reported: null,
      root: '/cg',
      intervalMs: 1000,
      nowMs: () => this.nowMs,
      wallMs: () => this.wallMs,
      ...deps,
    });
  }

  /** The same reader for worlds that say something else of it. */
  #reader() {
    return {
      kind: 'native',
      add: (path: string) => {
        const free = this.slots.indexOf(null);
        const slot = free < 0 ? this.slots.length : free;
        this.slots[slot] = path;
        this.asked.push(`+${path}`);
        return slot;
      },
      remove: (slot: number) => {
        this.asked.push(`-${this.slots[slot]}`);
        this.slots[slot] = null;
      },
      latest: () => this.pass,
      passSync: () => this.read(),
      runningMs: () => this.runningMs,
    };
  }

  #processes() {
    const self = this;
    return {
      get generation() {
        return self.generation;
      },
      all: () => this.table.values(),
      get: (pid: number) => this.table.get(pid) ?? null,
      find: (pid: number, startTicks: number) => {
        const known = this.table.get(pid);
        return known?.startTicks === startTicks ? known : null;
      },
      want: () => undefined,
      denied: (pid: number) => this.denied.has(pid),
    };
  }

  /** Watches workers `llm/<name>`, each with one process, beside those of before; gives what is watched. */
  watch(...names: readonly string[]): readonly Watched[] {
    const all = names.map((name, i) => {
      const path = `/llm/${name}`;
      this.has(path, [[this.cgroups.size * 10 + 11 + i, 1000]]);
      return watched({ id: `llm/${name}`, instance: name, path, directory: `/cg${path}` });
    });
    this.set = { ...this.set, watched: [...this.set.watched, ...all] };
    return all;
  }

  /** A worker that is not as `watch` makes it. */
  watchAs(over: Partial<Watched> & Pick<Watched, 'path'>): void {
    const { path } = over;
    const each = watched({ id: path.slice(1), directory: `/cg${path}`, ...over });
    this.set = { ...this.set, watched: [...this.set.watched, each] };
  }

  /** A cgroup with these processes. */
  has(path: string, pids: readonly Listed[], values: Partial<RawRow> = {}, command = 'serve'): void {
    this.cgroups.set(path, { values, pids, errors: {} });
    for (const [pid, startTicks] of pids) this.runs(pid, startTicks, path, command);
    this.generation += 1;
  }

  runs(pid: number, startTicks: number, cgroup: string, command = 'serve'): void {
    if (!Number.isNaN(startTicks)) this.table.set(pid, { ...processOf(pid, command), startTicks, cgroup });
    this.generation += 1;
  }

  cgroup(path: string): Cgroup {
    return this.cgroups.get(path) as Cgroup;
  }

  /** A pass of the reader of cgroups now. */
  read(): RawPass {
    const width = workerColumns.length;
    const workers = new Float64Array(this.slots.length * width).fill(Number.NaN);
    const errors = new Int16Array(this.slots.length * workerFiles.length);
    const cells: number[] = [];
    for (const [slot, directory] of this.slots.entries()) {
      const cgroup = directory === null ? undefined : this.cgroups.get(directory.slice('/cg'.length));
      const pids = cgroup?.pids ?? [];
      const values: Partial<RawRow> = {
        ...{ flags: cgroup === undefined ? rowFlags.removed : 0, monotonicMs: this.nowMs, inode: slot + 50 },
        ...{ populated: 1, processOffset: cells.length / processColumns.length, processCount: pids.length },
        ...cgroup?.values,
      };
      for (const [name, value] of Object.entries(values)) workers[slot * width + workerColumn(name as never)] = value;
      for (const [pid, startTicks, { resident = Number.NaN, read = Number.NaN } = {}] of pids)
        cells.push(pid, startTicks, resident, read, read);
      for (const [file, errno] of Object.entries(cgroup?.errors ?? {}))
        errors[slot * workerFiles.length + workerFiles.indexOf(file as WorkerFile)] = errno;
    }
    this.#sequence += 1;
    const pass = { sequence: this.#sequence, startedMs: this.nowMs, durationMs: 1.23456, workers, errors };
    return { ...pass, processes: Float64Array.from(cells) };
  }

  /** A pass over trees of processes now. */
  readTrees(): void {
    this.treePass = { startedMs: this.nowMs, durationMs: 2.5, rows: new Map(this.trees) };
  }

  /** A tree of processes that is read with the next pass over them. */
  tree(path: string, values: Partial<RawRow> = {}, pids: readonly number[] = [71]): void {
    const counted = { monotonicMs: this.nowMs, processCount: pids.length, ...values };
    this.trees.set(path, { row: row(counted), processes: pids.map((pid) => process(pid, pid)) });
  }

  /** A second later, a pass over all, and a snapshot of it. */
  tick(ms = 1000) {
    this.nowMs += ms;
    this.wallMs += ms;
    this.sampler.reconcile();
    this.pass = this.read();
    if (this.trees.size > 0) this.readTrees();
    return this.sampler.snapshot();
  }

  worker(name: string): WorkerSample {
    return this.sampler.latest()!.workers.find(({ id }) => id === name) as WorkerSample;
  }

  /** Time since boot as /proc/uptime says it: starts of processes are known by it. */
  boot(uptimeSeconds = 1000): void {
    this.host = { host: { uptimeSeconds, cpuCount: 3 } as never, faults: [], atMs: this.nowMs };
  }
}
