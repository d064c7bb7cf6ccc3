import type { Fault } from '../contract/heartbeat.js';
import type { SamplerDeps } from './deps.js';

type Deps = Pick<SamplerDeps, 'host' | 'clockTicks' | 'nowMs' | 'wallMs'>;

/** A wall clock that is further off than this from where it was has been set, ms. */
const stepMs = 1000;
/** A process may be read so much later than the host's uptime, ms. */
const readMs = 1000;
/** /proc/uptime has two decimals. */
const uptimeResolutionSeconds = 0.01;

/**
 * When processes started. Start times in /proc/<pid>/stat and the host's uptime count from boot, so their difference needs
 * no wall clock. A process that seems to start later than now shows that they are of two clocks (a container with its own
 * /proc/uptime): then no difference is right, also where it looks possible.
 */
export class StartClock {
  readonly #deps: Deps;
  /** Uptime of the host now, seconds; null where it is not known. */
  #uptimeSeconds: number | null = null;
  /** Wall time of the boot, ms; the same until the wall clock is set. */
  #bootWallMs: number | null = null;
  #wallStepMs = 0;
  /** The newest process that is known, and since when. */
  #newest = { ticks: Number.NEGATIVE_INFINITY, seenMs: 0 };
  #twoClocks = false;
  /** Some process seemed to start later than now. */
  #negative = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Takes the host's newest uptime; before each pass. */
  update(): void {
    const { host, nowMs, wallMs, clockTicks } = this.#deps;
    this.#negative = false;
    const reading = host.latest();
    const seconds = reading?.host.uptimeSeconds ?? null;
    if (reading === null || seconds === null) {
      this.#uptimeSeconds = null;
      return;
    }
    const { ticks, seenMs } = this.#newest;
    // By an uptime that was read after the process was: a sleep of the host in between can't be the reason.
    if (reading.atMs - seenMs > readMs && ticks / clockTicks - seconds > this.#tolerance) this.#twoClocks = true;
    this.#uptimeSeconds = seconds + (nowMs() - reading.atMs) / 1000;
    const bootWallMs = wallMs() - this.#uptimeSeconds * 1000;
    if (this.#bootWallMs === null) this.#bootWallMs = bootWallMs;
    else if (Math.abs(bootWallMs - this.#bootWallMs) > stepMs) {
      this.#wallStepMs += bootWallMs - this.#bootWallMs;
      this.#bootWallMs = bootWallMs;
    }
  }

  /** The newest start among the processes of the host. */
  seen(newestTicks: number): void {
    if (newestTicks > this.#newest.ticks) this.#newest = { ticks: newestTicks, seenMs: this.#deps.nowMs() };
  }

  /** By how much the wall clock was set since the first update, ms. */
  get wallStepMs(): number {
    return this.#wallStepMs;
  }

  /** How long a process has been running; null where that is not known. */
  uptimeSeconds(startTicks: number): number | null {
    if (this.#uptimeSeconds === null || Number.isNaN(startTicks)) return null;
    const seconds = this.#uptimeSeconds - startTicks / this.#deps.clockTicks;
    if (seconds < -this.#tolerance) this.#negative = true;
    return this.#twoClocks || seconds < -this.#tolerance ? null : Math.max(0, seconds);
  }

  /** Changes when the wall clock is set: start times then follow it. */
  get bootWallMs(): number | null {
    return this.#twoClocks ? null : this.#bootWallMs;
  }

  /** Wall time at which a process started; null where that is not known. */
  startedAt(startTicks: number): string | null {
    if (this.bootWallMs === null || Number.isNaN(startTicks)) return null;
    const date = new Date(this.bootWallMs + (startTicks * 1000) / this.#deps.clockTicks);
    return Number.isNaN(date.getTime()) ? null : date.toISOString();
  }

  fault(): Fault | null {
    if (!this.#twoClocks && !this.#negative) return null;
    return {
      source: 'proc',
      code: 'CLOCKS_DIFFER',
      field: 'uptimeSeconds',
      message:
        '/proc/uptime and the start times in /proc/<pid>/stat are of two clocks: a process seems to start later than now. When workers started is not known.',
    };
  }

  get #tolerance(): number {
    return 1 / this.#deps.clockTicks + uptimeResolutionSeconds;
  }
}
