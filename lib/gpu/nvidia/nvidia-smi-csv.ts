import { sameBusId } from '../identities.js';
import { nvmlCode, reasonOf } from './codes.js';
import type { NvidiaField, NvidiaGpu } from './report.js';

/**
 * The text of nvidia-smi, as pure functions. It is CSV without quotes, with warnings between the rows and all errors on
 * standard output; what is not a row that makes sense is not a row.
 */

type Convert = (text: string) => number | null;

export const number: Convert = (text) => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : null);
/** Cells are in MiB, each rounded up. */
export const mebibytes: Convert = (text) => {
  const value = number(text.replace(/MiB$/i, '').trimEnd());
  return value === null || value < 0 ? null : value * 1024 * 1024;
};
const hexadecimal: Convert = (text) => (/^0x[0-9a-f]+$/i.test(text) ? Number(BigInt(text)) : null);
const word =
  (words: Readonly<Record<string, number>>): Convert =>
  (text) =>
    words[text.toLowerCase()] ?? null;
const yesNo = word({ yes: 1, no: 0 });
const enabled = word({ enabled: 1, disabled: 0 });
const recovery = word({
  none: 0,
  reset: 1,
  'gpu reset': 1,
  reboot: 2,
  'node reboot': 2,
  'drain p2p': 3,
  'drain and reset': 4,
});

interface Column {
  /** Names to ask by, newest first; a driver that refuses one is asked by the next, then no more. */
  readonly names: readonly string[];
  readonly field: NvidiaField | 'driverVersion' | 'computeCapability';
  readonly convert?: Convert;
}

/** What is asked between the columns that every driver has: `index, uuid, pci.bus_id` first, `name` last. */
const columns: readonly Column[] = [
  { names: ['driver_version'], field: 'driverVersion' },
  { names: ['compute_cap'], field: 'computeCapability' },
  { names: ['memory.total'], field: 'memoryTotalBytes', convert: mebibytes },
  { names: ['memory.reserved'], field: 'memoryReservedBytes', convert: mebibytes },
  { names: ['memory.used'], field: 'memoryUsedBytes', convert: mebibytes },
  { names: ['utilization.gpu'], field: 'utilizationPercent', convert: number },
  { names: ['utilization.memory'], field: 'memoryBusPercent', convert: number },
  { names: ['temperature.gpu'], field: 'temperatureCelsius', convert: number },
  { names: ['power.draw'], field: 'powerWatts', convert: number },
  { names: ['enforced.power.limit', 'power.limit'], field: 'powerLimitWatts', convert: number },
  { names: ['clocks.current.sm', 'clocks.sm'], field: 'smClockMhz', convert: number },
  { names: ['fan.speed'], field: 'fanPercent', convert: number },
  {
    names: ['clocks_event_reasons.active', 'clocks_throttle_reasons.active'],
    field: 'throttleBits',
    convert: hexadecimal,
  },
  { names: ['ecc.errors.uncorrected.volatile.total'], field: 'eccUncorrected', convert: number },
  { names: ['remapped_rows.pending'], field: 'remapPending', convert: yesNo },
  { names: ['remapped_rows.failure'], field: 'remapFailed', convert: yesNo },
  { names: ['mig.mode.current'], field: 'migEnabled', convert: enabled },
  { names: ['gpu_recovery_action'], field: 'recoveryAction', convert: recovery },
];

/** The columns that this nvidia-smi is asked for; `without` gives the next try after it refused one. */
export class GpuQuery {
  readonly #refused: ReadonlySet<string>;

  constructor(refused: ReadonlySet<string> = new Set()) {
    this.#refused = refused;
  }

  /** The name by which a column is asked for, or null when all of them were refused. */
  #name(column: Column): string | null {
    return column.names.find((name) => !this.#refused.has(name)) ?? null;
  }

  get asked(): readonly Column[] {
    return columns.filter((column) => this.#name(column) !== null);
  }

  /** Raw fields that this nvidia-smi does not know. */
  get missing(): readonly Column['field'][] {
    return columns.filter((column) => this.#name(column) === null).map((column) => column.field);
  }

  get argument(): string {
    const names = this.asked.map((column) => this.#name(column));
    return ['index', 'uuid', 'pci.bus_id', ...names, 'name'].join(',');
  }

  /** null: the refused field is none that was asked for, or one without which nothing goes. */
  without(field: string): GpuQuery | null {
    if (this.#refused.has(field) || !columns.some((column) => column.names.includes(field))) return null;
    return new GpuQuery(new Set([...this.#refused, field]));
  }
}

const tokens: Readonly<Record<string, number>> = {
  'n/a': nvmlCode.notSupported,
  'not supported': nvmlCode.notSupported,
  'not available in wddm driver model': nvmlCode.notSupported,
  '': nvmlCode.notSupported,
  '-': nvmlCode.notSupported,
  'insufficient permissions': nvmlCode.noPermission,
  'no permission': nvmlCode.noPermission,
  'function not found': nvmlCode.driverTooOld,
  'requested functionality has been deprecated': nvmlCode.deprecated,
  'gpu is lost': nvmlCode.lost,
  'gpu requires reset': nvmlCode.resetRequired,
  'not found': nvmlCode.notFound,
  timeout: nvmlCode.timeout,
};

/** The NVML return code that a cell without a value stands for. */
export function tokenCode(cell: string): number {
  const text = cell
    .trim()
    .replace(/^\[(.*)\]$/, '$1')
    .trim()
    .toLowerCase();
  return tokens[text] ?? nvmlCode.unknown; // "Unknown Error", "ERR!" and whatever comes next
}

export interface LostGpu {
  readonly busId: string;
  readonly code: number;
}

export interface GpuRows {
  readonly rows: readonly NvidiaGpu[];
  readonly driverVersion: string;
  /** A field that this nvidia-smi does not know: ask again without it. */
  readonly invalidField: string | null;
  /** GPUs whose handle could not be had. Older releases show none of the others then. */
  readonly lost: readonly LostGpu[];
  /** Bus ids of GPUs whose infoROM is corrupted, whether they have a row or not. */
  readonly corrupted: readonly string[];
}

/** Boards that are no cards and virtual GPUs have names of other forms; a cell in brackets is no name. */
const uuidPattern = /^[a-z0-9][a-z0-9._:/-]{3,95}$/i;
/** What stands for a name that a GPU does not have. */
const noName = /^(?:\[.{1,64}\]|N\/A)$/i;
const nameOf = (cell: string): string => (noName.test(cell) ? '' : cell);
/** `GPU 0000:02:00.0: ...`, `GPU0000:CF:00.0: ...` and `GPU1: 0000:34:00.0: ...`, by release. */
const lostPattern =
  /Unable to determine the device handle for GPU(?:\d{1,4}:)?\s?([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])\s?:(.*)/i;

function lostCode(text: string): number {
  if (/is lost/i.test(text)) return nvmlCode.lost;
  if (/requires reset/i.test(text)) return nvmlCode.resetRequired;
  if (/permission/i.test(text)) return nvmlCode.noPermission;
  return nvmlCode.unknown;
}

/** `--query-gpu=<query.argument> --format=csv,noheader,nounits`. */
export function parseGpuRows(text: string, query: GpuQuery): GpuRows {
  const rows: NvidiaGpu[] = [];
  const lost: LostGpu[] = [];
  const corrupted: string[] = [];
  let driverVersion = '';
  let invalidField: string | null = null;
  for (const line of text.split('\n')) {
    const invalid = /^Field "([^"]*)" is not a valid field to query/i.exec(line.trim());
    if (invalid) invalidField ??= invalid[1]!;
    const unreachable = lostPattern.exec(line);
    if (unreachable)
      lost.push({ busId: unreachable[1]!.toUpperCase().padStart(16, '0'), code: lostCode(unreachable[2]!) });
    const inforom = /infoROM is corrupted at gpu ([0-9a-f:.]+)/i.exec(line);
    if (inforom) corrupted.push(inforom[1]!);

    const cells = line.split(',').map((cell) => cell.trim());
    const asked = query.asked;
    if (cells.length < asked.length + 4) continue;
    const [index, uuid, busId] = cells as [string, string, string];
    const isNamed = uuidPattern.test(uuid);
    if (!/^\d{1,4}$/.test(index) || !(isNamed || nameOf(uuid) === '')) continue;
    const values: Partial<Record<NvidiaField, number>> = {};
    const codes: Partial<Record<NvidiaField, number>> = {};
    let computeCapability = '';
    asked.forEach((column, i) => {
      const cell = cells[3 + i]!;
      if (column.field === 'driverVersion') driverVersion = cell;
      else if (column.field === 'computeCapability') computeCapability = /^\d+\.\d+$/.test(cell) ? cell : '';
      else {
        const value = column.convert!(cell);
        if (value === null) codes[column.field] = tokenCode(cell);
        else values[column.field] = value;
      }
    });
    for (const field of query.missing) {
      if (field !== 'driverVersion' && field !== 'computeCapability') codes[field] = nvmlCode.driverTooOld;
    }
    // No query of nvidia-smi tells them in CSV.
    codes.nvlinksUp = nvmlCode.driverTooOld;
    codes.nvlinksTotal = nvmlCode.driverTooOld;
    codes.xidEvents = nvmlCode.driverTooOld;
    if (values.memoryTotalBytes === 0) {
      // A GPU without memory is a GPU that does not tell.
      delete values.memoryTotalBytes;
      delete values.memoryUsedBytes;
      codes.memoryTotalBytes = nvmlCode.notSupported;
      codes.memoryUsedBytes = nvmlCode.notSupported;
    }
    const name = cells.slice(3 + asked.length).join(', ');
    rows.push({
      index: Number(index),
      handleCode: nvmlCode.success,
      // Without one it is known by its bus id, or by being the only one that is missing.
      uuid: isNamed ? uuid : '',
      parentUuid: '',
      name: nameOf(name),
      busId: nameOf(busId),
      computeCapability,
      values,
      codes,
    });
  }
  const marked = rows.map((row) =>
    corrupted.some((busId) => sameBusId(busId, row.busId)) ? { ...row, inforomCorrupted: true } : row,
  );
  return { rows: marked, driverVersion, invalidField, lost, corrupted };
}

/**
 * What an exit code means that no row and no lost GPU explains: a problem of the host, and none of any GPU. 255 is the
 * tool's "other error".
 */
export function hostProblem(
  { rows, lost, corrupted }: GpuRows,
  exitCode: number | null,
): { readonly code: string; readonly text: string } | null {
  const strangers = corrupted.filter((busId) => !rows.some((row) => sameBusId(row.busId, busId)));
  if (strangers.length > 0) {
    const { code, text } = reasonOf(nvmlCode.needsService);
    return { code, text: `nvidia-smi, of GPU ${strangers.join(', ')}, which it does not list: ${text}` };
  }
  if (exitCode === 0 || exitCode === null) return null;
  const meaning = exitCode === 255 ? nvmlCode.unknown : exitCode;
  const inRow = rows.some(({ codes }) => Object.values(codes).includes(meaning));
  if (inRow || (exitCode === nvmlCode.needsService ? corrupted.length : lost.length) > 0) return null;
  const { code, text } = reasonOf(meaning);
  return { code, text: `nvidia-smi ended with ${exitCode} and says of no GPU why: ${text}` };
}

/** Not the name: it is the process's own choice, and may hold commas, line ends and what looks like another row or a message. */
export const computeAppsFields = 'gpu_uuid,pid,used_gpu_memory';

export interface AppRow {
  readonly uuid: string;
  readonly pid: number;
  readonly bytes: number | null;
}

export interface AppRows {
  readonly apps: readonly AppRow[];
  /** GPUs that show no processes but a reason, by NVML's return code. */
  readonly refused: readonly { readonly uuid: string; readonly code: number }[];
}

/** `--query-compute-apps=<computeAppsFields> --format=csv,noheader,nounits`. */
export function parseComputeApps(text: string): AppRows {
  const apps: AppRow[] = [];
  const refused: { readonly uuid: string; readonly code: number }[] = [];
  for (const line of text.split('\n')) {
    const [uuid, pid, memory, ...more] = line.split(',').map((cell) => cell.trim());
    if (uuid === undefined || pid === undefined || memory === undefined || more.length > 0) continue;
    if (!uuidPattern.test(uuid)) continue;
    if (!/^\d+$/.test(pid)) refused.push({ uuid, code: tokenCode(pid) });
    else if (Number(pid) > 0) apps.push({ uuid, pid: Number(pid), bytes: mebibytes(memory) });
  }
  return { apps, refused };
}

/**
 * Why a list that may be empty is not to be taken for one, as an NVML return code; null where it ended well. `lost` are
 * the GPUs that are known to be out of reach: that they can't be listed says nothing about the others.
 */
export function listFailure(text: string, exitCode: number | null, lost: readonly LostGpu[]): number | null {
  const failure = parseFailure(text, exitCode);
  if (failure !== null) return failure;
  if (exitCode === 0 || exitCode === nvmlCode.needsService) return null; // 14: a warning beside the whole answer
  if (exitCode === nvmlCode.noPermission) return nvmlCode.noPermission;
  const unreachable = text.split('\n').flatMap((line) => lostPattern.exec(line)?.[1] ?? []);
  const explained = unreachable.every((busId) => lost.some((gpu) => sameBusId(gpu.busId, busId)));
  return unreachable.length > 0 && explained ? null : nvmlCode.unknown;
}

/** Why nvidia-smi as a whole gave nothing, as an NVML return code; null where it says nothing of the kind. */
export function parseFailure(text: string, exitCode: number | null): number | null {
  if (/version mismatch/i.test(text)) return nvmlCode.driverMismatch;
  if (/couldn't communicate with the NVIDIA driver/i.test(text)) return nvmlCode.driverNotLoaded;
  if (/couldn't find libnvidia-ml/i.test(text)) return nvmlCode.libraryMissing;
  if (/Failed to initialize NVML/i.test(text)) {
    return /insufficient permissions/i.test(text) ? nvmlCode.noPermission : nvmlCode.unknown;
  }
  if (exitCode === 9 || exitCode === 12 || exitCode === 18) return exitCode;
  return null;
}

export const saysNoDevices = (text: string): boolean => /^No devices were found/im.test(text);
