import type { Fault, GpuSample } from '../contract/heartbeat.js';

/** A GPU as its reader sees it, before processes are attributed to workers. */
export type GpuDevice = Omit<GpuSample, 'processCount' | 'unattributedBytes'> & {
  /** Its processes are all in the reading. False: the driver did not tell, and that none is listed means nothing. */
  readonly processesKnown: boolean;
};

/** One process that holds a context on one GPU; a pid stands at most once per GPU (of a MIG device: per MIG device). */
export interface GpuProcess {
  readonly gpuUuid: string;
  /** As the driver says it: a pid of the driver's pid namespace. */
  readonly pid: number;
  readonly memoryUsedBytes: number | null;
  readonly utilizationPercent: number | null;
}

/** A fact seen by the reader, to become a hive event. */
export interface GpuEvent {
  readonly kind: 'xid' | 'gpuLost' | 'gpuRecovered';
  readonly gpuUuid: string;
  readonly at: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** The last answer of a GPU reader. Never blocks to be had; `ageMs` says how old it is. */
export interface GpuReading {
  readonly reader: 'nvml' | 'nvidiaSmi' | 'none';
  /** Why it is not NVML; null when it is. */
  readonly reason: string | null;
  /** null before the first answer. */
  readonly ageMs: number | null;
  /** working: values are fresh. absent: the host has no GPU driver at all. Otherwise values are null, with a fault. */
  readonly status: 'working' | 'absent' | 'initializing' | 'stalled' | 'failed' | 'released';
  readonly devices: readonly GpuDevice[];
  readonly processes: readonly GpuProcess[];
  readonly faults: readonly Fault[];
}

export interface GpuSource {
  /** The newest reading; synchronous, never waits for a driver. */
  latest(): GpuReading;
  /** Facts since the last call, oldest first. */
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
    status: 'absent',
    devices: [],
    processes: [],
    faults: [],
  };
  return { latest: () => reading, takeEvents: () => [], release: async () => {}, close: () => {} };
}
