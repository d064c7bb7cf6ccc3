import { rawText } from '../../contract/fields/plausible.js';
import { type GpuProblem, memoryProblems } from '../health.js';
import type { GpuReason } from '../reasons.js';
import type { GpuReport, ReportedGpu, ReportedProcess, ReportedValues } from '../report.js';
import { isRecoveryAction, isUnsupported, nvmlCode, reasonOf, recoveryProblem, throttleReasons } from './codes.js';

/** Fields that are not called as in the contract, with their name there; null: for our own use. */
const renamed = {
  throttleBits: 'throttleReasons',
  remapPending: 'remappedRows',
  remapFailed: 'remappedRows',
  nvlinksUp: null,
  nvlinksTotal: 'nvlinks',
  migEnabled: 'migMode',
  recoveryAction: null,
  processes: 'processCount',
  processUtilization: 'workers.gpus.utilizationPercent',
  xidEvents: 'lastXid',
} as const;
/** What both readers fill in (native/nvml_reader.h). */
export type NvidiaField =
  | keyof typeof renamed
  | Exclude<keyof ReportedValues, 'throttleReasons' | 'remappedRows' | 'nvlinks' | 'migMode'>;

/** A GPU as NVML or nvidia-smi tells of it, with NVML's return codes as the reasons. */
export interface NvidiaGpu {
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
  readonly values: Partial<Readonly<Record<NvidiaField, number>>>;
  readonly codes: Partial<Readonly<Record<NvidiaField, number>>>;
  /** nvidia-smi's warning that the infoROM is corrupted. */
  readonly inforomCorrupted?: boolean;
}

/** A GPU whose fields are still being filled in. */
export type OpenGpu = Omit<NvidiaGpu, 'values' | 'codes'> &
  Record<'values' | 'codes', Partial<Record<NvidiaField, number>>>;

export interface NvidiaReport {
  readonly driverVersion: string;
  /** Why the driver does not list its GPUs; `devices` are those that it listed before. */
  readonly countCode?: number;
  /** What nvidia-smi says of the host, or of a GPU that it does not list. */
  readonly problems?: GpuReport['problems'];
  readonly devices: readonly NvidiaGpu[];
  readonly processes: readonly ReportedProcess[];
}

/** Chips whose memory is the host's as well (GB10), or a NUMA node of it (GH200, whose `used` contains page cache). */
const unifiedChips = /\b(GB10|GH200)\b/;

/** What both readers found, without NVML's codes: they do not leave this folder. */
export function toReport({ countCode, problems, devices, processes }: NvidiaReport): GpuReport {
  return {
    unlisted: countCode === undefined ? null : reasonOf(countCode),
    ...(problems === undefined ? {} : { problems }),
    devices: devices.map(toGpu),
    processes,
  };
}

const allOnes32 = 2 ** 32 - 1;
/** What stands where a flag or a set of bits must, and is none. */
const implausible = (value: number): GpuReason => ({
  name: 'other',
  code: 'IMPLAUSIBLE',
  text: `the driver says ${rawText(value)}`,
});

function toGpu(gpu: NvidiaGpu): ReportedGpu {
  const { index, uuid, parentUuid, name, busId, computeCapability, codes } = gpu;
  const {
    throttleBits,
    remapPending,
    remapFailed,
    nvlinksUp: _up,
    nvlinksTotal: _total,
    migEnabled,
    recoveryAction,
    processes,
    processUtilization: _,
    xidEvents: _events,
    ...values
  } = gpu.values;
  const reasons: Record<string, GpuReason> = {};
  for (const [field, code] of Object.entries(codes) as [NvidiaField, number][]) {
    const contractName = field in renamed ? renamed[field as keyof typeof renamed] : field;
    if (contractName !== null) reasons[contractName] = reasonOf(code);
  }
  const flag = (field: string, value: number): boolean | null => {
    if (value === 0 || value === 1) return value === 1;
    reasons[field] = implausible(value);
    return null;
  };
  const isBits = throttleBits !== undefined && throttleBits < allOnes32;
  if (throttleBits !== undefined && !isBits) reasons.throttleReasons = implausible(throttleBits);
  const pending = remapPending === undefined ? null : flag('remappedRows', remapPending);
  const failed = remapFailed === undefined ? null : flag('remappedRows', remapFailed);
  const isWhole = pending !== null && failed !== null;
  // A card, or a driver, that knows of no MIG; and MIG devices, of which nobody asks.
  const noMig = parentUuid !== '' || isUnsupported(codes.migEnabled);
  if (isUnsupported(codes.migEnabled)) delete reasons.migMode;
  const gone = goneCode(gpu);
  return {
    ...{ index, uuid, parentUuid, name, busId, computeCapability },
    unifiedMemory: parentUuid === '' && (codes.memoryTotalBytes === nvmlCode.notSupported || unifiedChips.test(name)),
    unreachable: gone === nvmlCode.success ? null : reasonOf(gone),
    values: {
      ...values,
      throttleReasons: isBits ? throttleReasons(throttleBits) : null,
      migMode: migEnabled === undefined ? (noMig ? false : null) : flag('migMode', migEnabled),
      ...(isWhole ? { remappedRows: { pending, failed } } : {}),
      ...linksOf(gpu.values, reasons),
    },
    reasons,
    problems: [
      ...problemsOf(gpu, recoveryAction, reasons),
      // One of both may be known alone.
      ...(isWhole ? [] : memoryProblems({ remappedRows: { pending: pending === true, failed: failed === true } })),
    ],
    processesKnown: processes !== undefined,
  };
}

function linksOf(
  { nvlinksUp = 0, nvlinksTotal }: NvidiaGpu['values'],
  reasons: Record<string, GpuReason>,
): Pick<Partial<ReportedValues>, 'nvlinks'> {
  if (nvlinksTotal === undefined) return {};
  if (nvlinksUp <= nvlinksTotal) return { nvlinks: { up: nvlinksUp, total: nvlinksTotal } };
  reasons.nvlinks = implausible(nvlinksUp);
  return {};
}

function problemsOf(
  gpu: NvidiaGpu,
  recoveryAction = 0,
  reasons: Record<string, GpuReason> = {},
): readonly GpuProblem[] {
  const isAction = isRecoveryAction(recoveryAction);
  if (!isAction) reasons.recoveryAction = implausible(recoveryAction);
  const recovery = isAction ? recoveryProblem(recoveryAction) : null;
  const inforom = { ...reasonOf(nvmlCode.needsService), health: 'degraded' } as const;
  return [...(recovery ? [recovery] : []), ...(gpu.inforomCorrupted ? [inforom] : [])];
}

const measured: readonly NvidiaField[] = ['memoryTotalBytes', 'utilizationPercent', 'temperatureCelsius', 'powerWatts'];

/** Why the whole GPU is out of reach, or 0. */
function goneCode({ handleCode, values, codes }: NvidiaGpu): number {
  if (handleCode !== nvmlCode.success) return handleCode;
  // A GPU that falls off the bus within a pass has answered some questions before; none of that is to be trusted.
  for (const code of [nvmlCode.lost, nvmlCode.resetRequired]) if (Object.values(codes).includes(code)) return code;
  const silent = measured.every((field) => values[field] === undefined && codes[field] !== undefined);
  return silent && codes.memoryTotalBytes === nvmlCode.unknown ? nvmlCode.unknown : nvmlCode.success;
}
