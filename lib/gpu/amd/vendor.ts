import { checkDrm } from '../drm/doctor.js';
import { openDrm } from '../drm/reader.js';
import type { GpuReaderOptions, GpuVendor } from '../vendor.js';
import { amdCards } from './cards.js';

/** AMD's GPUs, by what the amdgpu driver and KFD (ROCm) have below /sys and /proc. */
export const amd: GpuVendor<GpuReaderOptions> = {
  name: amdCards.vendor,
  open: (options) => openDrm(amdCards, options),
  check: (host) => checkDrm(amdCards, host),
};
