import { readlinkSync } from 'node:fs';
import { BlockDevices } from '../cgroup/block-devices.js';
import { systemValues } from '../cgroup/system-values.js';
import { defaults } from '../contract/defaults.js';
import type { CommandMode } from '../contract/enums.js';
import { LoadProber } from '../engines/load/prober.js';
import { Prober } from '../engines/prober.js';
import { type GpuSource, noGpuSource } from '../gpu/reading.js';
import type { OpenFiles } from '../io/guarded.js';
import { NamespaceConnector } from '../io/namespace-connect.js';
import type { RawReader } from '../native/layout.js';
import type { Container } from '../procfs/container.js';
import { nodeHostReader, procHostReader } from '../procfs/host.js';
import { pidsOf } from '../procfs/pids.js';
import { type Clock, systemClock } from '../util/clock.js';
import { ContainerNames } from '../workers/container-names.js';
import { Discovery } from '../workers/discovery.js';
import { Listening } from '../workers/listening.js';
import { NamespaceAddresses } from '../workers/namespace-addresses.js';
import { ProcessTable } from '../workers/process-table.js';
import { recordCache } from '../workers/record-cache.js';
import { defaultRuntimeDir } from '../workers/records.js';
import { commandDisplay } from '../workers/shown-command.js';
import { markerVariable } from '../workers/tree-workers.js';
import { sharesPidNamespace } from './attribution.js';
import { Containers } from './containers.js';
import { DeviceFiles } from './device-files.js';
import { type RunningSampler, SamplerLoop } from './loop.js';
import type { ReportedEnds } from './reported.js';
import { Sampler } from './sampler.js';
import type { StateOptions } from './state.js';
import { TreeReader } from './tree-reader.js';

export type { RunningSampler } from './loop.js';

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
  /** Users are kept from seeing the processes of others (hidepid). */
  readonly hidesProcesses?: boolean;
  /** What is shown as the host, with its limits; null: the machine itself. */
  readonly container?: Container | null;
  /** Where device files are (default `/dev`). */
  readonly devRoot?: string;
  readonly clock?: Clock;
  readonly wallMs?: () => number;
}

export interface SamplerOptions {
  readonly procRoot?: string;
  /** Where sysfs is (default /sys). */
  readonly sysRoot?: string;
  /** Root of the host's file system, for names of containers. */
  readonly hostRoot?: string;
  readonly watch?: readonly string[];
  readonly auto?: boolean;
  readonly gpu?: GpuSource;
  readonly intervalMs?: number;
  readonly idleBelowPercent?: number;
  readonly idleBelowCpuPercent?: number;
  readonly idleForMs?: number;
  /** How much of command lines is shown (default `safe`, `none` where users are kept from seeing those of others). */
  readonly commands?: CommandMode;
  readonly runtimeDir?: string;
  /** What earlier runs of this hive have reported. Without it, exits are reported only of workers that were seen. */
  readonly reported?: ReportedEnds;
  /** Ask workers what they are and whether they are ready (default true). */
  readonly readiness?: boolean;
  /** Ask engines for their load (default true); only those that were asked what they are. */
  readonly engineLoad?: boolean;
  /** Where workers' ports are reached. */
  readonly address?: string | null;
  /** Target of /proc/self/ns/pid; read where it is not given. */
  readonly pidNamespace?: string;
  /** Our own pid as `procRoot` gives it; read where it is not given. */
  readonly ownPid?: number;
}

function pidNamespaceLink(procRoot: string): string | null {
  try {
    return readlinkSync(`${procRoot}/self/ns/pid`);
  } catch {
    return null;
  }
}

/** That /proc may be of another pid namespace than ours. */
function ownPidIn(procRoot: string): number | null {
  try {
    const pid = Number(readlinkSync(`${procRoot}/self`));
    return Number.isInteger(pid) ? pid : null;
  } catch {
    return null;
  }
}

/** A reader of cgroups where there are some, and how its own I/O stacks are found. */
function openCgroups(machine: HostReaders, sysRoot: string | undefined, clock: Clock) {
  const { place, openFiles } = machine;
  const missing = place.root === null ? { memory: false, io: false } : place.missing;
  if (place.root === null) return { reader: null, readerReason: place.reason, missing, blockDevices: null };
  const { reader, reason } = machine.openReader(missing);
  const onTable = (table: Float64Array): void => reader.setBlockDevices(table);
  const blockDevices = missing.io ? null : new BlockDevices({ sysRoot, openFiles, clock, onTable });
  return { reader, readerReason: reason, missing, blockDevices };
}

/** What finds workers and knows their processes and names. */
function openDiscovery({ place, openFiles }: HostReaders, options: SamplerOptions, clock: Clock) {
  const processes = new ProcessTable({
    procRoot: options.procRoot ?? '/proc',
    cgroupPrefix: place.root === null ? '' : place.prefix,
    openFiles,
    clock,
    markerVariable,
  });
  const { hostRoot } = options;
  const names = new ContainerNames({ ...(hostRoot ? { hostRoot } : {}), openFiles, clock });
  const discovery = new Discovery({
    root: place.root,
    watch: options.watch ?? [],
    auto: options.auto ?? true,
    openFiles,
    processes,
    ownPid: options.ownPid ?? ownPidIn(options.procRoot ?? '/proc'),
    names,
    records: recordCache(options.runtimeDir ?? defaultRuntimeDir()),
    clock,
  });
  return { processes, names, discovery };
}

/** The reader of trees of processes. */
const openTrees = ({ openFiles, clockTicks }: HostReaders, procRoot: string, clock: Clock, discovery: Discovery) =>
  new TreeReader({
    procRoot,
    openFiles,
    clock,
    clockTicks,
    pageSize: systemValues().pageSize,
    trees: () => discovery.trees,
  });

const openDeviceFiles = ({ openFiles, devRoot }: HostReaders, procRoot: string, clock: Clock) =>
  new DeviceFiles({ procRoot, devRoot, openFiles, clock });

const stateOptions = ({ idleBelowPercent, idleBelowCpuPercent, idleForMs }: SamplerOptions): StateOptions => ({
  idleBelowPercent: idleBelowPercent ?? defaults.idleBelowPercent,
  idleBelowCpuPercent: idleBelowCpuPercent ?? defaults.idleBelowCpuPercent,
  idleForMs: idleForMs ?? defaults.idleForMs,
});

/** Puts a sampler together. Opens threads; `close` ends them. */
export function assembleSampler(machine: HostReaders, options: SamplerOptions = {}): RunningSampler {
  const clock = machine.clock ?? systemClock;
  const nowMs = clock.now;
  const procRoot = options.procRoot ?? '/proc';
  const intervalMs = options.intervalMs ?? defaults.intervalMs;
  const gpu = options.gpu ?? noGpuSource('no GPU reader was given');
  const linux = process.platform === 'linux' || options.procRoot !== undefined;
  const { reader, readerReason, missing, blockDevices } = openCgroups(machine, options.sysRoot, clock);
  const { processes, names, discovery } = openDiscovery(machine, options, clock);
  const trees = linux ? openTrees(machine, procRoot, clock, discovery) : null;
  const host = linux ? procHostReader(machine.openFiles, procRoot, clock, machine.container) : nodeHostReader(nowMs);
  const prober = (options.readiness ?? true) ? new Prober({ now: nowMs }) : null;
  const loads = prober !== null && (options.engineLoad ?? true) ? new LoadProber({ now: nowMs }) : null;
  const listening = linux ? new Listening({ procRoot, openFiles: machine.openFiles, clock }) : null;
  const addresses = linux ? new NamespaceAddresses({ procRoot, openFiles: machine.openFiles, clock }) : null;
  const gpuPidsKnown = sharesPidNamespace(options.pidNamespace ?? pidNamespaceLink(procRoot));
  const deviceFiles = linux && !gpuPidsKnown ? openDeviceFiles(machine, procRoot, clock) : null;
  const namespaces = linux ? new NamespaceConnector({ procRoot, clock }) : null;
  const sampler = new Sampler({
    reader,
    readerReason,
    trees,
    gpu,
    discovery,
    processes,
    host,
    blockDevices,
    listening,
    prober,
    showCommand: commandDisplay(options.commands ?? (machine.hidesProcesses === true ? 'none' : defaults.commands)),
    loads,
    namespaces,
    containers: addresses && new Containers({ processes, addresses }),
    state: stateOptions(options),
    clockTicks: machine.clockTicks,
    fromProc: missing,
    isPid: pidsOf(procRoot),
    gpuPidsKnown,
    deviceFiles,
    address: options.address ?? null,
    reported: options.reported ?? null,
    root: machine.place.root,
    intervalMs,
    nowMs,
    wallMs: machine.wallMs ?? Date.now,
  });
  const close = async (): Promise<void> => {
    reader?.close();
    const files = [listening, addresses, namespaces, deviceFiles];
    for (const part of [discovery, trees, names, processes, ...files, host, blockDevices]) part?.close();
    gpu.close();
    loads?.close();
    await prober?.close();
  };
  return new SamplerLoop({ sampler, reader, trees, discovery, host, gpu, intervalMs, close });
}
