import type { gpuFields } from '../contract/fields/gpu.js';
import type { GpuSample } from '../contract/heartbeat.js';
import type { GpuProblem } from './health.js';
import type { GpuReason } from './reasons.js';

type Fields = typeof gpuFields;

/** Figures of a GPU that a driver may give: those that its table says are measured. */
export type ReportedValues = Pick<
  GpuSample,
  { [K in keyof Fields]: Fields[K] extends { readonly unmeasured: unknown } ? K : never }[keyof Fields]
>;

/** A GPU as its vendor's reader gives it, before anything is judged. `assemble.ts` makes the contract's GPU of it. */
export interface ReportedGpu {
  /** Among this vendor's GPUs, from 0. */
  readonly index: number;
  /** Unique on this host and the same after a restart. Empty where it is not known: the GPU never answered. */
  readonly uuid: string;
  /** Of a part of a GPU; else empty. */
  readonly parentUuid: string;
  readonly name: string;
  readonly busId: string;
  readonly computeCapability: string;
  /** Its memory is the host's as well. */
  readonly unifiedMemory: boolean;
  /** Why the driver gives no access to this GPU; null where it does. */
  readonly unreachable: GpuReason | null;
  /** A value stands here, or its reason in `reasons`, or it was not asked for. */
  readonly values: Partial<ReportedValues>;
  /** By the contract's name: of `values`, `processCount` and `workers.gpus.utilizationPercent`. */
  readonly reasons: Readonly<Record<string, GpuReason>>;
  /** What the driver itself says is wrong, worst first. */
  readonly problems: readonly GpuProblem[];
  /** All its processes are listed. */
  readonly processesKnown: boolean;
}

export interface ReportedProcess {
  /** Position in `devices`. */
  readonly device: number;
  readonly pid: number;
  readonly bytes: number | null;
  readonly utilization: number | null;
}

export interface GpuReport {
  /** Why the driver does not list its GPUs; `devices` are those that it listed before. */
  readonly unlisted: GpuReason | null;
  /** What is wrong on the host and belongs to none of `devices`. */
  readonly problems?: readonly Pick<GpuReason, 'code' | 'text'>[];
  readonly devices: readonly ReportedGpu[];
  readonly processes: readonly ReportedProcess[];
}
