import { join } from 'node:path';
import { parseCpuMax, parseLimit } from '../cgroup/parse.js';
import type { Fault } from '../contract/heartbeat.js';
import type { FileResult } from '../io/file-reader.js';
import { ETIMEDOUT, GuardedReader, GuardedTask, type OpenFiles } from '../io/guarded.js';
import type { Clock } from '../util/clock.js';
import { errnoText } from '../util/errno.js';
import { adoptedName, type Classified, classifyAbove, compileGlob } from './classify.js';
import type { ContainerNames } from './container-names.js';
import type { ProcessTable } from './process-table.js';
import type { RecordsRead, WorkerRecord } from './records.js';
import { type CgroupTree, countDescendants, walkTree } from './tree-walk.js';
import type { Watched, WatchSet } from './watched.js';

export interface DiscoveryOptions {
  /** cgroup v2 root, absolute; null where there is none: no worker is found then, but processes are. */
  readonly root: string | null;
  /** `--watch` patterns, compared with paths relative to the root. */
  readonly watch: readonly string[];
  /** Watch containers, engines and GPU holders too, not only launched workers and what `watch` matches. */
  readonly auto: boolean;
  readonly openFiles?: OpenFiles | undefined;
  readonly processes: ProcessTable;
  readonly names: ContainerNames;
  readonly records: () => Promise<RecordsRead>;
  readonly clock: Clock;
  /** How often /proc is scanned for new processes (default 2000). */
  readonly processesEveryMs?: number;
  /** How often the tree is walked although its number of cgroups is the same (default 10,000). */
  readonly walkEveryMs?: number;
  /** How often records of `run` are read although the tree did not change (default 1000). */
  readonly recordsEveryMs?: number;
  /** How long a cgroup stays watched after its last engine or GPU process was seen (default 30,000). */
  readonly keepMs?: number;
}

/** How long a launch is waited for, ms: systemd-run is given 30 s. */
const launchMs = 35_000;

/** Limits of one cgroup; CPU in percent of one core. null = none. */
interface Limits {
  readonly memoryBytes: number | null;
  readonly cpuPercent: number | null;
}

/** From the contents of memory.max and cpu.max; null also for what can't be read. */
function parseLimits(memoryMax: FileResult | undefined, cpuMax: FileResult | undefined): Limits {
  const cells = new Float64Array(3).fill(Number.NaN);
  if (memoryMax instanceof Buffer) parseLimit(memoryMax, memoryMax.length, cells, 0);
  if (cpuMax instanceof Buffer) parseCpuMax(cpuMax, cpuMax.length, cells, 1, 2);
  const [memoryBytes, quota, period] = cells as unknown as [number, number, number];
  return { memoryBytes: finiteOrNull(memoryBytes), cpuPercent: finiteOrNull((quota * 100) / period) };
}

const finiteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

const least = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : Math.min(a, b));

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

/** Finds the cgroups that are workers: by the tree, by the processes in them, and by the records of `run`. */
export class Discovery {
  readonly #options: Required<Omit<DiscoveryOptions, 'openFiles'>>;
  readonly #files: GuardedReader;
  readonly #readRecords: GuardedTask<RecordsRead>;
  readonly #bornMs: number;
  #recoveries = 0;
  readonly #globs: readonly ((path: string) => boolean)[];
  /** Until when a cgroup is watched because of an engine or GPU process that was seen in it. */
  readonly #held = new Map<string, number>();
  #tree: CgroupTree | null = null;
  /** Workers that are recognized by their paths alone. */
  #named: ReadonlyMap<string, Classified> = new Map();
  #walkedMs = Number.NEGATIVE_INFINITY;
  #scannedMs = Number.NEGATIVE_INFINITY;
  #recordsMs = Number.NEGATIVE_INFINITY;
  #limits = new Map<string, Limits>();
  #rootAdoptable = false;
  #records: RecordsRead = { running: [], ended: [], launching: [], problems: [] };
  #recordsReadAtMs = Number.NEGATIVE_INFINITY;
  #set: Omit<WatchSet, 'recordsReadAtMs'> = { watched: [], complete: false, faults: [], ended: [] };
  #running: Promise<void> | null = null;
  #again = false;

  constructor(options: DiscoveryOptions) {
    this.#options = { processesEveryMs: 2000, recordsEveryMs: 1000, walkEveryMs: 10_000, keepMs: 30_000, ...options };
    this.#globs = options.watch.map(compileGlob);
    this.#bornMs = options.clock.now();
    const { openFiles: open, clock } = options;
    this.#files = new GuardedReader({
      open,
      clock,
      fault: (what) => ({
        source: 'cgroup',
        code: 'CGROUP_TREE_STALLED',
        message: `${what}: workers below it may not be seen.`,
      }),
    });
    this.#readRecords = new GuardedTask(options.records, clock);
  }

  /** What the last scan found, and what hangs now. */
  current(): WatchSet {
    const { processes, names } = this.#options;
    const faults = [...this.#set.faults, ...this.#files.faults(), ...processes.faults(), ...names.faults()];
    if (this.#readRecords.stalled) {
      faults.push({
        source: 'hive',
        code: 'RECORDS_STALLED',
        message:
          'Reading the records of workers does not return: labels, models, ports and exits of launched workers are not known.',
      });
    }
    const complete = this.#set.complete && !this.#stalled;
    return { ...this.#set, complete, faults, recordsReadAtMs: this.#recordsReadAtMs };
  }

  close(): void {
    this.#files.close();
  }

  /** Some read hangs without which workers may be missing. */
  get #stalled(): boolean {
    const { auto, processes } = this.#options;
    return this.#files.stalled || this.#readRecords.stalled || (auto && processes.stalled);
  }

  /** A GPU process was seen in this cgroup, which is no worker yet. It becomes one at the next scan. */
  holdsGpu(path: string): void {
    if (this.#options.auto) this.#hold(path);
  }

  /** Keeps all GPU holders watched: while the GPU reader does not answer, none can be seen. */
  keepHeld(): void {
    const until = this.#options.clock.now() + this.#options.keepMs;
    for (const path of this.#held.keys()) this.#held.set(path, until);
  }

  /** A watched cgroup has vanished: the next scan walks, whatever the count says. */
  changed(): void {
    this.#walkedMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * Looks for changes, and reads only what changed; with `force` everything. One scan at a time: a call during a scan
   * resolves with it, and a forced call makes another scan follow.
   */
  scan(force = false): Promise<void> {
    if (this.#running) {
      this.#again ||= force;
      return this.#running;
    }
    this.#running = (async () => {
      await this.#scan(force);
      while (this.#again) {
        this.#again = false;
        await this.#scan(true);
      }
    })().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #scan(force: boolean): Promise<void> {
    const { root, processes, clock, processesEveryMs, recordsEveryMs } = this.#options;
    const now = clock.now();
    const walked = root !== null && (await this.#walkIfDue(root, force, now));
    const scanned = force || now - this.#scannedMs >= processesEveryMs;
    if (scanned) {
      this.#scannedMs = now;
      await processes.scan();
    }
    let records = this.#records;
    if (walked || scanned || now - this.#recordsMs >= recordsEveryMs) {
      this.#recordsMs = now;
      const read = await this.#readRecords.run();
      if (read !== null) {
        records = read.value;
        this.#recordsReadAtMs = read.beganMs;
      }
    }
    if (root === null || this.#tree === null || !(walked || scanned || records !== this.#records)) return;
    this.#records = records;
    await this.#update(root, this.#tree, walked);
  }

  async #walkIfDue(root: string, force: boolean, now: number): Promise<boolean> {
    const files = this.#files;
    const { recoveries } = files;
    const due = force || now - this.#walkedMs >= this.#options.walkEveryMs || recoveries !== this.#recoveries;
    if (!due) {
      const count = await countDescendants(files, root);
      if (count !== null && count === this.#tree?.descendants) return false;
    }
    const tree = await walkTree(files, root, this.#tree);
    this.#walkedMs = now;
    this.#recoveries = recoveries;
    if (tree.paths.join('\0') !== this.#tree?.paths.join('\0')) this.#named = namedWorkers(tree.paths);
    this.#tree = tree;
    return true;
  }

  async #update(root: string, tree: CgroupTree, walked: boolean): Promise<void> {
    const faults: Fault[] = this.#records.problems.map(({ path, message }) => ({
      source: 'hive',
      code: 'RECORD_UNREADABLE',
      message: `The worker record ${path}: ${message}.`,
    }));
    for (const { path, errno } of tree.unreadable) {
      // The guarded reader has the fault of a listing that hangs.
      if (errno === ETIMEDOUT) continue;
      faults.push({
        source: 'cgroup',
        code: 'CGROUP_UNREADABLE',
        message: `${join(root, path)} cannot be listed (${errnoText(errno)}); workers below it are not seen.`,
      });
    }
    const found = this.#select(root, tree, faults);
    const known = this.#set.watched;
    const same = known.length === found.size && known.every(({ path }) => found.has(path));
    if (walked || !same) await this.#readLimits(root, [...found.keys()]);
    const watched = await Promise.all([...found].map(([path, entry]) => this.#describe(root, path, entry)));
    this.#set = {
      watched: distinct(watched),
      complete: tree.unreadable.length === 0 && !this.#stalled,
      faults,
      ended: this.#records.ended,
    };
  }

  /** Paths that are workers, and what each is. No worker is inside another one. */
  #select(root: string, tree: CgroupTree, faults: Fault[]): Map<string, Classified | WorkerRecord | null> {
    const { auto, processes, clock } = this.#options;
    const exists = new Set(tree.paths);
    const found = new Map<string, Classified | WorkerRecord | null>();
    for (const [path, entry] of this.#named) if (entry.kind === 'own' || auto) found.set(path, entry);
    for (const record of this.#records.running) {
      const path = record.cgroup?.startsWith(`${root}/`) ? record.cgroup.slice(root.length) : null;
      if (path !== null && exists.has(path) && !this.#covered(path, found)) found.set(path, record);
    }
    for (const path of tree.paths) {
      if (this.#globs.some((matches) => matches(path)) && !this.#covered(path, found)) found.set(path, null);
    }
    if (auto) {
      for (const { pid, engine, cgroup } of processes.all()) {
        if (engine === null || cgroup === null) continue;
        if (cgroup !== '/' || this.#rootAdoptable) this.#hold(cgroup);
        else {
          faults.push({
            source: 'hive',
            code: 'ENGINE_IN_ROOT_CGROUP',
            message: `${engine} (pid ${pid}) runs in the root cgroup, which belongs to the whole host; start it with \`hivepulse run\` to see it as a worker.`,
          });
        }
      }
      // Shorter paths first, so that none is taken inside another one.
      for (const [path, until] of [...this.#held].sort(([a], [b]) => a.length - b.length)) {
        if (until < clock.now() || (path !== '/' && !exists.has(path))) this.#held.delete(path);
        else if (!this.#covered(path, found)) found.set(path, null);
      }
    }
    for (const path of this.#unfinished()) found.delete(path);
    return found;
  }

  /**
   * Launched workers whose record is not written yet, or not read yet because reading the records hangs: without it they
   * would have no labels, model or reservation. A launch that died half-way and records that never come hold a worker
   * back for `launchMs` at most.
   */
  #unfinished(): readonly string[] {
    const nowMs = Date.now();
    const { running, launching } = this.#records;
    const sinceReadMs = this.#options.clock.now() - Math.max(this.#bornMs, this.#recordsReadAtMs);
    const unread = this.#readRecords.stalled && sinceReadMs < launchMs;
    const launches = new Set<string>();
    for (const { id, sinceMs } of launching) if (Math.abs(nowMs - sinceMs) < launchMs) launches.add(id);
    if (launches.size === 0 && !unread) return [];
    // A worker that is watched already stays: a launch under its name will be refused.
    const finished = new Set(this.#set.watched.map(({ id }) => id));
    for (const { group, instance } of running) finished.add(`${group}/${instance}`);
    return [...this.#named]
      .filter(([, { kind, group, instance }]) => {
        const id = `${group}/${instance}`;
        return kind === 'own' && !finished.has(id) && (unread || launches.has(id));
      })
      .map(([path]) => path);
  }

  #hold(path: string): void {
    if (path === '/' && !this.#rootAdoptable) return;
    this.#held.set(path, this.#options.clock.now() + this.#options.keepMs);
  }

  #covered(path: string, found: ReadonlyMap<string, unknown>): boolean {
    for (let at = path; at !== ''; at = parentOf(at)) if (found.has(at)) return true;
    return false;
  }

  /** memory.max and cpu.max of all ancestors, read once each. */
  async #readLimits(root: string, paths: readonly string[]): Promise<void> {
    const ancestors = new Set<string>();
    for (const path of paths) for (let at = parentOf(path); at !== ''; at = parentOf(at)) ancestors.add(at);
    const ordered = [...ancestors];
    // Only a cgroup that is not the host's first one has cgroup.events: then `/` is the container we run in.
    const wanted = ordered.flatMap((path) => [join(root, path, 'memory.max'), join(root, path, 'cpu.max')]);
    const results = await this.#files.read([join(root, 'cgroup.events'), ...wanted], 256);
    if (results[0] !== ETIMEDOUT) this.#rootAdoptable = results[0] instanceof Buffer;
    this.#limits = new Map(ordered.map((path, i) => [path, parseLimits(results[i * 2 + 1], results[i * 2 + 2])]));
  }

  async #describe(root: string, path: string, entry: Classified | WorkerRecord | null): Promise<Watched> {
    const { names } = this.#options;
    const named = entry ?? adoptedName(path);
    const { group, instance } = named;
    let memory: number | null = null;
    let cpu: number | null = null;
    for (let at = parentOf(path); at !== ''; at = parentOf(at)) {
      memory = least(memory, this.#limits.get(at)?.memoryBytes ?? null);
      cpu = least(cpu, this.#limits.get(at)?.cpuPercent ?? null);
    }
    const container = entry !== null && 'kind' in entry && entry.kind === 'container' ? entry : null;
    const launched = entry !== null && container === null;
    const record = launched
      ? (this.#records.running.find((candidate) => candidate.group === group && candidate.instance === instance) ??
        null)
      : null;
    return {
      id: `${group}/${instance}`,
      group,
      instance,
      path,
      directory: join(root, path),
      origin: launched ? 'launched' : 'adopted',
      name: container ? await names.find(container, path) : null,
      record,
      ancestorMemoryBytes: memory,
      ancestorCpuPercent: cpu,
    };
  }
}

function namedWorkers(paths: readonly string[]): ReadonlyMap<string, Classified> {
  const named = new Map<string, Classified>();
  for (const path of paths) {
    const above = classifyAbove(path);
    if (above?.path === path) named.set(path, above.found);
  }
  return named;
}

/**
 * Two cgroups that would share an id (the first twelve digits of two containers, one unit name under two managers) get
 * distinct ones by a suffix, in the order of their paths.
 */
function distinct(watched: readonly Watched[]): readonly Watched[] {
  const seen = new Map<string, number>();
  return [...watched]
    .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
    .map((worker) => {
      const count = (seen.get(worker.id) ?? 0) + 1;
      seen.set(worker.id, count);
      if (count === 1) return worker;
      const instance = `${worker.instance.slice(0, 120)}.${count}`;
      return { ...worker, instance, id: `${worker.group}/${instance}` };
    });
}
