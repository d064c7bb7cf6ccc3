import { cpus, freemem, loadavg, totalmem, uptime } from 'node:os';
import { join } from 'node:path';
import { hostFields } from '../contract/fields/host.js';
import { nullImplausible, plausibleRules } from '../contract/fields/plausible.js';
import type { Fault, HostSample } from '../contract/heartbeat.js';
import type { FileResult, KeptResult } from '../io/file-reader.js';
import { ETIMEDOUT, GuardedReader, type OpenFiles } from '../io/guarded.js';
import type { Clock } from '../util/clock.js';
import { errnoText } from '../util/errno.js';
import { type Container, type ContainerCounters, withinContainer } from './container.js';
import { type HostCpu, parseHostCpu, parseLoadavg, parseMeminfo, parsePressure, parseUptime } from './parse.js';
import { round2 } from './round.js';

/** The files of a host, in the order in which they are read. */
const hostFiles = ['stat', 'meminfo', 'loadavg', 'uptime', 'pressure/cpu', 'pressure/memory', 'pressure/io'] as const;

const maxBytes = 256 * 1024;

const ENOENT = 2;
const EOPNOTSUPP = 95;

const rules = plausibleRules(hostFields);

/**
 * CPU use of the whole host between two readings of /proc/stat, 100 = one core; null without two, where time went back
 * (a CPU was taken out), or where no tick passed. Divided by the ticks of all CPUs, so no clock is needed.
 */
export function hostCpuPercent(previous: HostCpu | null, current: HostCpu): number | null {
  if (previous === null) return null;
  const busy = current.busyTicks - previous.busyTicks;
  const total = current.totalTicks - previous.totalTicks;
  if (total <= 0 || busy < 0) return null;
  return round2(Math.min(1, busy / total) * current.cpuCount * 100);
}

/** A host's sample from the contents of its files. Pure. */
export function hostSample(
  contents: readonly (FileResult | KeptResult | undefined)[],
  previous: HostCpu | null,
  fallbackCpuCount: number,
): { readonly host: HostSample; readonly cpu: HostCpu | null; readonly faults: readonly Fault[] } {
  const [stat, meminfo, load, up, cpu, memory, io] = contents.map((content) =>
    typeof content === 'number' || content === undefined ? null : content,
  );
  const counted = stat ? parseHostCpu(stat) : null;
  const memoryInfo = meminfo ? parseMeminfo(meminfo) : { totalBytes: null, availableBytes: null };
  const faults: Fault[] = [];
  for (const [i, name] of hostFiles.entries()) {
    const content = contents[i];
    // The guarded reader has the fault of a read that hangs.
    if (typeof content !== 'number' || content === ETIMEDOUT) continue;
    const isPressure = name.startsWith('pressure/');
    if (isPressure && faults.some(({ code }) => code === 'PRESSURE_UNAVAILABLE')) continue;
    faults.push({
      source: 'proc',
      code: isPressure ? 'PRESSURE_UNAVAILABLE' : 'PROC_UNREADABLE',
      field: isPressure ? 'host.pressure' : 'host',
      message:
        isPressure && (content === ENOENT || content === EOPNOTSUPP)
          ? 'The kernel keeps no pressure figures (PSI); boot with psi=1 on Linux 4.20 or later.'
          : `/proc/${name} cannot be read (${errnoText(content)}).`,
    });
  }
  const host: HostSample = {
    cpuCount: counted?.cpuCount ?? fallbackCpuCount,
    cpuPercent: counted ? hostCpuPercent(previous, counted) : null,
    memoryTotalBytes: memoryInfo.totalBytes,
    memoryAvailableBytes: memoryInfo.availableBytes,
    load1: load ? parseLoadavg(load).load1 : null,
    uptimeSeconds: up ? parseUptime(up) : null,
    pressure: {
      cpu: cpu ? parsePressure(cpu) : null,
      memory: memory ? parsePressure(memory) : null,
      io: io ? parsePressure(io) : null,
    },
  };
  nullImplausible(rules, host, (field, value) =>
    faults.push({
      source: 'proc',
      code: 'IMPLAUSIBLE',
      field: `host.${field}`,
      message: `/proc says ${value} for ${field}.`,
    }),
  );
  return { host, cpu: counted, faults };
}

/** The newest sample of the host, and when it was read (CLOCK_MONOTONIC, ms). */
export interface HostReading {
  readonly host: HostSample;
  readonly faults: readonly Fault[];
  readonly atMs: number;
}

export interface HostReader {
  /** Reads once; a call during a reading resolves with that one. Never rejects. */
  read(): Promise<void>;
  latest(): HostReading | null;
  close(): void;
}

/** Reads the host from /proc, and the container that is to be the host, off the event loop. */
export function procHostReader(
  openFiles: OpenFiles | undefined,
  procRoot: string,
  clock: Clock,
  container: Container | null = null,
): HostReader {
  const files = new GuardedReader({
    open: openFiles,
    clock,
    // Each file alone, so that one that hangs holds up no other.
    batchSize: 1,
    maxAbandoned: hostFiles.length,
    fault: (what) => ({
      source: 'proc',
      code: 'PROC_STALLED',
      field: 'host',
      message: `${what}: what it says of the host is not known.`,
    }),
  });
  const paths = Object.freeze(hostFiles.map((name) => join(procRoot, name)));
  const cpuCount = Math.max(1, cpus().length);
  let reading: HostReading | null = null;
  let previous: HostCpu | null = null;
  let counters: ContainerCounters | null = null;
  let running: Promise<void> | null = null;
  const take = (contents: readonly KeptResult[], ofContainer: readonly FileResult[]): void => {
    const atMs = clock.now();
    const { host, cpu, faults } = hostSample(contents, previous, cpuCount);
    previous = cpu ?? previous;
    reading = { host, faults, atMs };
    if (container === null) return;
    const inside = withinContainer(container, host, ofContainer, counters, atMs);
    counters = inside.counters;
    reading = { host: inside.host, faults: [...faults, ...inside.faults], atMs };
  };
  return {
    latest: () => reading && { ...reading, faults: [...reading.faults, ...files.faults()] },
    close: () => files.close(),
    read() {
      running ??= Promise.all([files.readKept(paths, maxBytes), files.read(container?.paths ?? [], maxBytes)])
        .then(
          ([contents, ofContainer]) => take(contents, ofContainer),
          () => undefined, // closed
        )
        .finally(() => {
          running = null;
        });
      return running;
    },
  };
}

/** Reads a host without /proc, as far as Node knows it. */
export function nodeHostReader(nowMs: () => number): HostReader {
  let previous: HostCpu | null = null;
  let reading: HostReading | null = null;
  const read = async (): Promise<void> => {
    const all = cpus();
    const sum = (pick: (times: (typeof all)[number]['times']) => number) =>
      all.reduce((total, { times }) => total + pick(times), 0);
    const busyTicks = sum(({ user, nice, sys, irq }) => user + nice + sys + irq);
    const current: HostCpu = { busyTicks, totalTicks: busyTicks + sum(({ idle }) => idle), cpuCount: all.length };
    const cpuPercent = hostCpuPercent(previous, current);
    previous = current;
    reading = {
      host: {
        cpuCount: Math.max(1, all.length),
        cpuPercent,
        memoryTotalBytes: totalmem(),
        memoryAvailableBytes: freemem(),
        load1: loadavg()[0] ?? null,
        uptimeSeconds: uptime(),
        pressure: { cpu: null, memory: null, io: null },
      },
      faults: [],
      atMs: nowMs(),
    };
  };
  return { latest: () => reading, close: () => undefined, read };
}
