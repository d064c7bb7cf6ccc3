export interface WaitOptions {
  /** Longest wait in ms (default 30,000: a machine under load takes ten times its quiet time). */
  readonly timeoutMs?: number;
  /** Longest pause between tries in ms (default 20). The first is 1 ms, each next one twice as long. */
  readonly everyMs?: number;
  /** What is waited for, named in the error. */
  readonly what?: string;
}

/**
 * Polls `probe` until it gives something other than undefined, null or false, and returns that. A probe that throws counts
 * as "not yet"; its last error is the cause of the timeout.
 */
export async function waitFor<T>(
  probe: () => T | Promise<T>,
  { timeoutMs = 30_000, everyMs = 20, what = 'a condition' }: WaitOptions = {},
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  // Most of what is waited for is there within a few milliseconds.
  for (let pauseMs = 1; ; pauseMs *= 2) {
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) {
        return value as Exclude<T, undefined | null | false>;
      }
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, everyMs)));
  }
}
