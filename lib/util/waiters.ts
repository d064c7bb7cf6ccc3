import { HivepulseError } from './errors.js';

interface Waiter<T> {
  readonly from: number;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** Callers that wait for a pass which begins after their call. `keepAlive` is called when the first comes and the last goes. */
export class Waiters<T> {
  readonly #waiting = new Set<Waiter<T>>();
  readonly #keepAlive: (yes: boolean) => void;

  constructor(keepAlive: (yes: boolean) => void) {
    this.#keepAlive = keepAlive;
  }

  /** Resolves with the first value whose sequence is at least `from`; rejects with the signal's reason. */
  wait(from: number, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise<T>((resolve, reject) => {
      const settle = () => {
        signal?.removeEventListener('abort', abort);
        this.#waiting.delete(waiter);
        if (this.#waiting.size === 0) this.#keepAlive(false);
      };
      const waiter: Waiter<T> = {
        from,
        resolve: (value) => {
          settle();
          resolve(value);
        },
        reject: (reason) => {
          settle();
          reject(reason);
        },
      };
      const abort = () => waiter.reject(signal?.reason);
      signal?.addEventListener('abort', abort, { once: true });
      if (this.#waiting.size === 0) this.#keepAlive(true);
      this.#waiting.add(waiter);
    });
  }

  /** `value` is asked for once per waiter: each gets arrays of its own. */
  deliver(sequence: number, value: () => T): void {
    for (const waiter of [...this.#waiting]) if (waiter.from <= sequence) waiter.resolve(value());
  }

  get earliest(): number | null {
    return this.#waiting.size === 0 ? null : Math.min(...[...this.#waiting].map((waiter) => waiter.from));
  }

  rejectAll(reason: unknown): void {
    for (const waiter of [...this.#waiting]) waiter.reject(reason);
  }
}

export const closedError = (what: string): HivepulseError => new HivepulseError('CLOSED', what, `${what} is closed.`);
