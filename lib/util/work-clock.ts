/** Work that is shorter than this is not looked at more closely, ms. */
const longMs = 20;
/** Age at which the CPU time that is known is taken anew before work begins, ms. */
const markEveryMs = 100;

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/**
 * How long a piece of work on this thread has taken: by the clock, but no longer than this process has computed meanwhile. Where
 * others had the core, or the process was stopped, that is not what the work costs.
 */
export class WorkClock {
  readonly #now: () => number;
  readonly #cpu: () => number;
  #markedMs = Number.NEGATIVE_INFINITY;
  #cpuMs = 0;

  constructor(now: () => number = () => performance.now(), cpu: () => number = cpuMs) {
    this.#now = now;
    this.#cpu = cpu;
  }

  /** What `spentMs` is to be given. */
  begin(): number {
    const now = this.#now();
    if (now - this.#markedMs >= markEveryMs) {
      this.#markedMs = now;
      this.#cpuMs = this.#cpu();
    }
    return now;
  }

  spentMs(beganMs: number): number {
    const ms = this.#now() - beganMs;
    return ms < longMs ? ms : Math.min(ms, this.#cpu() - this.#cpuMs);
  }
}
