import { availableParallelism } from 'node:os';
import { unmeasured } from '../contract/fields/field.js';
import { hostFields } from '../contract/fields/host.js';
import type { Fault, HostSample, Snapshot, WorkerGpu, WorkerSample } from '../contract/heartbeat.js';
import type { ProbeTarget } from '../engines/prober.js';
import { gpuKnowledge } from '../gpu/knowledge.js';
import type { GpuReading } from '../gpu/reading.js';
import { type RawPass, rowFlags, stalledFlag, type WorkerFile } from '../native/layout.js';
import type { WatchSet } from '../workers/watched.js';
import type { SamplerDeps } from './deps.js';
import { Endpoints } from './endpoints.js';
import type { HiveEventDraft } from './events.js';
import { implausible } from './implausible.js';
import { addFaults, type LiveRow } from './live-row.js';
import { type RawRow, rates, rawRow } from './rates.js';
import { shownWorkers } from './shown-workers.js';
import { StartClock } from './start-clock.js';
import { type StateInput, workerState } from './state.js';
import { clear, probeTarget, type Tracked, track } from './tracked.js';
import type { TreePass } from './tree-reader.js';
import { type Unknown, unknown } from './unknown.js';
import {
  isLive,
  isPause,
  processesOf,
  recordOf,
  sum,
  unmeasuredWorker,
  type WorkerProcess,
  workerSample,
} from './worker.js';
import { WorkerEvents } from './worker-events.js';
import { fileError, missingFaults } from './worker-faults.js';
import { WorkerGpus } from './worker-gpus.js';
import { type WorkerLoad, WorkerLoads } from './worker-loads.js';
import { WorkerProcesses } from './worker-processes.js';

/** A worker's counters as the kernel gave them. */
export interface RawCounters {
  readonly row: RawRow;
  /** The I/O sums include every device that ever counted: none has left and made them go back. */
  readonly ioWhole: boolean;
}

/** A host of which nothing could be read yet. */
const emptyHost: HostSample = { ...(unmeasured(hostFields) as HostSample), cpuCount: availableParallelism() };

/**
 * Turns finished passes into snapshots: raw rows to rates, rates to what a worker is and does. Does no I/O of its own and
 * never waits: all it reads is what others have ready.
 */
export class Sampler {
  readonly #deps: SamplerDeps;
  readonly #tracked = new Map<string, Tracked>();
  readonly #clock: StartClock;
  readonly #events: WorkerEvents;
  readonly #processes: WorkerProcesses;
  readonly #gpus: WorkerGpus;
  readonly #endpoints: Endpoints;
  readonly #loads: WorkerLoads;
  #sequence = -1;
  #workers: readonly WorkerSample[] = [];
  #workerFaults: readonly Fault[] = [];
  #pass: { readonly startedMs: number; readonly durationMs: number } | null = null;
  #latest: Snapshot | null = null;
  /** The list that `#tracked` is of; null where some of it was dropped since. */
  #reconciled: WatchSet['watched'] | null = null;
  /** Changes when a worker is tracked or dropped. */
  #trackings = 0;

  constructor(deps: SamplerDeps) {
    this.#deps = deps;
    this.#clock = new StartClock(deps);
    this.#events = new WorkerEvents(deps, this.#clock);
    this.#processes = new WorkerProcesses(deps, this.#clock);
    this.#gpus = new WorkerGpus(deps);
    this.#endpoints = new Endpoints(deps);
    this.#loads = new WorkerLoads(deps);
  }

  /** The last snapshot that was made; null before the first. */
  latest(): Snapshot | null {
    return this.#latest;
  }

  /** Calls with what an engine says between two snapshots. */
  onLoad(listener: Parameters<WorkerLoads['listen']>[0]): void {
    this.#loads.listen(listener);
  }

  /** Raw counters by worker id, from the newest pass; none where that pass is too old. */
  counters(): ReadonlyMap<string, RawCounters> {
    const counters = new Map<string, RawCounters>();
    if (this.#stale()) return counters;
    for (const { watched, row, baseline } of this.#tracked.values()) {
      if (row === null) continue;
      counters.set(watched.id, { row, ioWhole: baseline?.io != null && baseline.io.mostDevices === row.ioDevices });
    }
    return counters;
  }

  /** Events since the last call, oldest first, those of the GPU reader last. */
  takeEvents(): readonly HiveEventDraft[] {
    const events = this.#events.take();
    for (const { kind, gpuUuid, at, detail } of this.#deps.gpu.takeEvents()) {
      events.push({ at, kind, gpuUuid, detail: { ...detail } });
    }
    return events;
  }

  /** Gives each watched cgroup a slot of the reader, and forgets workers that are not watched any more. */
  reconcile({ watched: all }: Pick<WatchSet, 'watched'> = this.#deps.discovery.current()): void {
    const { reader, nowMs } = this.#deps;
    if (all === this.#reconciled) return;
    const wanted = new Map(all.map((watched) => [watched.path, watched]));
    for (const [path, tracked] of this.#tracked) if (!wanted.has(path)) this.#drop(path, tracked);
    for (const [path, watched] of wanted) {
      const tracked = this.#tracked.get(path);
      if (tracked) {
        tracked.watched = watched;
        continue;
      }
      this.#trackings += 1;
      const slot = watched.directory === null ? null : (reader?.add(watched.directory) ?? null);
      this.#tracked.set(path, track(watched, slot, nowMs()));
    }
    this.#reconciled = all;
  }

  /** Looks at the sockets of all workers that are known now, so that the next snapshot need not wait for them. */
  async lookAtSockets(): Promise<void> {
    this.#processes.update(this.#tracked.keys(), this.#trackings, this.#deps.discovery.trees);
    await this.#endpoints.look(this.#processes.groups);
  }

  /** A snapshot from what is ready now: the newest pass (read once only), GPU reading and host sample. */
  snapshot(): Snapshot {
    const { reader, discovery } = this.#deps;
    const set = discovery.current();
    this.reconcile(set);
    const pass = reader?.latest() ?? null;
    const reading = this.#deps.gpu.latest();
    const trees = this.#deps.trees?.latest() ?? null;
    if (this.#isNew(pass, trees)) this.#take(pass, trees, reading);
    this.#settleEvents(set);
    this.#latest = this.#compose(reading, set);
    return this.#latest;
  }

  /** Runs one pass over cgroups on this thread and returns its workers. Blocks as long as the kernel does. */
  sampleWorkers(): readonly WorkerSample[] {
    const { reader, gpu, discovery, trees } = this.#deps;
    const set = discovery.current();
    this.reconcile(set);
    this.#take(reader?.passSync() ?? null, trees?.latest() ?? null, gpu.latest());
    this.#settleEvents(set);
    return this.#workers;
  }

  #settleEvents(set: WatchSet): void {
    this.#events.settle(set, (path) => this.#tracked.get(path));
  }

  /** By how much the wall clock was set since the first pass, ms. */
  get wallStepMs(): number {
    return this.#clock.wallStepMs;
  }

  /** Without cgroups the trees set the pace. */
  #isNew(pass: RawPass | null, trees: TreePass | null): boolean {
    if (this.#deps.reader === null) return trees !== null && trees !== this.#pass;
    return pass !== null && pass.sequence !== this.#sequence;
  }

  #take(pass: RawPass | null, trees: TreePass | null, reading: GpuReading): void {
    const { fromProc, prober } = this.#deps;
    this.#sequence = pass?.sequence ?? -1;
    this.#pass = pass ?? trees;
    const { rows, stalled } = this.#readRows(pass, trees);
    this.#gpus.update(reading, this.#tracked, () => pathsByPid(rows));
    this.#clock.update();
    this.#processes.update(this.#tracked.keys(), this.#trackings, this.#deps.discovery.trees);
    this.#endpoints.update(this.#processes.groups);
    const workers: WorkerSample[] = [];
    const found = { faults: [] as Fault[], missing: new Set<WorkerFile>() };
    const { faults, missing } = found;
    const targets: ProbeTarget[] = [];
    for (const live of rows) {
      const sample = this.#sample(live, pass, reading.status);
      if (sample === null) continue;
      faults.push(...implausible(sample));
      workers.push(sample);
      const { tracked } = live;
      if (prober !== null) targets.push(probeTarget(tracked, sample, this.#endpoints));
      const { path } = tracked.watched;
      this.#loads.add(tracked, this.#processes.groups.get(path) ?? [], this.#endpoints.askedOf(path));
      addFaults(found, { live, pass, sample });
    }
    faults.push(...this.#endpoints.faults());
    const clockFault = this.#clock.fault();
    if (clockFault !== null) faults.push(clockFault);
    faults.push(...(this.#deps.blockDevices?.faults() ?? []), ...(this.#deps.trees?.faults() ?? []));
    faults.push(...missingFaults(missing, fromProc), ...this.#gpus.doubts());
    for (const { watched } of stalled) {
      const last = this.#workers.find(({ id }) => id === watched.id);
      if (last !== undefined) workers.push(unmeasuredWorker(last));
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
    prober?.update(targets);
    this.#loads.ask();
  }

  /** The rows in which a worker lives. Workers that have ended depart here. */
  #readRows(pass: RawPass | null, trees: TreePass | null) {
    const rows: LiveRow[] = [];
    const stalled: Tracked[] = [];
    for (const [path, tracked] of this.#tracked) {
      const { slot } = tracked;
      const tree = slot === null ? (trees?.rows.get(path) ?? null) : null;
      // A pass that began before the slot was given is about the cgroup that had it before.
      const ofCgroup = pass !== null && slot !== null && pass.startedMs >= tracked.addedMs ? rawRow(pass, slot) : null;
      const row = tree?.row ?? ofCgroup;
      if (row === null) continue;
      if ((row.flags & stalledFlag) !== 0) {
        stalled.push(tracked);
        continue;
      }
      tracked.read = true;
      if ((row.flags & rowFlags.removed) !== 0) {
        this.#drop(path, tracked);
        this.#deps.discovery.changed();
      } else if (!isLive(row)) {
        this.#depart(tracked);
      } else {
        const processes = tree?.processes ?? (pass && processesOf(pass, row, this.#deps.isPid));
        rows.push({ tracked, row, processes });
      }
    }
    return { rows, stalled };
  }

  /** null for what is watched and no worker (the sandbox of a pod). */
  #sample(
    { tracked, row, processes }: LiveRow,
    pass: RawPass | null,
    gpuStatus: GpuReading['status'],
  ): WorkerSample | null {
    const { fromProc } = this.#deps;
    const { watched, slot } = tracked;
    // Trees are read by themselves, and this one not again since.
    if (row === tracked.row) return this.#workers.find(({ id }) => id === watched.id) ?? null;
    const isTree = watched.scope === 'processes';
    const record = recordOf(watched, row);
    const { main, nested, commands } = this.#processes.identify(tracked, processes ?? [], record);
    if (watched.group === 'kubepods' && isPause(commands())) return null;

    const measured = rates(tracked.baseline, row, this.#ioCounters(tracked, processes, nested));
    tracked.baseline = measured.baseline;
    if (!Number.isNaN(row.inode)) tracked.inode = row.inode;
    tracked.recordSeen = record;
    tracked.row = row;
    if (row.ioDevices > 1) this.#deps.blockDevices?.used(row.ioUnknownDevice);
    if (!tracked.live) this.#events.started(tracked, record);
    this.#events.countOomKills(tracked, row.oomKill, measured.rates.oomKillsSince);

    tracked.server = this.#endpoints.of(watched.path, watched.id, record?.port ?? null, tracked.hidden > 0);
    const gpus = this.#gpus.of(watched.path);
    const gpuDoubt = this.#gpus.inDoubt(tracked, gpus);
    const inferred = this.#gpus.inferredOf(watched.path);
    const ready = this.#deps.prober?.readyOf(watched.id) ?? null;
    const load = this.#loads.of(tracked);
    const { cpuPercent } = measured.rates;
    const state = this.#state(tracked, gpus, { ready, gpuStatus, gpuDoubt, cpuPercent }, load);
    this.#events.stalled(tracked, state === 'stalled', load.serving);
    return workerSample({
      watched,
      row,
      rates: measured.rates,
      processes,
      nestedProcesses: nested,
      hiddenProcesses: tracked.hidden,
      record,
      described: tracked.described,
      main,
      startedAt: tracked.main?.startedAt ?? null,
      uptimeSeconds: tracked.uptimeSeconds,
      gpus,
      gpuDoubt,
      inferred,
      gpusReason: inferred?.reason ?? this.#gpus.reasonOf(gpus, gpuDoubt),
      gpuTotals: this.#gpus.totals,
      ready: ready ?? this.#unclear(tracked),
      state,
      load,
      memoryFromProc: isTree || (fromProc.memory && Number.isNaN(row.memoryCurrentBytes)),
      ioFromProc: isTree || fromProc.io,
      server: tracked.server,
      errorOf: (file) => (pass === null || slot === null ? 0 : fileError(pass, slot, file)),
      clocksDiffer: this.#clock.fault() !== null,
      gpuExplains: this.#gpus.explains,
    });
  }

  /** Counters to sum I/O over, where the io controller is not on v2; null where some process of the worker lacks its own. */
  #ioCounters(tracked: Tracked, processes: LiveRow['processes'], nested: number): readonly WorkerProcess[] | null {
    // Those of a tree are counted by its reader.
    if (tracked.watched.scope === 'processes') return null;
    if (processes === null || !this.#deps.fromProc.io || nested > 0 || tracked.hidden > 0) return null;
    // One that ended while it was read is no longer part of the sum.
    if (!processes.some(({ startTicks }) => Number.isNaN(startTicks))) return processes;
    return processes.filter(({ startTicks }) => !Number.isNaN(startTicks));
  }

  #state(
    tracked: Tracked,
    gpus: readonly WorkerGpu[] | null,
    input: Pick<StateInput, 'ready' | 'gpuStatus' | 'gpuDoubt' | 'cpuPercent'>,
    load: WorkerLoad,
  ): WorkerSample['state'] {
    const { state, memory } = workerState(
      tracked.state,
      {
        // Field by field: a spread makes an object of a slow kind, for each worker in each pass.
        ready: input.ready,
        gpuStatus: input.gpuStatus,
        gpuDoubt: input.gpuDoubt,
        cpuPercent: input.cpuPercent,
        probed: input.ready !== null,
        engine: load.evidence,
        isLoading: load.isLoading,
        gpuUuids: gpus === null ? null : gpus.map(({ uuid }) => uuid),
        healthyGpus: this.#gpus.healthy,
        gpuUtilizationPercent: gpus === null ? null : sum(gpus.map(({ utilizationPercent }) => utilizationPercent)),
      },
      this.#deps.nowMs(),
      this.#deps.state,
    );
    tracked.state = memory;
    return state;
  }

  /** Why nobody can say whether a worker is ready. */
  #unclear({ watched: { id, path } }: Tracked): Unknown {
    const { prober } = this.#deps;
    if (prober === null) return unknown('notProbed');
    const nothing = this.#endpoints.askedOf(path) === null ? this.#endpoints.unaskedOf(path) : 'noAnswerYet';
    return unknown(prober.unclearOf(id) ?? nothing);
  }

  #depart(tracked: Tracked): void {
    if (!tracked.live) return;
    this.#events.departed(tracked);
    clear(tracked);
  }

  #drop(path: string, tracked: Tracked): void {
    this.#depart(tracked);
    if (tracked.slot !== null) this.#deps.reader?.remove(tracked.slot);
    this.#tracked.delete(path);
    this.#reconciled = null;
    this.#trackings += 1;
    this.#workers = this.#workers.filter(({ id }) => id !== tracked.watched.id);
  }

  #compose(reading: GpuReading, set: WatchSet): Snapshot {
    const { reader, readerReason, trees, host, intervalMs, nowMs } = this.#deps;
    const faults: Fault[] = [...set.faults];
    const ageMs = this.#pass === null ? null : Math.max(0, nowMs() - this.#pass.startedMs);
    const stuckMs = reader?.runningMs() ?? 0;
    const stale = this.#stale();
    if (reader === null) {
      faults.push({
        source: 'cgroup',
        code: 'CGROUP_UNAVAILABLE',
        message: `${readerReason ?? 'No cgroup v2 can be read.'}${trees === null ? '' : ' Engines and what holds a GPU are watched as trees of processes.'}`,
      });
    } else if (stale || stuckMs > Math.max(2000, 2 * intervalMs)) {
      faults.push({
        source: 'cgroup',
        code: 'CGROUP_STALLED',
        message: `Reading cgroups has not returned for ${Math.round(Math.max(stuckMs, ageMs ?? 0))} ms: some process hangs in the kernel.`,
      });
    }
    const { gpus, faults: gpuFaults } = this.#gpus.samples(reading);
    const hostReading = host.latest();
    const allRead = [...this.#tracked.values()].every(({ read }) => read);
    const { workers, fault } = shownWorkers(this.#workers);
    if (fault !== null) faults.push(fault);
    return {
      host: hostReading?.host ?? emptyHost,
      ...gpuKnowledge(reading),
      gpus,
      workersComplete:
        (reader ?? trees) !== null && set.complete && allRead && this.#pass !== null && !stale && fault === null,
      workers: stale ? workers.map((worker) => unmeasuredWorker(worker)) : [...workers],
      faults: [...faults, ...gpuFaults, ...(hostReading?.faults ?? []), ...this.#workerFaults].slice(0, maxFaults),
      collection: {
        durationMs: this.#pass === null ? null : round3(this.#pass.durationMs),
        ageMs: ageMs === null ? null : round3(ageMs),
        cgroupReader: reader?.kind ?? 'none',
        cgroupReaderReason: readerReason?.slice(0, 512) ?? null,
        gpuReader: reading.reader,
        ...(reading.readers === undefined ? {} : { gpuReaders: [...reading.readers] }),
        gpuReaderReason: reading.reason?.slice(0, 512) ?? null,
        gpuAgeMs: reading.ageMs === null ? null : round3(reading.ageMs),
      },
    };
  }

  /** Figures of a pass that is a few intervals late are old and true; after that nothing is known. */
  #stale(): boolean {
    const { nowMs, intervalMs } = this.#deps;
    return this.#pass !== null && nowMs() - this.#pass.startedMs > Math.max(5000, 5 * intervalMs);
  }
}

/** The worker's path of each process of these rows. */
function pathsByPid(rows: readonly LiveRow[]): ReadonlyMap<number, string> {
  const paths = new Map<number, string>();
  for (const { tracked, processes } of rows)
    for (const { pid } of processes ?? []) paths.set(pid, tracked.watched.path);
  return paths;
}

/** More are cut off: a thousand workers may fail at once. */
const maxFaults = 500;

const round3 = (value: number): number => Math.round(value * 1000) / 1000;
