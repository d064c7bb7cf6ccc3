import { defaults } from '../../contract/defaults.js';
import { expected, isText, numberFrom, type TableOf, texts } from '../../util/options.js';
import { plural } from '../../util/plural.js';
import type { GpuIdentities } from '../identities.js';
import type { GpuEvent, GpuReading } from '../reading.js';
import type { GpuReport } from '../report.js';
import type { GpuReader, GpuReaderOptions, GpuVendor, VendorReading } from '../vendor.js';
import { nvmlCode, reasonOf } from './codes.js';
import { checkNvidia } from './doctor.js';
import { openHelper } from './helper.js';
import { NvidiaSmi, type NvidiaSmiState } from './nvidia-smi.js';
import { NvmlSession, type NvmlState, openThread, stillInside } from './nvml.js';
import { deviceFile, libraryPaths, moduleGpus, tegraDriver } from './places.js';

export interface NvidiaOptions extends GpuReaderOptions {
  readonly paths?: {
    /** Where to look for libnvidia-ml, in order; else in all places that are known, below `root`. */
    readonly nvml?: readonly string[];
    readonly root?: string;
    readonly nvidiaSmi?: string;
    readonly helper?: string;
    /** `/proc/driver/nvidia`. */
    readonly procDriver?: string;
  };
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
  };
}

const path = expected('a path', isText);
const milliseconds = numberFrom(0, 'a number of milliseconds');

/** What is checked of the options that only this vendor has. */
export const nvidiaOptionTable: TableOf<Pick<NvidiaOptions, 'paths' | 'times'>> = {
  paths: {
    nvml: texts,
    root: path,
    nvidiaSmi: path,
    helper: path,
    procDriver: path,
  } satisfies TableOf<NonNullable<NvidiaOptions['paths']>>,
  times: {
    stalledMs: milliseconds,
    initializingMs: milliseconds,
    killAfterMs: milliseconds,
    missingRetryMs: milliseconds,
    slowIntervalMs: milliseconds,
    retryMs: milliseconds,
    nvidiaSmiTimeoutMs: milliseconds,
    nvidiaSmiFirstTimeoutMs: milliseconds,
  } satisfies TableOf<NonNullable<NvidiaOptions['times']>>,
};

/** NVIDIA's GPUs, read through NVML, and through nvidia-smi while NVML does not work. */
export const nvidia: GpuVendor<NvidiaOptions> = {
  name: 'NVIDIA',
  deviceFile,
  open: (options, identities) => new NvidiaReader(options, identities),
  check: checkNvidia,
};

/** `options` without what is not given, so that defaults stand. */
function given<T extends object>(options: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

const gpuFault = ({ code, message }: { readonly code: string; readonly message: string }) => ({
  source: 'gpu',
  code,
  message: message.slice(0, 1024),
  field: 'gpus',
});

/** GPUs that the host has for sure, and nothing to read them with. */
const unreadable = (found: string, reasons: string) => ({
  code: reasonOf(nvmlCode.libraryMissing).code,
  message: `${found} cannot be read: ${reasonOf(nvmlCode.libraryMissing).text}; ${reasons}`,
});

const tegraGpu = 'the GPU of this Tegra board (driver nvgpu; libnvidia-ml comes with JetPack 6 and newer)';

const foundForMs = 1000;

class NvidiaReader implements GpuReader {
  readonly #now: () => number;
  readonly #holdMs: number;
  /** One reader was asked for by name: that it is missing is a fault. */
  readonly #asked: boolean;
  readonly #procDriver: string;
  readonly #nvml: NvmlSession | null;
  readonly #smi: NvidiaSmi | null;
  #last: Extract<VendorReading, { status: 'working' }> | null = null;
  /** GPUs have been seen: without an answer they are missing, not absent. */
  #sawGpus = false;
  readonly #sysRoot: string;
  #found: string | null = null;
  #foundUntil = Number.NEGATIVE_INFINITY;

  constructor(options: NvidiaOptions, identities: GpuIdentities) {
    const { times = {}, paths = {}, intervalMs = defaults.intervalMs, env, spawn } = options;
    const gpu = options.fallback === false ? 'nvml' : options.gpu;
    this.#asked = gpu === 'nvml' || gpu === 'nvidia-smi';
    this.#now = options.now ?? (() => performance.now());
    this.#sysRoot = options.roots?.sys ?? '/sys';
    this.#procDriver = paths.procDriver ?? '/proc/driver/nvidia';
    this.#holdMs = (times.stalledMs ?? defaults.gpuStalledMs) + intervalMs;
    const common = { now: this.#now, intervalMs };
    const { slowIntervalMs, retryMs, stalledMs, initializingMs, killAfterMs, missingRetryMs } = times;
    const native = given({ libraryPaths: paths.nvml ?? libraryPaths(paths.root), intervalMs, slowIntervalMs, retryMs });
    const helper = given({ ...native, env, spawn, helper: paths.helper });
    this.#nvml =
      gpu === 'nvidia-smi'
        ? null
        : new NvmlSession({
            ...common,
            open: () => (options.isolation === 'process' ? openHelper(helper) : openThread(native)),
            ...given({ stalledMs, initializingMs, killAfterMs, missingRetryMs, replaceRetryMs: retryMs }),
          });
    this.#smi =
      gpu === 'nvml'
        ? null
        : new NvidiaSmi(identities, {
            ...common,
            ...given({
              env,
              spawn,
              binary: paths.nvidiaSmi,
              procDriver: paths.procDriver,
              timeoutMs: times.nvidiaSmiTimeoutMs,
              firstTimeoutMs: times.nvidiaSmiFirstTimeoutMs,
            }),
          });
    this.#nvml?.start();
  }

  read(): VendorReading {
    this.#nvml?.tick();
    const nvml = this.#nvml?.state ?? null;
    if (nvml !== null && nvml.kind !== 'failed' && nvml.kind !== 'unavailable') {
      void this.#smi?.stop();
      return this.#fromNvml(nvml);
    }
    this.#smi?.start();
    return this.#fromNvidiaSmi(nvml, this.#smi?.state ?? null);
  }

  takeEvents(): readonly GpuEvent[] {
    return this.#nvml?.takeEvents() ?? [];
  }

  async release(): Promise<void> {
    await Promise.all([this.#nvml?.stop(), this.#smi?.stop()]);
    const stuck = this.#smi?.state.abandoned ?? 0;
    if (stuck > 0) throw stillInside(`${stuck} run${stuck > 1 ? 's' : ''} of nvidia-smi ${stuck > 1 ? 'are' : 'is'}`);
  }

  resume(): void {
    this.#nvml?.start();
  }

  close(): void {
    this.#nvml?.close();
    void this.#smi?.stop();
  }

  #fromNvml(nvml: Exclude<NvmlState, { kind: 'failed' | 'unavailable' }>): VendorReading {
    if (nvml.kind === 'stalled') return { status: 'stalled', reader: 'nvml', reason: null, faults: [gpuFault(nvml)] };
    if (nvml.report) return this.#working('nvml', null, nvml.report, nvml.reportAt);
    return this.#initializing('nvml', null, 'the driver is being woken; cold GPUs take some seconds each');
  }

  #fromNvidiaSmi(nvml: NvmlState | null, smi: NvidiaSmiState | null): VendorReading {
    const why = nvml !== null && 'message' in nvml ? nvml.message : null;
    const reason = this.#nvml === null ? 'nvidia-smi was asked for (gpu: nvidia-smi)' : why;
    if (smi?.report) return this.#working('nvidiaSmi', reason, smi.report, smi.reportAt);
    const failure = smi?.failure ?? null;
    if (smi && !failure) {
      // Its first answer is on the way. For that long the last answer of NVML stands, with its age.
      if (this.#last && this.#now() - this.#last.at <= this.#holdMs) return this.#last;
      return this.#initializing(
        'nvidiaSmi',
        reason,
        'nvidia-smi runs for the first time; cold GPUs take some seconds each',
      );
    }
    const reasons = [reason, failure?.message].filter((text) => text !== null && text !== undefined).join('; ');
    const unavailable = nvml === null || nvml.kind === 'unavailable';
    const missing = failure === null || failure.kind === 'absent';
    const found = unavailable && missing ? this.#findGpus() : null;
    if (unavailable && missing && !this.#asked && !this.#sawGpus && found === null) {
      // Where the library was looked for is of use only to a host with a GPU; this travels with each heartbeat.
      return { status: 'absent', reader: 'none', reason: reasons.replace(/; looked for in [^;]*/, ''), faults: [] };
    }
    const each = [
      ...(nvml && 'message' in nvml ? [{ code: 'NVML_UNAVAILABLE', ...nvml }] : []),
      ...(failure && (!missing || this.#asked) ? [failure] : []),
    ];
    // One fault that has the reasons of both readers in it.
    const causes = found === null ? each : [unreadable(found, reasons)];
    const stalled = failure?.kind === 'stalled';
    return {
      status: stalled ? 'stalled' : 'failed',
      reader: stalled ? 'nvidiaSmi' : 'none',
      reason: reasons,
      faults: causes.map(gpuFault),
    };
  }

  /** GPUs that a kernel module has, in words; null: none. Looked for again each second: readings are taken more often than that. */
  #findGpus(): string | null {
    const now = this.#now();
    if (now >= this.#foundUntil) {
      const listed = moduleGpus(this.#procDriver).length;
      if (listed > 0) this.#found = `the driver lists ${plural(listed, 'GPU')} that`;
      else this.#found = tegraDriver(this.#sysRoot) ? tegraGpu : null;
      this.#foundUntil = now + foundForMs;
    }
    return this.#found;
  }

  #working(reader: GpuReading['reader'], reason: string | null, report: GpuReport, at: number): VendorReading {
    this.#sawGpus ||= report.devices.length > 0;
    this.#last = { status: 'working', reader, reason, report, at };
    return this.#last;
  }

  #initializing(reader: GpuReading['reader'], reason: string | null, message: string): VendorReading {
    const faults = this.#sawGpus ? [gpuFault({ code: 'GPU_INITIALIZING', message })] : [];
    return { status: 'initializing', reader, reason, faults };
  }
}
