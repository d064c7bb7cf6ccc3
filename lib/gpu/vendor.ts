import type { spawn } from 'node:child_process';
import type { GpuChoice } from '../config/options.js';
import type { Fault } from '../contract/heartbeat.js';
import type { Log } from '../util/log.js';
import type { DrmProcesses } from './drm/processes.js';
import type { GpuIdentities } from './identities.js';
import type { GpuEvent, GpuReading } from './reading.js';
import type { GpuReport } from './report.js';

/** What every vendor's reader is given. */
export interface GpuReaderOptions {
  /** Which reader (default `auto`). A vendor without that reader takes `auto`. */
  readonly gpu?: GpuChoice;
  /** Whether a slower reader may stand in for the first one (default true). */
  readonly fallback?: boolean;
  /**
   * Where the driver's library is called (default `thread`). `process` (what the daemons use): in an executable of its
   * own, which can crash, be killed and be left behind without harm to this process, for some MiB of memory. `thread`: in
   * this process, which a crash in the library ends, and whose exit a call stuck in the driver can hold up in the kernel.
   */
  readonly isolation?: 'process' | 'thread';
  /** For the programs that it starts. */
  readonly env?: NodeJS.ProcessEnv;
  /** Pause between passes, in ms. */
  readonly intervalMs?: number;
  readonly now?: () => number;
  readonly spawn?: typeof spawn;
  /** Where the kernel's file systems are (default `/sys` and `/proc`). */
  readonly roots?: { readonly sys?: string; readonly proc?: string };
  /** Integrated GPUs too, where no process holds them (default false). */
  readonly allGpus?: boolean;
  /** The processes of drivers that share one interface, for all their vendors; a reader without them opens its own. */
  readonly drmProcesses?: DrmProcesses;
  readonly logger?: Log;
}

/** One vendor's GPUs: a table of functions, listed in `vendors.ts`. All else in this room is the same for every vendor. */
export interface GpuVendor<Options extends GpuReaderOptions = GpuReaderOptions> {
  /** As people call it. */
  readonly name: string;
  /**
   * Opens a reader, at once and whether or not the driver is there: drivers are loaded and removed while a hive runs.
   * @param identities which GPU the source saw at which index
   */
  open(options: Options, identities: GpuIdentities): GpuReader;
  /** Device files, one for each card: a process that computes on a card has that of this card mapped. Left out: there are none such. */
  readonly deviceFile?: RegExp;
  /** What the doctor has to say of cards, driver and readers; null where the host has neither card nor driver. */
  check(host: GpuCheckHost): Promise<readonly GpuFinding[] | null>;
}

/**
 * Reads all GPUs of one vendor on this host. Whatever the driver does (hang, crash, vanish), no function here blocks or
 * throws, except that `release` rejects.
 */
export interface GpuReader {
  /** Called some times a second: judges the reader's own state and gives the newest answer. Never waits for the driver. */
  read(): VendorReading;
  /** Errors that the driver reported since the last call, oldest first. */
  takeEvents(): readonly GpuEvent[];
  /**
   * Lets go of the driver, so that it can be reset. Resolves when no descriptor is left on it.
   * @throws HivepulseError REQUEST_TIMEOUT where the driver holds a reader (of now or of before) that can't be killed
   */
  release(): Promise<void>;
  /** Takes the driver up again after `release`. */
  resume(): void;
  /** Ends at once, also with a call stuck in the driver. */
  close(): void;
}

interface VendorState {
  readonly reader: GpuReading['reader'];
  /** Why it is not the vendor's first choice of reader; null when it is. */
  readonly reason: string | null;
}

/** What a vendor's reader has to say. */
export type VendorReading = VendorState &
  (
    | {
        readonly status: 'working';
        /** The same object as long as there is no newer answer. */
        readonly report: GpuReport;
        /** When the answer came, of the clock of `now`. */
        readonly at: number;
      }
    | {
        /**
         * absent: neither driver nor library is here, and none was; the reader goes on looking for them.
         * initializing: the first answer is on its way. stalled: the driver gives no answer.
         * failed: the driver, or its library, says that it does not work.
         */
        readonly status: 'absent' | 'initializing' | 'stalled' | 'failed';
        readonly faults: readonly Fault[];
      }
  );

/** What the doctor lets a vendor look at. Paths are absolute. */
export interface GpuCheckHost {
  readonly uid: number;
  readonly text: (path: string) => string | null;
  readonly exists: (path: string) => boolean;
  readonly list: (path: string) => readonly string[];
  readonly writable: (path: string) => boolean;
  /** Where a link ends; null where it leads nowhere. */
  readonly realPath: (path: string) => string | null;
  readonly run: (
    file: string,
    args: readonly string[],
    timeoutMs: number,
  ) => Promise<{
    readonly exitCode: number | null;
    readonly output: string;
    readonly missing: boolean;
    readonly timedOut: boolean;
  }>;
  /** The first answer of this vendor's reader without a fallback; null where none came in time. */
  readonly readGpus: (timeoutMs: number) => Promise<GpuReading | null>;
}

/** What a vendor's check found. */
export interface GpuFinding {
  /** Stable name of the check, for programs. */
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** The command, or the act, that fixes it; empty where it is ok. */
  readonly fix: string;
  /** GPUs that the reader showed; the doctor judges their health. */
  readonly reading?: GpuReading;
}
