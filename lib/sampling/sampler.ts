import type { Fault, GpuSample, HostSample, Snapshot, WorkerSample } from '../contract/heartbeat.js';
import type { ReadinessTarget } from '../engines/readiness.js';
import type { GpuReading, GpuSource } from '../gpu/reading.js';
import { type RawPass, type RawReader, stalledFlag, type WorkerFile } from '../native/layout.js';
import type { HostReader } from '../procfs/host.js';
import type { Discovery } from '../workers/discovery.js';
import type { KnownProcess, ProcessTable } from '../workers/process-table.js';
import type { Watched } from '../workers/watched.js';
import { type Attribution, attribute, workerAt } from './attribution.js';
import type { HiveEventDraft } from './events.js';
import { ExitReporter } from './exit-reporter.js';
import { type RateBaseline, type RawRow, rates, rawRow } from './rates.js';
import { type ReportedEnds, workerRunKey } from './reported.js';
import { type StateMemory, type StateOptions, workerState } from './state.js';
import { UnobservedGpus } from './unobserved-gpus.js';
import {
  type Described,
  describe,
  fileFaults,
  hiddenFault,
  isLive,
  isPause,
  mainProcess,
  missingFaults,
  processesOf,
  recordOf,
  type WorkerProcess,
  workerSample,
} from './worker.js';

/** What the sampler asks of readiness; `ReadinessProber` is one. */
export interface Readiness {
  update(workers: readonly ReadinessTarget[]): void;
  readyOf(id: string): boolean | null;
}

export interface SamplerDeps {
  /** null where no cgroup v2 can be read, with the reason. */
  readonly reader: RawReader | null;
  /** Why the reader is not `native`; null where it is. */
  readonly readerReason: string | null;
  readonly gpu: GpuSource;
  readonly discovery: Pick<Discovery, 'current' | 'scan' | 'holdsGpu' | 'keepHeld' | 'changed'>;
  readonly processes: Pick<ProcessTable, 'get' | 'find' | 'want' | 'denied' | 'all' | 'generation'>;
  readonly host: HostReader;
  readonly readiness: Readiness | null;
  readonly state: StateOptions;
  /** Clock ticks per second of /proc/<pid>/stat. */
  readonly clockTicks: number;
  /** Memory and I/O are summed over processes: their controllers are not on v2. */
  readonly fromProc: { readonly memory: boolean; readonly io: boolean };
  /** Whether the GPU driver's pids are those of our /proc. */
  readonly gpuPidsKnown: boolean;
  /** Where workers' ports are reached; null: endpoints are not told. */
  readonly address: string | null;
  /**
   * What earlier runs of this hive have told; what they have not is told by this one. null: exits are told only of
   * workers that were seen.
   */
  readonly told: ReportedEnds | null;
  /** The cgroup root, absolute; null where there is none. */
  readonly root: string | null;
  readonly intervalMs: number;
  /** CLOCK_MONOTONIC in ms: the clock of `RawPass.startedMs`. */
  readonly nowMs: () => number;
  /** Wall clock in ms, for people. */
  readonly wallMs: () => number;
}

/** What is kept of a worker from pass to pass. */
interface Tracked {
  watched: Watched;
  readonly slot: number;
  readonly addedMs: number;
  inode: number;
  baseline: RateBaseline | null;
  state: StateMemory | null;
  live: boolean;
  /** What runs in it ran before we looked. */
  predates: boolean;
  /** The processes that `described` speaks of; null for one that was not known yet. */
  identity: readonly (KnownProcess | null)[];
  described: Described | null;
  main: { readonly key: string; readonly startedAt: string | null } | null;
  uptimeSeconds: number | null;
  oomKills: number | null;
  /** Processes that the last pass could not read: each has ended since, or /proc hides it. */
  unread: ReadonlySet<number>;
  /** Processes of the last pass that /proc hides. */
  hidden: number;
  recordSeen: Watched['record'];
  /** Read at least once. */
  read: boolean;
  /** The newest row, for counters; null where nothing lives in it. */
  row: RawRow | null;
}

/** A worker's counters as the kernel gave them. */
export interface RawCounters {
  readonly row: RawRow;
  /** Every device that ever counted is in the I/O sums; one that left took its counts along, and they went back. */
  readonly ioWhole: boolean;
}

const none: ReadonlySet<number> = new Set();

const emptyHost: HostSample = {
  cpuCount: 1,
  cpuPercent: null,
  memoryTotalBytes: null,
  memoryAvailableBytes: null,
  load1: null,
  uptimeSeconds: null,
  pressure: { cpu: null, memory: null, io: null },
};

/** Turns finished passes into snapshots. Does no I/O of its own and never waits: all it reads is what others have ready. */
export class Sampler {
  readonly #parts: SamplerDeps;
  readonly #tracked = new Map<string, Tracked>();
  readonly #exits: ExitReporter;
  readonly #bornMs: number;
  #occurrences: HiveEventDraft[] = [];
  #sequence = -1;
  #workers: readonly WorkerSample[] = [];
  #workerFaults: readonly Fault[] = [];
  #attribution: Attribution | null = null;
  readonly #doubts = new UnobservedGpus();
  #pass: { readonly startedMs: number; readonly durationMs: number } | null = null;
  #latest: Snapshot | null = null;
  #pidWorkers: ReadonlyMap<number, string> = new Map();
  /** Processes of cgroups below a worker's own, by its path; made again when processes or workers change. */
  #nested: { readonly key: string; readonly byPath: ReadonlyMap<string, readonly WorkerProcess[]> } | null = null;
  /** Rises when a worker is tracked or dropped. */
  #trackings = 0;

  constructor(parts: SamplerDeps) {
    this.#parts = parts;
    this.#bornMs = parts.nowMs();
    this.#exits = new ExitReporter(parts.root, parts.told);
  }

  /** The last snapshot that was made; null before the first. */
  latest(): Snapshot | null {
    return this.#latest;
  }

  /** Raw counters by worker id, from the newest pass; none where that pass is too old to be told. */
  counters(): ReadonlyMap<string, RawCounters> {
    const counters = new Map<string, RawCounters>();
    if (this.#stale()) return counters;
    for (const { watched, row, baseline } of this.#tracked.values()) {
      if (row === null) continue;
      counters.set(watched.id, { row, ioWhole: baseline?.io != null && baseline.io.mostDevices === row.ioDevices });
    }
    return counters;
  }

  /** Facts since the last call, oldest first: workers started and ended, OOM kills, and what the GPU reader saw. */
  takeEvents(): readonly HiveEventDraft[] {
    const events = this.#occurrences;
    this.#occurrences = [];
    for (const { kind, gpuUuid, at, detail } of this.#parts.gpu.takeEvents()) {
      events.push({ at, kind, gpuUuid, detail: { ...detail } });
    }
    return events;
  }

  /** Gives each watched cgroup a slot of the reader, and frees those of cgroups that are not watched any more. */
  reconcile(): void {
    const { reader, discovery, nowMs } = this.#parts;
    if (reader === null) return;
    const wanted = new Map(discovery.current().watched.map((watched) => [watched.path, watched]));
    for (const [path, tracked] of this.#tracked) if (!wanted.has(path)) this.#drop(path, tracked);
    for (const [path, watched] of wanted) {
      const tracked = this.#tracked.get(path);
      if (tracked) {
        tracked.watched = watched;
        continue;
      }
      this.#trackings += 1;
      this.#tracked.set(path, {
        watched,
        slot: reader.add(watched.directory),
        addedMs: nowMs(),
        inode: Number.NaN,
        baseline: null,
        state: null,
        live: false,
        predates: false,
        identity: [],
        described: null,
        main: null,
        uptimeSeconds: null,
        oomKills: null,
        unread: none,
        hidden: 0,
        recordSeen: null,
        read: false,
        row: null,
      });
    }
  }

  /** A snapshot from what is ready now: the newest pass (read once only), GPU reading and host sample. */
  snapshot(): Snapshot {
    const { reader, discovery } = this.#parts;
    this.reconcile();
    const pass = reader?.latest() ?? null;
    const reading = this.#parts.gpu.latest();
    if (pass !== null && pass.sequence !== this.#sequence) this.#take(pass, reading);
    this.#settleDepartures();
    this.#latest = this.#compose(reading, discovery.current().complete);
    return this.#latest;
  }

  /** Runs one pass on this thread and gives its workers; for benchmarks and embedders. Blocks for as long as the kernel does. */
  sampleWorkers(): readonly WorkerSample[] {
    const { reader, gpu } = this.#parts;
    if (reader === null) return [];
    this.reconcile();
    this.#take(reader.passSync(), gpu.latest());
    return this.#workers;
  }

  #take(pass: RawPass, reading: GpuReading): void {
    this.#sequence = pass.sequence;
    this.#pass = pass;
    const rows: {
      readonly tracked: Tracked;
      readonly row: RawRow;
      readonly processes: readonly WorkerProcess[] | null;
    }[] = [];
    const pidWorkers = new Map<number, string>();
    const stuck: Tracked[] = [];
    for (const [path, tracked] of this.#tracked) {
      // A pass that began before the slot was given tells of whoever had it before.
      const row = pass.startedMs >= tracked.addedMs ? rawRow(pass, tracked.slot) : null;
      if (row === null) continue;
      if ((row.flags & stalledFlag) !== 0) {
        stuck.push(tracked);
        continue;
      }
      tracked.read = true;
      if (!isLive(row)) {
        if ((row.flags & 1) !== 0) {
          this.#drop(path, tracked);
          this.#parts.discovery.changed();
        } else this.#depart(tracked);
        continue;
      }
      const processes = processesOf(pass, row);
      for (const { pid } of processes ?? []) pidWorkers.set(pid, path);
      rows.push({ tracked, row, processes });
    }
    this.#pidWorkers = pidWorkers;
    this.#doubts.update(reading);
    this.#attribution = this.#attribute(reading);
    const nested = this.#nestedProcesses();
    const gpus = { healthy: healthy(reading), totals: totals(reading) };
    const workers: WorkerSample[] = [];
    const faults: Fault[] = [];
    const missing = new Set<WorkerFile>();
    for (const { tracked, row, processes } of rows) {
      const sample = this.#sample(tracked, row, processes, nested.get(tracked.watched.path) ?? [], reading, gpus);
      if (sample === null) continue;
      workers.push(sample);
      if (tracked.hidden > 0) faults.push(hiddenFault(sample.id, tracked.hidden, processes?.length ?? 0));
      const found = fileFaults(pass, tracked.slot, sample.id);
      faults.push(...found.faults);
      for (const file of found.missing) missing.add(file);
    }
    faults.push(...missingFaults(missing, this.#parts.fromProc), ...this.#doubts.faults());
    for (const { watched } of stuck) {
      const last = this.#workers.find(({ id }) => id === watched.id);
      if (last !== undefined) workers.push(withoutMeasures(last));
      faults.push({
        source: 'cgroup',
        code: 'CGROUP_STALLED',
        message:
          'A read of its files does not return: one of its processes hangs in the kernel. All others are read on.',
        field: 'workers',
        workerId: watched.id,
      });
    }
    this.#workers = workers.sort((a, b) => (a.id < b.id ? -1 : 1));
    this.#workerFaults = faults;
    this.#probe(rows.map(({ tracked }) => tracked));
  }

  /** null for what is watched and no worker (the sandbox of a pod). */
  #sample(
    tracked: Tracked,
    row: RawRow,
    processes: readonly WorkerProcess[] | null,
    nested: readonly WorkerProcess[],
    reading: GpuReading,
    { healthy, totals }: { readonly healthy: ReadonlySet<string>; readonly totals: ReadonlyMap<string, number | null> },
  ): WorkerSample | null {
    const { fromProc, nowMs, readiness } = this.#parts;
    const { watched } = tracked;
    const record = recordOf(watched, row);
    // A runtime may put the container's processes into a cgroup below its own (crun: `.../container`).
    const all = nested.length === 0 ? (processes ?? []) : [...(processes ?? []), ...nested];
    const main = mainProcess(all, record);
    const fresh = tracked.baseline === null || (!Number.isNaN(row.inode) && tracked.inode !== row.inode);
    this.#identify(tracked, all, main);
    this.#lookForHidden(tracked, processes ?? []);
    if (watched.group === 'kubepods' && isPause(this.#commands(all, main))) return null;

    // Only a process that lives and was read has counters; one that ended between is no longer part of the sum.
    const counters =
      fromProc.io && nested.length === 0 && tracked.hidden === 0
        ? (processes ?? []).filter(({ startTicks }) => !Number.isNaN(startTicks))
        : null;
    const measured = rates(tracked.baseline, row, processes === null ? null : counters);
    tracked.baseline = measured.baseline;
    if (!Number.isNaN(row.inode)) tracked.inode = row.inode;
    tracked.recordSeen = record;
    tracked.row = row;

    if (!tracked.live) this.#started(tracked, main, record);
    this.#countOom(tracked, row, measured.rates.oomKillsSince, fresh);

    const gpus = this.#gpusOf(watched.path, reading);
    const gpuDoubt =
      gpus !== null &&
      this.#doubts.mayHoldUnobserved({
        held: tracked.state?.gpuUuids ?? [],
        holdsElsewhere: gpus.length > 0,
        predates: tracked.predates,
      });
    const target = this.#target(tracked);
    const ready = readiness && target ? readiness.readyOf(watched.id) : null;
    const utilization = gpus === null ? null : sumOrNull(gpus.map(({ utilizationPercent }) => utilizationPercent));
    const { state, memory } = workerState(
      tracked.state,
      {
        probed: ready !== null,
        ready,
        gpuStatus: reading.status,
        gpuUuids: gpus === null ? null : gpus.map(({ uuid }) => uuid),
        gpuDoubt,
        healthyGpus: healthy,
        gpuUtilizationPercent: utilization,
        cpuPercent: measured.rates.cpuPercent,
      },
      nowMs(),
      this.#parts.state,
    );
    tracked.state = memory;
    return workerSample({
      watched,
      row,
      rates: measured.rates,
      processes,
      nestedProcesses: nested.length,
      hiddenProcesses: tracked.hidden,
      record,
      described: tracked.described,
      main,
      startedAt: tracked.main?.startedAt ?? null,
      uptimeSeconds: tracked.uptimeSeconds,
      gpus,
      gpuDoubt,
      gpuTotals: totals,
      ready,
      state,
      memoryFromProc: fromProc.memory && Number.isNaN(row.memoryCurrentBytes),
      address: this.#parts.address,
    });
  }

  /**
   * Counts the processes that /proc hides. One that ended while the pass read it is not in cgroup.procs of the next pass; one
   * that is there again lives, and /proc will not show it.
   */
  #lookForHidden(tracked: Tracked, processes: readonly WorkerProcess[]): void {
    const before = tracked.unread;
    tracked.unread = none;
    tracked.hidden = 0;
    if (!processes.some(({ startTicks }) => Number.isNaN(startTicks))) return;
    const unread = processes.filter(({ startTicks }) => Number.isNaN(startTicks)).map(({ pid }) => pid);
    tracked.unread = new Set(unread);
    tracked.hidden = unread.filter((pid) => before.has(pid) && this.#parts.processes.denied(pid)).length;
  }

  #nestedProcesses(): ReadonlyMap<string, readonly WorkerProcess[]> {
    const { processes } = this.#parts;
    const key = `${processes.generation}/${this.#trackings}`;
    if (this.#nested?.key === key) return this.#nested.byPath;
    const paths = new Map([...this.#tracked.keys()].map((path) => [path, path]));
    const byPath = new Map<string, WorkerProcess[]>();
    for (const { pid, startTicks, cgroup } of processes.all()) {
      if (cgroup === null || paths.has(cgroup)) continue;
      const worker = workerAt(cgroup, paths);
      if (worker === null) continue;
      const unread = { residentBytes: Number.NaN, ioReadBytes: Number.NaN, ioWriteBytes: Number.NaN };
      const list = byPath.get(worker) ?? [];
      byPath.set(worker, list);
      list.push({ pid, startTicks, ...unread });
    }
    this.#nested = { key, byPath };
    return byPath;
  }

  /** Command lines, main process first; [] stands for one that is not known yet. */
  #commands(processes: readonly WorkerProcess[], main: WorkerProcess | null): readonly (readonly string[])[] {
    const ordered = main === null ? processes : [main, ...processes.filter((process) => process !== main)];
    return ordered.map(({ pid, startTicks }) => this.#parts.processes.find(pid, startTicks)?.argv ?? []);
  }

  /** Looks at command lines only when the set of processes, or what is known of them, has changed. */
  #identify(tracked: Tracked, processes: readonly WorkerProcess[], main: WorkerProcess | null): void {
    const { clockTicks, host, nowMs, wallMs } = this.#parts;
    const table = this.#parts.processes;
    const identity = processes.map(({ pid, startTicks }) => {
      const known = table.find(pid, startTicks);
      if (known === null) table.want(pid);
      return known;
    });
    const { identity: before } = tracked;
    if (
      tracked.described === null ||
      identity.length !== before.length ||
      identity.some((known, i) => known !== before[i])
    ) {
      tracked.identity = identity;
      tracked.described = describe(this.#commands(processes, main));
    }
    const reading = host.latest();
    const upSeconds = reading?.host.uptimeSeconds ?? null;
    if (main === null || Number.isNaN(main.startTicks) || reading === null || upSeconds === null) {
      tracked.uptimeSeconds = null;
      if (main === null) tracked.main = null;
      return;
    }
    // The host's uptime is of its own reading; what passed since is added by the clock of the pass.
    const uptimeSeconds = upSeconds + (nowMs() - reading.atMs) / 1000 - main.startTicks / clockTicks;
    tracked.uptimeSeconds = Math.max(0, uptimeSeconds);
    const key = `${main.pid}/${main.startTicks}`;
    // Once per process: a wall clock that is set later would make it jump.
    if (tracked.main?.key !== key) {
      tracked.main = { key, startedAt: new Date(wallMs() - tracked.uptimeSeconds * 1000).toISOString() };
    }
  }

  #started(tracked: Tracked, main: WorkerProcess | null, record: Watched['record']): void {
    tracked.live = true;
    const watchedForMs = this.#parts.nowMs() - this.#bornMs;
    tracked.predates = tracked.uptimeSeconds === null || tracked.uptimeSeconds * 1000 > watchedForMs;
    if (tracked.predates) return; // it did not start now
    this.#occurrences.push({
      at: tracked.main?.startedAt ?? this.#nowText(),
      kind: 'workerStarted',
      workerId: tracked.watched.id,
      detail: {
        pid: main?.pid ?? null,
        origin: tracked.watched.origin,
        ...(record?.reservationId ? { reservationId: record.reservationId } : {}),
      },
    });
  }

  #countOom(tracked: Tracked, row: RawRow, since: number | null, fresh: boolean): void {
    const total = row.oomKill;
    // A cgroup that came while we watched began at zero; of an older one the past is not ours to tell.
    const watchedForMs = this.#parts.nowMs() - this.#bornMs;
    const isNew = fresh && tracked.uptimeSeconds !== null && tracked.uptimeSeconds * 1000 < watchedForMs;
    const { told } = this.#parts;
    const record = tracked.recordSeen;
    // Of one that an earlier run of this hive watched, what that run has told is known.
    const before =
      since !== null || Number.isNaN(total)
        ? null
        : isNew
          ? 0
          : told?.continued && record !== null && tracked.oomKills === null
            ? told.oomKills(workerRunKey(record))
            : null;
    const kills = since ?? (before === null ? 0 : Math.max(0, total - before));
    if (kills > 0) {
      this.#occurrences.push({
        at: this.#nowText(),
        kind: 'oomKill',
        workerId: tracked.watched.id,
        detail: { kills, total },
        ...(told !== null && record !== null
          ? { reportMark: { worker: workerRunKey(record), exited: false, oomKills: total } }
          : {}),
      });
    }
    if (!Number.isNaN(total)) tracked.oomKills = total;
  }

  #target(tracked: Tracked): ReadinessTarget | null {
    const record = tracked.recordSeen;
    const serving = tracked.described?.serving ?? null;
    return {
      id: tracked.watched.id,
      identity: tracked.main?.key ?? String(tracked.inode),
      readyUrl: record?.readyUrl ?? null,
      engine: serving?.engine ?? null,
      port: record?.port ?? serving?.port ?? null,
    };
  }

  #probe(live: readonly Tracked[]): void {
    this.#parts.readiness?.update(live.map((tracked) => this.#target(tracked)).filter((target) => target !== null));
  }

  #attribute(reading: GpuReading): Attribution | null {
    const { gpuPidsKnown, processes, discovery } = this.#parts;
    if (reading.status !== 'working') {
      discovery.keepHeld();
      return null;
    }
    if (!gpuPidsKnown) return null;
    if (this.#doubts.becameUnobserved) discovery.keepHeld();
    const workersByPath = new Map<string, string>();
    for (const path of this.#tracked.keys()) workersByPath.set(path, path);
    const attribution = attribute({
      processes: reading.processes,
      workersByPath,
      pathOf: (pid) => {
        const path = this.#pidWorkers.get(pid) ?? processes.get(pid)?.cgroup ?? null;
        if (path === null) processes.want(pid);
        return path;
      },
    });
    for (const path of attribution.unclaimedPaths) discovery.holdsGpu(path);
    // An adopted cgroup stays a worker as long as it holds a GPU.
    for (const path of attribution.byWorker.keys()) {
      if (this.#tracked.get(path)?.watched.origin === 'adopted') discovery.holdsGpu(path);
    }
    return attribution;
  }

  #gpusOf(path: string, reading: GpuReading): WorkerSample['gpus'] | null {
    if (reading.status !== 'working' || this.#attribution === null) return null;
    return [...(this.#attribution.byWorker.get(path) ?? [])];
  }

  #depart(tracked: Tracked): void {
    if (!tracked.live) return;
    const { watched } = tracked;
    this.#exits.departed({
      id: watched.id,
      group: watched.group,
      instance: watched.instance,
      origin: watched.origin,
      record: tracked.recordSeen,
      inode: tracked.inode,
      oomKills: tracked.oomKills,
      uptimeSeconds: tracked.uptimeSeconds === null ? null : Math.round(tracked.uptimeSeconds * 100) / 100,
      atMs: this.#parts.nowMs(),
      at: this.#nowText(),
    });
    tracked.live = false;
    tracked.row = null;
    tracked.baseline = null;
    tracked.state = null;
    tracked.main = null;
    tracked.identity = [];
    tracked.described = null;
  }

  #drop(path: string, tracked: Tracked): void {
    this.#depart(tracked);
    this.#parts.reader?.remove(tracked.slot);
    this.#tracked.delete(path);
    this.#trackings += 1;
    this.#workers = this.#workers.filter(({ id }) => id !== tracked.watched.id);
  }

  #settleDepartures(): void {
    const { ended } = this.#parts.discovery.current();
    this.#occurrences.push(...this.#exits.settle(ended, this.#parts.nowMs(), (path) => this.#tracked.get(path)));
  }

  #compose(reading: GpuReading, discovered: boolean): Snapshot {
    const { reader, readerReason, discovery, host, intervalMs, nowMs } = this.#parts;
    const faults: Fault[] = [...discovery.current().faults];
    const ageMs = this.#pass === null ? null : Math.max(0, nowMs() - this.#pass.startedMs);
    const stuckMs = reader?.runningMs() ?? 0;
    const stale = this.#stale();
    if (reader === null) {
      faults.push({
        source: 'cgroup',
        code: 'CGROUP_UNAVAILABLE',
        message: readerReason ?? 'No cgroup v2 can be read.',
      });
    } else if (stale || stuckMs > Math.max(2000, 2 * intervalMs)) {
      faults.push({
        source: 'cgroup',
        code: 'CGROUP_STALLED',
        message: `Reading cgroups has not returned for ${Math.round(Math.max(stuckMs, ageMs ?? 0))} ms: some process hangs in the kernel.`,
      });
    }
    const hostReading = host.latest();
    const allRead = [...this.#tracked.values()].every(({ read }) => read);
    return {
      host: hostReading?.host ?? emptyHost,
      gpus: this.#gpus(reading, faults),
      workersComplete: reader !== null && discovered && allRead && this.#pass !== null && !stale,
      workers: stale ? this.#workers.map(withoutMeasures) : [...this.#workers],
      faults: [...faults, ...(hostReading?.faults ?? []), ...this.#workerFaults].slice(0, maxFaults),
      collection: {
        durationMs: this.#pass === null ? null : round3(this.#pass.durationMs),
        ageMs: ageMs === null ? null : round3(ageMs),
        cgroupReader: reader?.kind ?? 'none',
        cgroupReaderReason: readerReason?.slice(0, 512) ?? null,
        gpuReader: reading.reader,
        gpuReaderReason: reading.reason?.slice(0, 512) ?? null,
        gpuAgeMs: reading.ageMs === null ? null : round3(reading.ageMs),
      },
    };
  }

  /** As long as a pass is late by a few intervals its figures are old and true; after that nobody knows. */
  #stale(): boolean {
    const { nowMs, intervalMs } = this.#parts;
    return this.#pass !== null && nowMs() - this.#pass.startedMs > Math.max(5000, 5 * intervalMs);
  }

  #gpus(reading: GpuReading, faults: Fault[]): GpuSample[] {
    faults.push(...reading.faults);
    const attribution = this.#attribution;
    if (reading.status === 'working' && !this.#parts.gpuPidsKnown && reading.processes.length > 0) {
      faults.push({
        source: 'gpu',
        code: 'PID_NAMESPACE',
        field: 'workers.gpus',
        message:
          'The hive runs in a pid namespace of its own, so the pids that the driver gives cannot be told apart; run it in the host pid namespace (docker: --pid=host, Kubernetes: hostPID: true).',
      });
    }
    const working = reading.status === 'working';
    const counts = new Map<string, number>();
    for (const { gpuUuid } of reading.processes) counts.set(gpuUuid, (counts.get(gpuUuid) ?? 0) + 1);
    return reading.devices.map(({ processesKnown, ...device }) => ({
      ...device,
      processCount: working && processesKnown ? (counts.get(device.uuid) ?? 0) : null,
      unattributedBytes:
        working && processesKnown && attribution !== null
          ? attribution.unattributedBytes.has(device.uuid)
            ? (attribution.unattributedBytes.get(device.uuid) ?? null)
            : 0
          : null,
    }));
  }

  #nowText(): string {
    return new Date(this.#parts.wallMs()).toISOString();
  }
}

/** A thousand workers that fail at once are told by fewer words than that. */
const maxFaults = 500;

const round3 = (value: number): number => Math.round(value * 1000) / 1000;

function sumOrNull(values: readonly (number | null)[]): number | null {
  let total = 0;
  for (const value of values) {
    if (value === null) return null;
    total += value;
  }
  return total;
}

const healthy = (reading: GpuReading): ReadonlySet<string> =>
  new Set(reading.devices.filter(({ health }) => health === 'ok' || health === 'degraded').map(({ uuid }) => uuid));

const totals = (reading: GpuReading): ReadonlyMap<string, number | null> =>
  new Map(reading.devices.map(({ uuid, memoryTotalBytes }) => [uuid, memoryTotalBytes]));

/** A worker of which only is known that it was there. */
function withoutMeasures(worker: WorkerSample): WorkerSample {
  return {
    ...worker,
    uptimeSeconds: null,
    processCount: null,
    cpuPercent: null,
    cpuThrottledPercent: null,
    memoryBytes: null,
    workingSetBytes: null,
    memoryPeakBytes: null,
    oomKills: null,
    ioReadBytesPerSecond: null,
    ioWriteBytesPerSecond: null,
    pressure: { cpu: null, memory: null, io: null },
    gpus: [],
    gpuUtilizationPercent: null,
    vramUsedBytes: null,
    vramTotalBytes: null,
    state: 'unknown',
  };
}
