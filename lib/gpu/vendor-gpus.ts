import type { Fault, GpuSample } from '../contract/heartbeat.js';
import { type PidCheck, pidsOf } from '../procfs/pids.js';
import type { Log } from '../util/log.js';
import { type Assembled, assemble, blankDevice } from './assemble.js';
import { GpuEvents } from './events.js';
import { GpuIdentities, isUnidentified } from './identities.js';
import type { GpuDevice, GpuEvent, GpuReading } from './reading.js';
import { gpuReason } from './reasons.js';
import type { GpuReport } from './report.js';
import type { GpuReader, VendorReading } from './vendor.js';

const releasedFault: Fault = {
  source: 'gpu',
  code: 'GPU_RELEASED',
  message: 'the driver was released on request, so that it can be reset; values return on their own',
  field: 'gpus',
};

/** The GPUs of one vendor: what its reader says, and which GPUs are known while it says nothing. */
export class VendorGpus {
  readonly reader: GpuReader;
  readonly #identities: GpuIdentities;
  readonly #events = new GpuEvents();
  readonly #logger: Log | undefined;
  readonly #isPid: PidCheck;
  readonly #vendor: string | null;
  #assembled: { readonly report: GpuReport; readonly result: Assembled } | null = null;
  /** Every GPU of the last answer, to be named while there is none. */
  #known: readonly GpuDevice[] = [];
  #firstIndex = 0;
  #answeredAt: number | null = null;
  #reading: GpuReading;
  #readingAt: number | null = null;
  #logged = '';

  constructor(
    open: (identities: GpuIdentities) => GpuReader,
    options: {
      readonly vendor?: string;
      readonly prefix?: string;
      readonly logger?: Log | undefined;
      readonly isPid?: PidCheck | undefined;
    } = {},
  ) {
    this.#identities = new GpuIdentities(options.prefix);
    this.#logger = options.logger;
    this.#vendor = options.vendor ?? null;
    this.#isPid = options.isPid ?? pidsOf();
    this.reader = open(this.#identities);
    this.#reading = this.#without('initializing', 'none', null, []);
  }

  /** Takes what the reader says now. `firstIndex` is the index on the host of the first of these GPUs. */
  update(firstIndex = 0): void {
    if (firstIndex !== this.#firstIndex) {
      const shift = firstIndex - this.#firstIndex;
      this.#known = this.#known.map((device) => ({ ...device, index: device.index + shift }));
      this.#firstIndex = firstIndex;
      this.#assembled = null;
    }
    const now = this.reader.read();
    for (const event of this.reader.takeEvents()) this.#events.add(event);
    if (now.status === 'working') {
      this.#answer(now);
      return;
    }
    const reading = this.#without(now.status, now.reader, now.reason, now.faults);
    this.#set(reading, now.status === 'stalled' || now.status === 'failed' ? this.#answeredAt : null);
  }

  /** The driver is let go of for another `seconds`. */
  released(seconds: number): void {
    this.#set(this.#without('released', 'none', `released for another ${seconds} s`, [releasedFault]), null);
  }

  reading(now: number): GpuReading {
    return { ...this.#reading, ageMs: this.#readingAt === null ? null : Math.max(0, now - this.#readingAt) };
  }

  /** It has no driver here. */
  get isAbsent(): boolean {
    return this.#reading.status === 'absent';
  }

  /** Where the indexes of the next vendor's GPUs may begin. */
  get endIndex(): number {
    return Math.max(this.#firstIndex, ...this.#known.map(({ index }) => index + 1));
  }

  takeEvents(): readonly GpuEvent[] {
    return this.#events.take();
  }

  #answer({ reader, reason, report, at }: Extract<VendorReading, { status: 'working' }>): void {
    if (this.#assembled?.report !== report) {
      const assembled = assemble(report, this.#identities, this.#firstIndex, this.#isPid, this.#vendor);
      this.#assembled = { report, result: this.#withVanished(assembled) };
      this.#known = this.#assembled.result.devices;
      this.#events.observe(this.#known, new Date().toISOString());
    }
    const { devices, processes, faults } = this.#assembled.result;
    const withXid = devices.map((device) => ({ ...device, lastXid: this.#events.lastXid(device.uuid) }));
    this.#answeredAt = at;
    this.#set({ reader, reason, ageMs: null, status: 'working', devices: withXid, processes, faults }, at);
  }

  /** Adds the whole GPUs that the driver no longer lists: one that fell off the bus must not just disappear. */
  #withVanished(result: Assembled): Assembled {
    const listed = new Set(result.devices.map(({ uuid }) => uuid));
    const vanished = this.#known.filter(
      ({ uuid, parentUuid }) => !listed.has(uuid) && parentUuid === null && !isUnidentified(uuid),
    );
    const faults = vanished.map(({ uuid, index }) => ({
      source: 'gpu',
      code: 'GPU_VANISHED',
      message: `GPU ${index}: the driver no longer lists it; if it was removed on purpose, restart the hive`,
      gpuUuid: uuid,
    }));
    return {
      ...result,
      devices: [...result.devices, ...vanished.map((device) => blankDevice(device, 'lost'))],
      faults: [...result.faults, ...faults],
    };
  }

  /** A reading without values: every GPU known, and of each only which one it is. */
  #without(
    status: GpuReading['status'],
    reader: GpuReading['reader'],
    reason: string | null,
    faults: readonly Fault[],
  ): GpuReading {
    const forbidden = faults.some(({ code }) => code === gpuReason('noPermission').code);
    let health: GpuSample['health'] = status === 'stalled' ? 'stalled' : 'initializing';
    // A reader that fails says nothing of any one GPU: none is lost for that.
    if (status === 'failed') health = forbidden ? 'noPermission' : 'stalled';
    const devices = this.#known.map((device) => ({
      ...blankDevice(device, health),
      lastXid: this.#events.lastXid(device.uuid),
    }));
    return { reader, reason, ageMs: null, status, devices, processes: [], faults };
  }

  #set(reading: GpuReading, at: number | null): void {
    this.#reading = reading;
    this.#readingAt = at;
    const { status, reader, reason, faults } = reading;
    const state = `${status} ${reader}`;
    if (state === this.#logged) return;
    this.#logged = state;
    const quiet = status === 'absent' || status === 'initializing' || status === 'working';
    const codes = faults.map(({ code }) => code);
    this.#logger?.[quiet ? 'info' : 'warn']({ gpuReader: reader, reason, faults: codes }, `GPU reader: ${status}`);
  }
}
