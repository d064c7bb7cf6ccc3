import { defaults } from '../../contract/defaults.js';
import { type BindingResult, loadBinding, type NativeGpuOptions } from '../../native/binding.js';
import { HivepulseError } from '../../util/errors.js';
import type { GpuEvent } from '../reading.js';
import type { GpuReport } from '../report.js';
import { nvmlCode, reasonOf } from './codes.js';
import { type NvmlMessage, parseNvmlLine } from './nvml-lines.js';
import { toReport } from './report.js';

/** A native reader at work, on a thread or as a process. */
export interface NvmlChannel {
  /** The lines since the last call. */
  take(): readonly string[];
  /** Why it has ended; null while it runs. Empty: it ended by itself, in good order. */
  end(): string | null;
  /** Asks it to let go of the driver and end. */
  close(): void;
  /** Ends it by force. False: it can't be (a thread). */
  kill(): boolean;
  /** Another one loads the driver's library anew. In a process that has it mapped, the loader gives out that one again. */
  readonly opensAnew: boolean;
}

/** A reader on a thread of this process. Throws with the reason where there is no addon. */
export function openThread(options: NativeGpuOptions, load: () => BindingResult = loadBinding): NvmlChannel {
  const { binding, reason } = load();
  if (!binding) throw new Error(reason);
  const thread = new binding.GpuThread(options);
  return {
    take: () => thread.take(),
    end: () => (thread.ended() ? '' : null),
    close: () => thread.close(),
    kill: () => false,
    opensAnew: false,
  };
}

export interface NvmlSessionOptions {
  readonly open: () => NvmlChannel;
  readonly intervalMs?: number;
  /** Silence after which a reader is called stalled, in ms. */
  readonly stalledMs?: number;
  /** How long cold GPUs may take to wake, in ms. */
  readonly initializingMs?: number;
  /** Silence after which a reader that can be is killed and replaced, in ms. */
  readonly killAfterMs?: number;
  /** Pause before the library is looked for again, in ms. */
  readonly missingRetryMs?: number;
  /** Pause before a reader whose library does not fit the driver is replaced once more, in ms; doubles up to 30 s. */
  readonly replaceRetryMs?: number;
  readonly now?: () => number;
}

export type NvmlState =
  | { readonly kind: 'working'; readonly report: GpuReport; readonly reportAt: number }
  /** `report`: the last one, while it is fresh enough to stand. */
  | { readonly kind: 'initializing'; readonly report: GpuReport | null; readonly reportAt: number }
  | { readonly kind: 'stalled'; readonly code: string; readonly message: string }
  /** The driver, or its library, does not work now. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  /** There is no library, or nothing to load it with. */
  | { readonly kind: 'unavailable'; readonly message: string };

/** Of `NVML_STALLED`. */
export const stalledText =
  'the NVIDIA driver does not answer; GPU values are unknown until it does: see dmesg for Xid or GSP errors; if it does not recover, reset the GPU or reboot the host';

/** The driver was not let go of; `who` is still inside it ("2 readers are"). */
export const stillInside = (who: string): HivepulseError =>
  new HivepulseError(
    'REQUEST_TIMEOUT',
    'gpu',
    `the driver was not released: ${who} stuck in a call of it, and a reset would find it in use; see dmesg for Xid or GSP errors, and reboot where it does not end`,
  );

/** Replacements left behind, stuck in the driver, before no more are started. */
const maxAbandoned = 3;
/** So many crashes within a minute are no accident any more. */
const maxCrashes = 3;
const crashWindowMs = 60_000;
const crashRetryMs = 30_000;
const replaceRetryMaxMs = 30_000;

/** Of a driver that was upgraded under a thread of ours. */
const replacedText =
  "the driver's library was replaced, and this process has the old one, which does not fit the driver: restart the hive, or let it read GPUs in a process of their own (`--gpu-isolation process`)";

/** Follows a native reader: what it says, whether it still speaks, and its replacement when it does not. */
export class NvmlSession {
  readonly #options: Required<NvmlSessionOptions>;
  #channel: NvmlChannel | null = null;
  #abandoned: NvmlChannel[] = [];
  #phase: 'initializing' | 'working' | 'failed' | 'unavailable' = 'initializing';
  #failure: { code: string; message: string } | null = null;
  #unavailable = '';
  #report: GpuReport | null = null;
  #reportAt = 0;
  #lastWordAt = 0;
  #lastTickAt = 0;
  #initSince = 0;
  #stalled = false;
  #crashes: number[] = [];
  #killedAt: number | null = null;
  #openAt: number | null = null;
  #replaceDelayMs = 0;
  #events: GpuEvent[] = [];

  constructor(options: NvmlSessionOptions) {
    this.#options = {
      intervalMs: defaults.intervalMs,
      stalledMs: defaults.gpuStalledMs,
      initializingMs: defaults.gpuInitializingMs,
      killAfterMs: 10_000,
      missingRetryMs: 60_000,
      replaceRetryMs: 1000,
      now: () => performance.now(),
      ...options,
    };
  }

  /** Opens a reader at the next `tick`. */
  start(): void {
    this.#openAt = this.#options.now();
    this.#phase = 'initializing';
    this.#initSince = this.#openAt;
    this.#stalled = false;
    this.#failure = null;
    this.#unavailable = '';
  }

  /** Takes what was said since the last call, and minds the clock. Never blocks. */
  tick(): void {
    const now = this.#options.now();
    for (const line of this.#channel?.take() ?? []) {
      const message = parseNvmlLine(line);
      if (message) this.#hear(message, now);
    }
    this.#abandoned = this.#abandoned.filter((channel) => channel.end() === null);
    const end = this.#channel?.end() ?? null;
    if (end !== null) this.#ended(end, now);
    // After a pause of this event loop its pipes come only now: silence is not judged before they had their turn.
    if (this.#channel && now - this.#lastTickAt < this.#options.stalledMs / 2) this.#watch(now);
    this.#lastTickAt = now;
    if (!this.#channel && this.#openAt !== null && now >= this.#openAt && this.#abandoned.length < maxAbandoned) {
      this.#open(now);
    }
  }

  get state(): NvmlState {
    // A failure stands until the next report, so that the other reader is not stopped for each attempt.
    if (this.#unavailable !== '') return { kind: 'unavailable', message: this.#unavailable };
    if (this.#failure) return { kind: 'failed', ...this.#failure };
    if (this.#stalled) {
      const stuck = this.#abandoned.length;
      return {
        kind: 'stalled',
        code: 'NVML_STALLED',
        message: stalledText + (stuck > 0 ? `; ${stuck} reader${stuck > 1 ? 's' : ''} can't be killed` : ''),
      };
    }
    if (this.#phase === 'working' && this.#report) {
      return { kind: 'working', report: this.#report, reportAt: this.#reportAt };
    }
    const fresh = this.#options.now() - this.#reportAt <= this.#options.stalledMs + this.#options.intervalMs;
    return { kind: 'initializing', report: fresh ? this.#report : null, reportAt: this.#reportAt };
  }

  takeEvents(): readonly GpuEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Readers stuck in the driver that could not be killed. */
  get abandoned(): number {
    return this.#abandoned.length;
  }

  /**
   * Lets go of the driver; resolves when no reader is left inside it, those left behind earlier included. Rejects with
   * REQUEST_TIMEOUT where the driver holds on to one.
   */
  async stop(timeoutMs = 5000): Promise<void> {
    this.#openAt = null;
    const channel = this.#channel;
    this.#report = null;
    channel?.close();
    const start = this.#options.now();
    for (;;) {
      this.#abandoned = this.#abandoned.filter((left) => left.end() === null);
      const inside = this.#abandoned.length + (channel !== null && channel.end() === null ? 1 : 0);
      if (inside === 0) break;
      const waited = this.#options.now() - start;
      if (waited > 1000) channel?.kill();
      if (waited > timeoutMs) throw stillInside(`${inside} reader${inside > 1 ? 's are' : ' is'}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (channel === null) return;
    for (const line of channel.take()) {
      const message = parseNvmlLine(line);
      if (message?.type === 'xid') this.#hear(message, start);
    }
    this.#channel = null;
  }

  /** Ends at once, whatever state the driver is in. */
  close(): void {
    this.#openAt = null;
    this.#channel?.close();
    this.#channel?.kill();
    this.#channel = null;
  }

  #open(now: number): void {
    this.#openAt = null;
    this.#killedAt = null;
    this.#lastWordAt = now;
    this.#initSince = now;
    try {
      this.#channel = this.#options.open();
      this.#phase = 'initializing';
    } catch (error) {
      this.#phase = 'unavailable';
      this.#unavailable = error instanceof Error ? error.message : String(error);
      this.#openAt = now + this.#options.missingRetryMs;
    }
  }

  #hear(message: NvmlMessage, now: number): void {
    this.#lastWordAt = now;
    switch (message.type) {
      case 'init':
        if (this.#phase !== 'initializing') this.#initSince = now;
        this.#phase = 'initializing';
        return;
      case 'alive':
        return;
      case 'report':
        this.#phase = 'working';
        this.#report = toReport(message);
        this.#reportAt = now;
        this.#failure = null;
        this.#unavailable = '';
        this.#stalled = false;
        this.#replaceDelayMs = 0;
        return;
      case 'failed':
        this.#failed(message.code, message.replaced === true, now);
        return;
      case 'unavailable':
        this.#phase = 'unavailable';
        this.#stalled = false;
        this.#failure = null;
        this.#unavailable = message.reason;
        return;
      case 'xid':
        this.#events.push({
          kind: 'xid',
          gpuUuid: message.uuid,
          at: new Date().toISOString(),
          detail: { xid: message.xid },
        });
    }
  }

  /** The driver does not work. A library that does not fit it, or that was replaced, is loaded anew where that can be. */
  #failed(code: number, replaced: boolean, now: number): void {
    const reason = reasonOf(code);
    this.#phase = 'failed';
    this.#stalled = false;
    this.#unavailable = '';
    const opensAnew = this.#channel?.opensAnew === true;
    const text = replaced && !opensAnew ? `${reason.text}; ${replacedText}` : reason.text;
    this.#failure = { code: reason.code, message: `NVML: ${text}` };
    if (!opensAnew || !(replaced || code === nvmlCode.driverMismatch) || this.#killedAt !== null) return;
    if (this.#channel?.kill()) this.#killedAt = now;
  }

  #ended(reason: string, now: number): void {
    const killed = this.#killedAt !== null;
    this.#channel = null;
    if (this.#phase === 'unavailable') {
      this.#openAt = now + this.#options.missingRetryMs;
      return;
    }
    if (killed) {
      this.#openAt = now + (this.#phase === 'failed' ? this.#replaceDelayMs : 0);
      if (this.#phase === 'failed') {
        const next = Math.max(this.#options.replaceRetryMs, 2 * this.#replaceDelayMs);
        this.#replaceDelayMs = Math.min(next, replaceRetryMaxMs);
      }
      return;
    }
    // It died in the driver's library. Once costs one restart; again and again is a reader that does not work here.
    this.#crashes = [...this.#crashes.filter((at) => now - at < crashWindowMs), now];
    if (this.#crashes.length < maxCrashes) {
      this.#phase = 'initializing';
      this.#initSince = now;
      this.#openAt = now;
      return;
    }
    this.#phase = 'failed';
    this.#failure = {
      code: 'GPU_READER_CRASHED',
      message: `the GPU reader died ${this.#crashes.length} times (${reason || 'without a word'})`,
    };
    this.#openAt = now + crashRetryMs;
  }

  #watch(now: number): void {
    if (this.#killedAt !== null) {
      this.#leaveBehind(now, this.#killedAt);
      return;
    }
    if (this.#phase === 'failed' || this.#phase === 'unavailable') return;
    const silent = now - this.#lastWordAt;
    const { initializingMs, stalledMs, intervalMs } = this.#options;
    if (this.#phase === 'initializing') {
      if (now - this.#initSince > initializingMs) this.#stalled = true;
    } else if (silent > Math.max(stalledMs, 2 * intervalMs)) {
      this.#stalled = true; // a pass is due each interval, and says so when it takes its time
    }
    if (!this.#stalled) return;
    const limit = this.#phase === 'initializing' ? initializingMs : this.#options.killAfterMs;
    if (silent > limit && this.#channel?.kill()) this.#killedAt = now;
  }

  /** The kernel holds a killed reader in the driver: another takes its place. */
  #leaveBehind(now: number, killedAt: number): void {
    if (now - killedAt <= 1000 || this.#channel === null) return;
    this.#abandoned.push(this.#channel);
    this.#channel = null;
    this.#openAt = now;
    this.#phase = 'initializing';
  }
}
