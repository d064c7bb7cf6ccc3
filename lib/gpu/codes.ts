/** NVML's return codes (nvmlReturn_t): the reasons of both readers. Judged by number, since the texts differ by release. */
export const nvmlCode = {
  success: 0,
  uninitialized: 1,
  invalidArgument: 2,
  notSupported: 3,
  noPermission: 4,
  notFound: 6,
  driverNotLoaded: 9,
  timeout: 10,
  libraryNotFound: 12,
  functionNotFound: 13,
  corruptedInforom: 14,
  gpuIsLost: 15,
  resetRequired: 16,
  operatingSystem: 17,
  versionMismatch: 18,
  deprecated: 26,
  gpuNotFound: 28,
  unknown: 999,
} as const;

interface Reason {
  /** The `code` of a fault. */
  readonly code: string;
  readonly text: string;
}

const reasons: Readonly<Record<number, Reason>> = {
  1: { code: 'UNINITIALIZED', text: 'NVML is not initialized' },
  2: { code: 'INVALID_ARGUMENT', text: 'the driver refuses the question' },
  3: { code: 'NOT_SUPPORTED', text: 'this GPU does not tell it' },
  4: { code: 'NO_PERMISSION', text: 'not permitted; run as root or grant the container access to the device' },
  6: { code: 'NOT_FOUND', text: 'not found' },
  7: { code: 'INSUFFICIENT_SIZE', text: 'the list grew faster than it could be read' },
  8: { code: 'INSUFFICIENT_POWER', text: 'the GPU lacks power; check its power cables' },
  9: { code: 'DRIVER_NOT_LOADED', text: 'the NVIDIA driver is not loaded; try `modprobe nvidia` and see dmesg' },
  10: { code: 'TIMEOUT', text: 'the driver gave no answer in time' },
  11: { code: 'IRQ_ISSUE', text: 'the GPU has an interrupt problem; see dmesg' },
  12: {
    code: 'LIBRARY_NOT_FOUND',
    text: 'libnvidia-ml is missing; install the driver, or its utilities in the container',
  },
  13: { code: 'FUNCTION_NOT_FOUND', text: 'this driver is too old to tell it' },
  14: { code: 'CORRUPTED_INFOROM', text: 'the infoROM is corrupted; the GPU should be serviced' },
  15: {
    code: 'GPU_IS_LOST',
    text: 'the GPU is lost: it no longer answers on the bus; a reset or a reboot may bring it back',
  },
  16: {
    code: 'GPU_RESET_REQUIRED',
    text: 'the GPU must be reset before it is of use again: stop its workers, then `hivepulse release-gpus 120` and `nvidia-smi --gpu-reset`',
  },
  17: { code: 'OPERATING_SYSTEM', text: 'the operating system blocks the GPU (cgroup device rules?)' },
  18: {
    code: 'VERSION_MISMATCH',
    text: 'library and loaded driver are of different versions; reboot, or reload the nvidia modules, after an upgrade',
  },
  19: { code: 'IN_USE', text: 'in use by another client' },
  20: { code: 'MEMORY', text: 'the driver is out of memory' },
  23: { code: 'INSUFFICIENT_RESOURCES', text: 'the driver is out of resources' },
  26: { code: 'DEPRECATED', text: 'this driver no longer tells it' },
  27: { code: 'NOT_READY', text: 'the GPU is not ready yet' },
  28: { code: 'GPU_NOT_FOUND', text: 'the driver finds no GPU' },
  999: {
    code: 'UNKNOWN_ERROR',
    text: 'unknown error of the driver; in a container it often lost its devices (systemd daemon-reload): restart it',
  },
};

/** The reason that an NVML return code stands for. */
export function reasonOf(code: number): Reason {
  return reasons[code] ?? { code: `NVML_${code}`, text: `the driver answered ${code}` };
}

/** Codes that say that a value is not to be had from this device, driver or reader at all, rather than not now. */
export function isUnsupported(code: number): boolean {
  return code === nvmlCode.notSupported || code === nvmlCode.functionNotFound || code === nvmlCode.deprecated;
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

/** Bits without a name (of a newer driver) are told by number. */
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
