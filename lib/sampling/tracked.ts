import type { WorkerSample } from '../contract/heartbeat.js';
import type { ProbeTarget } from '../engines/prober.js';
import { readyUrlOf } from '../engines/ready-url.js';
import type { KnownProcess } from '../workers/process-table.js';
import type { Watched } from '../workers/watched.js';
import { type Endpoints, type Server, unknownServer } from './endpoints.js';
import type { RateBaseline, RawRow } from './rates.js';
import type { ServingMemory } from './serving.js';
import { type StateMemory, workingCpuPercent } from './state.js';
import type { Described } from './worker.js';

/** Start of a main process. */
export interface MainStart {
  readonly key: string;
  readonly pid: number;
  readonly startTicks: number;
  readonly startedAt: string | null;
  /** `StartClock.bootWallMs` that `startedAt` was made with. */
  readonly bootWallMs: number | null;
}

/** One run of a worker. */
export interface WorkerRun {
  readonly pid: number;
  /** `<pid>/<start in clock ticks since boot>`: no two processes of one boot share it. */
  readonly incarnation: string;
}

/** State of a watched worker from pass to pass. */
export interface Tracked {
  watched: Watched;
  /** Of the reader of cgroups; null of a tree of processes. */
  readonly slot: number | null;
  readonly addedMs: number;
  /** Read at least once. */
  read: boolean;
  /** Something lived in it when it was last read. */
  live: boolean;
  inode: number;
  /** The newest row, for counters; null where nothing lives in it. */
  row: RawRow | null;
  baseline: RateBaseline | null;
  state: StateMemory | null;
  serving: ServingMemory | null;
  /** It is stalled by the last sample. */
  stalled: boolean;
  recordSeen: Watched['record'];
  oomKills: number | null;
  /** Its main process started before the sampler did, or its start is not known. */
  predates: boolean;
  /** The processes that `described` is about; null for one that was not known yet. */
  identity: readonly (KnownProcess | null)[];
  described: Described | null;
  /** Where it serves. */
  server: Server;
  main: MainStart | null;
  /** The first main process of the worker, by which its start and its exit are known as those of one run. */
  run: WorkerRun | null;
  uptimeSeconds: number | null;
  /** Processes that the last pass could not read: they have ended, or /proc hides them. */
  unread: ReadonlySet<number>;
  /** Number of processes of the last pass that /proc hides. */
  hidden: number;
}

/** State of a cgroup in which nothing lives. */
const empty = {
  live: false,
  row: null,
  baseline: null,
  state: null,
  serving: null,
  stalled: false,
  identity: [],
  described: null,
  server: unknownServer,
  main: null,
  run: null,
} satisfies Partial<Tracked>;

export const track = (watched: Watched, slot: number | null, addedMs: number): Tracked => ({
  ...empty,
  watched,
  slot,
  addedMs,
  read: false,
  inode: Number.NaN,
  recordSeen: null,
  oomKills: null,
  predates: false,
  uptimeSeconds: null,
  unread: new Set(),
  hidden: 0,
});

/** The worker in the cgroup has ended. */
export const clear = (tracked: Tracked): void => void Object.assign(tracked, empty);

/** What is asked about a worker. An operator's URL counts only where the worker itself listens on its port. */
export function probeTarget(
  { watched, recordSeen, main, inode, described }: Tracked,
  {
    cpuPercent,
    gpuUtilizationPercent,
    servingReason = null,
  }: Pick<WorkerSample, 'cpuPercent' | 'gpuUtilizationPercent' | 'servingReason'>,
  endpoints: Pick<Endpoints, 'askedOf' | 'wayTo' | 'processesOf'>,
): ProbeTarget {
  const url = recordSeen?.readyUrl ? readyUrlOf(recordSeen.readyUrl) : null;
  const way = url === null ? null : endpoints.wayTo(watched.path, Number(url.port || 80));
  // Also where there is no URL.
  const isAsked = typeof way === 'object';
  return {
    id: watched.id,
    identity: main?.key ?? String(inode),
    readyUrl: isAsked ? url : null,
    urlWay: isAsked ? way : null,
    servers: isAsked ? endpoints.askedOf(watched.path) : way === 'notListening' ? 'none' : null,
    unnamed: recordSeen?.model == null && described?.serving.models.length === 0,
    working: (cpuPercent ?? 0) >= workingCpuPercent || (gpuUtilizationPercent ?? 0) > 0,
    processes: endpoints.processesOf(watched.path),
    loadReason: servingReason,
  };
}
