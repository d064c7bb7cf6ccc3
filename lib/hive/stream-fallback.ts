/** Failures of a stream within this time mean that something on the way does not bear it. */
const countedMs = 60_000;
const mostFailures = 2;
/** How long heartbeats are then sent by POST before the stream is tried again. */
const awayMs = 600_000;

/** Whether heartbeats go by the stream or by POST. Pure: the clock is an argument. */
export class StreamFallback {
  #failedAtMs: number[] = [];
  #awayUntilMs = Number.NEGATIVE_INFINITY;

  isAway(nowMs: number): boolean {
    return nowMs < this.#awayUntilMs;
  }

  /** The stream failed where a POST might have worked. True where it is not used for a while from now on. */
  failed(nowMs: number): boolean {
    this.#failedAtMs = [...this.#failedAtMs.filter((atMs) => nowMs - atMs < countedMs), nowMs];
    if (this.#failedAtMs.length < mostFailures) return false;
    this.unsupported(nowMs);
    return true;
  }

  /** The queen, or what stands before it, knows no streams. */
  unsupported(nowMs: number): void {
    this.#failedAtMs = [];
    this.#awayUntilMs = nowMs + awayMs;
  }
}
