/**
 * Why something of a GPU is not known, in words that no vendor owns. Health and placement go by the name; the code goes
 * on the wire as that of a fault. A vendor may give a reason words of its own, with its own tools in the advice.
 */
const words = {
  notInitialized: ['UNINITIALIZED', 'the driver is not initialized'],
  invalidArgument: ['INVALID_ARGUMENT', 'the driver refuses the question'],
  notSupported: ['NOT_SUPPORTED', 'this GPU does not report it'],
  noPermission: ['NO_PERMISSION', 'not permitted; run as root or grant the container access to the device'],
  notFound: ['NOT_FOUND', 'not found'],
  listGrew: ['INSUFFICIENT_SIZE', 'the list grew faster than it could be read'],
  insufficientPower: ['INSUFFICIENT_POWER', 'the GPU lacks power; check its power cables'],
  driverNotLoaded: ['DRIVER_NOT_LOADED', 'the driver is not loaded; see dmesg'],
  timeout: ['TIMEOUT', 'the driver did not answer in time'],
  interruptProblem: ['IRQ_ISSUE', 'the GPU has an interrupt problem; see dmesg'],
  libraryMissing: ['LIBRARY_NOT_FOUND', "the driver's library is missing; install the driver"],
  driverTooOld: ['FUNCTION_NOT_FOUND', 'this driver is too old to report it'],
  needsService: ['CORRUPTED_INFOROM', 'the infoROM is corrupted; the GPU should be serviced'],
  lost: ['GPU_IS_LOST', 'the GPU is lost: it no longer answers on the bus; a reset or a reboot may bring it back'],
  resetRequired: ['GPU_RESET_REQUIRED', 'the GPU must be reset before it can be used again: stop its workers first'],
  blockedBySystem: ['OPERATING_SYSTEM', 'the operating system blocks the GPU (cgroup device rules?)'],
  driverMismatch: ['VERSION_MISMATCH', 'library and loaded driver are of different versions; reboot after an upgrade'],
  suspended: ['GPU_SUSPENDED', 'the card is suspended to save power, and is not woken to be read'],
  inUse: ['IN_USE', 'in use by another client'],
  outOfMemory: ['MEMORY', 'the driver is out of memory'],
  outOfResources: ['INSUFFICIENT_RESOURCES', 'the driver is out of resources'],
  deprecated: ['DEPRECATED', 'this driver no longer reports it'],
  notReady: ['NOT_READY', 'the GPU is not ready yet'],
  gpuNotFound: ['GPU_NOT_FOUND', 'the driver finds no GPU'],
  unknown: [
    'UNKNOWN_ERROR',
    'unknown error of the driver; a container has often lost its devices (systemd daemon-reload): restart it',
  ],
} as const satisfies Record<string, readonly [code: string, text: string]>;

export type GpuReasonName = keyof typeof words;

export interface GpuReason {
  /** `other`: one that only the vendor knows. */
  readonly name: GpuReasonName | 'other';
  /** The `code` of a fault. */
  readonly code: string;
  /** What is wrong, and the fix. */
  readonly text: string;
}

export function gpuReason(name: GpuReasonName, text: string = words[name][1]): GpuReason {
  return { name, code: words[name][0], text };
}

/** The value is not to be had from this device, driver or reader at all, rather than not now. */
export const isUnsupported = ({ name }: GpuReason): boolean =>
  name === 'notSupported' || name === 'driverTooOld' || name === 'deprecated';
