import type { GpuSample } from '../contract/heartbeat.js';
import { nvmlCode, reasonOf } from './codes.js';
import type { RawField, RawGpu } from './raw.js';

/** Something that is wrong with a GPU which answers, with the mend. */
export interface Cause {
  readonly code: string;
  readonly text: string;
  readonly health: 'resetRequired' | 'degraded';
}

const count = (amount: number, what: string): string => `${amount} ${what}${amount === 1 ? '' : 's'}`;

/** nvmlDeviceGpuRecoveryAction_t; the driver tells it since 565. */
function recovery(action: number): Cause | null {
  switch (action) {
    case 0:
      return null;
    case 1:
      return { ...reasonOf(nvmlCode.resetRequired), health: 'resetRequired' };
    case 2:
      return {
        code: 'GPU_REBOOT_REQUIRED',
        text: 'the driver asks for a reboot of the host: `hivepulse drain`, wait for its workers to end, and reboot',
        health: 'resetRequired',
      };
    case 3:
      return {
        code: 'GPU_RECOVERY_REQUIRED',
        text: 'the driver asks that peer-to-peer traffic over this GPU ends: stop the workers that span GPUs',
        health: 'degraded',
      };
    case 4:
      return {
        code: 'GPU_RESET_REQUIRED',
        text: 'the driver asks to drain this GPU and then reset it: once its workers have ended, `hivepulse release-gpus 120` and `nvidia-smi --gpu-reset`',
        health: 'resetRequired',
      };
    default:
      return {
        code: 'GPU_RECOVERY_REQUIRED',
        text: `the driver asks for recovery action ${action}; see nvmlDeviceGpuRecoveryAction_t in its manual`,
        health: 'degraded',
      };
  }
}

/** All that is wrong with a GPU which answers, worst first. A corrupted infoROM is told as the driver tells it. */
export function causesOf(values: RawGpu['values']): readonly Cause[] {
  const causes: (Cause | null)[] = [recovery(values.recoveryAction ?? 0)];
  if (values.remapFailed === 1) {
    causes.push({
      code: 'GPU_REMAP_FAILED',
      text: 'a row of its memory could not be remapped: replace the GPU',
      health: 'degraded',
    });
  }
  if (values.remapPending === 1) {
    causes.push({
      code: 'GPU_REMAP_PENDING',
      text: 'rows of its memory wait to be remapped: reset the GPU once its workers have ended',
      health: 'degraded',
    });
  }
  const errors = values.eccUncorrected ?? 0;
  if (errors > 0) {
    causes.push({
      code: 'GPU_ECC_UNCORRECTED',
      text: `${count(errors, 'uncorrected ECC error')} since the driver loaded: plan a reset of the GPU, and replace it if errors come back`,
      health: 'degraded',
    });
  }
  return causes.filter((cause) => cause !== null);
}

/** Why the whole GPU is out of reach, or 0. */
export function goneCode(gpu: RawGpu): number {
  if (gpu.handleCode !== nvmlCode.success) return gpu.handleCode;
  const codes = Object.values(gpu.codes);
  // A GPU that falls off the bus within a pass has answered some questions before; none of that is to be trusted.
  for (const code of [nvmlCode.gpuIsLost, nvmlCode.resetRequired]) {
    if (codes.includes(code)) return code;
  }
  const measured: readonly RawField[] = ['memoryTotalBytes', 'utilizationPercent', 'temperatureCelsius', 'powerWatts'];
  const silent = measured.every((field) => {
    const code = gpu.codes[field];
    return gpu.values[field] === undefined && code !== undefined;
  });
  return silent && gpu.codes.memoryTotalBytes === nvmlCode.unknown ? nvmlCode.unknown : nvmlCode.success;
}

/** @param gone of `goneCode`; @param causes of `causesOf` */
export function healthOf(gpu: RawGpu, gone: number, causes: readonly Cause[]): GpuSample['health'] {
  if (gone === nvmlCode.resetRequired) return 'resetRequired';
  if (gone === nvmlCode.noPermission) return 'noPermission';
  if (gone !== nvmlCode.success) return 'lost';
  if (causes.some(({ health }) => health === 'resetRequired')) return 'resetRequired';
  if (gpu.codes.memoryTotalBytes === nvmlCode.noPermission) return 'noPermission';
  const degraded =
    causes.length > 0 || gpu.inforomCorrupted === true || Object.values(gpu.codes).includes(nvmlCode.corruptedInforom);
  return degraded ? 'degraded' : 'ok';
}
