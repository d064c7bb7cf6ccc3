import type { BlockDevices } from '../cgroup/block-devices.js';
import type { LoadProber } from '../engines/load/prober.js';
import type { Prober } from '../engines/prober.js';
import type { GpuSource } from '../gpu/reading.js';
import type { RawReader } from '../native/layout.js';
import type { HostReader } from '../procfs/host.js';
import type { PidCheck } from '../procfs/pids.js';
import type { Discovery } from '../workers/discovery.js';
import type { ProcessTable } from '../workers/process-table.js';
import type { Containers } from './containers.js';
import type { DeviceFiles } from './device-files.js';
import type { EndpointDeps, ListeningSource } from './endpoints.js';
import type { ReportedEnds } from './reported.js';
import type { StateOptions } from './state.js';
import type { TreeReader } from './tree-reader.js';

/** What the sampler and its parts read from. */
export interface SamplerDeps {
  /** null where no cgroup v2 can be read. */
  readonly reader: RawReader | null;
  /** Why the reader is not `native`; null where it is. */
  readonly readerReason: string | null;
  /** null where there is no /proc. */
  readonly trees: Pick<TreeReader, 'latest' | 'faults'> | null;
  readonly gpu: GpuSource;
  readonly discovery: Pick<Discovery, 'current' | 'trees' | 'holdsGpu' | 'keepHeld' | 'changed'>;
  readonly processes: Pick<ProcessTable, 'get' | 'find' | 'want' | 'denied' | 'all' | 'generation'>;
  readonly host: Pick<HostReader, 'latest'>;
  /** null where I/O is not read by device. */
  readonly blockDevices: Pick<BlockDevices, 'used' | 'faults'> | null;
  /** null where no sockets can be read. */
  readonly listening: ListeningSource | null;
  /** null: no worker is asked. */
  readonly prober: Pick<Prober, 'update' | 'readyOf' | 'unclearOf' | 'findingsOf'> | null;
  /** null: no engine is asked for its load. */
  readonly loads: Pick<LoadProber, 'update' | 'loadOf' | 'onAnswer'> | null;
  /** null: servers in other network namespaces are not asked. */
  readonly namespaces: EndpointDeps['namespaces'];
  /** null: workers in other network namespaces have no endpoint. */
  readonly containers: Containers | null;
  /** What of a command line may be shown. */
  readonly showCommand: (argv: readonly string[]) => string | null;
  readonly state: StateOptions;
  /** Clock ticks per second of /proc/<pid>/stat. */
  readonly clockTicks: number;
  /** Memory and I/O are summed over processes: their controllers are not on v2. */
  readonly fromProc: { readonly memory: boolean; readonly io: boolean };
  /** Whether a number can be a pid of this host. */
  readonly isPid: PidCheck;
  /** Whether the GPU driver's pids are those of our /proc. */
  readonly gpuPidsKnown: boolean;
  /** Device files of GPUs that processes hold; null where the driver's pids say more. */
  readonly deviceFiles: Pick<DeviceFiles, 'update' | 'held' | 'faults'> | null;
  /** Where workers' ports are reached; null: endpoints are not given. */
  readonly address: string | null;
  /** What earlier runs of this hive have reported; this one reports the rest. null: only exits of workers that were seen. */
  readonly reported: ReportedEnds | null;
  /** The cgroup root, absolute; null where there is none. */
  readonly root: string | null;
  readonly intervalMs: number;
  /** CLOCK_MONOTONIC in ms: the clock of `RawPass.startedMs`. */
  readonly nowMs: () => number;
  /** Wall clock in ms, for people. */
  readonly wallMs: () => number;
}
