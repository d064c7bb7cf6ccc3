/** How long what is in view may stay as it was while one scrolls: never for ever. Pure. */
export class Hold {
  readonly #maxMs: number;
  #sinceMs: number | null = null;

  constructor(maxMs: number) {
    this.#maxMs = maxMs;
  }

  /** `wanted`: there is a reason to hold. `waits`: something is to be drawn. */
  isHeld(nowMs: number, wanted: boolean, waits: boolean): boolean {
    if (!wanted) {
      this.#sinceMs = null;
      return false;
    }
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs < this.#maxMs) return true;
    // All that waits gets its turn before the next hold.
    if (!waits) this.#sinceMs = null;
    return false;
  }
}
