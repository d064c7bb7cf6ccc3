import { checkDrm } from '../drm/doctor.js';
import { openDrm } from '../drm/reader.js';
import type { GpuReaderOptions, GpuVendor } from '../vendor.js';
import { intelCards } from './cards.js';

/** Intel's GPUs, by what the i915 and xe drivers have below /sys and /proc. */
export const intel: GpuVendor<GpuReaderOptions> = {
  name: intelCards.vendor,
  open: (options) => openDrm(intelCards, options),
  check: (host) => checkDrm(intelCards, host),
};
