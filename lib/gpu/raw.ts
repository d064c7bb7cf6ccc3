/**
 * What a reader of GPUs answers before anybody judges it: the same shape from NVML (native/nvml_reader.h) and from
 * nvidia-smi, with NVML's return codes as the reasons. `assemble.ts` makes the contract's GPUs of it.
 */
export const rawFields = [
  'memoryTotalBytes',
  'memoryUsedBytes',
  'memoryReservedBytes',
  'utilizationPercent',
  'memoryBusPercent',
  'temperatureCelsius',
  'powerWatts',
  'powerLimitWatts',
  'smClockMhz',
  'fanPercent',
  'throttleBits',
  'eccUncorrected',
  'remapPending',
  'remapFailed',
  'nvlinksUp',
  'nvlinksTotal',
  'migEnabled',
  'recoveryAction',
  'processes',
  'processUtilization',
] as const;
export type RawField = (typeof rawFields)[number];

export interface RawGpu {
  readonly index: number;
  /** Why the driver gives no access to this GPU; 0 where it does. */
  readonly handleCode: number;
  /** Empty where it is not known: the GPU never answered. */
  readonly uuid: string;
  /** Of a MIG device; else empty. */
  readonly parentUuid: string;
  readonly name: string;
  readonly busId: string;
  readonly computeCapability: string;
  /** A field stands in `values`, or in `codes` with the reason, or was not asked. */
  readonly values: Partial<Readonly<Record<RawField, number>>>;
  readonly codes: Partial<Readonly<Record<RawField, number>>>;
  /** nvidia-smi's warning that the infoROM is corrupted. */
  readonly inforomCorrupted?: boolean;
}

export interface RawProcess {
  /** Position in `devices`. */
  readonly device: number;
  readonly pid: number;
  readonly bytes: number | null;
  readonly utilization: number | null;
}

export interface RawReport {
  readonly driverVersion: string;
  /** Why the driver does not list its GPUs; `devices` are those that it listed before. */
  readonly countCode?: number;
  readonly devices: readonly RawGpu[];
  readonly processes: readonly RawProcess[];
}
