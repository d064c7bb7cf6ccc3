/**
 * Whether somebody still waits for what is under way. Node's AbortController costs some 25 us each time, which is more than a
 * whole request; here it is made only for what needs a signal.
 */
export class Cancellation {
  #reason: unknown = null;
  #isCancelled = false;
  #controller: AbortController | null = null;
  /** Called once, with the reason; by whoever works on it now. */
  onCancel: ((reason: unknown) => void) | null = null;

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  get reason(): unknown {
    return this.#reason;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#isCancelled) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  cancel(reason: unknown): void {
    if (this.#isCancelled) return;
    this.#isCancelled = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.onCancel?.(reason);
  }
}
