import type { spawn } from 'node:child_process';
import type { Logger } from 'pino';
import type { GpuChoice } from '../config/options.js';
import { defaults } from '../contract/defaults.js';
import type { Fault, GpuSample } from '../contract/heartbeat.js';
import { HivepulseError } from '../util/errors.js';
import { type Assembled, assemble, blankDevice, GpuIdentities } from './assemble.js';
import { GpuEvents } from './events.js';
import { openHelper } from './helper.js';
import { NvidiaSmi, type NvidiaSmiState } from './nvidia-smi.js';
import { NvmlSession, type NvmlState, openThread, stillInside } from './nvml.js';
import type { RawReport } from './raw.js';
import { type GpuDevice, type GpuEvent, type GpuReading, type GpuSource, noGpuSource } from './reading.js';

export interface GpuSourceOptions {
  /** Which reader; `auto` is NVML, and nvidia-smi while NVML does not work. */
  readonly gpu?: GpuChoice;
  /**
   * Where NVML runs (default `thread`). `process` (what the daemons use): as hivepulse-gpu, which can crash, be killed and be left behind without
   * harm to this process, for some MiB of memory. `thread`: in this process, which a crash in the driver's library ends,
   * and whose exit a call stuck in the driver can hold up in the kernel.
   */
  readonly isolation?: 'process' | 'thread';
  /** For nvidia-smi and hivepulse-gpu. */
  readonly env?: NodeJS.ProcessEnv;
  readonly paths?: {
    /** Where to look for libnvidia-ml, in order. */
    readonly nvml?: readonly string[];
    readonly nvidiaSmi?: string;
    readonly helper?: string;
    /** `/proc/driver/nvidia`. */
    readonly procDriver?: string;
  };
  /** Pause between passes, in ms. */
  readonly intervalMs?: number;
  /** Times that tests shorten, in ms. */
  readonly times?: {
    readonly stalledMs?: number;
    readonly initializingMs?: number;
    readonly killAfterMs?: number;
    readonly missingRetryMs?: number;
    readonly slowIntervalMs?: number;
    readonly retryMs?: number;
    readonly nvidiaSmiTimeoutMs?: number;
    readonly nvidiaSmiFirstTimeoutMs?: number;
    readonly tickMs?: number;
  };
  readonly now?: () => number;
  readonly spawn?: typeof spawn;
  readonly logger?: Logger;
}

/** A source of GPU readings that never blocks and never ends: it changes readers as drivers come and go. */
export function createGpuSource(options: GpuSourceOptions = {}): GpuSource {
  if (options.gpu === 'none') return noGpuSource('switched off (gpu: none)');
  if (process.platform !== 'linux') return noGpuSource(`there is no GPU reader for ${process.platform}`);
  return new ChainedSource(options);
}

class ChainedSource implements GpuSource {
  readonly #options: GpuSourceOptions;
  readonly #now: () => number;
  readonly #holdMs: number;
  readonly #identities = new GpuIdentities();
  readonly #events = new GpuEvents();
  readonly #session: NvmlSession | null;
  readonly #smi: NvidiaSmi | null;
  readonly #timer: NodeJS.Timeout;
  #assembled: { report: RawReport; result: Assembled } | null = null;
  /** Every GPU of the last answer, to be named while there is none. */
  #known: readonly GpuDevice[] = [];
  #last: { reading: GpuReading; at: number } | null = null;
  #reading: GpuReading;
  #readingAt: number | null = null;
  #releasedUntil: number | null = null;
  #told = '';
  #closed = false;

  constructor(options: GpuSourceOptions) {
    const { times = {}, paths = {}, gpu = 'auto', intervalMs = defaults.intervalMs } = options;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#holdMs = (times.stalledMs ?? defaults.gpuStalledMs) + intervalMs;
    const common = { now: this.#now, intervalMs };
    const native = {
      ...(paths.nvml ? { libraryPaths: paths.nvml } : {}),
      intervalMs,
      ...(times.slowIntervalMs ? { slowIntervalMs: times.slowIntervalMs } : {}),
      ...(times.retryMs ? { retryMs: times.retryMs } : {}),
    };
    const processes = {
      ...(options.env ? { env: options.env } : {}),
      ...(options.spawn ? { spawn: options.spawn } : {}),
    };
    const helper = { ...native, ...processes, ...(paths.helper ? { helper: paths.helper } : {}) };
    this.#session =
      gpu === 'nvidia-smi'
        ? null
        : new NvmlSession({
            ...common,
            open: () => (options.isolation === 'process' ? openHelper(helper) : openThread(native)),
            ...(times.stalledMs ? { stalledMs: times.stalledMs } : {}),
            ...(times.initializingMs ? { initializingMs: times.initializingMs } : {}),
            ...(times.killAfterMs ? { killAfterMs: times.killAfterMs } : {}),
            ...(times.missingRetryMs ? { missingRetryMs: times.missingRetryMs } : {}),
          });
    this.#smi =
      gpu === 'nvml'
        ? null
        : new NvidiaSmi(this.#identities, {
            ...common,
            ...processes,
            ...(paths.nvidiaSmi ? { binary: paths.nvidiaSmi } : {}),
            ...(paths.procDriver ? { procDriver: paths.procDriver } : {}),
            ...(times.nvidiaSmiTimeoutMs ? { timeoutMs: times.nvidiaSmiTimeoutMs } : {}),
            ...(times.nvidiaSmiFirstTimeoutMs ? { firstTimeoutMs: times.nvidiaSmiFirstTimeoutMs } : {}),
          });
    this.#reading = this.#without('initializing', 'none', null, []);
    this.#session?.start();
    this.#tick();
    this.#timer = setInterval(() => this.#tick(), times.tickMs ?? 250);
    this.#timer.unref();
  }

  latest(): GpuReading {
    this.#tick();
    const ageMs = this.#readingAt === null ? null : Math.max(0, this.#now() - this.#readingAt);
    return { ...this.#reading, ageMs };
  }

  takeEvents(): readonly GpuEvent[] {
    return this.#events.take();
  }

  async release(seconds: number): Promise<void> {
    if (!(seconds > 0 && seconds <= 86_400)) {
      throw new HivepulseError('INVALID_OPTION', 'seconds', 'seconds must be above 0 and at most 86400 (a day)');
    }
    if (this.#closed) throw new HivepulseError('CLOSED', 'gpu', 'the GPU source is closed');
    this.#releasedUntil = this.#now() + seconds * 1000;
    try {
      await Promise.all([this.#session?.stop(), this.#smi?.stop()]);
      const stuck = this.#smi?.state.abandoned ?? 0;
      if (stuck > 0) throw stillInside(`${stuck} run${stuck > 1 ? 's' : ''} of nvidia-smi ${stuck > 1 ? 'are' : 'is'}`);
    } catch (error) {
      this.#releasedUntil = null;
      this.#session?.start();
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#session?.close();
    void this.#smi?.stop();
  }

  #tick(): void {
    if (this.#closed) return;
    const now = this.#now();
    if (this.#releasedUntil !== null) {
      if (now < this.#releasedUntil) {
        const left = Math.ceil((this.#releasedUntil - now) / 1000);
        this.#set(this.#without('released', 'none', `released for another ${left} s`, [this.#released()]), null);
        return;
      }
      this.#releasedUntil = null;
      this.#session?.start();
    }
    this.#session?.tick();
    for (const { uuid, xid, at } of this.#session?.takeEvents() ?? []) this.#events.xid(uuid, xid, at);

    const nvml = this.#session?.state ?? null;
    const nvmlServes = nvml !== null && nvml.kind !== 'failed' && nvml.kind !== 'unavailable';
    if (nvmlServes) {
      void this.#smi?.stop();
      this.#fromNvml(nvml);
    } else {
      this.#smi?.start();
      this.#fromNvidiaSmi(nvml, this.#smi?.state ?? null);
    }
  }

  #released(): Fault {
    return {
      source: 'gpu',
      code: 'GPU_RELEASED',
      message: 'the driver was let go of on request, so that it can be reset; values come back by themselves',
      field: 'gpus',
    };
  }

  #fromNvml(nvml: Exclude<NvmlState, { kind: 'failed' | 'unavailable' }>): void {
    switch (nvml.kind) {
      case 'working':
        this.#answer('nvml', null, nvml.report, nvml.reportAt);
        return;
      case 'initializing':
        if (nvml.report) this.#answer('nvml', null, nvml.report, nvml.reportAt);
        else {
          const message = 'the driver is being woken; cold GPUs take some seconds each';
          const faults =
            this.#known.length > 0 ? [{ source: 'gpu', code: 'GPU_INITIALIZING', message, field: 'gpus' }] : [];
          this.#set(this.#without('initializing', 'nvml', null, faults), null);
        }
        return;
      case 'stalled': {
        const { code, message } = nvml;
        this.#set(
          this.#without('stalled', 'nvml', null, [{ source: 'gpu', code, message, field: 'gpus' }]),
          this.#last?.at ?? null,
        );
      }
    }
  }

  #fromNvidiaSmi(nvml: NvmlState | null, smi: NvidiaSmiState | null): void {
    const why = nvml !== null && 'message' in nvml ? nvml.message : null;
    const reason = this.#session === null ? 'nvidia-smi was asked for (gpu: nvidia-smi)' : why;
    if (smi?.report) {
      this.#answer('nvidiaSmi', reason, smi.report, smi.reportAt);
      return;
    }
    if (smi && !smi.failure) {
      // Its first answer is on the way. What the other reader said last stands for so long, with its age.
      if (this.#last && this.#now() - this.#last.at <= this.#holdMs) return;
      const message = 'nvidia-smi runs for the first time; cold GPUs take some seconds each';
      const faults =
        this.#known.length > 0 ? [{ source: 'gpu', code: 'GPU_INITIALIZING', message, field: 'gpus' }] : [];
      this.#set(this.#without('initializing', 'nvidiaSmi', reason, faults), null);
      return;
    }
    const reasons = [reason, smi?.failure?.message].filter((text) => text !== null && text !== undefined).join('; ');
    const noLibrary = nvml === null || nvml.kind === 'unavailable';
    const asked = this.#options.gpu === 'nvml' || this.#options.gpu === 'nvidia-smi';
    if (noLibrary && (smi === null || smi.failure?.kind === 'absent') && !asked && this.#known.length === 0) {
      this.#set(this.#without('absent', 'none', reasons, []), null);
      return;
    }
    const faults: Fault[] = [];
    if (nvml && 'message' in nvml) {
      const code = 'code' in nvml ? nvml.code : 'NVML_UNAVAILABLE';
      faults.push({ source: 'gpu', code, message: nvml.message.slice(0, 1024), field: 'gpus' });
    }
    if (smi?.failure && (smi.failure.kind !== 'absent' || asked)) {
      faults.push({
        source: 'gpu',
        code: smi.failure.code,
        message: smi.failure.message.slice(0, 1024),
        field: 'gpus',
      });
    }
    const stalled = smi?.failure?.kind === 'stalled';
    const reading = this.#without(stalled ? 'stalled' : 'failed', stalled ? 'nvidiaSmi' : 'none', reasons, faults);
    this.#set(reading, this.#last?.at ?? null);
    if (!stalled) this.#events.observe(reading.devices, new Date().toISOString());
  }

  /** An answer was had. */
  #answer(reader: GpuReading['reader'], reason: string | null, report: RawReport, at: number): void {
    if (this.#assembled?.report !== report) {
      const result = assemble(report, this.#identities);
      this.#assembled = { report, result: this.#withVanished(result) };
      this.#known = this.#assembled.result.devices;
      this.#events.observe(this.#known, new Date().toISOString());
    }
    const { devices, processes, faults } = this.#assembled.result;
    const withXid = devices.map((device) => ({ ...device, lastXid: this.#events.lastXid(device.uuid) }));
    const reading: GpuReading = {
      reader,
      reason,
      ageMs: null,
      status: 'working',
      devices: withXid,
      processes,
      faults,
    };
    this.#last = { reading, at };
    this.#set(reading, at);
  }

  /** Adds the whole GPUs that the driver no longer lists: fallen off the bus, they must not just be gone. */
  #withVanished(result: Assembled): Assembled {
    const listed = new Set(result.devices.map((device) => device.uuid));
    const places = new Set(
      result.devices.filter(({ uuid }) => uuid.startsWith('unidentified-')).map(({ index }) => index),
    );
    const vanished = this.#known.filter(
      ({ uuid, parentUuid, index }) =>
        !listed.has(uuid) && parentUuid === null && !uuid.startsWith('unidentified-') && !places.has(index),
    );
    return {
      ...result,
      devices: [...result.devices, ...vanished.map((device) => blankDevice(device, 'lost'))],
      faults: [
        ...result.faults,
        ...vanished.map((device) => ({
          source: 'gpu',
          code: 'GPU_VANISHED',
          message: `GPU ${device.index}: the driver no longer lists it; if it was taken away on purpose, restart the hive`,
          gpuUuid: device.uuid,
        })),
      ],
    };
  }

  /** A reading without values: every GPU known, and of each only who it is. */
  #without(
    status: GpuReading['status'],
    reader: GpuReading['reader'],
    reason: string | null,
    faults: readonly Fault[],
  ): GpuReading {
    const health: GpuSample['health'] =
      status === 'stalled' ? 'stalled' : status === 'failed' ? 'lost' : 'initializing';
    const noPermission = status === 'failed' && faults.some(({ code }) => code === 'NO_PERMISSION');
    const devices = this.#known.map((device) => ({
      ...blankDevice(device, noPermission ? 'noPermission' : health),
      lastXid: this.#events.lastXid(device.uuid),
    }));
    return { reader, reason, ageMs: null, status, devices, processes: [], faults };
  }

  #set(reading: GpuReading, at: number | null): void {
    this.#reading = reading;
    this.#readingAt = at;
    const word = `${reading.status} ${reading.reader}`;
    if (word === this.#told) return;
    const first = this.#told === '';
    this.#told = word;
    const { status, reader, reason } = reading;
    const quiet = status === 'absent' || status === 'initializing' || (first && status === 'working');
    this.#options.logger?.[quiet || status === 'working' ? 'info' : 'warn'](
      { gpuReader: reader, reason, faults: reading.faults.map(({ code }) => code) },
      `GPU reader: ${status}`,
    );
  }
}
