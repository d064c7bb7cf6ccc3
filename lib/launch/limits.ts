import { HivepulseError } from '../util/errors.js';

/** Limits as a person writes them: flags of `hivepulse run`, options of `spawn`. What is not given is not limited. */
export interface LimitOptions {
  /** `"200%"` of one core, `"1.5"` or 1.5 cores, `"50000/100000"` quota over period in microseconds, or `max`. */
  readonly cpu?: string | number;
  /** `"24G"` = `"24GiB"` = 24 x 2^30 as systemd reads it, `"512M"`, bytes, or `max`. Beyond it the kernel kills. */
  readonly memory?: string | number;
  /** Like `memory`; beyond it the kernel reclaims and slows the worker down, but does not kill. */
  readonly memoryHigh?: string | number;
  /** Swap on top of memory, like `memory`; `0` = none. */
  readonly swap?: string | number;
  /** For each block device: `"/dev/nvme0n1 rbps=100M wbps=50M riops=1000 wiops=max"`, or `8:0` for the device. */
  readonly io?: readonly string[];
  /** Most processes and threads at one time, or `max`. */
  readonly pids?: string | number;
  /** CPUs it may run on: `"0-3,8"`. */
  readonly cpuset?: string;
  /** On running out of memory, kill the worker whole instead of one of its processes. */
  readonly oomGroup?: boolean;
}

export const ioKeys = ['rbps', 'wbps', 'riops', 'wiops'] as const;
export type IoKey = (typeof ioKeys)[number];

export interface IoLimit {
  /** `/dev/...` or `major:minor`. */
  readonly device: string;
  /** Bytes or operations a second; Infinity = `max`. */
  readonly values: Readonly<Partial<Record<IoKey, number>>>;
}

/** Validated limits; null = not asked for, Infinity = `max`. Sizes in bytes, times in microseconds. */
export interface Limits {
  readonly cpu: { readonly quotaUsec: number; readonly periodUsec: number } | null;
  readonly memoryBytes: number | null;
  readonly memoryHighBytes: number | null;
  readonly swapBytes: number | null;
  readonly io: readonly IoLimit[];
  readonly pids: number | null;
  /** Sorted, without overlaps: `0-3,8`. */
  readonly cpuset: string | null;
  readonly oomGroup: boolean;
}

export type LimitName = keyof LimitOptions;
export type Controller = 'cpu' | 'memory' | 'io' | 'pids' | 'cpuset';

export const limitFlags: Readonly<Record<LimitName, string>> = {
  cpu: '--cpu',
  memory: '--memory',
  memoryHigh: '--memory-high',
  swap: '--swap',
  io: '--io',
  pids: '--pids',
  cpuset: '--cpuset',
  oomGroup: '--oom-group',
};

function invalid(name: LimitName, want: string): never {
  throw new HivepulseError('INVALID_OPTION', limitFlags[name], `${limitFlags[name]} is not valid: ${want}.`);
}

/** The kernel's bounds: kernel/sched/core.c (tg_set_cfs_bandwidth), min_cfs_quota_period and max_cfs_quota_period. */
const defaultPeriodUsec = 100_000;
const minQuotaUsec = 1000;
const minPeriodUsec = 1000;
const maxPeriodUsec = 1_000_000;
const maxCores = 10_000;

const decimal = /^\d{1,15}(\.\d{1,9})?$/;

function quotaOfCores(cores: number): { quotaUsec: number; periodUsec: number } {
  const want = `give a share between 0.1% and ${maxCores * 100}% of one core`;
  if (!(cores > 0) || cores > maxCores) invalid('cpu', want);
  // A quota under 1 ms is refused by the kernel, so a very small share takes a longer period.
  const periodUsec = cores * defaultPeriodUsec >= minQuotaUsec ? defaultPeriodUsec : Math.ceil(minQuotaUsec / cores);
  if (periodUsec > maxPeriodUsec) invalid('cpu', want);
  return { quotaUsec: Math.max(minQuotaUsec, Math.round(cores * periodUsec)), periodUsec };
}

export function parseCpu(given: string | number): { quotaUsec: number; periodUsec: number } {
  const want =
    'give a percentage of one core ("200%"), cores ("1.5"), or quota/period in microseconds ("50000/100000")';
  const text = typeof given === 'number' ? String(given) : given.trim();
  if (text === 'max' || text === 'infinity')
    return { quotaUsec: Number.POSITIVE_INFINITY, periodUsec: defaultPeriodUsec };
  const fraction = /^(\d{1,15}|max)\/(\d{1,15})$/.exec(text);
  if (fraction) {
    const quotaUsec = fraction[1] === 'max' ? Number.POSITIVE_INFINITY : Number(fraction[1]);
    const periodUsec = Number(fraction[2]);
    if (periodUsec < minPeriodUsec || periodUsec > maxPeriodUsec) {
      invalid('cpu', `the period must lie between ${minPeriodUsec} and ${maxPeriodUsec} microseconds`);
    }
    if (quotaUsec < minQuotaUsec) invalid('cpu', `the quota must be at least ${minQuotaUsec} microseconds`);
    if (quotaUsec !== Number.POSITIVE_INFINITY && quotaUsec / periodUsec > maxCores) {
      invalid('cpu', `at most ${maxCores} cores`);
    }
    return { quotaUsec, periodUsec };
  }
  const percent = text.endsWith('%');
  const number = percent ? text.slice(0, -1) : text;
  if (!decimal.test(number)) invalid('cpu', want);
  return quotaOfCores(percent ? Number(number) / 100 : Number(number));
}

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
  P: 1024 ** 5,
};

/** A size to the base of 1024, as systemd reads it; null where it is none. KB, MB, GB are none: they mean two things. */
export function parseBytes(given: string | number): number | null {
  const text = typeof given === 'number' ? String(given) : given.trim();
  if (text === 'max' || text === 'infinity') return Number.POSITIVE_INFINITY;
  const match = /^(\d{1,16}(?:\.\d{1,9})?)\s?(B|[KMGTP](?:i?(?=$)|iB)?)?$/i.exec(text);
  if (!match) return null;
  const unit = (match[2] ?? '').charAt(0).toUpperCase();
  const bytes = Math.floor(Number(match[1]) * (unitBytes[unit] as number));
  if ((unit === '' || unit === 'B') && match[1]?.includes('.')) return null;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

function parseSize(name: LimitName, given: string | number, atLeast: number): number {
  const bytes = parseBytes(given);
  if (bytes === null) {
    const hint = /^[\d.]+\s?[KMGTP]B$/i.test(String(given)) ? ` ("GB" is ambiguous: write G or GiB for 2^30)` : '';
    invalid(name, `give a size such as "24G" (2^30 each), "512M", "1GiB" or bytes${hint}`);
  }
  if (bytes < atLeast) invalid(name, `it must be at least ${atLeast} bytes`);
  return bytes;
}

function parseCount(name: LimitName, given: string | number): number {
  const text = String(given).trim();
  if (text === 'max' || text === 'infinity') return Number.POSITIVE_INFINITY;
  // PID_MAX_LIMIT of 64-bit kernels.
  if (!/^\d{1,7}$/.test(text) || Number(text) < 1 || Number(text) > 4_194_304) {
    invalid(name, 'give a whole number between 1 and 4194304');
  }
  return Number(text);
}

export function parseIo(given: string): IoLimit {
  const want = 'give a device and its limits: "/dev/nvme0n1 rbps=100M wbps=50M riops=1000 wiops=1000"';
  const [device, ...settings] = given.trim().split(/[\s,]+/);
  if (!device || !/^(\/dev\/[A-Za-z0-9_./:@+-]+|\d{1,4}:\d{1,7})$/.test(device) || device.includes('..')) {
    invalid('io', want);
  }
  if (settings.length === 0) invalid('io', want);
  const values: Partial<Record<IoKey, number>> = {};
  for (const setting of settings) {
    const [key, value, ...rest] = setting.split('=');
    if (!(ioKeys as readonly string[]).includes(key ?? '') || value === undefined || rest.length > 0) {
      invalid('io', 'one of its settings is not rbps=, wbps=, riops= or wiops=');
    }
    const amount =
      (key as IoKey).endsWith('bps') || value === 'max'
        ? parseBytes(value)
        : /^\d{1,10}$/.test(value)
          ? Number(value)
          : null;
    if (amount === null || amount < 1) invalid('io', `${key} needs a whole number above 0, or max`);
    if ((key as IoKey) in values) invalid('io', `${key} stands twice`);
    values[key as IoKey] = amount;
  }
  return { device, values };
}

/** CPUs named by a list such as `0-3,8`, or null where it is none. */
export function parseCpuList(text: string): readonly number[] | null {
  const cpus = new Set<number>();
  for (const part of text.trim().split(',')) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part.trim());
    if (!match) return null;
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (last < first || last > 8191) return null;
    for (let cpu = first; cpu <= last; cpu += 1) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}

export function formatCpuList(cpus: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < cpus.length; ) {
    let end = i;
    while (end + 1 < cpus.length && cpus[end + 1] === (cpus[end] as number) + 1) end += 1;
    parts.push(end === i ? `${cpus[i]}` : `${cpus[i]}-${cpus[end]}`);
    i = end + 1;
  }
  return parts.join(',');
}

/** Validates all limits. Throws INVALID_OPTION whose subject is the flag. */
export function parseLimits(options: LimitOptions): Limits {
  const cpus = options.cpuset === undefined ? null : parseCpuList(options.cpuset);
  if (options.cpuset !== undefined && cpus === null) {
    invalid('cpuset', 'give CPU numbers and ranges such as "0-3,8"');
  }
  const io = (options.io ?? []).map(parseIo);
  const twice = io.find((limit, i) => io.findIndex((other) => other.device === limit.device) !== i);
  if (twice) invalid('io', 'name each device once');
  const limits: Limits = {
    cpu: options.cpu === undefined ? null : parseCpu(options.cpu),
    memoryBytes: options.memory === undefined ? null : parseSize('memory', options.memory, 4096),
    memoryHighBytes: options.memoryHigh === undefined ? null : parseSize('memoryHigh', options.memoryHigh, 4096),
    swapBytes: options.swap === undefined ? null : parseSize('swap', options.swap, 0),
    io,
    pids: options.pids === undefined ? null : parseCount('pids', options.pids),
    cpuset: cpus === null ? null : formatCpuList(cpus),
    oomGroup: options.oomGroup ?? false,
  };
  if (limits.memoryBytes !== null && limits.memoryHighBytes !== null && limits.memoryHighBytes > limits.memoryBytes) {
    invalid('memoryHigh', 'it must not be above --memory, or it never takes effect');
  }
  return limits;
}

/** One write to a file of the worker's cgroup. */
export interface LimitWrite {
  readonly name: LimitName;
  readonly controller: Controller;
  readonly file: string;
  readonly value: string;
}

const amount = (value: number) => (value === Number.POSITIVE_INFINITY ? 'max' : String(value));

/**
 * The writes that apply `limits` to a cgroup v2 directory, in an order the kernel takes.
 * `deviceNumber` turns a device into `major:minor` of its whole disk, since io.max knows no partitions.
 */
export function limitWrites(limits: Limits, deviceNumber: (device: string) => string): readonly LimitWrite[] {
  const writes: LimitWrite[] = [];
  const add = (name: LimitName, controller: Controller, file: string, value: string) =>
    writes.push({ name, controller, file, value });
  if (limits.cpuset !== null) add('cpuset', 'cpuset', 'cpuset.cpus', limits.cpuset);
  if (limits.cpu !== null) add('cpu', 'cpu', 'cpu.max', `${amount(limits.cpu.quotaUsec)} ${limits.cpu.periodUsec}`);
  if (limits.swapBytes !== null) add('swap', 'memory', 'memory.swap.max', amount(limits.swapBytes));
  if (limits.memoryHighBytes !== null) add('memoryHigh', 'memory', 'memory.high', amount(limits.memoryHighBytes));
  if (limits.memoryBytes !== null) add('memory', 'memory', 'memory.max', amount(limits.memoryBytes));
  if (limits.oomGroup) add('oomGroup', 'memory', 'memory.oom.group', '1');
  for (const { device, values } of limits.io) {
    const settings = ioKeys
      .filter((key) => values[key] !== undefined)
      .map((key) => `${key}=${amount(values[key] as number)}`);
    add('io', 'io', 'io.max', `${deviceNumber(device)} ${settings.join(' ')}`);
  }
  if (limits.pids !== null) add('pids', 'pids', 'pids.max', amount(limits.pids));
  return writes;
}

export interface UnitProperty {
  readonly name: LimitName;
  /** `Property=value`, as `systemd-run --property` takes it. */
  readonly setting: string;
}

const unitAmount = (value: number) => (value === Number.POSITIVE_INFINITY ? 'infinity' : String(value));
const ioProperties: Readonly<Record<IoKey, string>> = {
  rbps: 'IOReadBandwidthMax',
  wbps: 'IOWriteBandwidthMax',
  riops: 'IOReadIOPSMax',
  wiops: 'IOWriteIOPSMax',
};

/**
 * The same limits as properties of a systemd scope. systemd keeps a CPU quota in hundredths of a percent of one second,
 * so a quota finer than that is rounded by it. Left to itself it would stop a scope in which one process ran out of memory
 * (DefaultOOMPolicy=stop), so OOMPolicy is always set; systemd below 252 has it for services only.
 */
export function unitProperties(limits: Limits): readonly UnitProperty[] {
  const properties: UnitProperty[] = [];
  const add = (name: LimitName, setting: string) => properties.push({ name, setting });
  if (limits.cpuset !== null) add('cpuset', `AllowedCPUs=${limits.cpuset}`);
  if (limits.cpu !== null) {
    const { quotaUsec, periodUsec } = limits.cpu;
    if (quotaUsec === Number.POSITIVE_INFINITY) add('cpu', 'CPUQuota=');
    else {
      add('cpu', `CPUQuota=${Math.max(0.01, Math.round((quotaUsec / periodUsec) * 10_000) / 100)}%`);
      add('cpu', `CPUQuotaPeriodSec=${periodUsec}us`);
    }
  }
  if (limits.swapBytes !== null) add('swap', `MemorySwapMax=${unitAmount(limits.swapBytes)}`);
  if (limits.memoryHighBytes !== null) add('memoryHigh', `MemoryHigh=${unitAmount(limits.memoryHighBytes)}`);
  if (limits.memoryBytes !== null) add('memory', `MemoryMax=${unitAmount(limits.memoryBytes)}`);
  add('oomGroup', limits.oomGroup ? 'OOMPolicy=kill' : 'OOMPolicy=continue');
  for (const { device, values } of limits.io) {
    const path = device.startsWith('/') ? device : `/dev/block/${device}`;
    for (const key of ioKeys) {
      if (values[key] !== undefined) add('io', `${ioProperties[key]}=${path} ${unitAmount(values[key])}`);
    }
  }
  if (limits.pids !== null) add('pids', `TasksMax=${unitAmount(limits.pids)}`);
  return properties;
}

/** A limit that was asked for and does not hold, or only in part, and why. */
export interface NotApplied {
  readonly name: LimitName;
  readonly code: 'LIMIT_NOT_APPLIED' | 'LIMIT_IN_PART';
  readonly message: string;
}

export function notApplied(name: LimitName, reason: string): NotApplied {
  return { name, code: 'LIMIT_NOT_APPLIED', message: `${limitFlags[name]} requested, not applied: ${reason}` };
}

/** The names of the limits that `options` asks for. */
export function limitNames(options: LimitOptions): readonly LimitName[] {
  return (Object.keys(limitFlags) as LimitName[]).filter((name) => {
    const value = options[name];
    return value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);
  });
}
