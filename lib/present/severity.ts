/** How urgent each thing that can be wrong is: the one table behind the page, `hivepulse attention`, doctor, the webhook and the alert rules. Pure. */
import type { GpuSample } from '../contract/heartbeat.js';
import type { Tone } from './status.js';

/**
 * critical: capacity is lost, or about to be. warning: something works with less, or nobody knows how it is. note: a limit of
 * a host that stays as it is until somebody changes the host.
 */
export const severities = ['critical', 'warning', 'note'] as const;
export type Severity = (typeof severities)[number];

export interface Cause {
  readonly severity: Severity;
  /** What a colour says: `unknown` where it may be well. */
  readonly tone: Extract<Tone, 'bad' | 'warning' | 'unknown'>;
  /** What it is wrong with. */
  readonly subject: 'host' | 'GPU' | 'worker';
  /** `13 GPUs <words>`; with `a` or `an` dropped, it reads after one and after many. */
  readonly words: string;
  /** Rules of deploy/prometheus that fire on it, each with this severity. */
  readonly alerts: readonly string[];
}

const cause = (
  subject: Cause['subject'],
  words: string,
  severity: Severity,
  alerts: readonly string[],
  tone: Cause['tone'] = severity === 'critical' ? 'bad' : 'warning',
): Cause => ({ severity, tone, subject, words, alerts });

/** Of what is not a fault that a hive reports; those are `fault:<source>:<CODE>`, see `faultSeverity`. */
export const causes = {
  hiveMissing: cause('host', 'missing', 'critical', ['HivepulseHiveMissing']),
  hiveOffline: cause('host', 'offline', 'critical', ['HivepulseHiveOffline']),
  gpuMissing: cause('GPU', 'missing', 'critical', ['HivepulseGpuMissing']),
  gpuLost: cause('GPU', 'lost', 'critical', ['HivepulseGpuLost', 'HivepulseHostGpuLost']),
  gpuResetRequired: cause('GPU', 'to be reset', 'critical', ['HivepulseGpuLost', 'HivepulseHostGpuLost']),
  workerStalled: cause('worker', 'stalled', 'critical', ['HivepulseWorkerStalled']),
  gpuStalled: cause('GPU', 'stalled', 'warning', ['HivepulseGpuStalled', 'HivepulseHostGpuStalled'], 'unknown'),
  gpuUnknown: cause('GPU', 'in a state that this version does not know', 'warning', [], 'unknown'),
  gpuNoPermission: cause('GPU', 'without permission', 'warning', ['HivepulseGpuStalled', 'HivepulseHostGpuStalled']),
  gpuDegraded: cause('GPU', 'degraded', 'warning', ['HivepulseGpuDegraded']),
  gpuReadings: cause('GPU', 'with values that cannot be read', 'warning', []),
  hiveLate: cause('host', 'late', 'warning', ['HivepulseHiveLate']),
  hiveStopped: cause('host', 'missing: their hive was stopped', 'warning', []),
} as const satisfies Record<string, Cause>;
export type CauseName = keyof typeof causes;

/** What a health asks of a person: null where all is well, the driver is only waking it, or it sleeps. */
const healthCauses: Readonly<Record<GpuSample['health'], CauseName | null>> = {
  ok: null,
  initializing: null,
  suspended: null,
  degraded: 'gpuDegraded',
  noPermission: 'gpuNoPermission',
  // Nobody knows how it is: it may be well.
  stalled: 'gpuStalled',
  resetRequired: 'gpuResetRequired',
  lost: 'gpuLost',
};
/** A health of a newer version is not known to be good. */
export const causeOfHealth = (health: string): CauseName | null =>
  Object.hasOwn(healthCauses, health) ? healthCauses[health as GpuSample['health']] : 'gpuUnknown';

const table = (severity: Severity, codes: string): [string, Severity][] =>
  codes.split(/\s+/).map((code) => [code, severity]);

/** By code of a fault; docs/troubleshooting.md says what each means. One that is not here is a warning. */
const faultSeverities: ReadonlyMap<string, Severity> = new Map([
  ...table(
    'critical',
    `CGROUP_UNAVAILABLE DRIVER_NOT_LOADED VERSION_MISMATCH GPU_VANISHED GPU_IS_LOST GPU_RESET_REQUIRED GPU_READER_CRASHED
    ENGINE_STALLED`,
  ),
  ...table(
    'note',
    `PRESSURE_UNAVAILABLE MEMORY_PEAK_MISSING CPU_CONTROLLER_MISSING MEMORY_CONTROLLER_MISSING IO_CONTROLLER_MISSING
    CONTAINER_LIMITS_UNKNOWN THREADED_CGROUP PROC_UNREADABLE SOCKETS_UNREADABLE NAMESPACE_REFUSED BLOCK_DEVICES_UNREADABLE
    CLOCKS_DIFFER ENGINE_IN_ROOT_CGROUP CONTAINER_NAMES_REFUSED PID_NAMESPACE GPU_SUSPENDED GPU_RELEASED`,
  ),
]);
export const faultSeverity = (code: string): Severity => faultSeverities.get(code) ?? 'warning';

export const severityRank = (severity: Severity): number => severities.indexOf(severity);
