import { ofSetting } from '../config/check-options.js';
import { defaults } from '../contract/defaults.js';
import type { PidCheck } from '../procfs/pids.js';
import { HivepulseError } from '../util/errors.js';
import { callback, checkOptions, expected, flag, isText, numberFrom, type TableOf } from '../util/options.js';
import { DrmProcesses } from './drm/processes.js';
import { type GpuEvent, type GpuReading, type GpuSource, noGpuSource } from './reading.js';
import type { GpuVendor } from './vendor.js';
import { VendorGpus } from './vendor-gpus.js';
import { type GpuVendorOptions, gpuVendors, vendorOptionTable } from './vendors.js';

export type GpuSourceOptions = GpuVendorOptions & {
  /** Whose GPUs are read; all that there is a reader for unless it is given. */
  readonly vendors?: readonly GpuVendor<GpuVendorOptions>[];
  /** Whether a number can be a pid of this host; by its pid_max unless it is given. */
  readonly isPid?: PidCheck;
  readonly times?: { readonly tickMs?: number };
};

const path = expected('a path', isText);
const object = expected('an object', (value) => typeof value === 'object' && value !== null);
const optionTable: TableOf<GpuSourceOptions> = {
  ...vendorOptionTable,
  times: { ...vendorOptionTable.times, tickMs: numberFrom(1, 'a number of milliseconds') },
  gpu: ofSetting('gpu'),
  fallback: flag,
  isolation: ofSetting('gpuIsolation'),
  env: object,
  intervalMs: numberFrom(1, 'a number of milliseconds'),
  now: callback,
  spawn: callback,
  roots: { sys: path, proc: path },
  allGpus: flag,
  drmProcesses: object,
  logger: object,
  vendors: expected('a list of vendors', Array.isArray),
  isPid: callback,
};

/** Where no vendor has a driver the source looks so many times more seldom: each time wakes the process. */
const idleFactor = 8;

/**
 * A source of GPU readings that never blocks and never ends: readers change as drivers come and go.
 * @throws HivepulseError INVALID_OPTION
 */
export function createGpuSource(options: GpuSourceOptions = {}): GpuSource {
  checkOptions('', options, optionTable);
  if (options.gpu === 'none') return noGpuSource('they are not read: switched off (gpu: none)');
  if (process.platform !== 'linux') return noGpuSource(`there is no GPU reader for ${process.platform}`);
  return new JoinedSource(options);
}

/** Runs the readers of all vendors side by side and joins what they say. */
class JoinedSource implements GpuSource {
  readonly #now: () => number;
  readonly #vendors: readonly VendorGpus[];
  readonly #tickMs: number;
  readonly #drmProcesses: DrmProcesses;
  #timer: NodeJS.Timeout | null = null;
  #isIdle = false;
  #releasedUntil: number | null = null;
  #closed = false;

  constructor({ vendors = gpuVendors, ...options }: GpuSourceOptions) {
    this.#now = options.now ?? (() => performance.now());
    this.#drmProcesses = new DrmProcesses({
      procRoot: options.roots?.proc ?? '/proc',
      now: this.#now,
      sharedMs: (options.intervalMs ?? defaults.intervalMs) / 2,
    });
    const shared = { drmProcesses: this.#drmProcesses, ...options };
    this.#vendors = vendors.map(
      (vendor, i) =>
        new VendorGpus((identities) => vendor.open(shared, identities), {
          vendor: vendor.name,
          prefix: i === 0 ? '' : `${vendor.name.toLowerCase()}-`,
          logger: options.logger,
          isPid: options.isPid,
        }),
    );
    this.#tickMs = options.times?.tickMs ?? 250;
    this.#tick();
    this.#arm();
  }

  latest(): GpuReading {
    // Where no vendor has a driver the timer alone looks for one.
    if (!this.#isIdle || this.#releasedUntil !== null) this.#tick();
    if (this.#isIdle !== this.#vendors.every(({ isAbsent }) => isAbsent)) this.#arm();
    const now = this.#now();
    return joinReadings(this.#vendors.map((vendor) => vendor.reading(now)));
  }

  takeEvents(): readonly GpuEvent[] {
    return this.#vendors.flatMap((vendor) => vendor.takeEvents());
  }

  async release(seconds: number): Promise<void> {
    if (!(seconds > 0 && seconds <= 86_400)) {
      throw new HivepulseError('INVALID_OPTION', 'seconds', 'seconds must be above 0 and at most 86400 (a day)');
    }
    if (this.#closed) throw new HivepulseError('CLOSED', 'gpu', 'the GPU source is closed');
    this.#releasedUntil = this.#now() + seconds * 1000;
    try {
      await Promise.all(this.#vendors.map(({ reader }) => reader.release()));
    } catch (error) {
      this.#resume();
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const { reader } of this.#vendors) reader.close();
    this.#drmProcesses.close();
  }

  /** Sets the time of the next look. Each reading asked for is one as well. */
  #arm(): void {
    if (this.#closed) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#isIdle = this.#vendors.every(({ isAbsent }) => isAbsent);
    const look = () => {
      this.#tick();
      this.#arm();
    };
    this.#timer = setTimeout(look, this.#isIdle ? this.#tickMs * idleFactor : this.#tickMs).unref();
  }

  #resume(): void {
    this.#releasedUntil = null;
    for (const { reader } of this.#vendors) reader.resume();
  }

  #tick(): void {
    if (this.#closed) return;
    const left = this.#releasedUntil === null ? 0 : this.#releasedUntil - this.#now();
    if (left > 0) {
      for (const vendor of this.#vendors) vendor.released(Math.ceil(left / 1000));
      return;
    }
    if (this.#releasedUntil !== null) this.#resume();
    let firstIndex = 0;
    for (const vendor of this.#vendors) {
      vendor.update(firstIndex);
      firstIndex = vendor.endIndex;
    }
  }
}

/** Of vendors that differ, the later one of these says what is known of the host. */
const severity = ['off', 'absent', 'working', 'released', 'initializing', 'failed', 'stalled'] as const;

/**
 * What is known of the host's GPUs as a whole. A vendor without a driver here adds nothing. One that gives no answer
 * costs its own GPUs only, each of which says so; where it does not even know which they are, nothing is known of the host.
 */
export function joinReadings(all: readonly GpuReading[]): GpuReading {
  const present = all.filter(({ status }) => status !== 'absent');
  const readings = present.length > 0 ? present : all;
  const [first, second] = readings;
  if (first !== undefined && (second === undefined || present.length === 0)) return first;
  const answering = readings.filter(({ status, devices }) => status === 'working' || devices.length === 0);
  const statuses = (answering.some(({ status }) => status === 'working') ? answering : readings).map((r) => r.status);
  const ages = readings.flatMap(({ ageMs }) => ageMs ?? []);
  const reasons = readings.flatMap(({ reason }) => reason ?? []);
  const readers = [...new Set(readings.map(({ reader }) => reader))].filter((reader) => reader !== 'none');
  return {
    reader: readers[0] ?? 'none',
    ...(readers.length > 1 ? { readers } : {}),
    reason: reasons.length > 0 ? reasons.join('; ') : null,
    ageMs: ages.length > 0 ? Math.max(...ages) : null,
    status: severity.findLast((status) => statuses.includes(status)) ?? 'absent',
    devices: readings.flatMap(({ devices }) => devices),
    processes: readings.flatMap(({ processes }) => processes),
    faults: readings.flatMap(({ faults }) => faults),
  };
}
