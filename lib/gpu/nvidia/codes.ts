import type { GpuProblem } from '../health.js';
import { type GpuReason, type GpuReasonName, gpuReason, isUnsupported as isUnsupportedReason } from '../reasons.js';

/**
 * NVML's return codes (nvmlReturn_t): the reasons of both readers. Judged by number, since the texts differ by release. The
 * words are NVIDIA's own where its tools and files are named.
 */
const codes: readonly (readonly [code: number, name: GpuReasonName, text?: string])[] = [
  [1, 'notInitialized', 'NVML is not initialized'],
  [2, 'invalidArgument'],
  [3, 'notSupported'],
  [4, 'noPermission'],
  [6, 'notFound'],
  [7, 'listGrew'],
  [8, 'insufficientPower'],
  [9, 'driverNotLoaded', 'the NVIDIA driver is not loaded; try `modprobe nvidia` and see dmesg'],
  [10, 'timeout'],
  [11, 'interruptProblem'],
  [12, 'libraryMissing', 'libnvidia-ml is missing; install the driver, or its utilities in the container'],
  [13, 'driverTooOld'],
  [14, 'needsService'],
  [15, 'lost'],
  [
    16,
    'resetRequired',
    'the GPU must be reset before it can be used again: stop its workers, then `hivepulse release-gpus 120` and `nvidia-smi --gpu-reset`',
  ],
  [17, 'blockedBySystem'],
  [
    18,
    'driverMismatch',
    'library and loaded driver are of different versions; reboot, or reload the nvidia modules, after an upgrade',
  ],
  [19, 'inUse'],
  [20, 'outOfMemory'],
  [23, 'outOfResources'],
  [26, 'deprecated'],
  [27, 'notReady'],
  [28, 'gpuNotFound'],
  [999, 'unknown'],
];
/** The codes by name. */
export const nvmlCode = Object.fromEntries([['success', 0], ...codes.map(([code, name]) => [name, code])]) as Readonly<
  Record<'success' | GpuReasonName, number>
>;
const reasons = new Map(codes.map(([code, name, text]) => [code, gpuReason(name, text)]));

/** The reason that an NVML return code stands for. */
export function reasonOf(code: number): GpuReason {
  return reasons.get(code) ?? { name: 'other', code: `NVML_${code}`, text: `the driver answered ${code}` };
}

export const isUnsupported = (code: number | undefined): boolean =>
  code !== undefined && isUnsupportedReason(reasonOf(code));

/** What the driver asks for (nvmlDeviceGpuRecoveryAction_t); it says so since 565. */
const recoveryProblems: readonly (GpuProblem | null)[] = [
  null,
  { ...reasonOf(nvmlCode.resetRequired), health: 'resetRequired' },
  {
    code: 'GPU_REBOOT_REQUIRED',
    text: 'the driver asks for a reboot of the host: `hivepulse drain`, wait for its workers to end, and reboot',
    health: 'resetRequired',
  },
  {
    code: 'GPU_RECOVERY_REQUIRED',
    text: 'the driver asks that peer-to-peer traffic over this GPU ends: stop the workers that span GPUs',
    health: 'degraded',
  },
  {
    code: 'GPU_RESET_REQUIRED',
    text: 'the driver asks to drain this GPU and then reset it: once its workers have ended, `hivepulse release-gpus 120` and `nvidia-smi --gpu-reset`',
    health: 'resetRequired',
  },
];

export function recoveryProblem(action: number): GpuProblem | null {
  const known = recoveryProblems[action];
  if (known !== undefined) return known;
  const text = `the driver asks for recovery action ${action}; see nvmlDeviceGpuRecoveryAction_t in its manual`;
  return { code: 'GPU_RECOVERY_REQUIRED', text, health: 'degraded' };
}

/** What slows a GPU, in words; the bits are nvmlClocksEventReasons. */
const throttleNames: readonly (readonly [bit: number, name: string])[] = [
  [0x1, 'idle'],
  [0x2, 'applicationClocks'],
  [0x4, 'powerCap'],
  [0x8, 'hardwareSlowdown'],
  [0x10, 'syncBoost'],
  [0x20, 'thermalSoftware'],
  [0x40, 'thermalHardware'],
  [0x80, 'powerBrake'],
  [0x100, 'displayClocks'],
];

/** Bits without a name (of a newer driver) are given by number. */
export function throttleReasons(bits: number): string[] {
  const names: string[] = [];
  let rest = bits;
  for (const [bit, name] of throttleNames) {
    if (Math.floor(rest / bit) % 2 === 1) {
      names.push(name);
      rest -= bit;
    }
  }
  if (rest > 0) names.push(`other:0x${rest.toString(16)}`);
  return names;
}
