import { amd } from './amd/vendor.js';
import { intel } from './intel/vendor.js';
import { type NvidiaOptions, nvidia, nvidiaOptionTable } from './nvidia/vendor.js';
import type { GpuReaderOptions, GpuVendor } from './vendor.js';

/** What may be set for the readers of GPUs, of whichever vendor. */
export type GpuVendorOptions = GpuReaderOptions & NvidiaOptions;

/** What is checked of the options that only one vendor has. */
export const vendorOptionTable = nvidiaOptionTable;

/** Every vendor whose GPUs are read, in the order in which a host's GPUs are counted. */
export const gpuVendors: readonly GpuVendor<GpuVendorOptions>[] = [nvidia, amd, intel];

/** Whether the path is that of a card of some vendor, as its processes have it open and mapped. */
export const isCardFile = (path: string): boolean => gpuVendors.some(({ deviceFile }) => deviceFile?.test(path));
