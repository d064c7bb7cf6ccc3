import type { GpuReaderName } from '../contract/enums.js';
import type { Fault, GpuSample } from '../contract/heartbeat.js';

/** A GPU as its reader sees it, before processes are attributed to workers. */
export type GpuDevice = Omit<GpuSample, 'processCount' | 'unattributedBytes'> & {
  /** All its processes are in the reading. False: the driver did not list them, and that none is here means nothing. */
  readonly processesKnown: boolean;
};

/** One process that holds a context on one GPU; a pid is listed at most once per GPU (and per MIG device). */
export interface GpuProcess {
  readonly gpuUuid: string;
  /** In the pid namespace of the driver. */
  readonly pid: number;
  readonly memoryUsedBytes: number | null;
  readonly utilizationPercent: number | null;
}

/** Something that happened to a GPU; becomes a hive event. */
export interface GpuEvent {
  readonly kind: 'xid' | 'gpuLost' | 'gpuRecovered';
  readonly gpuUuid: string;
  readonly at: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** The last answer of the GPU readers; `ageMs` says how old it is. */
export interface GpuReading {
  readonly reader: GpuReaderName;
  /** All of them, where vendors are read in different ways. */
  readonly readers?: readonly GpuReaderName[];
  /** Why it is not the vendor's first choice of reader; null when it is. */
  readonly reason: string | null;
  /** null before the first answer. */
  readonly ageMs: number | null;
  /**
   * working: values are fresh. absent: the host has no GPU driver at all. off: nobody looks. Otherwise values are null,
   * with a fault.
   */
  readonly status: 'working' | 'absent' | 'off' | 'initializing' | 'stalled' | 'failed' | 'released';
  readonly devices: readonly GpuDevice[];
  readonly processes: readonly GpuProcess[];
  readonly faults: readonly Fault[];
}

export interface GpuSource {
  /** The newest reading; synchronous, never waits for a driver. */
  latest(): GpuReading;
  /** Events since the last call, oldest first. */
  takeEvents(): readonly GpuEvent[];
  /**
   * Lets go of the driver for `seconds`, so that it can be reset; resolves when no descriptor is left on it.
   * @throws HivepulseError REQUEST_TIMEOUT where the driver holds a reader (of now or of before) that can't be killed
   */
  release(seconds: number): Promise<void>;
  /** Ends at once, also with a call stuck in the driver. May be called twice. */
  close(): void;
}

/** The source of a host on which no reader may or can run. */
export function noGpuSource(reason: string): GpuSource {
  const reading: GpuReading = {
    reader: 'none',
    reason,
    ageMs: null,
    status: 'off',
    devices: [],
    processes: [],
    faults: [],
  };
  return { latest: () => reading, takeEvents: () => [], release: async () => {}, close: () => {} };
}
