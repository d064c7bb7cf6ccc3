import { readlinkSync } from 'node:fs';
import { defaults } from '../contract/defaults.js';
import type { Snapshot, WorkerSample } from '../contract/heartbeat.js';
import { ReadinessProber } from '../engines/probe.js';
import { type GpuSource, noGpuSource } from '../gpu/reading.js';
import type { OpenFiles } from '../io/guarded.js';
import type { RawReader } from '../native/layout.js';
import { nodeHostReader, procHostReader } from '../procfs/host.js';
import { type Clock, systemClock } from '../util/clock.js';
import { settledWithin } from '../util/deadline.js';
import { HivepulseError } from '../util/errors.js';
import { ContainerNames } from '../workers/container-names.js';
import { Discovery } from '../workers/discovery.js';
import { ProcessTable } from '../workers/process-table.js';
import { recordCache } from '../workers/record-cache.js';
import { defaultRuntimeDir } from '../workers/records.js';
import { type CommandMode, commandDisplay } from '../workers/shown-command.js';
import { sharesPidNamespace } from './attribution.js';
import type { HiveEventDraft } from './events.js';
import type { ReportedEnds } from './reported.js';
import { type RawCounters, Sampler } from './sampler.js';

/** The cgroups that are watched. */
export interface CgroupRoot {
  /** Directory whose cgroups are watched, absolute. */
  readonly root: string;
  /** What /proc/<pid>/cgroup says in front of a path below `root`; '' where `root` is the mount itself. */
  readonly prefix: string;
  /** Controllers that are not on v2: their figures are summed over processes. */
  readonly missing: { readonly memory: boolean; readonly io: boolean };
}

export interface OpenReaderResult {
  readonly reader: RawReader;
  readonly reason: string | null;
}

/** Everything that reads the machine; tests replace it. */
export interface HostReaders {
  /** null, with the reason, where no cgroup v2 can be watched. */
  readonly place: CgroupRoot | { readonly root: null; readonly reason: string };
  readonly openReader: (fromProc: { readonly memory: boolean; readonly io: boolean }) => OpenReaderResult;
  readonly openFiles?: OpenFiles | undefined;
  readonly clockTicks: number;
  readonly clock?: Clock;
  readonly wallMs?: () => number;
}

export interface SamplerOptions {
  readonly procRoot?: string;
  /** Root of the host's file system, for names of containers. */
  readonly hostRoot?: string;
  readonly watch?: readonly string[];
  readonly auto?: boolean;
  readonly gpu?: GpuSource;
  readonly intervalMs?: number;
  readonly idleBelowPercent?: number;
  readonly idleBelowCpuPercent?: number;
  readonly idleForMs?: number;
  /** How much of command lines is shown (default `safe`). */
  readonly commands?: CommandMode;
  readonly runtimeDir?: string;
  /** What earlier runs of this hive have reported. Without it, exits are reported only of workers that were seen. */
  readonly reported?: ReportedEnds;
  /** Ask workers whether they are ready (default true). */
  readonly readiness?: boolean;
  /** Where workers' ports are reached. */
  readonly address?: string | null;
  /** Target of /proc/self/ns/pid; read where it is not given. */
  readonly pidNamespace?: string;
}

/** A sampler with everything that it reads from. */
export interface RunningSampler {
  /** Reads everything once and returns the snapshot. Rates are null in the first. */
  sample(signal?: AbortSignal): Promise<Snapshot>;
  /** A snapshot from what is ready now; never waits. */
  snapshot(): Snapshot;
  /** The last snapshot made; null before the first. */
  latest(): Snapshot | null;
  /** One pass on the caller's thread, workers only. */
  sampleWorkers(): readonly WorkerSample[];
  /** Raw counters by worker id, from the newest pass. */
  counters(): ReadonlyMap<string, RawCounters>;
  /** By how much the wall clock was set since sampling began, ms. */
  wallStepMs(): number;
  /** Hive events since the last call. */
  takeEvents(): readonly HiveEventDraft[];
  /**
   * Samples each interval and calls back with each snapshot once its pass is finished, or, where that is late, with what
   * is known.
   */
  start(onSnapshot: (snapshot: Snapshot) => void): void;
  readonly gpu: GpuSource;
  close(): Promise<void>;
}

/** How often discovery looks for new and removed cgroups; costs one small read. */
const discoverEveryMs = 500;
/** Longest wait of `sample` for one source. */
const sampleDeadlineMs = 5000;

function pidNamespaceLink(procRoot: string): string | null {
  try {
    return readlinkSync(`${procRoot}/self/ns/pid`);
  } catch {
    return null;
  }
}

/** Puts a sampler together. Opens threads; `close` ends them. */
export function assembleSampler(machine: HostReaders, options: SamplerOptions = {}): RunningSampler {
  const clock = machine.clock ?? systemClock;
  const nowMs = clock.now;
  const procRoot = options.procRoot ?? '/proc';
  const intervalMs = options.intervalMs ?? defaults.intervalMs;
  const gpu = options.gpu ?? noGpuSource('no GPU reader was given');
  const linux = process.platform === 'linux' || options.procRoot !== undefined;
  const { place, openFiles } = machine;
  const missing = place.root === null ? { memory: false, io: false } : place.missing;
  const opened = place.root === null ? null : machine.openReader(missing);
  const reader = opened?.reader ?? null;
  const processes = new ProcessTable({
    procRoot,
    cgroupPrefix: place.root === null ? '' : place.prefix,
    openFiles,
    clock,
  });
  const names = new ContainerNames({
    ...(options.hostRoot ? { hostRoot: options.hostRoot } : {}),
    openFiles,
    clock,
  });
  const discovery = new Discovery({
    root: place.root,
    watch: options.watch ?? [],
    auto: options.auto ?? true,
    openFiles,
    processes,
    names,
    records: recordCache(options.runtimeDir ?? defaultRuntimeDir()),
    clock,
  });
  const host = linux ? procHostReader(openFiles, procRoot, clock) : nodeHostReader(nowMs);
  const readiness = (options.readiness ?? true) ? new ReadinessProber({ now: nowMs }) : null;
  const sampler = new Sampler({
    reader,
    readerReason: place.root === null ? place.reason : (opened?.reason ?? null),
    gpu,
    discovery,
    processes,
    host,
    readiness,
    showCommand: commandDisplay(options.commands),
    state: {
      idleBelowPercent: options.idleBelowPercent ?? defaults.idleBelowPercent,
      idleBelowCpuPercent: options.idleBelowCpuPercent ?? defaults.idleBelowCpuPercent,
      idleForMs: options.idleForMs ?? defaults.idleForMs,
    },
    clockTicks: machine.clockTicks,
    fromProc: missing,
    gpuPidsKnown: sharesPidNamespace(options.pidNamespace ?? pidNamespaceLink(procRoot)),
    address: options.address ?? null,
    reported: options.reported ?? null,
    root: place.root,
    intervalMs,
    nowMs,
    wallMs: machine.wallMs ?? Date.now,
  });

  const closing = new AbortController();
  let discovering: NodeJS.Timeout | null = null;
  let started = false;

  /** Waits for at most `ms`: what hangs shows as a fault of the snapshot. Never rejects. */
  const within = (work: Promise<unknown>, ms: number, signal?: AbortSignal): Promise<void> =>
    settledWithin(work, ms, signal ? [closing.signal, signal] : [closing.signal]);
  /** The next pass that begins from now on, or what there is after `ms`. */
  const nextPass = async (ms: number, signal?: AbortSignal): Promise<void> => {
    if (reader === null) return;
    const giveUp = new AbortController();
    await within(reader.next(giveUp.signal), ms, signal);
    giveUp.abort();
  };
  const throwIfOver = (signal?: AbortSignal): void => {
    signal?.throwIfAborted();
    if (closing.signal.aborted) throw new HivepulseError('CLOSED', 'sampler', 'The sampler is closed.');
  };
  const never = new Promise<void>(() => undefined);
  const discover = async (): Promise<void> => {
    await discovery.scan().catch(() => undefined);
    if (closing.signal.aborted) return;
    sampler.reconcile();
    discovering = setTimeout(() => void discover(), discoverEveryMs);
    discovering.unref();
  };

  return {
    gpu,
    latest: () => sampler.latest(),
    snapshot: () => sampler.snapshot(),
    sampleWorkers: () => sampler.sampleWorkers(),
    counters: () => sampler.counters(),
    wallStepMs: () => sampler.wallStepMs,
    takeEvents: () => sampler.takeEvents(),
    async sample(signal) {
      throwIfOver(signal);
      await Promise.all([
        within(discovery.scan(true), sampleDeadlineMs, signal),
        within(host.read(), sampleDeadlineMs, signal),
      ]);
      throwIfOver(signal);
      sampler.reconcile();
      await nextPass(sampleDeadlineMs, signal);
      throwIfOver(signal);
      return sampler.snapshot();
    },
    start(onSnapshot) {
      if (started || closing.signal.aborted) return;
      started = true;
      const tick = async (): Promise<void> => {
        await within(discovery.scan(true), sampleDeadlineMs);
        if (closing.signal.aborted) return;
        sampler.reconcile();
        void discover();
        reader?.start(intervalMs);
        while (!closing.signal.aborted) {
          void host.read();
          // A pass may be late by half an interval; then the tick goes on without it.
          if (reader === null) await within(never, intervalMs);
          else await nextPass(intervalMs * 1.5);
          if (!closing.signal.aborted) onSnapshot(sampler.snapshot());
        }
      };
      void tick();
    },
    async close() {
      if (closing.signal.aborted) return;
      closing.abort();
      if (discovering !== null) clearTimeout(discovering);
      reader?.close();
      for (const part of [discovery, names, processes, host]) part.close();
      gpu.close();
      await readiness?.close();
    },
  };
}
