/** Failures of a stream within this time mean that something on the way may not bear it. */
const countedMs = 60_000;
const mostFailures = 2;
/** How long heartbeats are then sent by POST before the stream is tried again. */
const awayMs = 600_000;

/** Whether heartbeats go by the stream or by POST. Pure: the clock is an argument. */
export class StreamFallback {
  #failedAtMs: number[] = [];
  #awayUntilMs = Number.NEGATIVE_INFINITY;
  /** The stream failed so often that a POST has to show whether it is to blame. */
  #isSuspected = false;

  usesPost(nowMs: number): boolean {
    return this.#isSuspected || nowMs < this.#awayUntilMs;
  }

  /** The stream failed where a POST might have worked. */
  failed(nowMs: number): void {
    this.#failedAtMs = [...this.#failedAtMs.filter((atMs) => nowMs - atMs < countedMs), nowMs];
    if (this.#failedAtMs.length >= mostFailures) this.#isSuspected = true;
  }

  /**
   * What became of a POST. True where it shows that the stream is to blame, which is then not used for a while; where a POST
   * fails as well it is not.
   */
  posted(isAnswered: boolean, nowMs: number): boolean {
    if (!this.#isSuspected) return false;
    if (isAnswered) this.unsupported(nowMs);
    this.#failedAtMs = [];
    this.#isSuspected = false;
    return isAnswered;
  }

  /** The queen, or what stands before it, knows no streams. */
  unsupported(nowMs: number): void {
    this.#failedAtMs = [];
    this.#awayUntilMs = nowMs + awayMs;
  }
}
